//! What each deletion waits for: the health of what replaces the object, pods that still use it, or
//! custom resources whose controller it may be.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Prunable, is_custom};
use crate::controller::Result;
use crate::controller::dry_run::AppScope;
use crate::domain::Live;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::sync::Late;
use crate::domain::uses;

/// What each deletion waits for; and the objects that manifests in Git still use, which are not
/// deleted. `wanted`: the manifests in Git. Hooks are run, not kept: their deletions wait for
/// nothing.
pub(super) async fn late(
    scope: &AppScope<'_>,
    prunable: &Prunable,
    wanted: &[Manifest],
) -> Result<(BTreeMap<ResourceKey, Late>, Vec<(ResourceKey, String)>)> {
    let (mut late, mut used) = (BTreeMap::new(), Vec::new());
    let mut users: BTreeMap<Option<String>, Vec<Live>> = BTreeMap::new();
    let first = first_to_go(prunable);
    let kept = prunable.prune.iter().filter(|(_, (entry, _))| !entry.hook);
    for (key, _) in kept {
        let mut waits = match &first {
            Some(first) if !is_custom(key) => Late::After {
                what: first.to_string(),
            },
            _ => Late::Healthy,
        };
        if is_used_by_pods(key) {
            if let Some(user) = user_in_git(wanted, key) {
                used.push((key.clone(), format!("{} in Git still uses it", user.key)));
                continue;
            }
            if !users.contains_key(&key.namespace) {
                users.insert(
                    key.namespace.clone(),
                    running(scope, key.namespace.as_deref()).await?,
                );
            }
            if let Some(by) = running_user(&users[&key.namespace], key) {
                waits = Late::Used { by };
            }
        }
        late.insert(key.clone(), waits);
    }
    Ok((late, used))
}

/// The first custom resource that is to be deleted, or is being deleted.
fn first_to_go(prunable: &Prunable) -> Option<&ResourceKey> {
    let ending = prunable.ending.iter().map(|(key, _)| key);
    let all = prunable.prune.keys().chain(ending);
    all.filter(|key| is_custom(key)).min()
}

fn is_used_by_pods(key: &ResourceKey) -> bool {
    key.group.is_empty() && uses::USED.contains(&key.kind.as_str())
}

/// Whether the pod template of an object uses the object that the key names, in the same namespace.
fn needs(object: &Value, key: &ResourceKey) -> bool {
    uses::pod_spec(object).is_some_and(|spec| {
        uses::used(spec)
            .iter()
            .any(|(kind, name)| *kind == key.kind && *name == key.name)
    })
}

fn user_in_git<'a>(wanted: &'a [Manifest], key: &ResourceKey) -> Option<&'a Manifest> {
    wanted
        .iter()
        .find(|manifest| manifest.key.namespace == key.namespace && needs(&manifest.value, key))
}

/// Kind and name of a workload that runs, or will run, with it. A workload that is to be deleted
/// counts too: it is deleted first.
fn running_user(running: &[Live], key: &ResourceKey) -> Option<String> {
    let user = running
        .iter()
        .find(|object| uses::runs(object) && needs(object, key))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let (kind, name) = (text(&user["kind"]), text(&user["metadata"]["name"]));
    Some(format!("{kind} {name}"))
}

/// The workloads in a namespace, and the pods.
async fn running(scope: &AppScope<'_>, namespace: Option<&str>) -> Result<Vec<Live>> {
    let kinds = [
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("apps", "ReplicaSet"),
        ("batch", "CronJob"),
        ("batch", "Job"),
        ("", "Pod"),
    ];
    let mut found = Vec::new();
    for (group, kind) in kinds {
        match scope.cluster.all(group, "v1", kind, namespace).await {
            // A kind that may not be read is skipped: its pods may be readable.
            Err(crate::cluster::Error::Forbidden { .. }) => {}
            other => found.extend(other?),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_run_keep_what_they_name() {
        let key = |kind: &str, name: &str| ResourceKey {
            group: String::new(),
            kind: kind.into(),
            namespace: Some("a".into()),
            name: name.into(),
        };
        let user = |phase: &str, key: &ResourceKey| {
            let pod = serde_json::json!({
                "kind": "Pod",
                "metadata": {"name": "web"},
                "spec": {"containers": [], "volumes": [{"configMap": {"name": "settings"}}]},
                "status": {"phase": phase},
            });
            running_user(&[Live::new(pod)], key)
        };
        let settings = key("ConfigMap", "settings");
        assert_eq!(user("Running", &settings).as_deref(), Some("Pod web"));
        assert_eq!(user("Succeeded", &settings), None);
        assert_eq!(user("Running", &key("ConfigMap", "other")), None);
        assert_eq!(user("Running", &key("Secret", "settings")), None);
        assert!(is_used_by_pods(&settings));
        assert!(!is_used_by_pods(&key("Service", "settings")));
    }
}
