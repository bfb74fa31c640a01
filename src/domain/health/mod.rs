//! Whether a live object does what it was applied for.
//!
//! The rules follow kstatus, with the places where Argo CD's are better taken
//! from there: a paused Deployment is suspended, a running Job is progressing,
//! a failing pod is told at once instead of after the progress deadline.
//!
//! Rooms: `kinds` (what each kind's status means), `rules` (custom kinds), `pods`
//! (whose pods cannot run, and why).

use crate::domain::labels::HEALTH;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// A health with the sentence that explains it; empty when healthy.
pub type Assessment = (Health, String);

/// So long a controller may take to say something about an object before that it says nothing counts as health.
pub const SILENCE: SignedDuration = SignedDuration::from_secs(10);

/// Assesses a live object by the rule for its kind, where there is one; otherwise as [`assess`] does.
pub fn assess_by(rules: &[HealthRule], live: &Value) -> Assessment {
    if live["metadata"]["annotations"][HEALTH] == "ignore"
        && live["metadata"]["deletionTimestamp"].is_null()
    {
        return (Health::Healthy, String::new());
    }
    let mine: Vec<_> = rules.iter().filter(|rule| rule.is_for(live)).collect();
    if mine.is_empty() {
        return assess(live);
    }
    if let Some(unseen) = unseen(live) {
        return unseen;
    }
    aggregate(mine.into_iter().map(|rule| named(live, rule.assess(live))))
}

/// Assesses a live object by itself; why pods of it cannot run is another matter ([`FailingPod`]).
pub fn assess(live: &Value) -> Assessment {
    unseen(live).unwrap_or_else(|| named(live, kinds::assess(live)))
}

/// A sentence about an object begins with its kind and name.
fn named(live: &Value, (health, why): Assessment) -> Assessment {
    if why.is_empty() {
        return (health, why);
    }
    let kind = live["kind"].as_str().unwrap_or_default();
    let name = live["metadata"]["name"].as_str().unwrap_or_default();
    (health, format!("{kind} {name}: {why}"))
}

/// The worst of all, with the sentences of those that are that bad.
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

/// What is said of an object whose status is not about its present form.
fn unseen(live: &Value) -> Option<Assessment> {
    let kind = live["kind"].as_str().unwrap_or_default();
    let progressing = |why: &str| Some(named(live, (Health::Progressing, why.into())));
    if live["metadata"]["deletionTimestamp"].is_string() {
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

/// A custom kind of which nothing is known but that its controller has not written a status yet: since when. What is known
/// by a rule is judged by that.
pub fn silent_since(live: &Value) -> Option<Timestamp> {
    let (group, _) = live["apiVersion"].as_str()?.split_once('/')?;
    let says_nothing = live["status"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty);
    if !is_custom_group(group)
        || !says_nothing
        || !live["spec"].is_object()
        || Shipped::of(live).is_some()
        || live["metadata"]["annotations"][HEALTH] == "ignore"
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
