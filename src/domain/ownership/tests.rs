//! Conflicts, the signal and keepers on objects with `managedFields`.

use serde_json::{Value, json};

use super::*;
use crate::domain::Live;
use crate::domain::fieldset::FieldPath;

fn conflict(manager: &str, field: &str) -> Conflict {
    Conflict {
        manager: manager.into(),
        applies: false,
        subresource: None,
        field: FieldPath::parse(field).unwrap(),
    }
}

#[test]
fn a_conflict_reads_as_the_server_says_it() {
    let read = Conflict::parse(
        "conflict with \"kube-controller-manager\" with subresource \"scale\" using apps/v1",
        ".spec.replicas",
    );
    let read = read.unwrap();
    assert_eq!(
        (read.manager.as_str(), read.subresource.as_deref()),
        ("kube-controller-manager", Some("scale"))
    );
    assert_eq!(Conflict::parse("something else", ".spec"), None);
}

/// The replicas and the image of a Deployment, as we applied it.
fn applied() -> Value {
    json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}}})
}

const IMAGE: &str = ".spec.template.spec.containers[name=\"a\"].image";

/// How many fields are taken, released and undecided.
fn resolved(conflict: Conflict, applied: Option<&Value>) -> (usize, usize, usize) {
    let rules = FieldRules {
        take: vec![FieldRule {
            kind: Some("Deployment".into()),
            name: None,
            path: ".spec.paused".into(),
        }],
        ..FieldRules::default()
    };
    let all = resolve(vec![conflict], "Deployment", "api", applied, &rules, true);
    (all.take.len(), all.release.len(), all.undecided.len())
}

#[test]
fn what_we_applied_and_what_was_left_behind_is_taken() {
    let applied = applied();
    for (conflict, applied, expected) in [
        (conflict("kubectl-edit", IMAGE), Some(&applied), (1, 0, 0)),
        (conflict("kubectl-edit", IMAGE), None, (0, 0, 1)),
        (
            conflict("kubectl-client-side-apply", IMAGE),
            None,
            (1, 0, 0),
        ),
        (
            conflict("some-operator", ".spec.minReadySeconds"),
            Some(&applied),
            (0, 0, 1),
        ),
        (conflict("some-operator", ".spec.paused"), None, (1, 0, 0)),
        (conflict("kustomize-controller", IMAGE), None, (1, 0, 0)),
    ] {
        assert_eq!(resolved(conflict.clone(), applied), expected, "{conflict}");
    }
}

#[test]
fn replicas_are_left_to_what_scales() {
    let scales = |manager: &str| Conflict {
        subresource: Some("scale".into()),
        ..conflict(manager, ".spec.replicas")
    };
    for (conflict, expected) in [
        (
            conflict("horizontal-pod-autoscaler", ".spec.replicas"),
            (0, 1, 0),
        ),
        (conflict("some-operator", ".spec.replicas"), (1, 0, 0)),
        (conflict("keda", ".spec.replicas"), (0, 1, 0)),
        (scales("some-scaler"), (0, 1, 0)),
        (scales("Mozilla"), (1, 0, 0)),
    ] {
        assert_eq!(
            resolved(conflict.clone(), Some(&applied())),
            expected,
            "{conflict}"
        );
    }
}

#[test]
fn the_signal_moves_with_what_is_ours_and_not_beside() {
    let object = |fields: Value, others: Value| {
        let mut managed = vec![
            json!({"manager": "windlass/a/b", "operation": "Apply", "time": "t", "fieldsV1": fields}),
        ];
        managed.extend(others.as_array().cloned().unwrap_or_default());
        json!({"metadata": {"uid": "u", "managedFields": managed}})
    };
    let left = ownership_hash(&object(json!({"f:a": {}, "f:b": {}}), json!([])));
    let controller = json!([{"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {"f:x": {}}},
        {"manager": "kubectl", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}}]);
    assert_eq!(
        left,
        ownership_hash(&object(json!({"f:b": {}, "f:a": {}}), controller))
    );
    let person =
        json!([{"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:x": {}}}]);
    assert_ne!(
        left,
        ownership_hash(&object(json!({"f:a": {}, "f:b": {}}), person))
    );
    assert_ne!(left, ownership_hash(&object(json!({"f:a": {}}), json!([]))));
}

#[test]
fn keepers_are_told_by_their_marks() {
    let helm = json!({"metadata": {"namespace": "n", "labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "r"}}});
    assert_eq!(
        managed_by(&Live::new(helm.clone())).unwrap().to_string(),
        "the Helm release n/r"
    );
    let argo = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:n/shop"}}});
    assert_eq!(
        managed_by(&Live::new(argo.clone())).unwrap().to_string(),
        "the Argo CD Application shop"
    );
    let anywhere = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "team_shop:apps/Deployment:n/shop"}}});
    assert_eq!(
        managed_by(&Live::new(anywhere.clone()))
            .unwrap()
            .to_string(),
        "the Argo CD Application team/shop"
    );
    let labelled = |manager: &str| {
        let fields = json!({"f:metadata": {"f:labels": {"f:app.kubernetes.io/instance": {}}}});
        json!({"metadata": {"labels": {"app.kubernetes.io/instance": "shop"},
            "managedFields": [{"manager": manager, "operation": "Update", "fieldsV1": fields}]}})
    };
    assert_eq!(
        managed_by(&Live::new(labelled("argocd-controller")))
            .unwrap()
            .to_string(),
        "the Argo CD Application shop"
    );
    assert_eq!(managed_by(&Live::new(labelled("kubectl-create"))), None);
    let flux = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "a", "kustomize.toolkit.fluxcd.io/namespace": "f"}}});
    assert_eq!(
        managed_by(&Live::new(flux.clone())).unwrap().to_string(),
        "the Flux Kustomization f/a"
    );
    assert_eq!(managed_by(&Live::new(json!({"metadata": {}}))), None);
}
