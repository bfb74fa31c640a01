//! A pull request: preview, commands, verdict, merge, and after it the progress.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::claims::{self, Claims};
use super::preview::{self, Changes, GitLook, Touched};
use super::{
    Base, Ctx, Error, Event, Requeue, Result, authority, commands, key_of_branch, live, locked,
};
use crate::domain::approvals::{Doubt, Writers};
use crate::domain::catalog::Target;
use crate::domain::command::{self, Command, Permission};
use crate::domain::gate::{self, Facts, Origin, PreviewFact, Verdict};
use crate::domain::plan::{Change, Comparison, Plan, Side};
use crate::domain::promotion::Offer;
use crate::domain::pull_request::{
    self, ApplicationPreview, Ask, CHECK, Failure, GATE_CONTEXT, Preview, Seen, Step, Sticky,
};
use crate::domain::{ApplicationKey, CommitKey, CommitSha, PullRequestKey, RepoName};
use crate::git::HeadTooLarge;
use crate::github::{self, NewCheck, PullSnapshot};
use crate::render::Budget;
use crate::view::{self, PreviewText};

pub async fn reconcile(ctx: Arc<Ctx>, key: PullRequestKey) -> Result<Requeue> {
    let snapshot = ctx.github.snapshot(&key).await?;
    let asks = commands::asks(&ctx, &key, &snapshot).await?;
    // Seen before anything slow: nobody should wonder whether a command was noticed. It is a courtesy: that GitHub does
    // not take it stops nothing.
    for ask in asks.iter().filter(|ask| !ask.acknowledged) {
        if let Err(error) = ctx.github.acknowledge(&key.repo, ask.comment).await {
            tracing::warn!(pr = %key, %error, "a command could not be acknowledged");
        }
    }
    let Some(look) = observe(&ctx, &key, snapshot, asks).await? else {
        return Ok(Requeue::Idle);
    };
    let steps = pull_request::decide(&look.seen);
    act(&ctx, &key, &look, steps).await
}

/// A preview, and what is written of it: every look needs both, and a large one takes a while to write.
pub struct Shown {
    pub preview: Preview,
    pub text: PreviewText,
    /// What differs in Git between the base and this head.
    pub changes: Arc<Changes>,
    /// [`Preview::id`].
    id: String,
    /// Where something cannot be applied, which may pass by itself: when it is asked about again, and after which pause.
    again: Option<(Instant, Duration)>,
}

/// Pauses between two previews of what cannot be applied.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// One look at a pull request.
pub struct Look {
    pub seen: Seen,
    pub base: Arc<Base>,
    pub snapshot: PullSnapshot,
    /// None: it is not open.
    pub shown: Option<Arc<Shown>>,
    /// What the pull request changes, or changed when it was merged.
    pub changes: Arc<Changes>,
    /// What the verdict was made from.
    facts: Option<Facts>,
}

impl Shown {
    /// Bytes that it takes, nearly: its text, and the objects that it was made from.
    pub fn size(&self) -> usize {
        let objects: usize = self
            .preview
            .applications
            .iter()
            .map(|app| app.plan.changes.len() + app.drift.changes.len() + app.waiting.changes.len())
            .sum();
        objects * (16 << 10)
            + 4 * (self.text.comment.text.len()
                + self.text.text.len()
                + self.text.pages.iter().map(String::len).sum::<usize>())
            + 4096
    }
}

impl Look {
    /// Why somebody's word that takes in what the preview does not show does not count; None: it does.
    pub fn unseen_refusal(&self, user: &str) -> Option<String> {
        let writer = self
            .seen
            .asks
            .iter()
            .any(|ask| ask.author == user && ask.permission >= Permission::Write);
        self.facts
            .as_ref()
            .and_then(|facts| gate::unseen_refusal(facts, user, writer))
    }
}

