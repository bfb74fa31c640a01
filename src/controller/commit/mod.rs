//! The progress of a commit, reported to GitHub: one commit status over all
//! the applications that it changed, and its pull request's comment.
//!
//! It is a loop of its own, so that two hundred applications that change at
//! once are one status. It reports what the `Application` objects say. After a
//! crash it reports again, since every reported status of an application puts
//! its commits into this queue.

mod changed;
mod deployments;
mod pulls;
mod receipt;
mod rollout;
mod sources;
mod status;

pub use pulls::record_pull_request;
pub use rollout::progress_of;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::controller::cache::Recent;
use crate::controller::{Event, Reader, Requeue, Result, Writer};
use crate::domain;
use crate::domain::catalog::Target;
use crate::domain::pull_request::{Rollout, RolloutState, shortened};
use crate::domain::{CommitKey, CommitSha, Invalid, RepoName, TargetKey};
use pulls::pulls_of;
use status::post;

/// The cache of the commit loop.
#[derive(Default)]
pub struct Cache {
    /// Commits whose rollout is not finished.
    pub unfinished: Recent<CommitKey, ()>,
    /// The progress of each commit when its pull requests were last woken.
    progress: Recent<CommitKey, Arc<Vec<Rollout>>>,
    /// The last commit status that we posted, and the number of posted ones.
    statuses: Recent<CommitKey, ((String, String), u32)>,
    pulls_of: Recent<CommitKey, (Instant, Vec<u64>)>,
    /// Whether the first commit is an ancestor of the second: that never changes.
    is_ancestor: Recent<(CommitSha, CommitSha), bool>,
    /// The tip of the base branch before a commit became it.
    pub tip_before: Recent<CommitKey, CommitSha>,
    /// What the changes of a commit are counted from: see `changed`.
    starts: Recent<CommitKey, Option<CommitSha>>,
    /// The applications that a commit changed, by the base whose configuration names them.
    changed_by: Recent<CommitAtBase, Arc<Vec<Target>>>,
    /// The applications that it removed from Git and that the base does not have again.
    retired_by: Recent<CommitAtBase, Arc<Vec<TargetKey>>>,
    /// Our deployment of a commit to a stage.
    deployments: Recent<deployments::ReportKey, u64>,
    /// When a commit was first reconciled.
    first_seen: Recent<CommitKey, Instant>,
    /// The last reported state of deployments and of statuses on source commits.
    reported: Recent<deployments::ReportKey, String>,
    /// Held while the status of a source commit is read and set.
    reporting: Recent<deployments::ReportKey, Arc<tokio::sync::Mutex<()>>>,
    /// Commits that have a receipt.
    receipts: Recent<CommitKey, ()>,
    receipts_waiting: Recent<RepoName, Arc<receipt::Waiting>>,
}

/// A rollout that takes no longer than this is reported by its outcome alone.
const SHORT: Duration = Duration::from_secs(20);

/// A commit, and the base whose configuration counts.
type CommitAtBase = (CommitSha, CommitKey);

pub async fn reconcile(ctx: Arc<Writer>, key: CommitKey) -> Result<Requeue> {
    let base = ctx.known_base(&key.repo).await?;
    // Before anything is read: an event meanwhile puts the commit into the queue again.
    ctx.cache.commits.unfinished.insert(key.clone(), ());
    if let Some(Err(Invalid(why))) = &base.configuration {
        // Without a valid configuration the changed applications are unknown: older commits keep
        // their last status.
        if key.commit == base.commit {
            let description = shortened(&why.replace('\n', " "), 140);
            post(&ctx, &key, "failure", description).await?;
        }
        return Ok(Requeue::Idle);
    }
    let (progress, recheck) = progress_of(&ctx, &key.repo, &base, &key.commit).await?;
    let is_quiet = quiet(&ctx, &key, &progress).is_some();
    if let Some((state, description)) = status::observe(&ctx, &key, &progress).await?
        && !is_quiet
    {
        post(&ctx, &key, state, description).await?;
    }
    note_progress(&ctx, &key, &progress).await?;
    let is_over = progress.iter().all(|rollout| rollout.state.is_final());
    let early = early(&ctx, &key).filter(|_| !is_over);
    if early.is_none() {
        deployments::deployments(&ctx, &key, &progress).await?;
        sources::sources(&ctx, &base, &progress).await?;
    }
    if let Some(text) = receipt::observe(&ctx, &key, &progress).await? {
        receipt::write(&ctx, &key, text).await?;
    }
    if is_over {
        ctx.cache.commits.unfinished.invalidate(&key);
    }
    let requeue = match recheck {
        true => Requeue::After(Duration::from_secs(2)),
        false => Requeue::Idle,
    };
    Ok(requeue.or_after(early))
}

/// For how long a commit's rollout is young still: it may be over by then. None: it is not.
fn early(ctx: &Reader, key: &CommitKey) -> Option<Duration> {
    let seen = &ctx.cache.commits.first_seen;
    let left = SHORT.saturating_sub(seen.get_with(key.clone(), Instant::now).elapsed());
    (!left.is_zero()).then_some(left)
}

/// For how long a rollout is not told of, since it may be over by then, and asks nobody for anything.
pub fn quiet(ctx: &Reader, key: &CommitKey, progress: &[Rollout]) -> Option<Duration> {
    early(ctx, key).filter(|_| domain::rollout::passes_by_itself(progress))
}

/// Wakes what waits for the progress of a commit, if it changed.
async fn note_progress(ctx: &Writer, key: &CommitKey, progress: &[Rollout]) -> Result<()> {
    let before = ctx.cache.commits.progress.get(key);
    let before = before.as_deref().map(Vec::as_slice);
    if before == Some(progress) {
        return Ok(());
    }
    ctx.emit(&Event::Rollout {
        commit: key.clone(),
        pulls: pulls_of(ctx, key).await?,
    });
    // Previews that waited for the sync of merged changes need to be made again.
    let healthy = |progress: &[Rollout]| -> BTreeSet<TargetKey> {
        let healthy = progress
            .iter()
            .filter(|rollout| rollout.state == RolloutState::Healthy);
        healthy.map(|rollout| rollout.key.clone()).collect()
    };
    let synced = &healthy(progress) - &healthy(before.unwrap_or_default());
    crate::controller::pull_request::invalidate_previews(ctx, &key.repo, &synced, |app| {
        !app.waiting.is_empty()
    });
    // Last: if a step above fails, the next reconcile reports again.
    let known = &ctx.cache.commits.progress;
    known.insert(key.clone(), Arc::new(progress.to_vec()));
    Ok(())
}
