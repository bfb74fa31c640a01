//! The status of an application that another reconciler deploys, read from the Argo
//! CD `Application` or the Flux `Kustomization`.

use serde_json::Value;

use super::CommitSha;
use super::health::{Assessment, Health};
use crate::domain::Live;

/// The status that another reconciler reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalStatus {
    /// The commit that it applied last.
    pub revision: Option<CommitSha>,
    /// Whether the cluster agrees with that commit.
    pub synced: bool,
    pub health: Assessment,
    /// Why it failed: somebody has to change something.
    pub failed: Option<String>,
}

/// An Argo CD `Application`'s status.
pub fn argo_cd(live: &Live) -> ExternalStatus {
    let status = &live["status"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let why = text(&status["health"]["message"]);
    let health = match status["health"]["status"].as_str() {
        Some("Healthy") => (Health::Healthy, String::new()),
        Some("Suspended") => (Health::Suspended, why),
        Some("Progressing") => (Health::Progressing, why),
        Some("Missing") => (Health::Missing, why),
        Some("Degraded") => (Health::Degraded, why),
        _ => (Health::Unknown, why),
    };
    let operation = &status["operationState"];
    let failed = matches!(operation["phase"].as_str(), Some("Failed" | "Error"))
        .then(|| text(&operation["message"]));
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let error = conditions
        .filter(|condition| {
            condition["type"]
                .as_str()
                .is_some_and(|kind| kind.ends_with("Error"))
        })
        .map(|condition| text(&condition["message"]))
        .next();
    ExternalStatus {
        revision: status["sync"]["revision"]
            .as_str()
            .and_then(|text| text.parse().ok()),
        synced: status["sync"]["status"] == "Synced",
        health,
        failed: failed.or(error),
    }
}

/// A Flux `Kustomization`'s status.
pub fn flux(live: &Live) -> ExternalStatus {
    let status = &live["status"];
    let conditions = status["conditions"].as_array();
    let condition = |kind: &str| {
        conditions.and_then(|all| all.iter().find(|condition| condition["type"] == kind))
    };
    let ready = condition("Ready");
    let message = ready
        .and_then(|ready| ready["message"].as_str())
        .unwrap_or_default()
        .to_string();
    let is = |condition: Option<&Value>, status: &str| {
        condition.is_some_and(|condition| condition["status"] == status)
    };
    let observed = status["observedGeneration"].as_i64() >= live["metadata"]["generation"].as_i64();
    let health = if live["spec"]["suspend"] == true {
        (Health::Suspended, "it is suspended".to_string())
    } else if !observed
        || is(condition("Reconciling"), "True")
        || is(ready, "Unknown")
        || ready.is_none()
    {
        (Health::Progressing, message.clone())
    } else if is(ready, "True") {
        (Health::Healthy, String::new())
    } else {
        (Health::Degraded, message.clone())
    };
    // `main@sha1:…`; `main/…` before Flux 2.0.
    let revision = status["lastAppliedRevision"]
        .as_str()
        .and_then(|text| text.rsplit([':', '/']).next());
    ExternalStatus {
        revision: revision.and_then(|text| text.parse().ok()),
        synced: status["lastAppliedRevision"] == status["lastAttemptedRevision"] && observed,
        failed: (health.0 == Health::Degraded).then_some(message),
        health,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn others_are_read_as_they_write() {
        let sha = "a".repeat(40);
        let argo = argo_cd(&Live::new(
            json!({"status": {"sync": {"status": "Synced", "revision": sha}, "health": {"status": "Progressing", "message": "waits"}}}),
        ));
        assert_eq!(
            (
                argo.revision.unwrap().to_string(),
                argo.synced,
                argo.health,
                argo.failed
            ),
            (
                sha.clone(),
                true,
                (Health::Progressing, "waits".into()),
                None
            )
        );
        let failed = argo_cd(&Live::new(
            json!({"status": {"sync": {"status": "OutOfSync"}, "health": {"status": "Healthy"}, "operationState": {"phase": "Failed", "message": "no"}}}),
        ));
        assert_eq!(
            (failed.synced, failed.failed.as_deref()),
            (false, Some("no"))
        );
        let revision = format!("main@sha1:{sha}");
        let ready = |status: &str| {
            json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "lastAppliedRevision": revision, "lastAttemptedRevision": revision,
            "conditions": [{"type": "Ready", "status": status, "message": "m"}]}})
        };
        let healthy = flux(&Live::new(ready("True")));
        assert_eq!(
            (
                healthy.revision.unwrap().to_string(),
                healthy.synced,
                healthy.health.0
            ),
            (sha, true, Health::Healthy)
        );
        assert_eq!(
            flux(&Live::new(ready("False"))).failed.as_deref(),
            Some("m")
        );
        assert_eq!(
            flux(&Live::new(json!({"metadata": {"generation": 1}})))
                .health
                .0,
            Health::Progressing
        );
    }
}
