//! Health by kind: the built-in kinds, and custom kinds without a rule.

use serde_json::Value;

use super::pods::pod_failure;
use super::rules::Shipped;
use super::{Assessment, Health};
use crate::domain::Live;

/// The health of an object by its kind. Its status is current.
pub(super) fn assess(live: &Live) -> Assessment {
    match live["kind"].as_str().unwrap_or_default() {
        "Deployment" => replica_failure(live).unwrap_or_else(|| deployment(live)),
        "StatefulSet" => stateful_set(live),
        "DaemonSet" => daemon_set(live),
        "ReplicaSet" => replica_failure(live).unwrap_or_else(|| replica_set(live)),
        "Job" => job(live),
        "Pod" => pod(live),
        "PersistentVolumeClaim" => match live["status"]["phase"].as_str() {
            Some("Lost") => (Health::Degraded, "its volume is lost".into()),
            _ => (Health::Healthy, String::new()),
        },
        "Service"
            if live["spec"]["type"] == "LoadBalancer"
                && live["status"]["loadBalancer"]["ingress"]
                    .as_array()
                    .is_none_or(Vec::is_empty) =>
        {
            (Health::Progressing, "waits for its load balancer".into())
        }
        "CustomResourceDefinition" => match condition(live, "Established") {
            Some(("True", _)) => (Health::Healthy, String::new()),
            _ => (Health::Progressing, "is not established yet".into()),
        },
        // A missing metric is a matter of monitoring; an autoscaler that cannot scale at all is a
        // failure.
        "HorizontalPodAutoscaler" => match condition(live, "AbleToScale") {
            Some(("False", reason)) => (Health::Degraded, format!("cannot scale: {reason}")),
            _ => (Health::Healthy, String::new()),
        },
        "APIService" => match condition(live, "Available") {
            Some(("True", _)) => (Health::Healthy, String::new()),
            found => (
                Health::Progressing,
                format!(
                    "is not available: {}",
                    found.map_or("", |(_, reason)| reason)
                ),
            ),
        },
        "Namespace" => (Health::Healthy, String::new()),
        _ => match Shipped::of(live) {
            Some(rule) => rule.assess(live),
            None => generic(live),
        },
    }
}

/// The health of a workload whose pods cannot be created.
fn replica_failure(live: &Live) -> Option<Assessment> {
    condition(live, "ReplicaFailure").filter(|(status, _)| *status == "True")?;
    Some((
        Health::Degraded,
        format!(
            "its pods cannot be created: {}",
            message(live, "ReplicaFailure")
        ),
    ))
}

fn deployment(live: &Live) -> Assessment {
    if live["spec"]["paused"] == true {
        return (Health::Suspended, "its rollout is paused".into());
    }
    if let Some(("False", "ProgressDeadlineExceeded")) = condition(live, "Progressing") {
        return (
            Health::Degraded,
            "its rollout exceeded its progress deadline".into(),
        );
    }
    let status = |field: &str| live["status"][field].as_i64().unwrap_or(0);
    let wanted = live["spec"]["replicas"].as_i64().unwrap_or(1);
    if status("updatedReplicas") < wanted {
        return (
            Health::Progressing,
            format!(
                "{} of {wanted} pods are of the new version",
                status("updatedReplicas")
            ),
        );
    }
    if status("replicas") > status("updatedReplicas") {
        return (
            Health::Progressing,
            format!(
                "{} old pods still have to stop",
                status("replicas") - status("updatedReplicas")
            ),
        );
    }
    if status("availableReplicas") < wanted {
        return (
            Health::Progressing,
            format!(
                "{} of {wanted} pods are available",
                status("availableReplicas")
            ),
        );
    }
    (Health::Healthy, String::new())
}

