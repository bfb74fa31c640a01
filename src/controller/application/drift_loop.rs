//! Drift loops: somebody changes an object again each time that its drift is reverted. After a few
//! times windlass leaves the object alone for a while.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::cluster::store::DriftLoop;
use crate::controller::Reader;
use crate::controller::cache::locked;
use crate::domain::manifest::ResourceKey;
use crate::domain::plan::{Change, Plan};
use crate::domain::{CommitSha, TargetKey, sync};

/// The drifted objects that are left alone, with who changes them; and the backoff to keep in the
/// status.
pub(super) fn drift_loops(
    ctx: &Reader,
    key: &TargetKey,
    plan: &Plan,
    drifted: &BTreeSet<ResourceKey>,
    known: Option<DriftLoop>,
    revision: &CommitSha,
) -> (Vec<(ResourceKey, String)>, Option<DriftLoop>) {
    let now = ctx.now();
    let known = known.filter(|backoff| backoff.revision == *revision);
    let drift = plan
        .effective()
        .filter(|change| drifted.contains(&change.key));
    if let Some(backoff) = known.as_ref().filter(|backoff| backoff.until > now) {
        return (drift.map(with_managers).collect(), Some(backoff.clone()));
    }
    // After one backoff a single further revert is enough to see that the loop goes on.
    let most = if known.is_some() { 1 } else { sync::MOST_HEALS };
    let memory = locked(&ctx.cache.applications.heals);
    let is_loop = |object: &ResourceKey| {
        let heals = memory.get(&(key.clone(), object.clone()));
        heals.is_some_and(|heals| recent(heals) >= most)
    };
    let drift_loops: Vec<_> = drift
        .filter(|change| is_loop(&change.key))
        .map(with_managers)
        .collect();
    if drift_loops.is_empty() {
        return (Vec::new(), known);
    }
    let backoff = next(known.as_ref(), revision, now);
    (drift_loops, Some(backoff))
}

fn with_managers(change: &Change) -> (ResourceKey, String) {
    let managers = change.notes.reverted.iter();
    let names: Vec<_> = managers.map(|(manager, _)| manager.as_str()).collect();
    let who = match names.is_empty() {
        true => "somebody".to_string(),
        false => names.join(", "),
    };
    (change.key.clone(), who)
}

/// How often the drift of an object was reverted within the window that counts.
fn recent(heals: &VecDeque<Instant>) -> usize {
    heals
        .iter()
        .filter(|at| at.elapsed().as_secs() < sync::DRIFT_LOOP_WINDOW.as_secs() as u64)
        .count()
}

/// The backoff from `now` on: each is at least as long as the one before.
fn next(known: Option<&DriftLoop>, revision: &CommitSha, now: Timestamp) -> DriftLoop {
    let times = known.map_or(0, |backoff| backoff.times);
    let until = now
        .saturating_add(sync::drift_loop_backoff(times))
        .unwrap_or(now);
    DriftLoop {
        revision: revision.clone(),
        until: Timestamp::from_second(until.as_second()).unwrap_or(until),
        times: times.saturating_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_truce_is_at_least_as_long_as_the_one_before() {
        let (revision, now) = ("a".repeat(40).parse().unwrap(), Timestamp::UNIX_EPOCH);
        let (mut backoff, mut before) = (None, now);
        for times in 1..=10 {
            let next = next(backoff.as_ref(), &revision, now);
            assert_eq!(next.times, times);
            assert!(next.until > now && next.until >= before);
            before = next.until;
            backoff = Some(next);
        }
    }
}
