//! What a reviewer would otherwise look up in the cluster: how many pods may be
//! down, what is deleted with an object, what becomes of its data.
//!
//! Only for changes that need it, with a few requests each. What windlass may
//! not read is left out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cluster::{self, Cluster, Refusal};
use crate::controller::Result;
use crate::controller::dry_run::AppScope;
use crate::domain::manifest::{self, Manifest, ResourceKey};
use crate::domain::plan::{Comparison, Side};
use crate::domain::{Live, effect, schema};

/// The most deletions that are examined: beyond that the list itself is what counts.
const MOST: usize = 50;

/// Adds facts about the impact to the comparisons.
pub async fn find(scope: &AppScope<'_>, comparisons: &mut [Comparison]) -> Result<()> {
    let planned: BTreeSet<_> = comparisons
        .iter()
        .map(|comparison| comparison.key.clone())
        .collect();
    let mut budgets: BTreeMap<String, Vec<Live>> = BTreeMap::new();
    let mut deletions = 0;
    for comparison in comparisons {
        let mut facts = Vec::new();
        match (&comparison.before, &comparison.after) {
            (Side::Object(before, _), Side::Object(after, _))
                if effect::replaces_pods(before, after) =>
            {
                let namespace = comparison.key.namespace.clone().unwrap_or_default();
                if !budgets.contains_key(&namespace) {
                    let found = scope
                        .cluster
                        .all("policy", "v1", "PodDisruptionBudget", Some(&namespace))
                        .await;
                    budgets.insert(namespace.clone(), unless_forbidden(found)?);
                }
                let all = budgets
                    .get(&namespace)
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                facts.extend(effect::budget(after, all));
                if effect::is_between_versions(before) {
                    let sets = scope
                        .cluster
                        .all("apps", "v1", "ReplicaSet", Some(&namespace));
                    let sets = unless_forbidden(sets.await)?;
                    comparison.notes.still_ready = effect::ready_pods_of(before, after, &sets);
                }
            }
            (Side::Object(before, _), Side::Object(after, _))
                if comparison.key.kind == "CustomResourceDefinition"
                    && before["spec"] != after["spec"] =>
            {
                facts.extend(invalidated(scope, after, &planned).await?);
            }
            (Side::Object(before, _), Side::Absent) if deletions < MOST => {
                deletions += 1;
                facts.extend(deletion_facts(scope, &comparison.key, before).await?);
                let refusal = scope
                    .cluster
                    .would_refuse_deletion(&comparison.key, before)
                    .await?;
                // That windlass may not delete it says nothing where others do.
                let refusal = refusal.filter(|refusal| scope.applies() || !refusal.no_right);
                if let Some(Refusal { message, .. }) = refusal {
                    facts.push(format!("the cluster would refuse to delete it: {message}"));
                }
            }
            _ => {}
        }
        comparison.notes.facts = facts;
    }
    Ok(())
}

fn unless_forbidden<T: Default>(found: std::result::Result<T, cluster::Error>) -> Result<T> {
    match found {
        Err(cluster::Error::Forbidden { .. } | cluster::Error::Refused { .. }) => Ok(T::default()),
        other => Ok(other?),
    }
}

/// What is deleted with an object, or delays its deletion.
async fn deletion_facts(
    scope: &AppScope<'_>,
    key: &ResourceKey,
    live: &Live,
) -> Result<Vec<String>> {
    let cluster = &scope.cluster;
    let fact = match key.kind.as_str() {
        "PersistentVolumeClaim" => volume(cluster, live).await?,
        "PersistentVolume" => {
            let policy = live["spec"]["persistentVolumeReclaimPolicy"]
                .as_str()
                .unwrap_or("Retain");
            Some(format!("its reclaim policy is {policy}"))
        }
        "CustomResourceDefinition" => Some(instances(cluster, live).await?),
        "Namespace" => contents(cluster, &key.name).await?,
        // Other workloads state their number of pods as replicas.
        "DaemonSet" => {
            let pods = unless_forbidden(cluster.pods_of(live).await)?;
            (!pods.is_empty()).then(|| format!("stops its {}", count(pods.len(), "pod")))
        }
        _ => None,
    };
    Ok(fact.into_iter().chain(finalizers(live)).collect())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// What becomes of a claim's data.
async fn volume(cluster: &Cluster, claim: &Live) -> Result<Option<String>> {
    let Some(volume) = claim["spec"]["volumeName"].as_str() else {
        return Ok(None);
    };
    let volume = ResourceKey {
        group: String::new(),
        kind: "PersistentVolume".into(),
        namespace: None,
        name: volume.into(),
    };
    let found = unless_forbidden(cluster.live(&volume, "v1").await)?;
    Ok(found.as_ref().map(reclaimed))
}

fn reclaimed(volume: &Live) -> String {
    let policy = volume["spec"]["persistentVolumeReclaimPolicy"]
        .as_str()
        .unwrap_or("Delete");
    format!(
        "its volume's reclaim policy is {policy}: the data {}",
        if policy == "Retain" {
            "stays"
        } else {
            "is deleted"
        }
    )
}

/// Group, version and kind of what a definition defines: of its first version that has this flag.
fn defined<'a>(definition: &'a Value, flag: &str) -> (&'a str, &'a str, &'a str) {
    let text = |value: &'a Value| value.as_str().unwrap_or_default();
    let spec = &definition["spec"];
    let versions = spec["versions"].as_array().into_iter().flatten();
    let version = versions
        .filter(|version| version[flag] == true)
        .map(|version| text(&version["name"]))
        .next();
    (
        text(&spec["group"]),
        version.unwrap_or_default(),
        text(&spec["names"]["kind"]),
    )
}

