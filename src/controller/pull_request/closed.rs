//! A pull request that is merged or closed: how far its roll-out has come, and commands that are still to be answered.

use std::sync::Arc;

use super::Observation;
use super::score::score;
use super::thread::Thread;
use crate::controller::preview::Changes;
use crate::controller::{Base, Event, Reader, Result, authority, commit};
use crate::domain::pull_request::{CommandComment, Rollout, RolloutState, Snapshot, Wanted};
use crate::domain::{CommitKey, CommitSha, PullRequestKey};
use crate::github::PullSnapshot;
use crate::view;

pub async fn observe(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: Arc<Base>,
    snapshot: PullSnapshot,
    asks: Vec<CommandComment>,
    thread: Thread,
) -> Result<Observation> {
    let merged = snapshot.pull.merged_as();
    if merged.is_none() {
        ctx.cache.pulls.previews.invalidate(key);
    }
    ctx.heads.forget(key);
    let mut changes = if asks.is_empty() {
        Changes::default()
    } else {
        authority::merged_changes(ctx, key, merged.clone()).await?
    };
    let mut wanted = None;
    // The end of the story is told once; what comes later belongs to later commits.
    let tells = thread.sticky.is_some() && !thread.ended;
    if let Some(commit) = &merged
        && let Some(progress) = rollout(ctx, key, &base, commit, tells).await?
    {
        let touched = progress.iter().filter_map(|one| base.target(&one.key));
        changes.touched = touched.cloned().collect();
        let healthy = |one: &Rollout| one.state == RolloutState::Healthy;
        if !thread.ended && progress.iter().all(healthy) {
            score(ctx, key, &base).await?;
        }
        if tells {
            wanted = Some(told(&snapshot, commit, &progress));
        }
    }
    let seen = Snapshot {
        retire: gate_is_spent(ctx, key, &base, &snapshot).await?,
        commands: asks,
        tampered: thread.tampered,
        wanted,
        sticky: thread.sticky,
        preview: None,
        published: None,
        verdict: None,
        permit: None,
        gate: None,
    };
    Ok(Observation {
        seen,
        base,
        snapshot,
        changes: changes.into(),
        facts: None,
        shown: None,
    })
}

/// How far what was merged has come. None: while the configuration cannot be read nobody can tell which applications it
/// changed, and that the commit is there we may not have seen yet.
async fn rollout(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Base,
    merged: &CommitSha,
    tells: bool,
) -> Result<Option<Vec<Rollout>>> {
    let at = merged.clone();
    if matches!(base.catalog, Some(Err(_)))
        || !ctx
            .mirror(&key.repo, move |mirror| Ok(mirror.has(&at)))
            .await?
    {
        return Ok(None);
    }
    let name = CommitKey {
        repo: key.repo.clone(),
        commit: merged.clone(),
    };
    commit::record_pull_request(ctx, &name, key.number);
    if tells {
        ctx.emit(&Event::Commit(name));
    }
    let (progress, _) = commit::progress_of(ctx, &key.repo, base, merged).await?;
    Ok(Some(progress))
}

/// The comment over a roll-out.
fn told(snapshot: &PullSnapshot, merged: &CommitSha, progress: &[Rollout]) -> Wanted {
    let check = snapshot.check.as_ref();
    let preview = check.and_then(|check| check.output.text.as_deref());
    // Retired gates were green.
    let unmet = snapshot
        .gate
        .as_ref()
        .filter(|check| !matches!(check.conclusion.as_deref(), Some("success" | "cancelled")));
    let unmet = unmet.map(|check| check.output.title.as_deref().unwrap_or("no verdict"));
    view::progress(merged, progress, preview, unmet)
}

/// A check belongs to the commit: the verdict of this pull request is none of the next one's from the same commit.
async fn gate_is_spent(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Base,
    snapshot: &PullSnapshot,
) -> Result<bool> {
    let gate = snapshot.gate.as_ref();
    if gate.and_then(|check| check.conclusion.as_deref()) != Some("success") {
        return Ok(false);
    }
    let (head, in_base) = (snapshot.pull.head.sha.clone(), base.commit.clone());
    let merge = snapshot.pull.merged_as();
    // What is in the base brings nothing once more; that a merge is there, we may not have seen yet.
    let job = move |mirror: &crate::git::Mirror| {
        let is_in = |commit: &CommitSha| {
            Ok::<_, anyhow::Error>(mirror.has(commit) && mirror.is_ancestor(commit, &in_base)?)
        };
        let seen = merge.as_ref().map_or(Ok(true), is_in)?;
        Ok(seen && !is_in(&head)?)
    };
    ctx.mirror(&key.repo, job).await
}
