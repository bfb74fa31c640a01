//! How an application stands, in one word and one tone: for the page and the terminal.

use serde::Serialize;

use crate::domain::health::{Health, SyncState};
use crate::domain::pull_request::ApplicationSummary;

/// What a state asks of its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// Something failed.
    Bad,
    /// It waits for a person.
    Wait,
    /// windlass or the cluster is at it.
    Busy,
    /// Nothing is known.
    None,
    Good,
}

/// The tone and the word of an application's state.
pub fn standing(summary: &ApplicationSummary) -> (Tone, &'static str) {
    // What waits for a decision is no failure, though nothing is applied meanwhile.
    match summary.reason.as_deref() {
        Some("Paused") => return (Tone::Wait, "Paused"),
        Some("AdoptionRequired") => return (Tone::Wait, "Waits for adoption"),
        Some("NotAsApproved") => return (Tone::Wait, "Waits for /apply"),
        Some("ClusterUnreachable") => return (Tone::Bad, "Cluster away"),
        Some("DriftReported") => return (Tone::Wait, "Drift"),
        Some("DriftLoop") => return (Tone::Bad, "Drift loop"),
        Some("LeftGit") if summary.confirm => return (Tone::Wait, "Waits for deletion"),
        _ => {}
    }
    match (summary.sync, summary.health) {
        _ if summary.blocked => (Tone::Bad, "Blocked"),
        (_, Health::Degraded) => (Tone::Bad, "Degraded"),
        (SyncState::Synced, Health::Missing) => (Tone::Bad, "Missing"),
        _ if summary.confirm => (Tone::Wait, "Waits for /confirm-prune"),
        (SyncState::OutOfSync, _) => (Tone::Busy, "Syncing"),
        (SyncState::Unknown, _) => (Tone::None, "Unknown"),
        (_, Health::Progressing) => (Tone::Busy, "Progressing"),
        (_, Health::Suspended) => (Tone::Wait, "Suspended"),
        (_, Health::Unknown) => (Tone::None, "Unknown"),
        _ if summary.unproven.is_some() => (Tone::Bad, "Unproven"),
        _ => (Tone::Good, "Healthy"),
    }
}

/// The tone and the word of one object's health.
pub fn standing_of_object(health: Health) -> (Tone, &'static str) {
    match health {
        Health::Healthy => (Tone::Good, "Healthy"),
        Health::Suspended => (Tone::Wait, "Suspended"),
        Health::Progressing => (Tone::Busy, "Progressing"),
        Health::Missing => (Tone::Bad, "Missing"),
        Health::Degraded => (Tone::Bad, "Degraded"),
        Health::Unknown => (Tone::None, "Unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_person_is_no_failure() {
        let summary = |sync, health, reason: Option<&str>, blocked, confirm| ApplicationSummary {
            sync,
            health,
            blocked,
            confirm,
            reason: reason.map(Into::into),
            ..ApplicationSummary::default()
        };
        use Health::{Degraded, Healthy, Progressing};
        use SyncState::{OutOfSync, Synced, Unknown};
        for (sync, health, reason, blocked, confirm, tone, word) in [
            (Synced, Healthy, None, false, false, Tone::Good, "Healthy"),
            (
                OutOfSync,
                Healthy,
                Some("AdoptionRequired"),
                true,
                false,
                Tone::Wait,
                "Waits for adoption",
            ),
            (
                OutOfSync,
                Healthy,
                Some("Refused"),
                true,
                false,
                Tone::Bad,
                "Blocked",
            ),
            (
                OutOfSync,
                Degraded,
                Some("WaveFailed"),
                false,
                false,
                Tone::Bad,
                "Degraded",
            ),
            (
                OutOfSync,
                Progressing,
                Some("Applying"),
                false,
                false,
                Tone::Busy,
                "Syncing",
            ),
            (
                Synced,
                Healthy,
                Some("DeletionsPending"),
                false,
                true,
                Tone::Wait,
                "Waits for /confirm-prune",
            ),
            (
                Unknown,
                Healthy,
                Some("ClusterUnreachable"),
                false,
                false,
                Tone::Bad,
                "Cluster away",
            ),
        ] {
            let summary = summary(sync, health, reason, blocked, confirm);
            assert_eq!(standing(&summary), (tone, word), "{reason:?}");
        }
    }
}