/// How many objects of its kind are deleted with a definition.
async fn instances(cluster: &Cluster, definition: &Value) -> Result<String> {
    let (group, version, kind) = defined(definition, "served");
    let found = unless_forbidden(cluster.all(group, version, kind, None).await)?;
    Ok(format!(
        "{} of its kind would be deleted with it",
        count(found.len(), "object")
    ))
}

/// What is deleted with a namespace.
async fn contents(cluster: &Cluster, namespace: &str) -> Result<Option<String>> {
    let mut held = Vec::new();
    for (group, version, kind) in [
        ("apps", "v1", "Deployment"),
        ("apps", "v1", "StatefulSet"),
        ("", "v1", "PersistentVolumeClaim"),
    ] {
        let found = unless_forbidden(cluster.all(group, version, kind, Some(namespace)).await)?;
        if !found.is_empty() {
            held.push(count(found.len(), kind));
        }
    }
    Ok((!held.is_empty()).then(|| format!("it holds {}", held.join(", "))))
}

/// What an object's deletion waits for.
fn finalizers(live: &Live) -> Option<String> {
    let finalizers = manifest::finalizers(live);
    (!finalizers.is_empty()).then(|| format!("its deletion waits for {}", finalizers.join(", ")))
}

/// The application's own live objects that a changed definition would no longer accept. Objects of
/// others are not checked: a pull request's schema could otherwise probe their content.
async fn invalidated(
    scope: &AppScope<'_>,
    definition: &Value,
    planned: &BTreeSet<ResourceKey>,
) -> Result<Option<String>> {
    let (group, version, kind) = defined(definition, "storage");
    let live = unless_forbidden(
        scope
            .cluster
            .owned(group, version, kind, None, scope.owner)
            .await,
    )?;
    let mut broken = Vec::new();
    for value in &live {
        let name = value["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_string();
        let namespace = value["metadata"]["namespace"].as_str().map(str::to_string);
        let key = ResourceKey {
            group: group.into(),
            kind: kind.into(),
            namespace,
            name,
        };
        // If the same change changes the object, the plan shows that by itself.
        if planned.contains(&key) {
            continue;
        }
        let manifest = Manifest::new(key.clone(), version, value.clone().into_value());
        if !schema::fits_stored(definition, &manifest) {
            broken.push(key.to_string());
        }
    }
    Ok((!broken.is_empty()).then(|| {
        format!(
            "{} of this application's live objects would not be valid any more: {}",
            broken.len(),
            broken.join(", ")
        )
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_reclaim_policy_says_what_becomes_of_the_data() {
        for (policy, fate) in [
            (json!("Retain"), "Retain: the data stays"),
            (json!("Delete"), "Delete: the data is deleted"),
            (Value::Null, "Delete: the data is deleted"),
        ] {
            let volume = json!({"spec": {"persistentVolumeReclaimPolicy": policy}});
            assert!(
                reclaimed(&Live::new(volume.clone())).ends_with(fate),
                "{policy}"
            );
        }
    }

    #[test]
    fn finalizers_keep_an_object() {
        for (listed, expected) in [
            (Value::Null, None),
            (json!([]), None),
            (
                json!(["a/b", "c/d"]),
                Some("its deletion waits for a/b, c/d"),
            ),
        ] {
            let live = json!({"metadata": {"finalizers": listed}});
            assert_eq!(finalizers(&Live::new(live.clone())).as_deref(), expected);
        }
    }
}
