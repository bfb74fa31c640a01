//! The health of live objects.
//!
//! The rules follow kstatus, with some of Argo CD's: a paused Deployment is
//! suspended, a running Job is progressing, and a failing pod is reported at once
//! instead of after the progress deadline.
//!
//! Rooms: `kinds` (built-in kinds), `rules` (custom kinds), `pods` (why a workload's
//! pods cannot run).

use crate::domain::Live;
use crate::domain::labels::HEALTH;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::manifest::is_custom_group;
use rules::Shipped;

mod kinds;
mod pods;
mod rules;

pub use pods::{FailingPod, Workload, is_within};
pub use rules::{HealthRule, unruled};

/// An application's health is the worst of its objects'; the order here is from best to worst.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Health {
    Healthy,
    Suspended,
    Progressing,
    Missing,
    Degraded,
    Unknown,
}

/// Whether the cluster has what Git has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SyncState {
    Synced,
    OutOfSync,
    Unknown,
}

/// A health and its reason, which is empty if healthy.
pub type Assessment = (Health, String);

/// For so long a custom object without a status is progressing. After that it counts as healthy:
/// its controller may never write a status.
pub const STATUS_GRACE: SignedDuration = SignedDuration::from_secs(10);

/// The health of a live object, by the health rules for its kind or, without any, by [`assess`].
pub fn assess_by(rules: &[HealthRule], live: &Live) -> Assessment {
    if live.annotation(HEALTH) == Some("ignore") && !live.is_being_deleted() {
        return (Health::Healthy, String::new());
    }
    let matching: Vec<_> = rules.iter().filter(|rule| rule.is_for(live)).collect();
    if matching.is_empty() {
        return assess(live);
    }
    if let Some(assessment) = assess_outdated_status(live) {
        return assessment;
    }
    aggregate(
        matching
            .into_iter()
            .map(|rule| named(live, rule.assess(live))),
    )
}

/// The health of a live object by its own status. Why its pods cannot run is in [`FailingPod`].
pub fn assess(live: &Live) -> Assessment {
    assess_outdated_status(live).unwrap_or_else(|| named(live, kinds::assess(live)))
}

/// Whether objects of a kind can be anything else than healthy. Those of the API server's own kinds
/// without a status cannot.
pub fn has_health(group: &str, kind: &str) -> bool {
    const PLAIN: [&str; 14] = [
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "IngressClass",
        "LimitRange",
        "Namespace",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PriorityClass",
        "Role",
        "RoleBinding",
        "Secret",
        "ServiceAccount",
        "StorageClass",
    ];
    is_custom_group(group) || !PLAIN.contains(&kind)
}

/// Puts kind and name before the reason.
fn named(live: &Live, (health, why): Assessment) -> Assessment {
    if why.is_empty() {
        return (health, why);
    }
    let kind = live["kind"].as_str().unwrap_or_default();
    let name = live["metadata"]["name"].as_str().unwrap_or_default();
    (health, format!("{kind} {name}: {why}"))
}

/// The worst health, with the reasons of the objects that have it.
pub fn aggregate(assessments: impl IntoIterator<Item = Assessment>) -> Assessment {
    let mut worst = (Health::Healthy, Vec::new());
    for (health, why) in assessments {
        if health > worst.0 {
            worst = (health, Vec::new());
        }
        if health == worst.0 && !why.is_empty() {
            worst.1.push(why);
        }
    }
    (worst.0, worst.1.join("; "))
}

/// The health of an object whose status does not describe its current spec: it is being deleted, or
/// its controller has not observed the change yet. None: the status is current.
fn assess_outdated_status(live: &Live) -> Option<Assessment> {
    let kind = live["kind"].as_str().unwrap_or_default();
    let progressing = |why: &str| Some(named(live, (Health::Progressing, why.into())));
    if live.is_being_deleted() {
        return progressing("is being deleted");
    }
    let observed = live["status"]["observedGeneration"].as_i64();
    let generation = live["metadata"]["generation"].as_i64();
    if matches!(
        kind,
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet"
    ) && observed.unwrap_or(0) < generation.unwrap_or(0)
        || observed
            .zip(generation)
            .is_some_and(|(observed, generation)| observed < generation)
    {
        return progressing("its controller has not seen the change yet");
    }
    None
}

/// Since when a custom object has no status, if no shipped rule knows its kind: its controller may
/// not have seen it yet.
pub fn silent_since(live: &Live) -> Option<Timestamp> {
    let (group, _) = live["apiVersion"].as_str()?.split_once('/')?;
    let has_no_status = live["status"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty);
    if !is_custom_group(group)
        || !has_no_status
        || !live["spec"].is_object()
        || Shipped::of(live).is_some()
        || live.annotation(HEALTH) == Some("ignore")
    {
        return None;
    }
    let entries = live["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| &entry["time"]);
    entries
        .chain([&live["metadata"]["creationTimestamp"]])
        .filter_map(|time| time.as_str()?.parse().ok())
        .max()
}

#[cfg(test)]
mod tests;
