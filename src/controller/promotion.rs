//! Candidate → branch → pull request.
//!
//! One step, one look: after each write the world is read again, so being cut
//! off between any two of them changes nothing. What people decided in Git is
//! read from Git, against what the `Promotion` remembers to have seen there; a
//! base that seems to have lost something is fetched once more before that is
//! believed.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Base, Event, Reader, Requeue, Result, Writer};
use crate::cluster::home::{Promotion, PromotionStatus};
use crate::domain::catalog::{Place, Target};
use crate::domain::edit::{EditError, FileEdit, digests, set_image};
use crate::domain::image::{Candidate, Digest, same_image};
use crate::domain::promotion::{
    self, Branch, BranchContent, Decision, EarlierStage, How, Offer, Outcome,
};
use crate::domain::promotion::{Past, PullRequest, PullRequestState, Seen, Sight, Step, There};
use crate::domain::pull_request;
use crate::domain::{ApplicationKey, CommitSha, Invalid, PullRequestKey};
use crate::git::{Merged, Mirror, TreeId};
use crate::github;
use crate::render::{self, Source};
use crate::view;

/// Steps taken in one look before the key waits its turn again.
const MOST_STEPS: usize = 8;
/// How far back the commit that took a candidate back is looked for.
const HISTORY: usize = 50;

pub async fn reconcile(ctx: Arc<Writer>, key: ApplicationKey) -> Result<Requeue> {
    for _ in 0..MOST_STEPS {
        let (object, seen) = match observe(&ctx, &key).await? {
            Observed::Nothing => return Ok(Requeue::Idle),
            Observed::Promoted(candidates) => {
                ctx.to_home().propose(&key, &candidates).await?;
                continue;
            }
            Observed::Seen(object, seen) => (object, *seen),
            Observed::Unreadable(object, Invalid(why)) => {
                let status = PromotionStatus {
                    state: Some("Failed".into()),
                    message: Some(why),
                    ..object.status.clone().unwrap_or_default()
                };
                ctx.to_home().report_promotion(&object, status).await?;
                return Ok(Requeue::Idle);
            }
        };
        let step = promotion::decide(&seen);
        let settled = act(&ctx, &key, &object, &seen, step).await;
        if settled.is_err() {
            // It may have been done all the same, or somebody was faster.
            ctx.touch(&key.repo);
        }
        if settled? {
            return Ok(Requeue::Idle);
        }
    }
    Ok(Requeue::After(super::DEBOUNCE))
}

/// What there is to look at.
enum Observed {
    /// Nothing was ever proposed here.
    Nothing,
    /// What the stages before have come to run, and the object does not name yet.
    Promoted(Vec<Candidate>),
    /// Nothing can be proposed; the reason is for whoever reads the Promotion.
    Unreadable(Promotion, Invalid),
    Seen(Promotion, Box<Seen>),
}

