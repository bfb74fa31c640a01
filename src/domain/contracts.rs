//! Fields that a controller fills in by contract, whoever applied the object:
//! controllers of Kubernetes, or those that manage traffic, certificates or
//! replicas. windlass leaves these fields to them, or it would revert their
//! changes again and again.

use serde_json::Value;

use super::fieldset::{Element, FieldPath};
use super::manifest::ResourceKey;

/// The prefix of the manager's name, the kind (`*`: any), and the prefix of the field's path.
/// Sources: kubernetes pkg/controller/clusterroleaggregation; cert-manager cmd/cainjector; istio
/// pkg/webhooks; argo-rollouts utils/service and rollout/trafficrouting; flagger pkg/canary and
/// pkg/router; OpenShift's openshift-controller-manager (pull secrets of ServiceAccounts).
const FILLED_IN: [(&str, &str, &[&str]); 20] = [
    (
        "clusterrole-aggregation-controller",
        "ClusterRole",
        &["rules"],
    ),
    ("cainjector", "*", &["webhooks"]),
    ("cainjector", "*", &["spec", "caBundle"]),
    ("cainjector", "*", &["spec", "conversion"]),
    ("cert-manager-cainjector", "*", &["webhooks"]),
    ("cert-manager-cainjector", "*", &["spec", "caBundle"]),
    ("cert-manager-cainjector", "*", &["spec", "conversion"]),
    ("pilot-discovery", "*", &["webhooks"]),
    ("rollouts-controller", "Service", &["spec", "selector"]),
    (
        "rollouts-controller",
        "Ingress",
        &["metadata", "annotations"],
    ),
    ("rollouts-controller", "HTTPRoute", &["spec", "rules"]),
    ("rollouts-controller", "VirtualService", &["spec"]),
    (
        "rollouts-controller",
        "DestinationRule",
        &["spec", "subsets"],
    ),
    ("rollouts-controller", "Deployment", &["spec", "replicas"]),
    ("flagger", "Service", &["spec"]),
    ("flagger", "HTTPRoute", &["spec", "rules"]),
    ("flagger", "VirtualService", &["spec"]),
    ("flagger", "Deployment", &["spec", "replicas"]),
    (
        "openshift-controller-manager",
        "ServiceAccount",
        &["secrets"],
    ),
    (
        "openshift-controller-manager",
        "ServiceAccount",
        &["imagePullSecrets"],
    ),
];

/// Whether a manager fills in a field by contract.
pub fn fills_in(manager: &str, kind: &str, field: &FieldPath) -> bool {
    FILLED_IN.iter().any(|(name, of_kind, path)| {
        (manager == *name
            || manager
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('/')))
            && (*of_kind == "*" || *of_kind == kind)
            && field.starts_with(path)
    })
}

/// The annotations that let cert-manager fill in a CA bundle.
const INJECTED: [&str; 3] = [
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/inject-apiserver-ca",
];

/// Removes fields from a manifest that controllers fill in, so that they are neither applied nor
/// compared: the rules of an aggregated ClusterRole, and CA bundles that a controller injects.
pub fn leave(key: &ResourceKey, value: &mut Value) {
    if key.group == "rbac.authorization.k8s.io"
        && key.kind == "ClusterRole"
        && value["aggregationRule"].is_object()
    {
        value.as_object_mut().map(|role| role.remove("rules"));
    }
    let injected = INJECTED
        .iter()
        .any(|name| value["metadata"]["annotations"][*name].is_string());
    let mut configs: Vec<&mut Value> = Vec::new();
    match (key.group.as_str(), key.kind.as_str()) {
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => {
            let webhooks = value
                .get_mut("webhooks")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten();
            configs.extend(webhooks.filter_map(|webhook| webhook.get_mut("clientConfig")));
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            configs.extend(value.pointer_mut("/spec/conversion/webhook/clientConfig"))
        }
        ("apiregistration.k8s.io", "APIService") => configs.extend(value.get_mut("spec")),
        _ => {}
    }
    for config in configs.into_iter().filter_map(Value::as_object_mut) {
        // `Cg==` is an empty line: tools write it as a placeholder for a required bundle.
        let placeholder = config
            .get("caBundle")
            .is_some_and(|bundle| matches!(bundle.as_str(), None | Some("" | "Cg==" | "Cgo=")));
        if placeholder || injected {
            config.remove("caBundle");
        }
    }
}

