//! A pull request: preview, commands, verdict, merge, and the progress after the merge.

mod act;
mod approved;
mod cache;
mod closed;
mod commands;
mod foreign_ids;
mod forks;
mod group;
mod merge;
mod open;
mod origin;
mod outcome;
mod score;
mod shown_preview;
mod snapshots;
mod standing;
mod thread;
mod verdict;

pub use cache::Cache;
pub use group::reconcile_group;
pub use merge::{dequeued, heard};
pub use snapshots::snapshot;

pub use shown_preview::{ShownPreview, invalidate_previews};

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tracing::Instrument as _;

use crate::controller::preview::Changes;
use crate::controller::{
    Base, DEBOUNCE, Error, Event, Kind, Reader, Requeue, Result, Writer, promotion,
};
use crate::domain::command::Permission;
use crate::domain::gate::{self, Facts};
use crate::domain::pull_request::{self, CommandComment, PullRequestFacts, Rollout, Step};
use crate::domain::{PullRequestKey, StageKey};
use crate::github::{self, PullSnapshot};
use crate::traces;
use act::act;
use snapshots::Known;
use thread::Thread;

/// The longest time until a verdict is looked at again that changes by itself: the clock that we wait
/// by stands still while the machine sleeps.
const LONGEST_REST: Duration = Duration::from_secs(24 * 3600);

const SECOND: Duration = Duration::from_secs(1);

pub async fn reconcile(ctx: Arc<Writer>, key: PullRequestKey) -> Result<Requeue> {
    let known = match snapshots::snapshot(&ctx, &key).await {
        Err(Error::GitHub(github::Error::ForeignIds { .. })) => {
            return foreign_ids::tell(&ctx, &key).await;
        }
        known => known?,
    };
    let outcome = Box::pin(look(&ctx, &key, &known)).await;
    if outcome.as_ref().is_err_and(may_have_written) {
        ctx.cache.pulls.snapshots.touch(&key);
    }
    let retry = merge::retry_after(&ctx, &key, &known.snapshot.pull.head.sha);
    Ok(outcome?.or_after(known.lag).or_after(retry))
}

/// A write that failed may have been done all the same; not one that GitHub's limits kept back.
fn may_have_written(error: &Error) -> bool {
    !matches!(error.kind(), Kind::RateLimited(_))
}

async fn look(ctx: &Writer, key: &PullRequestKey, known: &Known) -> Result<Requeue> {
    let snapshot = &known.snapshot;
    // Commands on a pull request into another branch get no answer, and so no reaction either.
    let commands =
        match snapshot.pull.base.branch == ctx.github.repository(&key.repo)?.default_branch {
            true => commands::unanswered(ctx, key, snapshot).await?,
            false => Vec::new(),
        };
    // The comments were read after the pull request. If it changed meanwhile, reconcile again: the
    // answer to a command must not be older than the command.
    if !commands.is_empty() && !ctx.github.pull(key).await?.is_as(&snapshot.pull) {
        ctx.cache.pulls.snapshots.touch(key);
        return Ok(Requeue::After(DEBOUNCE));
    }
    acknowledge(ctx, key, &commands).await;
    let observed = observe(ctx, key, (**snapshot).clone(), commands);
    let Some(observation) = observed.instrument(traces::stage("observe")).await? else {
        return Ok(Requeue::Idle);
    };
    let steps = pull_request::decide(&observation.facts);
    let needs_recent = |step: &Step| match step {
        Step::Merge(_) | Step::Answer { .. } | Step::ReportOutcome(_) => true,
        Step::SetGate { state, .. } => *state == "success",
        _ => false,
    };
    if steps.iter().any(needs_recent) && !known.is_recent {
        ctx.cache.pulls.snapshots.touch(key);
        return Ok(Requeue::After(known.lag.unwrap_or_default()));
    }
    if let Some(requeue) = keeps_approvals_apart(ctx, key, &observation, &steps) {
        return Ok(requeue);
    }
    let acted = act(ctx, key, &observation, steps);
    let requeue = acted.instrument(traces::stage("act")).await?;
    let answered = outcome::after(&observation.facts);
    Ok(requeue.or_after(observation.again).or_after(answered))
}