/// None: not a pull request of ours to look after.
async fn observe(
    ctx: &Arc<Ctx>,
    key: &PullRequestKey,
    snapshot: PullSnapshot,
    asks: Vec<Ask>,
) -> Result<Option<Look>> {
    let pull = &snapshot.pull;
    // A merge moves branches, which is told by pushes; that a person closed it, or opened it again, only this tells.
    if let Some(promotion) =
        key_of_branch(&key.repo, &pull.head.branch).filter(|_| pull.merged_at.is_none())
        && (!pull.is_open() || super::promotion::is_rejected(ctx, &promotion, key.number).await)
    {
        ctx.emit(&Event::Candidate(promotion));
    }
    let base = ctx.known_base(&key.repo).await?;
    if base.catalog.is_none() || pull.base.branch != base.repo.default_branch {
        return Ok(None);
    }
    let head = pull.head.sha.clone();
    // Nothing of a fork is fetched: anybody may have one, of any size.
    if pull.is_open()
        && !pull.is_fork(base.repo.id)
        && !ctx
            .mirror(&key.repo, move |mirror| Ok(mirror.has(&head)))
            .await?
    {
        let name = (key.clone(), pull.head.sha.clone());
        let asked = asks.iter().any(|ask| {
            ask.lines
                .iter()
                .any(|line| line.meaning == Ok(Command::Preview))
        });
        if asked || !ctx.memory.too_large.contains_key(&name) {
            match ctx.fetch(&key.repo, Some(key.number), Instant::now()).await {
                Err(Error::Git(error)) if error.is::<HeadTooLarge>() => {
                    ctx.memory.too_large.insert(name, error.to_string())
                }
                other => {
                    other?;
                    ctx.memory.too_large.invalidate(&name);
                }
            }
        }
    }
    let app = ctx.github.identity().await?;
    let place = place_of(&base, key);
    let own: Vec<_> = snapshot
        .comments
        .iter()
        .filter(|comment| comment.is_ours(app))
        .collect();
    let found = own.iter().find_map(|comment| {
        Some((
            *comment,
            view::sticky_of(comment.text(), &ctx.seal, &place)?,
        ))
    });
    let said: Vec<_> = own
        .iter()
        .filter_map(|comment| view::tampered_of(comment.text()))
        .collect();
    let tampered = found.as_ref().is_some_and(|(comment, found)| {
        // One that has no seal yet is an older windlass's.
        found.sealed
            && !found.intact
            && said.len() < MOST_NOTICES
            && !said.contains(&(comment.id, comment.updated_at))
    });
    let told = found.as_ref().is_some_and(|(_, found)| found.last);
    let sticky = found.map(|(comment, found)| Sticky {
        id: comment.id,
        fingerprint: found.fingerprint,
        intact: found.intact,
    });
    if !pull.is_open() {
        return closed(ctx, key, base, snapshot, asks, (sticky, told, tampered))
            .await
            .map(Some);
    }
    // Only when it is new: what was seen and has no answer yet may be what windlass died of.
    let wants = |ask: &Ask| !ask.edited && !ask.interrupted && !ask.acknowledged;
    let again = asks.iter().any(|ask| {
        wants(ask)
            && ask
                .lines
                .iter()
                .any(|line| line.meaning == Ok(Command::Preview))
    });
    let shown = previewed(ctx, key, &base, &snapshot, again).await?;
    let Shown {
        preview,
        text,
        id,
        changes,
        ..
    } = &*shown;
    let published = snapshot
        .check
        .as_ref()
        .and_then(|check| check.external_id.clone())
        .filter(|id| !id.is_empty());
    let current = snapshot.check.as_ref().filter(|_| {
        published
            .as_deref()
            .is_some_and(|published| same_effect(published, id))
    });
    let fact = current.and_then(|check| {
        Some(PreviewFact {
            completed_at: check.completed_at?,
            ok: preview.ok(),
            unseen: text.unseen,
            unseen_accepted: false,
        })
    });
    let (facts, verdict, permit) = verdict(ctx, key, &base, &snapshot, &shown, fact).await?;
    // No comment when nothing managed changes and none was there.
    let silent = preview.applications.is_empty() && preview.failure.is_none() && sticky.is_none();
    let gate = snapshot.gate.as_ref().map(gate_of);
    let seen = Seen {
        retire: false,
        asks,
        tampered,
        wanted: (!silent).then(|| text.comment.clone()),
        sticky,
        preview: Some(id.clone()),
        published: published.map(|published| {
            if same_effect(&published, id) {
                id.clone()
            } else {
                published
            }
        }),
        verdict: Some(verdict),
        permit,
        gate,
    };
    Ok(Some(Look {
        seen,
        base,
        changes: changes.clone(),
        snapshot,
        facts: Some(facts),
        shown: Some(shown),
    }))
}

