//! The pods that a change replaces, and in which order.

use serde_json::Value;

use super::scaling::{pods, replicas};
use crate::domain::Live;
use crate::domain::plan::{Action, Change, Plan};

/// How many pods a plan replaces while others serve.
pub fn pods_rolled(plan: &Plan) -> i64 {
    let rolling = plan.effective().filter(|change| rolls(change));
    rolling
        .filter(|change| !stops_first(change))
        .map(|change| replicas(change) - still_ready(change))
        .sum()
}

/// The pods of a workload that it has already as it will be.
fn still_ready(change: &Change) -> i64 {
    change.notes.still_ready.min(replicas(change))
}

/// Ready pods of a Deployment's new pod template, by its ReplicaSets.
pub fn ready_pods_of(before: &Live, after: &Value, replica_sets: &[Live]) -> i64 {
    let template = &after["spec"]["template"];
    let is_of = |set: &&Live| {
        let owners = set["metadata"]["ownerReferences"].as_array();
        let mut owners = owners.into_iter().flatten();
        owners.any(|owner| {
            owner["uid"]
                .as_str()
                .is_some_and(|uid| before.uid() == Some(uid))
        })
    };
    let has_template = |set: &&Live| {
        let mut own = set["spec"]["template"].clone();
        if let Some(Value::Object(labels)) = own.pointer_mut("/metadata/labels") {
            labels.remove("pod-template-hash");
        }
        own == *template
    };
    let sets = replica_sets.iter().filter(is_of).filter(has_template);
    sets.filter_map(|set| set["status"]["readyReplicas"].as_i64())
        .sum()
}

/// Whether a Deployment's last roll-out did not end.
pub fn is_between_versions(live: &Value) -> bool {
    let count = |field: &str| live["status"][field].as_i64().unwrap_or_default();
    live["kind"] == "Deployment" && count("updatedReplicas") < count("replicas")
}

/// Whether all pods of a workload that has some stop before new ones start.
pub fn stops_all(plan: &Plan) -> bool {
    let mut rolling = plan.effective().filter(|change| rolls(change));
    rolling.any(|change| stops_first(change) && replicas(change) > 0)
}

/// Whether a change replaces a workload's pods: the pod template differs.
pub fn replaces_pods(before: &Value, after: &Value) -> bool {
    let (before, after, kind) = (
        &before["spec"]["template"],
        &after["spec"]["template"],
        &after["kind"],
    );
    matches!(
        kind.as_str(),
        Some("Deployment" | "StatefulSet" | "DaemonSet")
    ) && before.is_object()
        && before != after
}

pub(super) fn rolls(change: &Change) -> bool {
    let sides = change.before.as_ref().zip(change.after.as_ref());
    change.action == Action::Configure
        && sides.is_some_and(|(before, after)| replaces_pods(before, after))
}

/// Whether all pods stop before new ones start.
pub(super) fn stops_first(change: &Change) -> bool {
    let strategy = |object: &Value| object["spec"]["strategy"]["type"] == "Recreate";
    change.key.kind == "Deployment" && change.after.as_ref().is_some_and(|after| strategy(after))
}

/// How many pods are available all the while. Shares of the surge are rounded up, those of what may
/// be missing down; without either, one may be missing (kubernetes pkg/controller/deployment/util,
/// ResolveFenceposts).
pub(super) fn stays_available(pods: i64, surge: &Value, down: &Value) -> Option<String> {
    let share = |value: &Value| -> Option<(i64, i64)> {
        let Some(text) = value.as_str() else {
            let count = value.as_i64()?;
            return Some((count, count));
        };
        let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
        Some((pods * percent / 100, (pods * percent + 99) / 100))
    };
    let ((_, surge), (down, _)) = (share(surge)?, share(down)?);
    let missing = if surge == 0 && down == 0 { 1 } else { down };
    Some(match (pods, pods - missing) {
        (_, ..=0) => ": none may be available meanwhile".into(),
        (1, _) => ": the old one stops once the new one is ready".into(),
        (all, least) if all == least => format!(": all {all} stay available"),
        (all, least) => format!(": at least {least} of {all} stay available"),
    })
}

/// What a roll-out to a version is whose pods still run.
fn still_running(change: &Change) -> Option<String> {
    let all = replicas(change);
    match still_ready(change) {
        0 => None,
        ready if ready == all => Some(format!(
            "no pod restarts: {} of this version still run, and those of the other one end",
            pods(ready)
        )),
        ready => Some(format!(
            "rolls {} of {all} pods: {ready} of this version still run",
            all - ready
        )),
    }
}

pub(super) fn rollout(change: &Change) -> String {
    let after = change.after.as_ref();
    let spec = |path: &str| {
        after
            .and_then(|value| value.pointer(path))
            .cloned()
            .unwrap_or_default()
    };
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_string)
    };
    let pods = match change.key.kind.as_str() {
        "DaemonSet" => "a pod on every node".to_string(),
        _ => pods(replicas(change)),
    };
    if change.key.kind == "Deployment" {
        if stops_first(change) {
            return format!(
                "downtime: replaces {pods}, and all stop before new ones start (strategy Recreate)"
            );
        }
        let (surge, down) = (
            spec("/spec/strategy/rollingUpdate/maxSurge"),
            spec("/spec/strategy/rollingUpdate/maxUnavailable"),
        );
        if let Some(text) = still_running(change) {
            return text;
        }
        return match surge.is_null() {
            true => format!("rolls {pods}"),
            false => format!(
                "rolls {pods} (maxSurge {}, maxUnavailable {}){}",
                text(&surge),
                text(&down),
                stays_available(replicas(change), &surge, &down).unwrap_or_default()
            ),
        };
    }
    if spec("/spec/updateStrategy/type") == "OnDelete" {
        return format!("replaces {pods} only when somebody deletes them (strategy OnDelete)");
    }
    format!("rolls {pods}, one after another")
}