async fn observe(ctx: &Arc<Reader>, key: &ApplicationKey) -> Result<Observed> {
    let base = ctx.known_base(&key.repo).await?;
    let Some(target) = base.target(key).cloned() else {
        return Ok(Observed::Nothing);
    };
    let earlier = earlier(ctx, key, &target).await?;
    let object = ctx.home.promotion(key).await?;
    let promoted = promoted(object.as_ref(), &target, &earlier);
    if !promoted.is_empty() {
        return Ok(Observed::Promoted(promoted));
    }
    let Some(object) = object else {
        return Ok(Observed::Nothing);
    };
    let (candidates, decided) = (object.spec.candidates.clone(), remembered(&object));
    if candidates.is_empty() && decided.is_empty() {
        return Ok(Observed::Nothing);
    }
    let bot = ctx.github.identity().await?.login.clone();
    let (ours, others): (Vec<_>, Vec<_>) = ctx
        .github
        .pulls_from(&key.repo, &key.branch())
        .await?
        .into_iter()
        .partition(|pull| pull.author() == bot);
    if let Some(pull) = others.iter().find(|pull| pull.is_open()) {
        let why = format!(
            "#{} comes from {}, a branch that is not windlass's: it was opened by {}. Close it and delete the branch",
            pull.number,
            key.branch(),
            pull.author()
        );
        return Ok(Observed::Unreadable(object, Invalid(why)));
    }
    // One that was opened again is not the newest.
    let pull = ours
        .into_iter()
        .max_by_key(|pull| (pull.is_open(), pull.number));
    let mut question = Question {
        base: base.commit.clone(),
        announced: announced(ctx, &base, key).await?,
        branch: key.branch(),
        bot,
        target,
        candidates,
        decided,
        merged_as: pull.as_ref().and_then(github::Pull::merged_as),
        pull: pull.map(pull_request_of),
    };
    let mut answer = ask(ctx, key, &question).await?;
    if matches!(&answer, Ok(answer) if answer.is_doubtful) {
        // What somebody took away is believed of the branch as it is now alone.
        let base = ctx.base(&key.repo, Instant::now()).await?;
        let Some(target) = base.target(key).cloned() else {
            return Ok(Observed::Nothing);
        };
        question = Question {
            base: base.commit.clone(),
            target,
            ..question
        };
        answer = ask(ctx, key, &question).await?;
    }
    let Answer {
        edits,
        offers,
        branch,
        decided,
        dropped,
        ..
    } = match answer {
        Ok(answer) => answer,
        Err(why) => return Ok(Observed::Unreadable(object, why)),
    };
    let brought: Vec<_> = offers.iter().map(|offer| offer.candidate.clone()).collect();
    let evidence: Vec<_> = earlier
        .iter()
        .map(|stage| (stage.stage.to_string(), stage.lacks(&brought)))
        .collect();
    let seen = Seen {
        title: promotion::title(key, &offers),
        body: view::promotion(key, &offers, &evidence),
        base: question.base,
        edits,
        offers,
        branch,
        pull_request: question.pull,
        candidates: question
            .candidates
            .into_iter()
            .filter(|candidate| !dropped.contains(candidate))
            .collect(),
        dropped,
        decided,
    };
    Ok(Observed::Seen(object, Box::new(seen)))
}

fn pull_request_of(pull: github::Pull) -> PullRequest {
    PullRequest {
        number: pull.number,
        state: match (pull.is_open(), pull.merged_at) {
            (true, _) => PullRequestState::Open,
            (false, Some(_)) => PullRequestState::Merged,
            (false, None) => PullRequestState::Closed,
        },
        head: pull.head.sha,
        title: pull.title,
        body: pull.body.unwrap_or_default(),
    }
}

/// What the stages before have come to run, and the object does not name yet.
fn promoted(
    object: Option<&Promotion>,
    target: &Target,
    earlier: &[EarlierStage],
) -> Vec<Candidate> {
    let named = object.map_or(&[][..], |object| &object.spec.candidates);
    // What somebody took out here is not a candidate again since it runs elsewhere.
    let taken_out = |candidate: &Candidate| {
        object.is_some_and(|object| {
            !named
                .iter()
                .any(|known| same_image(&known.image, &candidate.image))
                && promotion::is_refused(&remembered(object), candidate)
        })
    };
    let mut promoted = promotion::promoted(earlier);
    promoted.retain(|candidate| {
        target.image(&candidate.image).is_some()
            && !named.contains(candidate)
            && !taken_out(candidate)
    });
    promoted
}

/// What is remembered of the candidates. An older windlass remembered it of all of them together.
pub fn remembered(object: &Promotion) -> Vec<Decision> {
    let status = object.status.clone().unwrap_or_default();
    let how = match status.state.as_deref() {
        Some("Proposed") => How::Proposed,
        Some("Rejected") => How::Rejected,
        _ => return status.decided,
    };
    if !status.decided.is_empty() || status.digests != digests_of(&object.spec.candidates) {
        return status.decided;
    }
    let number = status
        .pull_request
        .and_then(|number| u64::try_from(number).ok());
    object
        .spec
        .candidates
        .iter()
        .map(|candidate| Decision {
            number,
            ..Decision::of(candidate, how)
        })
        .collect()
}

fn digests_of(candidates: &[Candidate]) -> Vec<String> {
    candidates
        .iter()
        .map(|candidate| candidate.digest.to_string())
        .collect()
}

