//! A merged or closed pull request: the progress of its rollout, and commands that still need an
//! answer.

use std::sync::Arc;

use super::Observation;
use super::score::score;
use super::thread::Thread;
use crate::controller::preview::Changes;
use crate::controller::{Base, Event, Reader, Result, authority, commit};
use crate::domain::promotion::{Decision, How};
use crate::domain::pull_request::{
    CommandComment, PullRequestFacts, Rollout, RolloutState, Score, Wanted,
};
use crate::domain::{CommitKey, CommitSha, PullRequestKey, StageKey};
use crate::github::{PullSnapshot, User};
use crate::view::{self, People};

pub async fn observe(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: Arc<Base>,
    snapshot: PullSnapshot,
    commands: Vec<CommandComment>,
    thread: Thread,
) -> Result<Observation> {
    let merged = snapshot.pull.merged_as();
    if merged.is_none() {
        ctx.cache.pulls.previews.invalidate(key);
    }
    ctx.cache.pulls.verdicts.invalidate(key);
    ctx.heads.forget(key);
    let mut changes = match commands.is_empty() {
        true => Changes::default(),
        false => authority::merged_changes(ctx, key, merged.clone()).await?,
    };
    let (mut wanted, mut quiet, mut failure, mut known) = (None, None, None, None);
    // Once the comment reports the final state it is not updated: later changes belong to later
    // commits.
    let updates_comment = thread.sticky.is_some() && !thread.ended;
    if let Some(commit) = &merged
        && let Some(progress) = rollout(ctx, key, &base, commit, updates_comment).await?
    {
        let touched = progress.iter().map(|rollout| base.target(&rollout.key));
        changes.touched = touched.flatten().cloned().collect();
        if updates_comment {
            let predicted = predicted(ctx, key, &base, &progress).await?;
            failure = new_failure(ctx, key, &snapshot, &thread, &progress).await?;
            quiet = commit::quiet(ctx, &commit_key(key, commit), &progress);
            let shown = progress_comment(&snapshot, commit, &progress, predicted.as_ref());
            wanted = Some(shown).filter(|_| quiet.is_none());
        }
        known = Some(progress);
    }
    if merged.is_none() && thread.sticky.is_some() {
        wanted = not_proposed_again(ctx, key, &snapshot).await?;
    }
    let facts = PullRequestFacts {
        retire: gate_is_to_retire(ctx, key, &base, &snapshot).await?,
        commands,
        tampered: thread.tampered,
        duplicates: thread.duplicates,
        failure,
        wanted,
        sticky: thread.sticky,
        ..PullRequestFacts::default()
    };
    Ok(Observation {
        facts,
        base,
        snapshot,
        changes: changes.into(),
        gate_facts: None,
        shown_preview: None,
        again: quiet,
        rollout: known,
    })
}

/// What a person closed without a merge is not proposed again: the comment about that.
async fn not_proposed_again(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
) -> Result<Option<Wanted>> {
    let Some(proposed) = StageKey::of_branch(&key.repo, &snapshot.pull.head.branch) else {
        return Ok(None);
    };
    let object = ctx.store.promotion(&proposed).await?;
    let decided = object.and_then(|object| object.status).unwrap_or_default();
    let rejected = |one: &&Decision| one.how == How::Rejected && one.number == Some(key.number);
    let rejected: Vec<_> = decided.decided.iter().filter(rejected).collect();
    Ok((!rejected.is_empty()).then(|| view::closed(&proposed, &rejected)))
}

/// The most applications of one comment about failures.
const MOST_FAILING: usize = 50;