/// Where a sealed comment stands; names of repositories change.
fn place_of(base: &Base, key: &PullRequestKey) -> String {
    format!("{}#{}", base.repo.id, key.number)
}

/// The thread says so often that our comment was edited.
const MOST_NOTICES: usize = 5;

/// State and title of the verdict's check run.
fn gate_of(check: &github::CheckRun) -> (String, String) {
    let state = match check.conclusion.as_deref() {
        None => "pending",
        Some("success") => "success",
        // Of another pull request from the same commit.
        Some("cancelled") => "retired",
        Some(_) => "failure",
    };
    (state.into(), check.output.title.clone().unwrap_or_default())
}

/// Two previews with the same plan digest and outcome are one: a base that moved without changing the effect voids no approval.
fn same_effect(a: &str, b: &str) -> bool {
    let effect = |id: &str| {
        (
            id.split(' ').next().map(str::to_string),
            id.split(' ').nth(2).map(str::to_string),
        )
    };
    effect(a) == effect(b)
}

/// A pull request that is merged or closed: where its commit stands, and commands that are still to be answered.
async fn closed(
    ctx: &Arc<Ctx>,
    key: &PullRequestKey,
    base: Arc<Base>,
    snapshot: PullSnapshot,
    asks: Vec<Ask>,
    (sticky, told, tampered): (Option<Sticky>, bool, bool),
) -> Result<Look> {
    let merged = snapshot.pull.merged_as();
    if merged.is_none() {
        ctx.memory.previews.invalidate(key);
    }
    ctx.heads.forget(key);
    let mut changes = if asks.is_empty() {
        Changes::default()
    } else {
        authority::merged_changes(ctx, key, merged.clone()).await?
    };
    let mut wanted = None;
    // While the configuration cannot be read nobody can tell which applications it changed.
    if let Some(commit) = merged
        .clone()
        .filter(|_| !matches!(base.catalog, Some(Err(_))))
    {
        let at = commit.clone();
        if ctx
            .mirror(&key.repo, move |mirror| Ok(mirror.has(&at)))
            .await?
        {
            let name = CommitKey {
                repo: key.repo.clone(),
                commit: commit.clone(),
            };
            super::commit::came_by(ctx, &name, key.number);
            if sticky.is_some() && !told {
                ctx.emit(&Event::Merged(name));
            }
            let (progress, _) = super::commit::progress_of(ctx, &key.repo, &base, &commit).await?;
            changes.touched = progress
                .iter()
                .filter_map(|one| base.target(&one.key).cloned())
                .collect();
            // The end of the story is told once; what comes later belongs to later commits.
            if !told
                && progress
                    .iter()
                    .all(|one| one.state == pull_request::ProgressState::Healthy)
            {
                score(ctx, key, &base).await?;
            }
            if sticky.is_some() && !told {
                let preview = snapshot
                    .check
                    .as_ref()
                    .and_then(|check| check.output.text.as_deref());
                // Retired gates were green.
                let unmet = snapshot.gate.as_ref().filter(|check| {
                    !matches!(check.conclusion.as_deref(), Some("success" | "cancelled"))
                });
                let unmet =
                    unmet.map(|check| check.output.title.as_deref().unwrap_or("no verdict"));
                wanted = Some(view::progress(&commit, &progress, preview, unmet));
            }
        }
    }
    // A check belongs to the commit: the verdict of this pull request is none of the next one's from the same commit.
    let green = snapshot
        .gate
        .as_ref()
        .is_some_and(|check| check.conclusion.as_deref() == Some("success"));
    let (head, in_base, merge) = (snapshot.pull.head.sha.clone(), base.commit.clone(), merged);
    // What is in the base brings nothing once more; that a merge is there, we may not have seen yet.
    let retire = green
        && ctx
            .mirror(&key.repo, move |mirror| {
                let is_in = |commit: &CommitSha| {
                    Ok::<_, anyhow::Error>(
                        mirror.has(commit) && mirror.is_ancestor(commit, &in_base)?,
                    )
                };
                let seen = merge.as_ref().map_or(Ok(true), is_in)?;
                Ok(seen && !is_in(&head)?)
            })
            .await?;
    let seen = Seen {
        retire,
        asks,
        tampered,
        wanted,
        sticky,
        preview: None,
        published: None,
        verdict: None,
        permit: None,
        gate: None,
    };
    Ok(Look {
        seen,
        base,
        snapshot,
        changes: changes.into(),
        facts: None,
        shown: None,
    })
}