/// Adds labels that the server would add to an object without labels. Our own label would prevent
/// it from doing so: kubernetes pkg/apis/core/v1/defaults.go, SetDefaults_ReplicationController.
pub fn default_labels(key: &ResourceKey, value: &mut Value) {
    let none = value["metadata"]["labels"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty);
    if key.is_core("ReplicationController")
        && none
        && value["spec"]["template"]["metadata"]["labels"].is_object()
    {
        value["metadata"]["labels"] = value["spec"]["template"]["metadata"]["labels"].clone();
    }
}

/// The controller that applies further objects for a kind. The server's dry-run does not show
/// those.
pub fn applies_more(key: &ResourceKey) -> Option<&'static str> {
    Some(match (key.group.as_str(), key.kind.as_str()) {
        ("argoproj.io", "Application" | "ApplicationSet") => "Argo CD",
        ("helm.toolkit.fluxcd.io", _)
        | ("kustomize.toolkit.fluxcd.io", _)
        | ("source.toolkit.fluxcd.io", _) => "Flux",
        ("helm.cattle.io", _) => "the Helm controller",
        ("operators.coreos.com", _) => "the Operator Lifecycle Manager",
        ("fleet.cattle.io", _) => "Fleet",
        ("pkg.crossplane.io", _) => "Crossplane",
        _ => return None,
    })
}

/// `.spec.replicas`.
pub fn replicas() -> FieldPath {
    FieldPath(
        ["spec", "replicas"]
            .map(|name| Element::Field(name.into()))
            .into(),
    )
}

/// Whether an object sets the replicas of another: a HorizontalPodAutoscaler, or a ScaledObject of
/// KEDA.
pub fn scales(autoscaler: &Value, target: &ResourceKey) -> bool {
    let reference = match autoscaler["kind"].as_str() {
        Some("HorizontalPodAutoscaler" | "ScaledObject") => &autoscaler["spec"]["scaleTargetRef"],
        _ => return false,
    };
    let kind = reference["kind"].as_str().unwrap_or("Deployment");
    let group = reference["apiVersion"]
        .as_str()
        .unwrap_or("apps/v1")
        .split_once('/')
        .map_or("", |(group, _)| group);
    kind == target.kind && group == target.group && reference["name"] == target.name.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(group: &str, kind: &str) -> ResourceKey {
        ResourceKey {
            group: group.into(),
            kind: kind.into(),
            namespace: None,
            name: "web".into(),
        }
    }

    #[test]
    fn what_others_fill_in_is_left_to_them() {
        let role = key("rbac.authorization.k8s.io", "ClusterRole");
        let mut aggregated = json!({"aggregationRule": {"clusterRoleSelectors": []}, "rules": []});
        leave(&role, &mut aggregated);
        assert_eq!(
            aggregated,
            json!({"aggregationRule": {"clusterRoleSelectors": []}})
        );
        let mut plain = json!({"rules": [{"verbs": ["get"]}]});
        leave(&role, &mut plain);
        assert_eq!(plain["rules"][0]["verbs"][0], "get");
        let webhooks = key(
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration",
        );
        let mut hook = json!({"webhooks": [{"clientConfig": {"caBundle": "Cg==", "url": "x"}}, {"clientConfig": {"caBundle": "YWJj"}}]});
        leave(&webhooks, &mut hook);
        assert_eq!(
            hook,
            json!({"webhooks": [{"clientConfig": {"url": "x"}}, {"clientConfig": {"caBundle": "YWJj"}}]})
        );
        let path = |text: &str| FieldPath::parse(text).unwrap();
        assert!(fills_in(
            "rollouts-controller",
            "Service",
            &path(".spec.selector")
        ));
        assert!(fills_in(
            "clusterrole-aggregation-controller",
            "ClusterRole",
            &path(".rules")
        ));
        assert!(
            !fills_in("rollouts-controller", "Service", &path(".spec.ports"))
                && !fills_in("somebody", "Service", &path(".spec.selector"))
        );
        let hpa = json!({"kind": "HorizontalPodAutoscaler", "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
        assert!(
            scales(&hpa, &key("apps", "Deployment")) && !scales(&hpa, &key("apps", "StatefulSet"))
        );
        let keda = json!({"kind": "ScaledObject", "spec": {"scaleTargetRef": {"name": "web"}}});
        assert!(scales(&keda, &key("apps", "Deployment")));
    }
}
