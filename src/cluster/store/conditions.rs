//! The conditions of an `Application`, for people and `kubectl wait`.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::application::ApplicationStatus;
use crate::domain::health::{Health, SyncState};

/// `Synced` and `Healthy`. `lastTransitionTime` changes only with the condition's status.
pub fn conditions(
    before: &[Condition],
    status: &ApplicationStatus,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let word =
        |truth: Option<bool>| truth.map_or("Unknown", |truth| if truth { "True" } else { "False" });
    let synced = match status.sync {
        SyncState::Synced => Some(true),
        SyncState::OutOfSync => Some(false),
        SyncState::Unknown => None,
    };
    let healthy = match status.health {
        Health::Healthy => Some(true),
        Health::Unknown => None,
        _ => Some(false),
    };
    let (sync, health) = (format!("{:?}", status.sync), format!("{:?}", status.health));
    let own = status.reason.clone();
    // While it is not synced, the status's reason belongs to `Synced`; afterwards to `Healthy`.
    let sync = own.clone().filter(|_| synced != Some(true)).unwrap_or(sync);
    let unhealthy = synced == Some(true) && healthy != Some(true);
    let health = own.filter(|_| unhealthy).unwrap_or(health);
    [("Synced", synced, sync), ("Healthy", healthy, health)]
        .into_iter()
        .map(|(kind, truth, reason)| {
            let kept = before
                .iter()
                .find(|condition| condition.type_ == kind && condition.status == word(truth));
            Condition {
                type_: kind.into(),
                status: word(truth).into(),
                reason,
                message: match &status.message {
                    Some(message) => message.clone(),
                    None if kind == "Healthy" && !status.unruled.is_empty() => {
                        format!(
                            "no rule says when {} is healthy, so its own status counts",
                            status.unruled.join(", ")
                        )
                    }
                    None => String::new(),
                },
                observed_generation: generation,
                last_transition_time: kept.map_or_else(
                    || Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
                    |condition| condition.last_transition_time.clone(),
                ),
            }
        })
        .collect()
}
