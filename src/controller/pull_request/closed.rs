//! A pull request that is merged or closed: where the roll-out stands.

use std::sync::Arc;

use super::Look;
use super::verdict::score;
use crate::controller::preview::Changes;
use crate::controller::{Base, Event, Reader, Result, authority};
use crate::domain::pull_request::{self, Ask, Seen, Sticky};
use crate::domain::{CommitKey, CommitSha, PullRequestKey};
use crate::github::PullSnapshot;
use crate::view;

/// A pull request that is merged or closed: where its commit stands, and commands that are still to be answered.
pub async fn closed(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: Arc<Base>,
    snapshot: PullSnapshot,
    asks: Vec<Ask>,
    (sticky, told, tampered): (Option<Sticky>, bool, bool),
) -> Result<Look> {
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
            crate::controller::commit::came_by(ctx, &name, key.number);
            if sticky.is_some() && !told {
                ctx.emit(&Event::Commit(name));
            }
            let (progress, _) =
                crate::controller::commit::progress_of(ctx, &key.repo, &base, &commit).await?;
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