/// The comment about applications that fail or wait for a decision, if the thread does not have it yet.
async fn new_failure(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
    thread: &Thread,
    progress: &[Rollout],
) -> Result<Option<String>> {
    let fails = |one: &&Rollout| match one.state {
        RolloutState::Failed => one.failed,
        RolloutState::Undecided => true,
        _ => false,
    };
    let told = &ctx.cache.pulls.reported_failures;
    let is_new = |one: &&Rollout| {
        let name = view::failing_name(one);
        !thread.failures.contains(&name) && !told.contains_key(&(key.clone(), name))
    };
    let failing = progress.iter().filter(fails).filter(is_new);
    // The rest follows in the next reconcile: a comment has 65,536 characters.
    let failing: Vec<_> = failing.take(MOST_FAILING).collect();
    if failing.is_empty() {
        return Ok(None);
    }
    let person = |user: &Option<User>| {
        let user = user.as_ref().filter(|user| user.kind == "User");
        user.map(|user| user.login.clone())
    };
    let people = People {
        author: person(&snapshot.pull.user),
        merged_by: person(&snapshot.pull.merged_by),
        approved_by: authority::approved_by(ctx, key, snapshot, None).await?,
    };
    Ok(Some(view::failure(&failing, &people)))
}

/// Which objects are as the preview said, once all is healthy.
async fn predicted(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Base,
    progress: &[Rollout],
) -> Result<Option<Score>> {
    let healthy = |rollout: &Rollout| rollout.state == RolloutState::Healthy;
    match progress.iter().all(healthy) {
        true => score(ctx, key, base, progress).await,
        false => Ok(None),
    }
}

fn commit_key(key: &PullRequestKey, commit: &CommitSha) -> CommitKey {
    CommitKey {
        repo: key.repo.clone(),
        commit: commit.clone(),
    }
}

/// The rollout of the merge. None: the configuration is invalid, so the changed applications are
/// unknown; or the mirror does not have the merge yet; or nobody follows it.
async fn rollout(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Base,
    merged: &CommitSha,
    wakes_commit: bool,
) -> Result<Option<Vec<Rollout>>> {
    let (at, tip) = (merged.clone(), base.commit.clone());
    // Who only previews does not follow what comes of it.
    if ctx.preview_only
        || matches!(base.configuration, Some(Err(_)))
        || !ctx
            .mirror(&key.repo, move |mirror| mirror.has_in(&at, &tip))
            .await?
    {
        return Ok(None);
    }
    let name = commit_key(key, merged);
    commit::record_pull_request(ctx, &name, key.number);
    if wakes_commit {
        ctx.emit(&Event::Commit(name));
    }
    let (progress, _) = commit::progress_of(ctx, &key.repo, base, merged).await?;
    Ok(Some(progress))
}

/// The comment about a rollout.
fn progress_comment(
    snapshot: &PullSnapshot,
    merged: &CommitSha,
    progress: &[Rollout],
    predicted: Option<&Score>,
) -> Wanted {
    let check = snapshot.check.as_ref();
    // What a reviewer was warned of stands in the summary.
    let preview = check.map(|check| {
        let parts = [&check.output.summary, &check.output.text];
        let parts: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
        parts.join("\n\n")
    });
    let preview = preview.filter(|text| !text.is_empty());
    // A cancelled gate was a success before.
    let unmet = snapshot
        .gate
        .as_ref()
        .filter(|check| !matches!(check.conclusion.as_deref(), Some("success" | "cancelled")));
    let unmet = unmet.map(|check| check.output.title.as_deref().unwrap_or("no verdict"));
    view::progress(merged, progress, preview.as_deref(), unmet, predicted)
}

/// A check run belongs to the commit: a successful verdict of this pull request must not count for
/// the next pull request from the same commit. One that waits does so for nothing once the pull
/// request is closed.
async fn gate_is_to_retire(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Base,
    snapshot: &PullSnapshot,
) -> Result<bool> {
    let gate = snapshot.gate.as_ref();
    let conclusion = gate.map(|check| check.conclusion.as_deref());
    let waits = conclusion == Some(None) && snapshot.pull.merged_as().is_none();
    if conclusion != Some(Some("success")) && !waits {
        return Ok(false);
    }
    let (head, tip) = (snapshot.pull.head.sha.clone(), base.commit.clone());
    let merge = snapshot.pull.merged_as();
    // If the head is in the base, no other pull request can merge it. Wait until the mirror has the
    // merge.
    let job = move |mirror: &crate::git::Mirror| {
        let is_in = |commit: &CommitSha| mirror.has_in(commit, &tip);
        let has_merge = merge.as_ref().map_or(Ok(true), is_in)?;
        Ok(has_merge && !is_in(&head)?)
    };
    ctx.mirror(&key.repo, job).await
}