/// Whether a pull request is one of ours that was closed: one that is open has been opened again.
pub async fn is_rejected(ctx: &Reader, key: &ApplicationKey, number: u64) -> bool {
    let object = ctx.home.promotion(key).await.ok().flatten();
    object.is_some_and(|object| {
        remembered(&object)
            .iter()
            .any(|one| one.how == How::Rejected && one.number == Some(number))
    })
}

/// The candidates that the stage's pull request brings, or will.
pub fn wanted(object: &Promotion) -> Vec<Candidate> {
    promotion::wanted(&object.spec.candidates, &remembered(object))
}

/// Every candidate that is remembered of an application, those of earlier stages first: the first time that one is among
/// them tells what was announced before what.
pub async fn announced(
    ctx: &Arc<Reader>,
    base: &Base,
    key: &ApplicationKey,
) -> Result<Vec<Candidate>> {
    let mut all = Vec::new();
    let stages = base
        .configured()
        .into_iter()
        .flat_map(|configured| &configured.targets);
    for target in stages.filter(|target| target.application == key.application) {
        if let Some(object) = ctx.home.promotion(&target.key(&key.repo)).await? {
            all.extend(
                object
                    .spec
                    .earlier
                    .into_iter()
                    .chain(object.spec.candidates),
            );
        }
    }
    Ok(all)
}

/// What is known of the stages that come before.
pub async fn earlier(
    ctx: &Arc<Reader>,
    key: &ApplicationKey,
    target: &Target,
) -> Result<Vec<EarlierStage>> {
    let mut stages = Vec::new();
    for stage in &target.stage.after {
        let earlier = ApplicationKey {
            stage: stage.clone(),
            ..key.clone()
        };
        let status = ctx
            .home
            .application(&earlier)
            .await?
            .and_then(|object| object.status)
            .unwrap_or_default();
        let candidates = ctx
            .home
            .promotion(&earlier)
            .await?
            .map(|object| object.spec.candidates)
            .unwrap_or_default();
        stages.push(EarlierStage {
            stage: stage.clone(),
            why: pull_request::shortened(
                &status
                    .message
                    .clone()
                    .unwrap_or_default()
                    .replace('\n', " "),
                200,
            ),
            healthy: status.stands(),
            running: status
                .images
                .into_iter()
                .filter_map(|image| Some((image.name, image.digest?)))
                .collect(),
            candidates,
        });
    }
    Ok(stages)
}

// ---- what Git has

/// What is asked of Git.
#[derive(Clone)]
struct Question {
    base: CommitSha,
    branch: String,
    bot: String,
    target: Target,
    candidates: Vec<Candidate>,
    /// What was remembered of them.
    decided: Vec<Decision>,
    announced: Vec<Candidate>,
    pull: Option<PullRequest>,
    /// The commit that the pull request was merged as.
    merged_as: Option<CommitSha>,
}

struct Answer {
    edits: Vec<FileEdit>,
    offers: Vec<Offer>,
    branch: Option<Branch>,
    decided: Vec<Decision>,
    dropped: Vec<Candidate>,
    /// The base lacks something as an older view of it would.
    is_doubtful: bool,
}

async fn ask(
    ctx: &Arc<Reader>,
    key: &ApplicationKey,
    question: &Question,
) -> Result<std::result::Result<Answer, Invalid>> {
    let question = question.clone();
    ctx.mirror(&key.repo, move |mirror| look_at_git(mirror, &question))
        .await
}

