//! A pull request that is open: its preview, and its verdict.

use std::sync::Arc;

use tokio::time::Instant;

use super::Observation;
use super::shown::{ShownPreview, previewed, same_effect};
use super::thread::Thread;
use super::verdict::{gate_of, verdict};
use crate::controller::{Base, Error, Reader, Result};
use crate::domain::PullRequestKey;
use crate::domain::command::Command;
use crate::domain::gate::PreviewFact;
use crate::domain::pull_request::{CommandComment, Snapshot};
use crate::git::HeadTooLarge;
use crate::github::{CheckRun, PullSnapshot};

pub async fn observe(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: Arc<Base>,
    snapshot: PullSnapshot,
    asks: Vec<CommandComment>,
    thread: Thread,
) -> Result<Observation> {
    fetch_head(ctx, key, &base, &snapshot, asks.iter().any(gives_preview)).await?;
    // Only when it is new: what was seen and has no answer yet may be what windlass died of.
    let is_new = |ask: &CommandComment| !ask.edited && !ask.interrupted && !ask.acknowledged;
    let again = asks.iter().any(|ask| is_new(ask) && gives_preview(ask));
    let shown = previewed(ctx, key, &base, &snapshot, again).await?;
    let published = snapshot
        .check
        .as_ref()
        .and_then(|check| check.external_id.clone())
        .filter(|id| !id.is_empty());
    let is_current = published
        .as_deref()
        .is_some_and(|published| same_effect(published, &shown.id));
    let current = snapshot.check.as_ref().filter(|_| is_current);
    let fact = current.and_then(|check| preview_fact(check, &shown));
    let (facts, verdict, permit) = verdict(ctx, key, &base, &snapshot, &shown, fact).await?;
    // No comment when nothing managed changes and none was there.
    let preview = &shown.preview;
    let silent =
        preview.applications.is_empty() && preview.failure.is_none() && thread.sticky.is_none();
    let seen = Snapshot {
        retire: false,
        commands: asks,
        tampered: thread.tampered,
        wanted: (!silent).then(|| shown.text.comment.clone()),
        sticky: thread.sticky,
        preview: Some(shown.id.clone()),
        published: if is_current {
            Some(shown.id.clone())
        } else {
            published
        },
        verdict: Some(verdict),
        permit,
        gate: snapshot.gate.as_ref().map(gate_of),
    };
    Ok(Observation {
        seen,
        base,
        changes: shown.changes.clone(),
        snapshot,
        facts: Some(facts),
        shown: Some(shown),
    })
}

fn gives_preview(ask: &CommandComment) -> bool {
    ask.lines
        .iter()
        .any(|line| line.command == Ok(Command::Preview))
}

/// What the gates read of a preview that was published.
fn preview_fact(check: &CheckRun, shown: &ShownPreview) -> Option<PreviewFact> {
    Some(PreviewFact {
        completed_at: check.completed_at?,
        ok: shown.preview.ok(),
        unseen: shown.text.unseen,
        unseen_accepted: false,
    })
}

/// Fetches the head, if it is not there. `again`: also one that was too large before. Nothing of a fork is fetched: anybody
/// may have one, of any size.
async fn fetch_head(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Base,
    snapshot: &PullSnapshot,
    again: bool,
) -> Result<()> {
    let head = snapshot.pull.head.sha.clone();
    let name = (key.clone(), head.clone());
    let too_large = &ctx.cache.pulls.too_large;
    if snapshot.pull.is_fork(base.repo.id)
        || ctx
            .mirror(&key.repo, move |mirror| Ok(mirror.has(&head)))
            .await?
        || !again && too_large.contains_key(&name)
    {
        return Ok(());
    }
    match ctx.fetch(&key.repo, Some(key.number), Instant::now()).await {
        Err(Error::Git(error)) if error.is::<HeadTooLarge>() => {
            too_large.insert(name, error.to_string());
        }
        other => {
            other?;
            too_large.invalidate(&name);
        }
    }
    Ok(())
}
