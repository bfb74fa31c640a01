//! What became of a `/sync`: a comment of its own, once each of its applications is done. The reply
//! cannot say it, since a reply is never edited.
//!
//! An application keeps the request that it handled last, so that the outcome of an earlier one is
//! not told: the later one's is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use super::commands::{gives_sync, is_sync};
use crate::cluster::store;
use crate::controller::{Base, Reader, Result};
use crate::domain::TargetKey;
use crate::domain::pull_request::{
    self, Outcome, PullRequestFacts, RevisionOrder, Rollout, RolloutState, Source,
};
use crate::github::PullSnapshot;
use crate::view;

/// After this time the states are told as they are then.
const AWAITED_FOR: SignedDuration = SignedDuration::from_hours(1);
/// After this time nobody waits for the outcome any more: windlass was away.
const TOLD_UNTIL: SignedDuration = SignedDuration::from_hours(2);
/// A sync wakes no pull request that it is not the merge of. The longer it takes, the less often it
/// is looked at.
const LOOKS_AGAIN: Duration = Duration::from_millis(500);
const LOOKS_AT_LEAST: Duration = Duration::from_secs(30);

/// The outcomes that the thread does not have yet, and when to look for the others.
pub async fn outcomes(
    ctx: &Arc<Reader>,
    base: &Base,
    snapshot: &PullSnapshot,
) -> Result<(Vec<Outcome>, Option<Duration>)> {
    let (mut done, mut again) = (Vec::new(), None);
    for (source, author, age) in awaited(ctx, snapshot).await? {
        let is_late = age >= Duration::try_from(AWAITED_FOR).unwrap_or_default();
        let Some(rollouts) = requested(ctx, base, source, is_late).await? else {
            let pause = (age / 10).clamp(LOOKS_AGAIN, LOOKS_AT_LEAST);
            again = again.into_iter().chain([pause]).min();
            continue;
        };
        if !rollouts.is_empty() {
            let text = view::commands::synced(source, &author, &rollouts);
            done.push(Outcome { source, text });
        }
    }
    Ok((done, again))
}

/// When to look at the outcome of what is being answered.
pub fn after(facts: &PullRequestFacts) -> Option<Duration> {
    let mut commands = facts.commands.iter();
    commands
        .any(|one| is_sync(&one.lines))
        .then_some(LOOKS_AGAIN)
}

/// The texts with a `/sync` that was answered and whose outcome is not told, with their authors
/// and how long ago the answer was.
async fn awaited(
    ctx: &Arc<Reader>,
    snapshot: &PullSnapshot,
) -> Result<Vec<(Source, String, Duration)>> {
    let (app, now) = (ctx.github.identity().await?, ctx.now());
    let (mut answered, mut told) = (BTreeMap::new(), BTreeSet::new());
    for comment in snapshot.comments.iter().filter(|one| one.is_ours(app)) {
        let age = now.duration_since(comment.created_at);
        let is_whole = comment.updated_at <= comment.created_at;
        let reply = view::reply_of(comment.text()).filter(|_| is_whole && age < TOLD_UNTIL);
        let age = Duration::try_from(age).unwrap_or_default();
        answered.extend(reply.map(|source| (source, age)));
        told.extend(view::outcome_of(comment.text()));
    }
    answered.retain(|source, _| !told.contains(source));
    if answered.is_empty() {
        return Ok(Vec::new());
    }
    let given = gives_sync(snapshot, |source| answered.contains_key(&source));
    let given = given.into_iter();
    Ok(given
        .filter_map(|(source, author)| Some((source, author, *answered.get(&source)?)))
        .collect())
}

/// The state of each application that a text requests the sync of. None: one is not done yet.
/// `is_late`: it is told all the same.
async fn requested(
    ctx: &Arc<Reader>,
    base: &Base,
    source: Source,
    is_late: bool,
) -> Result<Option<Vec<Rollout>>> {
    let (wanted, mut rollouts) = (source.to_string(), Vec::new());
    let targets = base.configured().into_iter().flat_map(|all| &all.targets);
    let keys: Vec<TargetKey> = targets.map(|target| target.key(&base.repo.name)).collect();
    for key in keys {
        let Some(object) = ctx.store.application(&key).await? else {
            continue;
        };
        let annotations = object.metadata.annotations.as_ref();
        let requested = annotations.and_then(|all| all.get(store::SYNC_REQUEST));
        if requested != Some(&wanted) {
            continue;
        }
        let handled = object.status.and_then(|status| status.sync_request);
        let summary = ctx.store.summary(&key).await?;
        let state = pull_request::progress(RevisionOrder::At, &summary);
        let is_done = handled.as_ref() == Some(&wanted) && is_done(state);
        if !is_done && !is_late {
            return Ok(None);
        }
        rollouts.push(Rollout {
            key,
            state,
            message: summary.message.unwrap_or_default(),
            failed: false,
            detail: String::new(),
        });
    }
    Ok(Some(rollouts))
}

fn is_done(state: RolloutState) -> bool {
    match state {
        RolloutState::Waiting
        | RolloutState::Syncing
        | RolloutState::Progressing
        | RolloutState::Stale
        | RolloutState::Leaving => false,
        RolloutState::Healthy
        | RolloutState::Failed
        | RolloutState::Undecided
        | RolloutState::Unproven
        | RolloutState::Superseded
        | RolloutState::FailedBefore
        | RolloutState::Deleted => true,
    }
}