/// What was approved is what is merged. Before a merge the cluster is asked once more; if the merge
/// would do something else by now, the new preview says so, and needs a new approval. None: nothing
/// is in the way.
fn keeps_approvals_apart(
    ctx: &Writer,
    key: &PullRequestKey,
    observation: &Observation,
    steps: &[Step],
) -> Option<Requeue> {
    let preview = observation.shown_preview.as_ref()?;
    let merges = |step: &Step| matches!(step, Step::Merge(_));
    if steps.iter().any(merges) && preview.is_old() {
        ctx.cache.pulls.previews.invalidate(key);
        return Some(Requeue::After(Duration::ZERO));
    }
    // GitHub's times are whole seconds: no review of an earlier preview has the second of the new
    // one.
    let reviews = observation.snapshot.reviews.iter();
    let last = reviews.filter_map(|review| review.submitted_at).max()?;
    let publishes = steps.contains(&Step::PublishCheck);
    let is_just_now = last.as_second() == ctx.now().as_second();
    (publishes && is_just_now).then_some(Requeue::After(SECOND))
}

/// Acknowledges commands before anything slow, so that nobody wonders whether they were noticed. If
/// GitHub refuses the reaction, nothing else stops.
async fn acknowledge(ctx: &Writer, key: &PullRequestKey, commands: &[CommandComment]) {
    for command in commands.iter().filter(|command| !command.acknowledged) {
        let github = ctx.to_github();
        if let Err(error) = github.acknowledge(&key.repo, command.source).await {
            tracing::warn!(pr = %key, %error, "a command could not be acknowledged");
        }
    }
}

/// What was observed of a pull request.
pub struct Observation {
    pub facts: PullRequestFacts,
    pub base: Arc<Base>,
    pub snapshot: PullSnapshot,
    /// None: it is not open.
    pub shown_preview: Option<Arc<ShownPreview>>,
    /// What the pull request changes, or changed when it was merged.
    pub changes: Arc<Changes>,
    /// Where its merge stands in each application; None: it is not merged, or that is not known.
    rollout: Option<Vec<Rollout>>,
    /// The facts that the verdict is based on.
    gate_facts: Option<Facts>,
    /// When to look again: the rollout of its merge is not told of until then, or a `/sync` has no
    /// outcome yet.
    again: Option<Duration>,
}

impl Observation {
    /// How long until the verdict may change without an event.
    fn next_change(&self, now: Timestamp) -> Option<Duration> {
        let at = self.facts.verdict.as_ref()?.changes_at?;
        let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
        Some(left.min(LONGEST_REST))
    }

    /// Why a user's `/accept-unseen` does not count; None: it does.
    pub fn unseen_refusal(&self, user: &str) -> Option<String> {
        let writer = self
            .facts
            .commands
            .iter()
            .any(|command| command.author == user && command.permission >= Permission::Write);
        self.gate_facts
            .as_ref()
            .and_then(|facts| gate::unseen_refusal(facts, user, writer))
    }
}

/// None: not a pull request into the base branch of a config repository.
async fn observe(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: PullSnapshot,
    commands: Vec<CommandComment>,
) -> Result<Option<Observation>> {
    let pull = &snapshot.pull;
    // A merge also causes a push event. Only this event says that somebody closed or reopened the
    // pull request.
    if let Some(promotion) =
        StageKey::of_branch(&key.repo, &pull.head.branch).filter(|_| pull.merged_at.is_none())
        && (!pull.is_open() || promotion::is_rejected(ctx, &promotion, key.number).await)
    {
        ctx.emit(&Event::Candidate(promotion));
    }
    promotion::seen(ctx, &key.repo, pull);
    let base = ctx.known_base(&key.repo).await?;
    if base.configuration.is_none() || pull.base.branch != base.repo.default_branch {
        ctx.cache.pulls.verdicts.invalidate(key);
        return Ok(None);
    }
    let thread = Thread::read(ctx, &place_of(&base, key), &snapshot).await?;
    let mut observation = if pull.is_open() {
        open::observe(ctx, key, base, snapshot, commands, thread).await?
    } else {
        closed::observe(ctx, key, base, snapshot, commands, thread).await?
    };
    let (base, snapshot) = (&observation.base, &observation.snapshot);
    let (outcomes, again) = outcome::outcomes(ctx, base, snapshot).await?;
    observation.facts.outcomes = outcomes;
    observation.again = observation.again.into_iter().chain(again).min();
    Ok(Some(observation))
}

/// The place that a comment is sealed for: by repository id, since names of repositories change.
pub fn place_of(base: &Base, key: &PullRequestKey) -> String {
    format!("{}#{}", base.repo.id, key.number)
}
