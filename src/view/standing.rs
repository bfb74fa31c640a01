//! How an application stands, in one word and one tone: for the page and the terminal.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::health::{Health, SyncState};
use crate::domain::pull_request::ApplicationSummary;
use crate::domain::sync;

/// What a state asks of its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
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
        Some(sync::ADOPTION_REQUIRED) => return (Tone::Wait, "Waits for adoption"),
        Some(sync::NOT_AS_APPROVED) => return (Tone::Wait, "Waits for /apply"),
        Some("ClusterUnreachable") => return (Tone::Bad, "Cluster away"),
        Some(sync::ERROR) => return (Tone::Bad, "Error"),
        Some("DriftReported") => return (Tone::Wait, "Drift"),
        Some("DriftLoop") => return (Tone::Bad, "Drift loop"),
        Some(sync::LEFT_GIT) if summary.confirm => return (Tone::Wait, "Waits for deletion"),
        Some(sync::LEFT_GIT) if summary.health == Health::Progressing => {
            return (Tone::Busy, "Deleting");
        }
        Some(sync::LEFT_GIT) => return (Tone::None, "Left Git"),
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
        let summary = |sync, health, reason: &str, blocked| ApplicationSummary {
            sync,
            health,
            blocked,
            reason: Some(reason.into()),
            ..ApplicationSummary::default()
        };
        use Health::{Degraded, Healthy, Progressing};
        use SyncState::{OutOfSync, Synced, Unknown};
        let cases = [
            (Synced, Healthy, "Healthy", false, Tone::Good, "Healthy"),
            (
                OutOfSync,
                Healthy,
                "AdoptionRequired",
                true,
                Tone::Wait,
                "Waits for adoption",
            ),
            (OutOfSync, Healthy, "Refused", true, Tone::Bad, "Blocked"),
            (
                OutOfSync,
                Degraded,
                "WaveFailed",
                false,
                Tone::Bad,
                "Degraded",
            ),
            (
                OutOfSync,
                Progressing,
                "Applying",
                false,
                Tone::Busy,
                "Syncing",
            ),
            (
                Unknown,
                Healthy,
                "ClusterUnreachable",
                false,
                Tone::Bad,
                "Cluster away",
            ),
        ];
        for (sync, health, reason, blocked, tone, word) in cases {
            let summary = summary(sync, health, reason, blocked);
            assert_eq!(standing(&summary), (tone, word), "{reason}");
        }
        let confirm = ApplicationSummary {
            confirm: true,
            ..summary(Synced, Healthy, "DeletionsPending", false)
        };
        assert_eq!(standing(&confirm).0, Tone::Wait);
    }
}
