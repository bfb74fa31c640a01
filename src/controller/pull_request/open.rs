//! An open pull request: its preview, and its verdict.

use std::sync::Arc;

use tokio::time::Instant;

use super::Observation;
use super::cache::Judged;
use super::shown_preview::{ShownPreview, previewed, same_effect};
use super::standing::may_preview;
use super::thread::Thread;
use super::verdict::{gate_of, verdict};
use crate::controller::{Base, Error, Reader, Result};
use crate::domain::PullRequestKey;
use crate::domain::command::Command;
use crate::domain::gate::{self, Facts, MergePermit, PreviewFact, Verdict};
use crate::domain::pull_request::{CommandComment, PullRequestFacts, Wanted};
use crate::git::TooMuch;
use crate::github::{CheckRun, PullSnapshot};

pub async fn observe(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: Arc<Base>,
    snapshot: PullSnapshot,
    commands: Vec<CommandComment>,
    thread: Thread,
) -> Result<Observation> {
    // Anybody may have a fork: its heads may be of any content and size.
    let may_preview = may_preview(ctx, key, base.repo.id, &snapshot).await?;
    if may_preview {
        let again = commands.iter().any(requests_preview);
        fetch_head(ctx, key, &snapshot, again).await?;
    }
    // Only a new command: if it was acknowledged and has no answer, its preview may have crashed
    // windlass.
    let is_new = |command: &CommandComment| {
        !(command.edited || command.interrupted || command.late || command.acknowledged)
    };
    let snapshots = &ctx.cache.pulls.snapshots;
    let head = &snapshot.pull.head.sha;
    let refresh = commands
        .iter()
        .filter(|command| is_new(command) && requests_preview(command))
        .any(|command| snapshots.note_preview(key, command.source, head));
    let shown_preview = previewed(ctx, key, &base, &snapshot, (refresh, may_preview)).await?;
    let published = snapshot
        .check
        .as_ref()
        .and_then(|check| check.external_id.clone())
        .filter(|id| !id.is_empty());
    let is_current = published
        .as_deref()
        .is_some_and(|published| same_effect(published, &shown_preview.id));
    let current = snapshot.check.as_ref().filter(|_| is_current);
    let fact = current.and_then(|check| preview_fact(check, &shown_preview));
    let judged = match ctx.preview_only {
        true => None,
        false => Some(verdict(ctx, key, &base, &snapshot, &shown_preview, fact).await?),
    };
    if let Some((facts, verdict, _)) = &judged {
        let judged = Judged {
            head: head.clone(),
            evaluated_at: facts.now,
            verdict: verdict.clone(),
        };
        ctx.cache.pulls.verdicts.insert(key.clone(), judged.into());
    }
    // No comment if no application changes and there was none before.
    let preview = &shown_preview.preview;
    let says_nothing = preview.applications.is_empty() && preview.policy.is_empty();
    let needs_no_comment = says_nothing && preview.failure.is_none() && thread.sticky.is_none();
    let facts = PullRequestFacts {
        retire: false,
        failure: None,
        outcomes: Vec::new(),
        leaves_queue: judged
            .as_ref()
            .is_some_and(|(facts, verdict, _)| gate::leaves_queue(facts, verdict)),
        commands,
        tampered: thread.tampered,
        duplicates: thread.duplicates,
        wanted: (!needs_no_comment).then(|| comment(&shown_preview, judged.as_ref())),
        sticky: thread.sticky,
        preview: Some(shown_preview.id.clone()),
        published: if is_current {
            Some(shown_preview.id.clone())
        } else {
            published
        },
        verdict: judged.as_ref().map(|(_, verdict, _)| verdict.clone()),
        permit: judged.as_ref().and_then(|(_, _, permit)| permit.clone()),
        gate: snapshot.gate.as_ref().map(gate_of),
    };
    Ok(Observation {
        facts,
        base,
        changes: shown_preview.changes.clone(),
        snapshot,
        gate_facts: judged.map(|(facts, ..)| facts),
        shown_preview: Some(shown_preview),
        again: None,
        rollout: None,
    })
}

/// The comment; where it can be merged as it is, with what comes next. `judged`: the facts of the
/// gates, where there are some.
fn comment(shown: &ShownPreview, judged: Option<&(Facts, Verdict, Option<MergePermit>)>) -> Wanted {
    let judged = judged.filter(|_| shown.preview.ok());
    shown
        .text
        .comment(judged.map(|(facts, ..)| gate::next(facts)))
}

fn requests_preview(command: &CommandComment) -> bool {
    command
        .lines
        .iter()
        .any(|line| line.gives(Command::Preview))
}

/// The facts of a published preview that the gates read.
fn preview_fact(check: &CheckRun, shown_preview: &ShownPreview) -> Option<PreviewFact> {
    Some(PreviewFact {
        completed_at: check.completed_at?,
        ok: shown_preview.preview.ok(),
        unseen: shown_preview.text.unseen,
        unseen_accepted: false,
    })
}

/// Fetches the head, if the mirror does not have it. `retry_too_large`: also one that was too large
/// before.
async fn fetch_head(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
    retry_too_large: bool,
) -> Result<()> {
    let head = snapshot.pull.head.sha.clone();
    let name = (key.clone(), head.clone());
    let too_large = &ctx.cache.pulls.too_large;
    if ctx
        .mirror(&key.repo, move |mirror| Ok(mirror.has(&head)))
        .await?
        || !retry_too_large && too_large.contains_key(&name)
    {
        return Ok(());
    }
    match ctx.fetch(&key.repo, Some(key.number), Instant::now()).await {
        Err(Error::Git(error)) => {
            let why = error.downcast::<TooMuch>().map_err(Error::Git)?;
            too_large.insert(name, why.to_string());
        }
        other => {
            other?;
            too_large.invalidate(&name);
        }
    }
    Ok(())
}