/// What the base has of each candidate and lacks of all, and how our branch relates to that.
fn look_at_git(
    mirror: &Mirror,
    asked: &Question,
) -> anyhow::Result<std::result::Result<Answer, Invalid>> {
    let (place, base_tree) = (asked.target.place(), mirror.tree(&asked.base)?);
    let texts = match texts(mirror, base_tree, &place)? {
        Ok(texts) => texts,
        Err(why) => return Ok(Err(why)),
    };
    let mut sights = Vec::new();
    for candidate in &asked.candidates {
        let mut found = sight(&texts, &asked.target, candidate);
        found.past = past(mirror, asked, &found)?;
        sights.push(found);
    }
    let decided = promotion::judge(
        &asked.decided,
        &sights,
        &asked.announced,
        &asked.base,
        asked.pull.as_ref(),
    );
    let Proposal { edits, offers } =
        put_together(&texts, &asked.target, &sights, &asked.announced, &decided);
    let mut answer = Answer {
        dropped: sights
            .iter()
            .filter(|sight| sight.is_dropped(&decided))
            .map(|sight| sight.candidate.clone())
            .collect(),
        is_doubtful: sights.iter().any(Sight::is_doubtful),
        edits,
        offers,
        branch: None,
        decided,
    };
    let Some(head) = mirror.branch(&asked.branch)? else {
        return Ok(Ok(answer));
    };
    let content = if mirror.is_ancestor(&head, &asked.base)? {
        BranchContent::Nothing
    } else {
        let ours = mirror
            .authors(&asked.base, &head)?
            .iter()
            .all(|email| is_ours(email, &asked.bot));
        let is_kept =
            |pull: &PullRequest| pull.state == PullRequestState::Open || pull.head == head;
        if !ours && !asked.pull.as_ref().is_some_and(is_kept) {
            // Nothing of it is ours, and no pull request of ours keeps it: it would be lost.
            return Ok(Err(Invalid(format!(
                "the branch {} is not windlass's: it has commits of others. Delete it",
                asked.branch
            ))));
        }
        let wanted = mirror.edited(base_tree, &answer.edits)?;
        let failed = answer.decided.iter().any(|one| one.how == How::Failed);
        match mirror.merge(&asked.base, &head)? {
            Merged::Clean(tree) if tree == wanted => BranchContent::Wanted,
            Merged::Conflicts(_) if ours => BranchContent::Conflicting,
            Merged::Conflicts(_) => BranchContent::Foreign,
            Merged::Clean(_) => match missing(mirror, &head, &place, &answer.offers)? {
                Some(edits) if !edits.is_empty() => BranchContent::Outdated(edits),
                // What cannot be edited just now may be what it has besides.
                Some(_) if ours && !failed => BranchContent::Surplus,
                _ => BranchContent::Foreign,
            },
        }
    };
    answer.branch = Some(Branch { head, content });
    Ok(Ok(answer))
}

/// The texts of a directory's own files, by their paths.
type Texts = BTreeMap<String, String>;

fn texts(
    mirror: &Mirror,
    tree: TreeId,
    place: &Place,
) -> anyhow::Result<std::result::Result<Texts, Invalid>> {
    let source = Source::open(mirror, tree)?;
    let inputs = match render::inputs(&source, place) {
        Ok(Some(inputs)) => inputs,
        Ok(None) => return Ok(Err(Invalid(format!("{} is not there", place.directory)))),
        Err(unreadable) => return Ok(Err(unreadable.why)),
    };
    Ok(Ok(inputs
        .own_files()
        .map(|(path, content)| {
            (
                path.to_string(),
                String::from_utf8_lossy(content).into_owned(),
            )
        })
        .collect()))
}

/// Puts one candidate in; an error leaves everything as it was.
fn put(
    texts: &mut Texts,
    candidate: &Candidate,
    directory: &str,
) -> std::result::Result<(), String> {
    let mut edited = Vec::new();
    for (path, text) in texts.iter() {
        match set_image(text, candidate) {
            Ok(Some(new)) => edited.push((path.clone(), new)),
            Ok(None) => {}
            Err(EditError(why)) => return Err(format!("{path}: {why}")),
        }
    }
    if edited.is_empty() {
        let image = &candidate.image;
        return Err(format!(
            "no file in {directory} sets `{image}`: add an entry `name: {image}` to the `images:` of its kustomization.yaml, or use it in an `image:` field"
        ));
    }
    texts.extend(edited);
    Ok(())
}

/// The files that differ.
fn changed(before: &Texts, after: Texts) -> Vec<FileEdit> {
    let differs = after
        .into_iter()
        .filter(|(path, text)| before.get(path) != Some(text));
    differs
        .map(|(path, text)| FileEdit { path, text })
        .collect()
}