/// Holds what a preview showed against what came of it, once. Only for the preview that this process made: it is a
/// measure, and nothing waits for it.
async fn score(ctx: &Arc<Ctx>, key: &PullRequestKey, base: &Base) -> Result<()> {
    let Some(shown) = ctx.memory.previews.remove(key) else {
        return Ok(());
    };
    let (mut held, mut missed) = (0, 0);
    for app in &shown.preview.applications {
        let Some(target) = base.target(&app.key) else {
            continue;
        };
        let cluster = ctx.cluster(&target.destination.cluster)?;
        for change in app
            .plan
            .effective()
            .filter(|change| change.problem.is_none())
        {
            let live = cluster.live(&change.key, &change.version).await?;
            if crate::domain::plan::came_out(&ctx.observer.mask, change, live.as_ref()) {
                held += 1;
            } else {
                missed += 1;
                let came = Plan::new(
                    &ctx.observer.mask,
                    [Comparison::new(
                        change.key.clone(),
                        Side::Absent,
                        live::side(live),
                    )],
                );
                let came = came.changes.first().and_then(|came| came.after.clone());
                let differs = crate::domain::plan::Change {
                    before: change.after.clone(),
                    after: came,
                    ..change.clone()
                };
                // What is live is nobody's business who reads logs: how much differs is enough to look at it.
                let (added, removed) = crate::domain::plan::size(&differs.diff());
                tracing::info!(pr = %key, object = %change.key, action = change.action.word(), added, removed, "a prediction did not come out");
            }
        }
    }
    ctx.metrics.predicted(held, missed);
    Ok(())
}

// ---- the preview

