//! Which of what happens to an application people are notified of: one message for each thing that
//! somebody may have to act on, and one when it is over.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CommitSha;
use super::activity::{State, What};
use super::health::{Health, SyncState};
use super::sync;

/// What a notification is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// A sync failed, or what runs became unhealthy.
    Failed,
    /// Nothing goes on until a person decides.
    Waiting,
    /// A change was synced and is healthy, or what had failed is healthy again.
    Healthy,
    /// Somebody's change in the cluster was reverted.
    Drift,
}

/// Which moments of a stage go to a channel of the server's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub channel: String,
    pub on: Vec<Moment>,
}

/// What was last told of an application.
#[derive(Debug, Default)]
pub struct Told {
    last: Option<(Moment, Option<CommitSha>, String)>,
    /// A change was applied, and nobody knows yet what comes of it.
    is_applied: bool,
    drift_at: Option<Timestamp>,
}

/// Drift of one application is told once in so long: a person who deletes a namespace's objects is
/// one piece of news.
const DRIFT_AGAIN: SignedDuration = SignedDuration::from_mins(10);

impl Told {
    /// What to tell of an activity; None: nothing that was not told before.
    pub fn moment(&mut self, what: &What, at: Timestamp) -> Option<Moment> {
        match what {
            What::Applied { .. } => {
                self.is_applied = true;
                None
            }
            What::DriftReverted(_) => {
                let told = self.drift_at;
                let is_news = told.is_none_or(|told| at.duration_since(told) >= DRIFT_AGAIN);
                is_news.then(|| {
                    self.drift_at = Some(at);
                    Moment::Drift
                })
            }
            What::State(state) => self.moment_of(state),
            _ => None,
        }
    }

    fn moment_of(&mut self, state: &State) -> Option<Moment> {
        // One request that failed is no news: a cluster that stays away is.
        if state.reason == sync::CLUSTER_UNREACHABLE && state.sync != SyncState::Unknown {
            return None;
        }
        let moment = if sync::is_undecided(&state.reason) {
            Moment::Waiting
        } else if state.is_warning() {
            Moment::Failed
        } else if (state.sync, state.health) == (SyncState::Synced, Health::Healthy) {
            let is_news = self.is_applied
                || state.was_warning
                || matches!(self.last, Some((Moment::Failed | Moment::Waiting, ..)));
            if !is_news {
                return None;
            }
            Moment::Healthy
        } else {
            // It is under way: what comes of it is told.
            return None;
        };
        self.is_applied = false;
        let now = (moment, state.revision.clone(), state.reason.clone());
        let is_known = self.last.as_ref() == Some(&now) && moment != Moment::Healthy;
        self.last = Some(now);
        (!is_known).then_some(moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_told_once_and_its_end() {
        let state = |sync, health, reason: &str, is_blocked| {
            What::State(State {
                sync,
                health,
                reason: reason.into(),
                message: None,
                revision: None,
                is_blocked,
                was_warning: false,
            })
        };
        use Health::{Degraded, Progressing};
        use SyncState::{OutOfSync, Synced};
        let healthy = || state(Synced, Health::Healthy, "Healthy", false);
        let applied = || What::Applied {
            revision: "a".repeat(40).parse().unwrap(),
            objects: Vec::new(),
        };
        let mut told = Told::default();
        for (what, moment) in [
            // What was healthy before is no news after a start.
            (healthy(), None),
            (applied(), None),
            (state(Synced, Progressing, "Progressing", false), None),
            (healthy(), Some(Moment::Healthy)),
            (healthy(), None),
            (
                state(Synced, Degraded, "Degraded", false),
                Some(Moment::Failed),
            ),
            (state(Synced, Degraded, "Degraded", false), None),
            (state(Synced, Progressing, "Progressing", false), None),
            (healthy(), Some(Moment::Healthy)),
            (
                state(OutOfSync, Health::Healthy, "NotAsApproved", true),
                Some(Moment::Waiting),
            ),
            (applied(), None),
            (
                state(OutOfSync, Health::Healthy, "Refused", true),
                Some(Moment::Failed),
            ),
        ] {
            assert_eq!(
                told.moment(&what, Timestamp::UNIX_EPOCH),
                moment,
                "{what:?}"
            );
        }
    }
}
