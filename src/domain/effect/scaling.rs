//! How many pods a workload has, and the bounds of its autoscaler.

use super::after;
use crate::domain::mask::Masked;
use crate::domain::plan::{Action, Change};

/// How many pods start or end if the number of replicas changes.
pub(super) fn scaling(change: &Change) -> Option<String> {
    let (before, after) = (replicas_of(&change.before)?, replicas_of(&change.after)?);
    let runs = matches!(
        change.key.kind.as_str(),
        "Deployment" | "StatefulSet" | "ReplicaSet"
    );
    match after - before {
        _ if !runs || change.action != Action::Configure => None,
        0 => None,
        more if more > 0 => Some(format!(
            "scales up by {}: from {before} to {after}",
            pods(more)
        )),
        -1 => Some(format!("scales down by 1 pod: from {before} to {after}")),
        fewer => Some(format!(
            "scales down by {}: from {before} to {after}",
            pods(-fewer)
        )),
    }
}

/// The target of an autoscaler, and its bounds.
pub(super) fn autoscaled(change: &Change) -> Option<(String, i64, i64)> {
    let spec = &after(change)["spec"];
    let (least, most) = match change.key.kind.as_str() {
        "HorizontalPodAutoscaler" => (
            spec["minReplicas"].as_i64().unwrap_or(1),
            spec["maxReplicas"].as_i64()?,
        ),
        // KEDA's defaults: keda.sh/docs, ScaledObject specification.
        "ScaledObject" => (
            spec["minReplicaCount"].as_i64().unwrap_or(0),
            spec["maxReplicaCount"].as_i64().unwrap_or(100),
        ),
        _ => return None,
    };
    let target = &spec["scaleTargetRef"];
    Some((
        format!(
            "{} {}",
            target["kind"].as_str().unwrap_or("Deployment"),
            target["name"].as_str()?
        ),
        least,
        most,
    ))
}

pub(super) fn replicas(change: &Change) -> i64 {
    if change.key.kind == "DaemonSet" {
        return 1;
    }
    replicas_of(&change.before)
        .or_else(|| replicas_of(&change.after))
        .unwrap_or(1)
}

fn replicas_of(side: &Option<Masked>) -> Option<i64> {
    side.as_ref()?["spec"]["replicas"].as_i64()
}

pub(super) fn pods(count: i64) -> String {
    format!("{count} pod{}", if count == 1 { "" } else { "s" })
}

/// A sentence that the workload's pods end.
pub(super) fn pods_end(change: &Change) -> String {
    match replicas(change) {
        1 => "stops its pod".into(),
        count => format!("stops its {count} pods"),
    }
}
