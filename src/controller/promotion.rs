//! Candidate → branch → pull request.
//!
//! One step, one look: after each write the world is read again, so being cut
//! off between any two of them changes nothing.

use std::sync::Arc;

use super::{Ctx, Requeue, Result};
use crate::cluster::home::{Promotion, PromotionStatus};
use crate::domain::catalog::{Place, Target};
use crate::domain::edit::{EditError, FileEdit, set_image};
use crate::domain::image::Candidate;
use crate::domain::promotion::{self, Branch, BranchContent, EarlierStage, Outcome, PullRequest, PullRequestState, Seen, Step};
use crate::domain::pull_request;
use crate::domain::{ApplicationKey, CommitSha, Invalid, PullRequestKey};
use crate::git::{Merged, Mirror, TreeId};
use crate::github;
use crate::render::{self, Source};
use crate::view;

/// Steps taken in one look before the key waits its turn again.
const MOST_STEPS: usize = 8;

pub async fn reconcile(ctx: Arc<Ctx>, key: ApplicationKey) -> Result<Requeue> {
    for _ in 0..MOST_STEPS {
        let Some((object, seen)) = observe(&ctx, &key).await? else { return Ok(Requeue::Idle) };
        let seen = match seen {
            Ok(seen) => seen,
            Err(Invalid(why)) => {
                let status =
                    PromotionStatus { state: Some("Failed".into()), message: Some(why), ..object.status.clone().unwrap_or_default() };
                ctx.home.report_promotion(&object, status).await?;
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

type Look = std::result::Result<Seen, Invalid>;

/// None: nothing was ever proposed here. An inner error is for whoever reads the Promotion.
async fn observe(ctx: &Arc<Ctx>, key: &ApplicationKey) -> Result<Option<(Promotion, Look)>> {
    let base = ctx.known_base(&key.repo).await?;
    let Some(target) = base.target(key).cloned() else { return Ok(None) };
    let earlier = earlier(ctx, key, &target).await?;
    let object = match promotion::promoted(&earlier) {
        promoted if promoted.is_empty() => match ctx.home.promotion(key).await? {
            Some(object) => object,
            None => return Ok(None),
        },
        promoted => ctx.home.propose(key, &promoted).await?,
    };
    let candidates = object.spec.candidates.clone();
    if candidates.is_empty() {
        return Ok(None);
    }
    let bot = ctx.github.identity().await?.login.clone();
    let (ours, others): (Vec<_>, Vec<_>) =
        ctx.github.pulls_from(&key.repo, &key.branch()).await?.into_iter().partition(|pull| pull.author() == bot);
    if let Some(pull) = others.iter().find(|pull| pull.is_open()) {
        let why = format!(
            "#{} comes from {}, a branch that is not windlass's: it was opened by {}. Close it and delete the branch",
            pull.number,
            key.branch(),
            pull.author()
        );
        return Ok(Some((object, Err(Invalid(why)))));
    }
    let newest = ours.into_iter().max_by_key(|pull| pull.number);
    let known = newest.as_ref().map(|pull| (pull.is_open(), pull.head.sha.clone()));
    let job = {
        let (commit, branch, candidates) = (base.commit.clone(), key.branch(), candidates.clone());
        let place = target.place();
        move |mirror: &Mirror| look_at_git(mirror, &commit, (&branch, known.as_ref()), &place, &candidates, &bot)
    };
    let (edits, branch) = match ctx.mirror(&key.repo, job).await? {
        Ok(found) => found,
        Err(why) => return Ok(Some((object, Err(why)))),
    };
    let evidence: Vec<_> = earlier.iter().map(|stage| (stage.stage.to_string(), stage.lacks(&candidates))).collect();
    let status = object.status.clone().unwrap_or_default();
    let digests: Vec<_> = candidates.iter().map(|candidate| candidate.digest.to_string()).collect();
    let seen = Seen {
        base: base.commit.clone(),
        edits,
        branch,
        pull_request: newest.map(|pull| PullRequest {
            number: pull.number,
            head: pull.head.sha.clone(),
            state: match (pull.is_open(), pull.merged_at) {
                (true, _) => PullRequestState::Open,
                (false, Some(_)) => PullRequestState::Merged,
                (false, None) => PullRequestState::Closed,
            },
            title: pull.title,
            body: pull.body.unwrap_or_default(),
        }),
        title: promotion::title(key, &candidates),
        body: view::promotion(key, &candidates, &evidence),
        proposed_by: status.pull_request.filter(|_| status.digests == digests).and_then(|number| u64::try_from(number).ok()),
    };
    Ok(Some((object, Ok(seen))))
}

/// What is known of the stages that come before.
pub async fn earlier(ctx: &Arc<Ctx>, key: &ApplicationKey, target: &Target) -> Result<Vec<EarlierStage>> {
    let mut stages = Vec::new();
    for stage in &target.stage.after {
        let earlier = ApplicationKey { stage: stage.clone(), ..key.clone() };
        let status = ctx.home.application(&earlier).await?.and_then(|object| object.status).unwrap_or_default();
        let candidates = ctx.home.promotion(&earlier).await?.map(|object| object.spec.candidates).unwrap_or_default();
        stages.push(EarlierStage {
            stage: stage.clone(),
            why: pull_request::shortened(&status.message.clone().unwrap_or_default().replace('\n', " "), 200),
            healthy: status.stands(),
            running: status.images.into_iter().filter_map(|image| Some((image.name, image.digest?))).collect(),
            candidates,
        });
    }
    Ok(stages)
}

type GitLook = std::result::Result<(Vec<FileEdit>, Option<Branch>), Invalid>;

/// What the base lacks, and how our branch relates to that. `known`: whether our newest pull request is open, and the
/// head that it has or had.
fn look_at_git(
    mirror: &Mirror,
    base: &CommitSha,
    (branch, known): (&str, Option<&(bool, CommitSha)>),
    place: &Place,
    candidates: &[Candidate],
    bot: &str,
) -> anyhow::Result<GitLook> {
    let base_tree = mirror.tree(base)?;
    let edits = match edits(mirror, base_tree, place, candidates)? {
        Ok(edits) => edits,
        Err(why) => return Ok(Err(why)),
    };
    let Some(head) = mirror.branch(branch)? else { return Ok(Ok((edits, None))) };
    let wanted = mirror.edited(base_tree, &edits)?;
    let content = if mirror.is_ancestor(&head, base)? {
        BranchContent::Nothing
    } else {
        let ours = mirror.authors(base, &head)?.iter().all(|email| is_ours(email, bot));
        if !ours && !known.is_some_and(|(open, last)| *open || *last == head) {
            // Nothing of it is ours, and no pull request of ours keeps it: it would be lost.
            return Ok(Err(Invalid(format!("the branch {branch} is not windlass's: it has commits of others. Delete it"))));
        }
        match mirror.merge(base, &head)? {
            Merged::Clean(tree) if tree == wanted => BranchContent::Wanted,
            Merged::Conflicts(_) if ours => BranchContent::Conflicting,
            Merged::Conflicts(_) => BranchContent::Foreign,
            Merged::Clean(_) => match self::edits(mirror, mirror.tree(&head)?, place, candidates)? {
                Ok(missing) if missing.is_empty() => BranchContent::Foreign,
                Ok(missing) => BranchContent::Outdated(missing),
                Err(_) => BranchContent::Foreign,
            },
        }
    };
    Ok(Ok((edits, Some(Branch { head, content }))))
}

/// The edits that put the candidates into a tree's directory; none for what it has already.
pub fn edits(
    mirror: &Mirror,
    tree: TreeId,
    place: &Place,
    candidates: &[Candidate],
) -> anyhow::Result<std::result::Result<Vec<FileEdit>, Invalid>> {
    let source = Source::open(mirror, tree)?;
    let inputs = match render::inputs(&source, place) {
        Ok(Some(inputs)) => inputs,
        Ok(None) => return Ok(Err(Invalid(format!("{} is not there", place.directory)))),
        Err(why) => return Ok(Err(why)),
    };
    let mut texts: std::collections::BTreeMap<String, (String, String)> = std::collections::BTreeMap::new();
    for (path, content) in inputs.own_files() {
        let text = String::from_utf8_lossy(content).into_owned();
        texts.insert(path.to_string(), (text.clone(), text));
    }
    for candidate in candidates {
        let mut used = false;
        for (path, (_, text)) in &mut texts {
            match set_image(text, candidate) {
                Ok(Some(edited)) => {
                    used = true;
                    *text = edited;
                }
                Ok(None) => {}
                Err(EditError(why)) => return Ok(Err(Invalid(format!("{path}: {why}")))),
            }
        }
        if !used {
            let image = &candidate.image;
            return Ok(Err(Invalid(format!(
                "no file in {} sets `{image}`: add an entry `name: {image}` to the `images:` of its kustomization.yaml, or use it in an `image:` field",
                place.directory
            ))));
        }
    }
    let changed = texts.into_iter().filter(|(_, (before, after))| before != after);
    Ok(Ok(changed.map(|(path, (_, text))| FileEdit { path, text }).collect()))
}

/// Whether a commit's author is our bot: GitHub gives its commits the address `id+login@users.noreply…`.
pub fn is_ours(email: &str, bot: &str) -> bool {
    email.split_once('+').is_some_and(|(_, rest)| rest.strip_prefix(bot).is_some_and(|host| host.starts_with("@users.noreply.")))
}

/// Takes one step; true when there is nothing more to do.
async fn act(ctx: &Arc<Ctx>, key: &ApplicationKey, object: &Promotion, seen: &Seen, step: Step) -> Result<bool> {
    let (repo, branch) = (&key.repo, key.branch());
    let candidates = &object.spec.candidates;
    let full = |branch: &str| format!("refs/heads/{branch}");
    let (headline, trailers) = promotion::commit_message(key, candidates);
    let message = (headline.as_str(), trailers.as_str());
    tracing::debug!(?step, "promotion");
    let settled = matches!(step, Step::Settled(_));
    match step {
        Step::CreateBranch { at } => ctx.github.create_branch(repo, &branch, &at).await?,
        Step::ResetBranch { from, to } => ctx.github.move_refs(repo, &[(full(&branch), Some(from), Some(to))]).await?,
        Step::DeleteBranch { head } => ctx.github.move_refs(repo, &[(full(&branch), Some(head), None)]).await?,
        Step::Commit { parent, edits } => drop(ctx.github.commit(repo, &branch, &parent, message, &edits).await?),
        Step::Rebuild { from, base, edits } => ctx.github.rebuild_branch(repo, &branch, (from, &base), message, &edits).await?,
        Step::Open => {
            let base = ctx.github.repository(repo)?.default_branch;
            ctx.github.open_pull(repo, &branch, &base, &seen.title, &seen.body).await?;
        }
        Step::Retitle { number } => {
            let pull = PullRequestKey { repo: repo.clone(), number };
            ctx.github.retitle_pull(&pull, &seen.title, &seen.body).await?;
            // What it says of the stages before is a gate of its own.
            ctx.pulls.put(pull);
        }
        Step::Close { number } => ctx.github.close_pull(&PullRequestKey { repo: repo.clone(), number }).await?,
        Step::Settled(outcome) => settle(ctx, key, object, outcome).await?,
    }
    if !settled {
        ctx.touch(repo);
    }
    Ok(settled)
}

async fn settle(ctx: &Arc<Ctx>, key: &ApplicationKey, object: &Promotion, outcome: Outcome) -> Result<()> {
    let (state, number) = match outcome {
        Outcome::Done { number } => ("Merged", number),
        Outcome::Open { number } => ("Proposed", Some(number)),
        Outcome::Rejected { number } => ("Rejected", Some(number)),
    };
    let message =
        (state == "Rejected").then(|| "its pull request was closed: not proposed again until a newer image is announced".to_string());
    let url = number.map(|number| format!("{}/pull/{number}", web_url(&ctx.github, key)));
    let status = PromotionStatus {
        state: Some(state.into()),
        message,
        pull_request: number.and_then(|number| i64::try_from(number).ok()),
        url,
        digests: object.spec.candidates.iter().map(|candidate| candidate.digest.to_string()).collect(),
    };
    let before = object.status.clone().unwrap_or_default();
    let news = (&before.state, &before.digests) != (&status.state, &status.digests);
    if news && let Outcome::Open { number } = outcome {
        // A webhook that came before we were ready is told again only by the delivery log.
        ctx.pulls.put(PullRequestKey { repo: key.repo.clone(), number });
    }
    if news && matches!(outcome, Outcome::Done { .. }) {
        // The stage may run it already, healthily: then nothing else would tell.
        ctx.wake_later_stages(&*ctx.known_base(&key.repo).await?, key);
    }
    ctx.home.report_promotion(object, status).await?;
    Ok(())
}

fn web_url(github: &github::GitHub, key: &ApplicationKey) -> String {
    github.repository(&key.repo).map(|repo| repo.html_url).unwrap_or_default()
}