/// What a directory has in a candidate's place.
fn sight(texts: &Texts, target: &Target, candidate: &Candidate) -> Sight {
    let found: Vec<_> = texts
        .values()
        .map(|text| digests(text, &candidate.image))
        .collect();
    let unreadable = found.iter().any(std::result::Result::is_err);
    let now: Vec<_> = found.into_iter().flatten().flatten().collect();
    let mut edited = texts.clone();
    let there = match put(&mut edited, candidate, &target.path) {
        _ if target.image(&candidate.image).is_none() => There::Unnamed,
        Err(why) => There::Impossible {
            why,
            gone: now.is_empty() && !unreadable,
        },
        Ok(()) if edited == *texts => There::Same,
        Ok(()) if count(&now, &candidate.digest) == now.len() => There::Retagged,
        Ok(()) => There::Other,
    };
    Sight {
        candidate: candidate.clone(),
        there,
        now,
        past: None,
    }
}

fn count(places: &[Option<Digest>], digest: &Digest) -> usize {
    places
        .iter()
        .filter(|place| place.as_ref() == Some(digest))
        .count()
}

/// The digest at each place where a commit sets an image; none where it cannot be read.
fn places_at(
    mirror: &Mirror,
    commit: &CommitSha,
    place: &Place,
    image: &str,
) -> anyhow::Result<Vec<Option<Digest>>> {
    let Ok(texts) = texts(mirror, mirror.tree(commit)?, place)? else {
        return Ok(Vec::new());
    };
    Ok(texts
        .values()
        .filter_map(|text| digests(text, image).ok())
        .flatten()
        .collect())
}

/// What was merged last of an image, and whether the base has it no more.
fn past(mirror: &Mirror, asked: &Question, sight: &Sight) -> anyhow::Result<Option<Past>> {
    let (candidate, place) = (&sight.candidate, asked.target.place());
    let is_in_base = |commit: &CommitSha| {
        Ok::<_, anyhow::Error>(mirror.has(commit) && mirror.is_ancestor(commit, &asked.base)?)
    };
    let lacks = matches!(
        sight.there,
        There::Other | There::Impossible { gone: true, .. }
    );
    let mut found = None;
    if let Some(last) = promotion::last_merged(&asked.decided, &candidate.image)
        && let Some(commit) = &last.commit
    {
        let past = Past {
            digest: last.digest.clone(),
            tag: last.tag.clone(),
            in_history: is_in_base(commit)?,
            taken: None,
        };
        found = Some((past, commit.clone()));
    }
    // A merge that was taken back before anybody looked is told by its pull request alone.
    if lacks
        && !promotion::is_refused(&asked.decided, candidate)
        && let Some(merge) = &asked.merged_as
        && is_in_base(merge)?
        && count(
            &places_at(mirror, merge, &place, &candidate.image)?,
            &candidate.digest,
        ) > 0
    {
        let is_later = match &found {
            Some((past, commit)) if past.in_history => {
                past.digest != candidate.digest && mirror.is_ancestor(commit, merge)?
            }
            _ => true,
        };
        if is_later {
            let past = Past {
                digest: candidate.digest.clone(),
                tag: candidate.tag.clone(),
                in_history: true,
                taken: None,
            };
            found = Some((past, merge.clone()));
        }
    }
    let Some((mut past, commit)) = found else {
        return Ok(None);
    };
    let has = count(&sight.now, &past.digest);
    // Where all places have it, nothing was taken away; nor can it be since the same commit.
    if lacks && past.in_history && commit != asked.base && (has < sight.now.len() || has == 0) {
        let had = count(
            &places_at(mirror, &commit, &place, &candidate.image)?,
            &past.digest,
        );
        if has < had {
            past.taken = Some(taken_by(mirror, asked, candidate, &past.digest, had)?);
        }
    }
    Ok(Some(past))
}

/// The commit, of those that the base branch went through, since which a digest is in fewer places than it was.
fn taken_by(
    mirror: &Mirror,
    asked: &Question,
    candidate: &Candidate,
    digest: &Digest,
    had: usize,
) -> anyhow::Result<CommitSha> {
    let mut at = asked.base.clone();
    for _ in 0..HISTORY {
        let Some(parent) = mirror.parent(&at)? else {
            break;
        };
        if count(
            &places_at(mirror, &parent, &asked.target.place(), &candidate.image)?,
            digest,
        ) >= had
        {
            return Ok(at);
        }
        at = parent;
    }
    Ok(asked.base.clone())
}

/// What a stage's pull request changes, and the images that it brings.
pub struct Proposal {
    pub edits: Vec<FileEdit>,
    pub offers: Vec<Offer>,
}

