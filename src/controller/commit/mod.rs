//! Where a commit stands, told to GitHub: one commit status over all the
//! applications that it changed, and its pull request's comment.
//!
//! A loop of its own, so that two hundred applications that move at once are
//! one status. It tells what the `Application` objects say; what is lost by a
//! crash is told again, since every look at an application puts its commits
//! here.

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
use crate::controller::{Event, Requeue, Result, Writer};
use crate::domain::catalog::Target;
use crate::domain::pull_request::{Rollout, RolloutState, shortened};
use crate::domain::{ApplicationKey, CommitKey, CommitSha, Invalid};
use pulls::pulls_of;
use status::post;

/// What is remembered of commits.
#[derive(Default)]
pub struct Cache {
    /// Commits that have not come to their end.
    pub unfinished: Recent<CommitKey, ()>,
    /// Where each commit stood when its pull requests were looked at last.
    progress: Recent<CommitKey, Arc<Vec<Rollout>>>,
    /// The last commit status that we posted, with how many.
    statuses: Recent<CommitKey, ((String, String), u32)>,
    pulls_of: Recent<CommitKey, (Instant, Vec<u64>)>,
    /// Whether the second commit has the first in its past: once known, that stays so.
    newer: Recent<(CommitSha, CommitSha), bool>,
    /// The applications that a commit changed, by the base whose configuration names them.
    changed_by: Recent<CommitAtBase, Arc<Vec<Target>>>,
    /// Those that it took out of Git, and that are not back.
    retired_by: Recent<CommitAtBase, Arc<Vec<ApplicationKey>>>,
    /// What was reported last in deployments and on source commits.
    reported: Recent<deployments::Place, String>,
    /// Commits that have their receipt.
    receipts: Recent<CommitKey, ()>,
}

/// A commit, seen from a base.
type CommitAtBase = (CommitSha, CommitKey);

pub async fn reconcile(ctx: Arc<Writer>, key: CommitKey) -> Result<Requeue> {
    let base = ctx.known_base(&key.repo).await?;
    // Before anything is read: who has news meanwhile puts it here once more.
    ctx.cache.commits.unfinished.insert(key.clone(), ());
    if let Some(Err(Invalid(why))) = &base.catalog {
        // Which applications a commit changed cannot be told: what was told before stays, until that is mended.
        if key.commit == base.commit {
            let description = shortened(&why.replace('\n', " "), 140);
            post(&ctx, &key, "failure", description).await?;
        }
        return Ok(Requeue::Idle);
    }
    let (progress, again) = progress_of(&ctx, &key.repo, &base, &key.commit).await?;
    if let Some((state, description)) = status::observe(&ctx, &key, &progress).await? {
        post(&ctx, &key, state, description).await?;
    }
    let before = ctx.cache.commits.progress.get(&key);
    if before.as_deref() != Some(&progress) {
        ctx.emit(&Event::Rollout {
            commit: key.clone(),
            pulls: pulls_of(&ctx, &key).await?,
        });
        // What was told to wait for the sync of what is merged does so no more.
        let healthy = |progress: &[Rollout]| -> BTreeSet<ApplicationKey> {
            progress
                .iter()
                .filter(|one| one.state == RolloutState::Healthy)
                .map(|one| one.key.clone())
                .collect()
        };
        let synced =
            &healthy(&progress) - &healthy(before.as_deref().map_or(&[][..], |before| before));
        crate::controller::pull_request::anew(&ctx, &key.repo, &synced, |app| {
            !app.waiting.is_empty()
        });
        // Last: what fails before is told again.
        ctx.cache
            .commits
            .progress
            .insert(key.clone(), Arc::new(progress.clone()));
    }
    deployments::deployments(&ctx, &key, &progress).await?;
    sources::sources(&ctx, &base, &progress).await?;
    if let Some(text) = receipt::observe(&ctx, &key, &progress).await? {
        receipt::write(&ctx, &key, &text).await?;
    }
    if progress.iter().all(|one| one.state.is_final()) {
        ctx.cache.commits.unfinished.invalidate(&key);
    }
    Ok(if again {
        Requeue::After(Duration::from_secs(2))
    } else {
        Requeue::Idle
    })
}