async fn previewed(
    ctx: &Arc<Ctx>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    again: bool,
) -> Result<Arc<Shown>> {
    let started = Instant::now();
    let (head, tip) = (snapshot.pull.head.sha.clone(), base.commit.clone());
    let known = ctx.memory.previews.get(key);
    let known = known.filter(|known| known.preview.head == head);
    let is_due = |known: &Arc<Shown>| known.again.is_some_and(|(at, _)| at <= Instant::now());
    if let Some(known) = known
        .clone()
        .filter(|known| !again && known.preview.base == tip && !is_due(known))
    {
        return Ok(known);
    }
    let nothing = |failure| GitLook {
        failure: Some(failure),
        ..GitLook::default()
    };
    // A few at once: each holds what its applications are made of.
    let _turn = ctx.previewing.acquire().await;
    let looking = ctx
        .heads
        .begin(key, &head, again)
        .map_err(|error| Error::Git(error.into()))?;
    let too_large = ctx.memory.too_large.get(&(key.clone(), head.clone()));
    let look = if snapshot.pull.is_fork(base.repo.id) {
        nothing(Failure::Fork)
    } else if let Some(why) = too_large {
        nothing(Failure::TooLarge(why))
    } else if looking.is_none() {
        nothing(Failure::Killed)
    } else {
        let (base, head) = (base.clone(), head.clone());
        ctx.mirror(&key.repo, move |mirror| {
            preview::look_at_git(mirror, base.catalog.as_ref(), &base.commit, &head)
        })
        .await?
    };
    // One for all that this head has rendered.
    let plain = ctx.observer.previewing(ctx.preview_account.as_ref());
    let observer = plain.within(Budget::default());
    // What the head leaves as it is takes from nobody's budget.
    let brought: BTreeSet<_> = look
        .inputs
        .iter()
        .map(|touched| touched.target.key(&key.repo))
        .collect();
    let observer_of = |target: &Target| {
        if brought.contains(&target.key(&key.repo)) {
            &observer
        } else {
            &plain
        }
    };
    let claims = if look.inputs.is_empty() {
        Claims::default()
    } else {
        claims::of(observer_of, &key.repo, base.repo.id, &look.heads).await?
    };
    let (mut applications, mut passing) = (Vec::new(), false);
    for Touched {
        target,
        before,
        after,
        in_base,
    } in look.inputs
    {
        let known = ctx.home.application(&target.key(&key.repo)).await?;
        let synced = match known.clone() {
            Some(object) => {
                let (target, before) = (target.clone(), before.clone());
                ctx.mirror(&key.repo, move |mirror| {
                    preview::synced_of(mirror, &object, &target, &before)
                })
                .await?
            }
            None => None,
        };
        let known = known.as_ref().map(|object| (object, synced));
        let (name, cluster) = (target.key(&key.repo), target.destination.cluster.clone());
        let made = preview::application(
            &observer,
            &key.repo,
            base.repo.id,
            (target, in_base),
            (before, after),
            &claims,
            known,
        );
        let mut app = match made.await {
            // Said, and tried again: nobody has to mend it.
            Err(Error::Render(why)) => {
                passing = true;
                preview::blank(name, &cluster, Some(why))
            }
            other => other?,
        };
        name_sources(ctx, base, &mut app).await?;
        applications.push(app);
    }
    let preview = Preview {
        head,
        base: tip,
        applications,
        total: look.total,
        failure: look.failure,
        duration: started.elapsed(),
    };
    ctx.metrics.previewed(preview.duration);
    if let Some(looking) = looking {
        looking.done();
    }
    // Thousands of objects take a second.
    let text = tokio::task::block_in_place(|| view::preview(&preview));
    let pause = match known.and_then(|known| Some((is_due(&known), known.again?.1))) {
        Some((due, pause)) => {
            if due {
                (pause * 2).min(LONGEST_PAUSE)
            } else {
                pause
            }
        }
        None => FIRST_PAUSE,
    };
    // What somebody has to decide, or to mend in Git, does not pass by itself.
    let refused = |change: &Change| change.problem.is_some() && change.notes.undecided.is_empty();
    let may_pass = preview
        .applications
        .iter()
        .any(|app| app.error.is_none() && app.plan.changes.iter().any(refused));
    let again = (may_pass || passing).then(|| (Instant::now() + pause, pause));
    let shown = Arc::new(Shown {
        id: preview.id(),
        preview,
        text,
        changes: look.changes.into(),
        again,
    });
    ctx.memory.previews.insert(key.clone(), shown.clone());
    // Something that it tells of became different while it was made.
    let renewed = locked(&ctx.memory.renewed).clone();
    let meanwhile =
        |app: &ApplicationPreview| renewed.get(&app.key).is_some_and(|at| *at >= started);
    let tells =
        |app: &ApplicationPreview| !app.waiting.is_empty() || app.plan.problems().next().is_some();
    if shown
        .preview
        .applications
        .iter()
        .any(|app| meanwhile(app) && tells(app))
    {
        ctx.memory.previews.invalidate(key);
        ctx.emit(&Event::PullRequest(key.clone()));
    }
    Ok(shown)
}

/// Where what changed in the sources of images that move can be seen.
async fn name_sources(ctx: &Arc<Ctx>, base: &Base, app: &mut ApplicationPreview) -> Result<()> {
    if app.images.is_empty() {
        return Ok(());
    }
    let object = ctx.home.promotion(&app.key).await?;
    let announced: Vec<_> = object
        .iter()
        .flat_map(|object| object.spec.earlier.iter().chain(&object.spec.candidates))
        .cloned()
        .collect();
    let web = base
        .repo
        .html_url
        .strip_suffix(&format!("/{}", base.repo.name))
        .unwrap_or_default();
    for image in &mut app.images {
        image.source = pull_request::source_of(image, &announced, web);
    }
    Ok(())
}

// ---- the verdict