/// Each candidate by itself: one that cannot be put in stops no other.
fn put_together(
    texts: &Texts,
    target: &Target,
    sights: &[Sight],
    announced: &[Candidate],
    decided: &[Decision],
) -> Proposal {
    let mut edited = texts.clone();
    let mut offers: Vec<_> = sights
        .iter()
        .filter_map(|sight| sight.offer(announced, decided))
        .collect();
    offers.retain(|offer| put(&mut edited, &offer.candidate, &target.path).is_ok());
    Proposal {
        edits: changed(texts, edited),
        offers,
    }
}

/// What the pull request of a stage would be on a tree.
pub fn proposal(
    mirror: &Mirror,
    tree: TreeId,
    target: &Target,
    object: &Promotion,
    announced: &[Candidate],
) -> anyhow::Result<std::result::Result<Proposal, Invalid>> {
    let texts = match texts(mirror, tree, &target.place())? {
        Ok(texts) => texts,
        Err(why) => return Ok(Err(why)),
    };
    let sights: Vec<_> = object
        .spec
        .candidates
        .iter()
        .map(|candidate| sight(&texts, target, candidate))
        .collect();
    Ok(Ok(put_together(
        &texts,
        target,
        &sights,
        announced,
        &remembered(object),
    )))
}

/// What a commit lacks of what is offered; None where it cannot be put in.
fn missing(
    mirror: &Mirror,
    head: &CommitSha,
    place: &Place,
    offers: &[Offer],
) -> anyhow::Result<Option<Vec<FileEdit>>> {
    let Ok(texts) = texts(mirror, mirror.tree(head)?, place)? else {
        return Ok(None);
    };
    let mut edited = texts.clone();
    let all = offers
        .iter()
        .all(|offer| put(&mut edited, &offer.candidate, &place.directory).is_ok());
    Ok(all.then(|| changed(&texts, edited)))
}

/// Whether a commit's author is our bot: GitHub gives its commits the address `id+login@users.noreply…`.
pub fn is_ours(email: &str, bot: &str) -> bool {
    email.split_once('+').is_some_and(|(_, rest)| {
        rest.strip_prefix(bot)
            .is_some_and(|host| host.starts_with("@users.noreply."))
    })
}

/// Takes one step; true when there is nothing more to do.
async fn act(
    ctx: &Writer,
    key: &ApplicationKey,
    object: &Promotion,
    seen: &Seen,
    step: Step,
) -> Result<bool> {
    let (repo, branch) = (&key.repo, key.branch());
    let full = |branch: &str| format!("refs/heads/{branch}");
    let (headline, trailers) = promotion::commit_message(key, &seen.offers);
    let message = (headline.as_str(), trailers.as_str());
    tracing::debug!(?step, "promotion");
    let settled = matches!(step, Step::Settled(_));
    match step {
        Step::CreateBranch { at } => ctx.to_github().create_branch(repo, &branch, &at).await?,
        Step::ResetBranch { from, to } => {
            ctx.to_github()
                .move_refs(repo, &[(full(&branch), Some(from), Some(to))])
                .await?
        }
        Step::DeleteBranch { head } => {
            ctx.to_github()
                .move_refs(repo, &[(full(&branch), Some(head), None)])
                .await?
        }
        Step::Commit { parent, edits } => drop(
            ctx.to_github()
                .commit(repo, &branch, &parent, message, &edits)
                .await?,
        ),
        Step::Rebuild { from, base, edits } => {
            ctx.to_github()
                .rebuild_branch(repo, &branch, (from, &base), message, &edits)
                .await?
        }
        Step::Open => {
            let base = ctx.github.repository(repo)?.default_branch;
            ctx.to_github()
                .open_pull(repo, &branch, &base, &seen.title, &seen.body)
                .await?;
        }
        Step::Retitle { number } => {
            let pull = PullRequestKey {
                repo: repo.clone(),
                number,
            };
            ctx.to_github()
                .retitle_pull(&pull, &seen.title, &seen.body)
                .await?;
            // What it says of the stages before is a gate of its own.
            ctx.emit(&Event::PullRequest(pull));
        }
        Step::Close { number } => {
            ctx.to_github()
                .close_pull(&PullRequestKey {
                    repo: repo.clone(),
                    number,
                })
                .await?
        }
        Step::Settled(outcome) => settle(ctx, key, object, seen, outcome).await?,
    }
    if !settled {
        ctx.touch(repo);
    }
    Ok(settled)
}

