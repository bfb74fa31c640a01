//! Objects that others change again each time that they are set back: after a few times they are left
//! alone for a while.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::cluster::store::DriftLoop;
use crate::controller::Reader;
use crate::controller::cache::locked;
use crate::domain::manifest::ResourceKey;
use crate::domain::plan::{Change, Plan};
use crate::domain::{ApplicationKey, CommitSha, sync};

/// What of the drift is left alone, since others change it again each time, with who does; and what is to be remembered.
pub(super) fn fights(
    ctx: &Reader,
    key: &ApplicationKey,
    plan: &Plan,
    drifted: &BTreeSet<ResourceKey>,
    known: Option<DriftLoop>,
    revision: &CommitSha,
) -> (Vec<(ResourceKey, String)>, Option<DriftLoop>) {
    let now = ctx.now();
    let known = known.filter(|fight| fight.revision == *revision);
    let drift = plan
        .effective()
        .filter(|change| drifted.contains(&change.key));
    if let Some(fight) = known.as_ref().filter(|fight| fight.until > now) {
        return (drift.map(with_who).collect(), Some(fight.clone()));
    }
    // After it was given up once, one more time is enough to see that nothing has changed.
    let most = if known.is_some() { 1 } else { sync::MOST_HEALS };
    let memory = locked(&ctx.cache.applications.heals);
    let is_fight = |object: &ResourceKey| {
        let heals = memory.get(&(key.clone(), object.clone()));
        heals.is_some_and(|heals| lately(heals) >= most)
    };
    let fights: Vec<_> = drift
        .filter(|change| is_fight(&change.key))
        .map(with_who)
        .collect();
    if fights.is_empty() {
        return (Vec::new(), known);
    }
    let fight = next(known.as_ref(), revision, now);
    (fights, Some(fight))
}

fn with_who(change: &Change) -> (ResourceKey, String) {
    let managers = change.notes.reverted.iter();
    let names: Vec<_> = managers.map(|(manager, _)| manager.as_str()).collect();
    let who = match names.is_empty() {
        true => "somebody".to_string(),
        false => names.join(", "),
    };
    (change.key.clone(), who)
}

/// How often an object was set back within the window that counts.
fn lately(heals: &VecDeque<Instant>) -> usize {
    heals
        .iter()
        .filter(|at| at.elapsed().as_secs() < sync::DRIFT_LOOP_WINDOW.as_secs() as u64)
        .count()
}

/// The truce from `now` on: the longer, the more often it was given up.
fn next(known: Option<&DriftLoop>, revision: &CommitSha, now: Timestamp) -> DriftLoop {
    let times = known.map_or(0, |fight| fight.times);
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
        let (mut fight, mut before) = (None, now);
        for times in 1..=10 {
            let next = next(fight.as_ref(), &revision, now);
            assert_eq!(next.times, times);
            assert!(next.until > now && next.until >= before);
            before = next.until;
            fight = Some(next);
        }
    }
}