async fn verdict(
    ctx: &Arc<Ctx>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    shown: &Shown,
    fact: Option<PreviewFact>,
) -> Result<(Facts, Verdict, Option<gate::MergePermit>)> {
    let (pull, preview, changes) = (&snapshot.pull, &shown.preview, &shown.changes);
    let refused = ctx
        .memory
        .refusals
        .get(key)
        .filter(|(head, _)| *head == pull.head.sha)
        .map(|(_, why)| why);
    let (origin, offers) = origin(ctx, key, base, snapshot, changes).await?;
    let reviews = authority::reviews(ctx, key, snapshot).await?;
    let unseen_by = if shown.text.unseen > 0 {
        accepting(snapshot, fact.as_ref())
    } else {
        Vec::new()
    };
    let mut logins: Vec<_> = reviews.iter().map(|review| review.user.clone()).collect();
    logins.extend(unseen_by.iter().cloned());
    // What is ours alone nobody else had a hand in; otherwise it is only asked when somebody's word is to be judged.
    let writers = match origin {
        Origin::Ours => Writers::known([]),
        _ if logins.is_empty() => Writers::known([]),
        _ => authority::writers(ctx, key, snapshot).await?,
    };
    let promotes = key_of_branch(&key.repo, &pull.head.branch).filter(|_| origin != Origin::People);
    let earlier = match promotes
        .as_ref()
        .and_then(|promotion| Some((promotion, base.target(promotion)?)))
    {
        Some((promotion, target)) => authority::earlier(ctx, promotion, target).await?,
        None => Vec::new(),
    };
    let targets = authority::touched_stages(base, changes, preview);
    let mut facts = Facts {
        head: pull.head.sha.clone(),
        origin,
        writers,
        draft: pull.draft,
        stages: authority::policies(ctx, key, &targets, changes, &logins).await?,
        touches_unmanaged: changes.unmanaged.clone(),
        conflicts: if let Some(Failure::Conflict(files)) = &preview.failure {
            files.clone()
        } else {
            vec![]
        },
        preview: fact,
        earlier,
        doubt: offers.iter().find_map(Offer::doubt),
        reviews,
        refused,
    };
    for user in unseen_by {
        let writer = ctx.github.permission(&key.repo, &user).await? >= Permission::Write;
        let accepted = gate::unseen_refusal(&facts, &user, writer).is_none();
        if let Some(preview) = &mut facts.preview {
            preview.unseen_accepted |= accepted;
        }
    }
    let (verdict, permit) = gate::evaluate(&facts);
    Ok((facts, verdict, permit))
}

/// Who accepts, after the preview of this head, what it does not show.
fn accepting(snapshot: &PullSnapshot, fact: Option<&PreviewFact>) -> Vec<String> {
    let Some(since) = fact.map(|fact| fact.completed_at) else {
        return Vec::new();
    };
    let accepts = |comment: &&github::Comment| {
        comment.created_at >= since
            && comment.updated_at == comment.created_at
            && comment.performed_via_github_app.is_none()
            && command::parse(comment.text())
                .iter()
                .any(|line| line.meaning == Ok(Command::AcceptUnseen))
    };
    let users = snapshot
        .comments
        .iter()
        .filter(accepts)
        .filter_map(|comment| comment.user.as_ref());
    users
        .filter(|user| user.kind == "User")
        .map(|user| user.login.clone())
        .collect()
}

/// Ours is what our App opened, whose commits are all ours, and whose tree is the edit made anew from the candidates; with
/// the images that it brings.
async fn origin(
    ctx: &Arc<Ctx>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    changes: &Changes,
) -> Result<(Origin, Vec<Offer>)> {
    let bot = ctx.github.identity().await?.login.clone();
    let pull = &snapshot.pull;
    let Some(promotion) =
        key_of_branch(&key.repo, &pull.head.branch).filter(|_| pull.author() == bot)
    else {
        return Ok((Origin::People, Vec::new()));
    };
    let (Some(object), Some(target), Some(merged)) = (
        ctx.home.promotion(&promotion).await?,
        base.target(&promotion).cloned(),
        changes.merged,
    ) else {
        return Ok((Origin::OursChanged, Vec::new()));
    };
    let announced = super::promotion::announced(ctx, base, &promotion).await?;
    let (commit, head) = (base.commit.clone(), pull.head.sha.clone());
    let offers = ctx
        .mirror(&key.repo, move |mirror| {
            if !mirror
                .authors(&commit, &head)?
                .iter()
                .all(|email| super::promotion::is_ours(email, &bot))
            {
                return Ok(None);
            }
            let tree = mirror.tree(&commit)?;
            Ok(
                match super::promotion::proposal(mirror, tree, &target, &object, &announced)? {
                    // The merged tree was made by another handle of the same repository: ids of equal content are equal.
                    Ok(proposal) if mirror.edited(tree, &proposal.edits)? == merged => {
                        Some(proposal.offers)
                    }
                    _ => None,
                },
            )
        })
        .await?;
    Ok(offers.map_or((Origin::OursChanged, Vec::new()), |offers| {
        (Origin::Ours, offers)
    }))
}

