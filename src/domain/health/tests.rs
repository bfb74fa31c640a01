//! What is said of objects by their status, and of pods that cannot run.

use std::collections::BTreeSet;

use serde_json::json;

use serde_json::Value;

use super::*;
use crate::domain::cel::Condition;

fn rollout(status: Value) -> Value {
    json!({"kind": "Deployment", "metadata": {"name": "web", "generation": 2},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"image": "a:new"}]}}}, "status": status})
}

#[test]
fn a_deployment_is_healthy_only_when_the_new_version_is() {
    let table = [
        (
            json!({"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}),
            Health::Progressing,
        ),
        (
            json!({"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 2, "replicas": 3}),
            Health::Progressing,
        ),
        (
            json!({"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 3}),
            Health::Progressing,
        ),
        (
            json!({"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 1, "replicas": 2}),
            Health::Progressing,
        ),
        (
            json!({"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}),
            Health::Healthy,
        ),
        (json!({}), Health::Progressing),
    ];
    for (status, health) in table {
        assert_eq!(
            assess(&Live::new(rollout(status.clone()))).0,
            health,
            "{status}"
        );
    }
}

#[test]
fn a_failing_pod_of_the_new_version_is_the_reason() {
    let workload = |image: &str, value: &str| {
        let containers =
            json!([{"name": "web", "image": image, "env": [{"name": "A", "value": value}]}]);
        let template =
            json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}});
        let spec = json!({"selector": {"matchLabels": {"app": "web"}}, "template": template});
        Workload::of(&Live::new(json!({"kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec}))).unwrap()
    };
    let pod = |kind: &str, status: Value| {
        let env = json!([{"name": "INJECTED", "value": "x"}, {"name": "A", "value": "1"}]);
        json!({"metadata": {"name": "web-1", "uid": "u", "labels": {"app": "web", "hash": "1"}},
            "spec": {"containers": [{"name": "web", "image": "a:1", "env": env}, {"name": "injected", "image": "b"}]},
            "status": {kind: [status]}})
    };
    let crashes = json!({"name": "web", "restartCount": 1, "ready": false, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1}}});
    let running =
        |ready| json!({"name": "web", "restartCount": 2, "ready": ready, "state": {"running": {}}});
    for kind in ["containerStatuses", "initContainerStatuses"] {
        let failing = FailingPod::read(&pod(kind, crashes.clone()), None).unwrap();
        assert_eq!(
            failing.why,
            "pod web-1: CrashLoopBackOff (exit code 1) in container web"
        );
        // Another version is another's, whatever differs.
        assert!(workload("a:1", "1").has(&failing));
        assert!(!workload("a:2", "1").has(&failing) && !workload("a:1", "2").has(&failing));
        // Until it is ready the first reason stays; another pod of the same name has its own.
        assert_eq!(
            FailingPod::read(&pod(kind, running(false)), Some(&failing)),
            Some(failing.clone())
        );
        assert_eq!(
            FailingPod::read(&pod(kind, running(true)), Some(&failing)),
            None
        );
        let mut before = pod(kind, crashes.clone());
        before["metadata"]["uid"] = "before".into();
        let another = FailingPod::read(&before, None).unwrap();
        assert_eq!(
            FailingPod::read(&pod(kind, running(false)), Some(&another)),
            None
        );
    }
}

#[test]
fn custom_kinds_are_judged_by_their_rules() {
    let rule = |text: &str| Some(Condition::parse(text).unwrap());
    let rules = [HealthRule {
        group: "acme.example".into(),
        kind: "Backup".into(),
        progressing: rule("self.status.phase == 'Running'"),
        failed: rule("self.status.phase == 'Failed'"),
        healthy: rule("self.status.phase == 'Done'"),
    }];
    let backup = |phase: &str| json!({"apiVersion": "acme.example/v1", "kind": "Backup", "metadata": {"name": "b"}, "status": {"phase": phase}});
    for (phase, health) in [
        ("Running", Health::Progressing),
        ("Failed", Health::Degraded),
        ("Done", Health::Healthy),
        ("", Health::Progressing),
    ] {
        assert_eq!(
            assess_by(&rules, &Live::new(backup(phase))).0,
            health,
            "{phase}"
        );
    }
    let mut other = backup("Failed");
    other["kind"] = "Restore".into();
    assert_eq!(
        assess_by(&rules, &Live::new(other.clone())).0,
        Health::Healthy
    );
}

#[test]
fn what_cannot_work_is_degraded() {
    let quota = rollout(json!({"observedGeneration": 2, "conditions": [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: pods"}]}));
    assert_eq!(
        assess(&Live::new(quota.clone())),
        (
            Health::Degraded,
            "Deployment web: its pods cannot be created: exceeded quota: pods".into()
        )
    );
    let api = json!({"kind": "APIService", "metadata": {"name": "a"}, "status": {"conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}]}});
    assert_eq!(assess(&Live::new(api.clone())).0, Health::Progressing);
}

#[test]
fn the_shipped_rules_say_what_controllers_mean() {
    let rules: Vec<Shipped> = serde_yaml::from_str(include_str!("../health_rules.yaml")).unwrap();
    assert!(rules.len() > 100);
    let cases: Vec<Value> =
        serde_yaml::from_str(include_str!("../../../tests/fixtures/health_statuses.yaml")).unwrap();
    let mut kinds = BTreeSet::new();
    for case in &cases {
        let mut live = case.clone();
        live["metadata"] = json!({"name": "x"});
        for (field, value) in case["metadata"].as_object().into_iter().flatten() {
            live["metadata"][field] = value.clone();
        }
        if !case["generation"].is_null() {
            live["metadata"]["generation"] = case["generation"].clone();
        }
        let (health, why) = assess_by(&[], &Live::new(live.clone()));
        assert_eq!(
            json!(health),
            case["expect"],
            "{} {}: {} ({why})",
            case["apiVersion"],
            case["kind"],
            case["name"]
        );
        kinds.insert(case["kind"].to_string());
    }
    assert!(kinds.len() >= 40 && cases.len() >= 200);
}

#[test]
fn what_is_not_to_count_does_not_and_silence_is_no_health() {
    let balancer = |annotation: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "annotations": annotation}, "spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {}}});
    assert_eq!(
        assess_by(&[], &Live::new(balancer(json!({})))).0,
        Health::Progressing
    );
    assert_eq!(
        assess_by(&[], &Live::new(balancer(json!({HEALTH: "ignore"})))).0,
        Health::Healthy
    );
    let custom = |status: Value| {
        json!({"apiVersion": "acme.example/v1", "kind": "Thing", "spec": {}, "status": status,
            "metadata": {"name": "a", "creationTimestamp": "2026-11-27T00:00:00Z", "managedFields": [{"time": "2026-11-27T00:01:00Z"}]}})
    };
    assert_eq!(
        silent_since(&Live::new(custom(json!({}))))
            .unwrap()
            .to_string(),
        "2026-11-27T00:01:00Z"
    );
    assert_eq!(
        silent_since(&Live::new(custom(json!({"phase": "x"})))),
        None
    );
}

#[test]
fn what_may_pass_has_time_to() {
    let pod = |reason: &str, state: Value| {
        json!({"metadata": {"name": "a", "uid": "u"}, "spec": {"containers": [{"name": "a"}]}, "status": {
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": reason, "lastTransitionTime": "2026-11-27T00:00:00Z"}],
            "containerStatuses": [{"name": "a", "state": state}]}})
    };
    let from = |pod: &Value, known: Option<&FailingPod>| {
        FailingPod::read(pod, known)
            .unwrap()
            .from
            .map(|from| from.to_string())
    };
    let waits = pod("Unschedulable", json!({}));
    assert_eq!(from(&waits, None).as_deref(), Some("2026-11-27T00:03:00Z"));
    let pulls = pod("", json!({"waiting": {"reason": "ErrImagePull"}}));
    assert_eq!(from(&pulls, None).as_deref(), Some("2026-11-27T00:01:00Z"));
    let known = FailingPod::read(&pulls, None).unwrap();
    let crashes = pod("", json!({"waiting": {"reason": "CrashLoopBackOff"}}));
    assert_eq!(from(&crashes, Some(&known)), None);
    assert!(
        FailingPod::read(&crashes, Some(&known))
            .unwrap()
            .why
            .contains("CrashLoopBackOff")
    );
}

#[test]
fn the_worst_counts() {
    let read = aggregate([
        (Health::Healthy, String::new()),
        (Health::Degraded, "b".into()),
        (Health::Progressing, "c".into()),
        (Health::Degraded, "d".into()),
    ]);
    assert_eq!(read, (Health::Degraded, "b; d".into()));
}