fn stateful_set(live: &Live) -> Assessment {
    let status = |field: &str| live["status"][field].as_i64().unwrap_or(0);
    let wanted = live["spec"]["replicas"].as_i64().unwrap_or(1);
    if live["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return (Health::Healthy, String::new());
    }
    let partition = live["spec"]["updateStrategy"]["rollingUpdate"]["partition"]
        .as_i64()
        .unwrap_or(0);
    if status("readyReplicas") < wanted {
        return (
            Health::Progressing,
            format!("{} of {wanted} pods are ready", status("readyReplicas")),
        );
    }
    if partition > 0 {
        return match status("updatedReplicas") >= wanted - partition {
            true => (Health::Healthy, String::new()),
            false => (
                Health::Progressing,
                format!(
                    "{} of {} pods are of the new version",
                    status("updatedReplicas"),
                    wanted - partition
                ),
            ),
        };
    }
    if live["status"]["currentRevision"] != live["status"]["updateRevision"] {
        return (
            Health::Progressing,
            format!(
                "{} of {wanted} pods are of the new version",
                status("updatedReplicas")
            ),
        );
    }
    (Health::Healthy, String::new())
}

fn daemon_set(live: &Live) -> Assessment {
    let status = |field: &str| live["status"][field].as_i64().unwrap_or(0);
    let wanted = status("desiredNumberScheduled");
    // With OnDelete, pods are replaced only when somebody deletes them.
    if live["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return (Health::Healthy, String::new());
    }
    for (field, what) in [
        ("updatedNumberScheduled", "of the new version"),
        ("numberAvailable", "available"),
    ] {
        if status(field) < wanted {
            return (
                Health::Progressing,
                format!("{} of {wanted} pods are {what}", status(field)),
            );
        }
    }
    (Health::Healthy, String::new())
}

fn replica_set(live: &Live) -> Assessment {
    let wanted = live["spec"]["replicas"].as_i64().unwrap_or(1);
    match live["status"]["readyReplicas"].as_i64().unwrap_or(0) {
        ready if ready < wanted => (
            Health::Progressing,
            format!("{ready} of {wanted} pods are ready"),
        ),
        _ => (Health::Healthy, String::new()),
    }
}

fn job(live: &Live) -> Assessment {
    if let Some(("True", reason)) = condition(live, "Failed") {
        return (Health::Degraded, format!("failed: {reason}"));
    }
    if let Some(("True", _)) = condition(live, "Complete") {
        return (Health::Healthy, String::new());
    }
    if live["spec"]["suspend"] == true {
        return (Health::Suspended, "is suspended".into());
    }
    (Health::Progressing, "is running".into())
}

fn pod(live: &Live) -> Assessment {
    match pod_failure(live) {
        Some((reason, None)) => return (Health::Degraded, reason),
        Some((reason, Some(_))) => return (Health::Progressing, reason),
        None => {}
    }
    match (live["status"]["phase"].as_str(), condition(live, "Ready")) {
        (Some("Succeeded"), _) | (Some("Running"), Some(("True", _))) => {
            (Health::Healthy, String::new())
        }
        (Some("Failed"), _) => (Health::Degraded, "failed".into()),
        _ => (Health::Progressing, "is not ready yet".into()),
    }
}

/// A custom kind without a rule: by its conditions `Stalled` and `Ready`.
fn generic(live: &Live) -> Assessment {
    if let Some(("True", reason)) = condition(live, "Stalled") {
        return (Health::Degraded, format!("stalled: {reason}"));
    }
    match condition(live, "Ready") {
        Some(("True", _)) | None => (Health::Healthy, String::new()),
        Some((_, reason)) => {
            let message = message(live, "Ready");
            (
                Health::Progressing,
                format!(
                    "is not ready: {}",
                    if message.is_empty() { reason } else { message }
                ),
            )
        }
    }
}

fn condition<'a>(live: &'a Value, kind: &str) -> Option<(&'a str, &'a str)> {
    let conditions = live["status"]["conditions"].as_array()?;
    let condition = conditions
        .iter()
        .find(|condition| condition["type"] == kind)?;
    Some((
        condition["status"].as_str()?,
        condition["reason"].as_str().unwrap_or_default(),
    ))
}

fn message<'a>(live: &'a Value, kind: &str) -> &'a str {
    let conditions = live["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    conditions
        .filter(|condition| condition["type"] == kind)
        .find_map(|condition| condition["message"].as_str())
        .unwrap_or_default()
}