// ---- writes

async fn act(
    ctx: &Arc<Ctx>,
    key: &PullRequestKey,
    look: &Look,
    steps: Vec<Step>,
) -> Result<Requeue> {
    let (head, place) = (&look.snapshot.pull.head.sha, place_of(&look.base, key));
    let again = look.shown.as_ref().and_then(|shown| shown.again);
    let mut requeue = again.map_or(Requeue::Idle, |(at, _)| {
        Requeue::After(at.saturating_duration_since(Instant::now()))
    });
    // GitHub tells a while later who pushed.
    if look
        .facts
        .as_ref()
        .is_some_and(|facts| matches!(facts.writers, Writers::Unknown(Doubt::Push { .. })))
    {
        requeue = Requeue::After(Duration::from_secs(30));
    }
    for step in steps {
        tracing::debug!(?step, "pull request");
        match step {
            Step::TellTampered => tell_tampered(ctx, key, look).await?,
            Step::PostSticky(wanted) => {
                ctx.github
                    .post_comment(key, &view::sticky_body(&wanted, &ctx.seal, &place))
                    .await?
            }
            Step::EditSticky { id, wanted } => {
                ctx.github
                    .edit_comment(
                        &key.repo,
                        id,
                        &view::sticky_body(&wanted, &ctx.seal, &place),
                    )
                    .await?;
            }
            Step::PublishCheck => {
                publish(ctx, key, look).await?;
                requeue = Requeue::After(Duration::ZERO);
            }
            Step::RetireGate => retire_gate(ctx, key, look).await?,
            Step::SetGate { state, description } => {
                set_gate(ctx, key, look, state, description).await?
            }
            Step::Answer { comment } => commands::answer_or_log(ctx, key, look, comment).await?,
            Step::Merge(permit) => match ctx.github.merge(key, &permit).await {
                Ok(()) => {
                    ctx.touch(&key.repo);
                    requeue = Requeue::After(Duration::ZERO);
                }
                Err(github::Error::Refused { message, .. }) => {
                    tracing::warn!(pr = %key, message, "GitHub refused the merge");
                    ctx.memory
                        .refusals
                        .insert(key.clone(), (head.clone(), message));
                    // Said at once, tried again later: what GitHub asks for may come.
                    requeue = Requeue::After(Duration::from_millis(500));
                    forget_refusal_later(ctx, key);
                }
                Err(error) => return Err(Error::GitHub(error)),
            },
        }
    }
    Ok(requeue)
}

/// A refusal is believed for half a minute, then the merge is tried again.
fn forget_refusal_later(ctx: &Arc<Ctx>, key: &PullRequestKey) {
    let (ctx, key) = (Arc::downgrade(ctx), key.clone());
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        if let Some(ctx) = ctx.upgrade() {
            ctx.memory.refusals.invalidate(&key);
            ctx.emit(&Event::PullRequest(key));
        }
    });
}

async fn tell_tampered(ctx: &Arc<Ctx>, key: &PullRequestKey, look: &Look) -> Result<()> {
    let id = look.seen.sticky.as_ref().map(|sticky| sticky.id);
    let Some(comment) = look
        .snapshot
        .comments
        .iter()
        .find(|comment| Some(comment.id) == id)
    else {
        return Ok(());
    };
    Ok(ctx
        .github
        .post_comment(
            key,
            &view::tampered(comment.id, comment.updated_at, &comment.html_url),
        )
        .await?)
}

