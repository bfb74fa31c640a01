//! The objects that pods need to start: the ConfigMaps, Secrets, ServiceAccounts and
//! PersistentVolumeClaims that a pod template names.

use std::collections::BTreeSet;

use serde_json::Value;

/// The kinds that a pod template names.
pub const USED: [&str; 4] = [
    "ConfigMap",
    "PersistentVolumeClaim",
    "Secret",
    "ServiceAccount",
];

/// The pod spec of an object; None: it runs no pods.
pub fn pod_spec(object: &Value) -> Option<&Value> {
    let spec = &object["spec"];
    let pod_spec = match object["kind"].as_str()? {
        "Pod" => spec,
        "CronJob" => &spec["jobTemplate"]["spec"]["template"]["spec"],
        _ => &spec["template"]["spec"],
    };
    pod_spec["containers"].is_array().then_some(pod_spec)
}

/// Whether pods of this object run or will run. They do not if a ReplicaSet is scaled to zero, or a
/// Job or pod has ended.
pub fn runs(object: &Value) -> bool {
    match object["kind"].as_str() {
        Some("ReplicaSet") => {
            object["spec"]["replicas"] != 0 || object["status"]["replicas"].as_i64() > Some(0)
        }
        Some("Pod") => !matches!(
            object["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        ),
        Some("Job") => {
            object["status"]["completionTime"].is_null() && object["status"]["failed"].is_null()
        }
        _ => true,
    }
}

/// Kind and name of each object that a pod of this spec uses.
pub fn used(spec: &Value) -> BTreeSet<(&'static str, String)> {
    let mut found = BTreeSet::new();
    let mut add = |kind: &'static str, name: &Value| {
        if let Some(name) = name.as_str() {
            found.insert((kind, name.to_string()));
        }
    };
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for volume in items(&spec["volumes"]) {
        add("ConfigMap", &volume["configMap"]["name"]);
        add("Secret", &volume["secret"]["secretName"]);
        add(
            "PersistentVolumeClaim",
            &volume["persistentVolumeClaim"]["claimName"],
        );
        for source in items(&volume["projected"]["sources"]) {
            add("ConfigMap", &source["configMap"]["name"]);
            add("Secret", &source["secret"]["name"]);
        }
    }
    for containers in ["initContainers", "containers"] {
        for container in items(&spec[containers]) {
            for from in items(&container["envFrom"]) {
                add("ConfigMap", &from["configMapRef"]["name"]);
                add("Secret", &from["secretRef"]["name"]);
            }
            for variable in items(&container["env"]) {
                add(
                    "ConfigMap",
                    &variable["valueFrom"]["configMapKeyRef"]["name"],
                );
                add("Secret", &variable["valueFrom"]["secretKeyRef"]["name"]);
            }
        }
    }
    for secret in items(&spec["imagePullSecrets"]) {
        add("Secret", &secret["name"]);
    }
    add("ServiceAccount", &spec["serviceAccountName"]);
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_way_to_use_something_is_known() {
        let spec = json!({"serviceAccountName": "account", "imagePullSecrets": [{"name": "pull"}],
            "volumes": [{"configMap": {"name": "mounted"}}, {"secret": {"secretName": "key"}}, {"persistentVolumeClaim": {"claimName": "data"}},
                {"projected": {"sources": [{"configMap": {"name": "part"}}, {"secret": {"name": "token"}}]}}],
            "initContainers": [{"envFrom": [{"configMapRef": {"name": "all"}}, {"secretRef": {"name": "hidden"}}]}],
            "containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "one"}}}, {"valueFrom": {"secretKeyRef": {"name": "word"}}}]}]});
        let names: Vec<_> = used(&spec)
            .into_iter()
            .map(|(kind, name)| format!("{kind} {name}"))
            .collect();
        assert_eq!(
            names.join(", "),
            "ConfigMap all, ConfigMap mounted, ConfigMap one, ConfigMap part, PersistentVolumeClaim data, Secret hidden, Secret key, Secret pull, Secret token, Secret word, ServiceAccount account"
        );
        let cron = json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}});
        assert_eq!(used(pod_spec(&cron).unwrap()).len(), 11);
        let set = |wanted: i64, there: i64| json!({"kind": "ReplicaSet", "spec": {"replicas": wanted}, "status": {"replicas": there}});
        assert!(runs(&set(1, 0)) && runs(&set(0, 1)) && !runs(&set(0, 0)));
    }
}