async fn settle(
    ctx: &Writer,
    key: &ApplicationKey,
    object: &Promotion,
    seen: &Seen,
    outcome: Outcome,
) -> Result<()> {
    let mut decided = seen.decided.clone();
    let (number, how) = match &outcome {
        Outcome::Done { number } => (*number, None),
        Outcome::Open { number } => (Some(*number), Some(How::Proposed)),
        Outcome::Rejected { number } => (Some(*number), Some(How::Rejected)),
        Outcome::Reverted { .. } | Outcome::Failed | Outcome::Dropped => (None, None),
    };
    for (offer, how) in seen.offers.iter().filter_map(|offer| Some((offer, how?))) {
        promotion::record(
            &mut decided,
            Decision {
                number,
                ..Decision::of(&offer.candidate, how)
            },
        );
    }
    // A newer one has the place of others in the pull request.
    decided.retain(|one| {
        one.how != How::Proposed
            || seen
                .candidates
                .iter()
                .any(|candidate| one.is_about(candidate))
    });
    let reopens = number.filter(|_| matches!(outcome, Outcome::Rejected { .. }));
    let status = PromotionStatus {
        state: Some(outcome.word().into()),
        message: view::not_proposed(&promotion::stand(&seen.candidates, &decided), reopens),
        pull_request: number.and_then(|number| i64::try_from(number).ok()),
        url: number.map(|number| pull_url(&ctx.github, key, number)),
        digests: digests_of(&seen.candidates),
        decided,
    };
    let before = object.status.clone().unwrap_or_default();
    let news = (&before.state, &before.digests, &before.decided)
        != (&status.state, &status.digests, &status.decided);
    if news && let Outcome::Open { number } = outcome {
        // A webhook that came before we were ready is told again only by the delivery log.
        let repo = key.repo.clone();
        ctx.emit(&Event::PullRequest(PullRequestKey { repo, number }));
    }
    if news && matches!(outcome, Outcome::Done { .. }) {
        // The stage may run it already, healthily: then nothing else would tell.
        ctx.emit(&Event::Promoted(key.clone()));
    }
    // What is decided is kept before what it was about is dropped.
    let object = ctx.to_home().report_promotion(object, status).await?;
    if !seen.dropped.is_empty() {
        ctx.to_home()
            .drop_candidates(&object, &seen.dropped)
            .await?;
    }
    Ok(())
}

fn pull_url(github: &github::GitHub, key: &ApplicationKey, number: u64) -> String {
    let repository = github
        .repository(&key.repo)
        .map(|repo| repo.html_url)
        .unwrap_or_default();
    format!("{repository}/pull/{number}")
}

// ---- where it rests

/// Where a promotion rests, or one image of it.
pub struct Rest {
    pub state: String,
    pub message: Option<String>,
    pub url: Option<String>,
}

/// None while what is known is about other candidates.
pub async fn rest(ctx: &Reader, key: &ApplicationKey, image: Option<&Candidate>) -> Option<Rest> {
    let object = ctx.home.promotion(key).await.ok()??;
    let status = object.status?;
    let whole = Rest {
        state: status.state?,
        message: status.message,
        url: status.url,
    };
    // Nothing could be looked at: what is known besides is old.
    if whole.state == "Failed" && !status.decided.iter().any(|one| one.how == How::Failed) {
        return Some(whole);
    }
    // It is about the candidates of before.
    if status.digests != digests_of(&object.spec.candidates) {
        return None;
    }
    let Some((one, candidate)) = image
        .and_then(|candidate| Some((promotion::standing(&status.decided, candidate)?, candidate)))
    else {
        return Some(whole);
    };
    let reopens = one.number.filter(|number| {
        status.pull_request == i64::try_from(*number).ok() && whole.state == "Rejected"
    });
    Some(Rest {
        state: format!("{:?}", one.how),
        message: view::not_proposed(&[(one, &candidate.tag)], reopens),
        url: one.number.map(|number| pull_url(&ctx.github, key, number)),
    })
}