/// The verdict as a check run: changed where it can be, made anew where it was complete and is open again.
async fn set_gate(
    ctx: &Arc<Ctx>,
    key: &PullRequestKey,
    look: &Look,
    state: &'static str,
    title: String,
) -> Result<()> {
    let Some(verdict) = &look.seen.verdict else {
        return Ok(());
    };
    let conclusion = if state == "pending" {
        None
    } else {
        Some(state)
    };
    let advice = locked(&ctx.memory.advice)
        .get(&key.repo)
        .cloned()
        .unwrap_or_default();
    let check = NewCheck {
        name: GATE_CONTEXT.into(),
        head: look.snapshot.pull.head.sha.clone(),
        external_id: String::new(),
        conclusion,
        title,
        summary: format!("{}\n\n{advice}", view::why(verdict)).trim().into(),
        text: None,
    };
    let there = look
        .snapshot
        .gate
        .as_ref()
        .filter(|there| there.conclusion.is_none() || conclusion.is_some());
    Ok(ctx
        .github
        .publish_check(&key.repo, &check, there.map(|there| there.id))
        .await?)
}

/// The head's verdict was this pull request's.
async fn retire_gate(ctx: &Arc<Ctx>, key: &PullRequestKey, look: &Look) -> Result<()> {
    let check = NewCheck {
        name: GATE_CONTEXT.into(),
        head: look.snapshot.pull.head.sha.clone(),
        external_id: String::new(),
        conclusion: Some("cancelled"),
        title: format!(
            "was the verdict of #{}, which is not open any more",
            key.number
        ),
        summary: "Another pull request from this commit has a verdict of its own.".into(),
        text: None,
    };
    Ok(ctx
        .github
        .publish_check(
            &key.repo,
            &check,
            look.snapshot.gate.as_ref().map(|gate| gate.id),
        )
        .await?)
}

async fn publish(ctx: &Arc<Ctx>, key: &PullRequestKey, look: &Look) -> Result<()> {
    let Some(Shown {
        preview, text, id, ..
    }) = look.shown.as_deref()
    else {
        return Ok(());
    };
    let conclusion = match (&preview.failure, preview.ok()) {
        (Some(Failure::Fork), _) => "neutral",
        // What is not shown is neither good nor bad.
        (_, true) if text.unseen > 0 => "neutral",
        (_, true) => "success",
        (_, false) => "failure",
    };
    // What follows on the first page comes first: once the check run that counts is there, all of it is.
    for (number, page) in text.pages.iter().enumerate() {
        let check = NewCheck {
            name: format!("{CHECK} page {}", number + 2),
            head: preview.head.clone(),
            external_id: id.clone(),
            conclusion: Some("neutral"),
            title: format!(
                "{} (page {} of {})",
                text.title,
                number + 2,
                text.pages.len() + 1
            ),
            summary: format!("Goes on from `{CHECK}`."),
            text: Some(page.clone()),
        };
        ctx.github.publish_check(&key.repo, &check, None).await?;
    }
    let check = NewCheck {
        name: CHECK.into(),
        head: preview.head.clone(),
        external_id: id.clone(),
        conclusion: Some(conclusion),
        title: text.title.clone(),
        summary: text.summary.clone(),
        text: Some(text.text.clone()),
    };
    Ok(ctx.github.publish_check(&key.repo, &check, None).await?)
}

/// Something became different of applications: previews of them that tell of it are made anew.
pub fn anew(
    ctx: &Ctx,
    repo: &RepoName,
    applications: &BTreeSet<ApplicationKey>,
    tells: impl Fn(&ApplicationPreview) -> bool,
) {
    locked(&ctx.memory.renewed)
        .extend(applications.iter().map(|key| (key.clone(), Instant::now())));
    let stale = |app: &ApplicationPreview| applications.contains(&app.key) && tells(app);
    let previews = &ctx.memory.previews;
    let of = |(key, shown): (Arc<PullRequestKey>, Arc<Shown>)| {
        (key.repo == *repo && shown.preview.applications.iter().any(&stale)).then_some(key)
    };
    for key in previews.iter().filter_map(of).collect::<Vec<_>>() {
        previews.invalidate(&*key);
        ctx.emit(&Event::PullRequest((*key).clone()));
    }
}
