//! What a reviewer would otherwise look up in the cluster: how many pods may be
//! down, what hangs on what is deleted, what becomes of its data.
//!
//! Only asked about what changes so, a few requests each; what may not be read
//! is left out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cluster;
use crate::controller::Result;
use crate::controller::dry_run::Asking;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::plan::{Comparison, Side};
use crate::domain::{effect, schema};

/// Deletions that are asked about, at most: beyond that the list is what counts.
const MOST: usize = 50;

/// Adds what is found out to the comparisons.
pub async fn find(asking: &Asking<'_>, comparisons: &mut [Comparison]) -> Result<()> {
    let planned: BTreeSet<_> = comparisons
        .iter()
        .map(|comparison| comparison.key.clone())
        .collect();
    let mut budgets: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut deletions = 0;
    for comparison in comparisons {
        let mut facts = Vec::new();
        match (&comparison.before, &comparison.after) {
            (Side::Object(before, _), Side::Object(after, _))
                if effect::replaces_pods(before, after) =>
            {
                let namespace = comparison.key.namespace.clone().unwrap_or_default();
                if !budgets.contains_key(&namespace) {
                    let found = asking
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
            }
            (Side::Object(before, _), Side::Object(after, _))
                if comparison.key.kind == "CustomResourceDefinition"
                    && before["spec"] != after["spec"] =>
            {
                facts.extend(invalidated(asking, after, &planned).await?);
            }
            (Side::Object(before, _), Side::Absent) if deletions < MOST => {
                deletions += 1;
                facts.extend(hanging_on(asking, &comparison.key, before).await?);
                if let Some(why) = asking
                    .cluster
                    .would_refuse_deletion(&comparison.key, before)
                    .await?
                {
                    facts.push(format!("the cluster would refuse to delete it: {why}"));
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

/// What goes with an object, or keeps it.
async fn hanging_on(asking: &Asking<'_>, key: &ResourceKey, live: &Value) -> Result<Vec<String>> {
    let cluster = &asking.cluster;
    let mut facts = Vec::new();
    let count = |number: usize, what: &str| {
        format!("{number} {what}{}", if number == 1 { "" } else { "s" })
    };
    match key.kind.as_str() {
        "PersistentVolumeClaim" => {
            if let Some(volume) = live["spec"]["volumeName"].as_str() {
                let volume = ResourceKey {
                    group: String::new(),
                    kind: "PersistentVolume".into(),
                    namespace: None,
                    name: volume.into(),
                };
                if let Some(found) = unless_forbidden(cluster.live(&volume, "v1").await)? {
                    let policy = found["spec"]["persistentVolumeReclaimPolicy"]
                        .as_str()
                        .unwrap_or("Delete");
                    facts.push(format!(
                        "its volume's reclaim policy is {policy}: the data {}",
                        if policy == "Retain" {
                            "stays"
                        } else {
                            "is deleted"
                        }
                    ));
                }
            }
        }
        "PersistentVolume" => {
            let policy = live["spec"]["persistentVolumeReclaimPolicy"]
                .as_str()
                .unwrap_or("Retain");
            facts.push(format!("its reclaim policy is {policy}"));
        }
        "CustomResourceDefinition" => {
            let (group, kind) = (
                live["spec"]["group"].as_str().unwrap_or_default(),
                live["spec"]["names"]["kind"].as_str().unwrap_or_default(),
            );
            let stored = live["spec"]["versions"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|version| version["served"] == true);
            let version = stored
                .and_then(|version| version["name"].as_str())
                .unwrap_or_default();
            let found = unless_forbidden(cluster.all(group, version, kind, None).await)?;
            facts.push(format!(
                "{} of its kind would be deleted with it",
                count(found.len(), "object")
            ));
        }
        "Namespace" => {
            let mut held = Vec::new();
            for (group, version, kind) in [
                ("apps", "v1", "Deployment"),
                ("apps", "v1", "StatefulSet"),
                ("", "v1", "PersistentVolumeClaim"),
            ] {
                let found =
                    unless_forbidden(cluster.all(group, version, kind, Some(&key.name)).await)?;
                if !found.is_empty() {
                    held.push(count(found.len(), kind));
                }
            }
            if !held.is_empty() {
                facts.push(format!("it holds {}", held.join(", ")));
            }
        }
        // How many pods of the others end, their number of replicas tells.
        "DaemonSet" => {
            let pods = unless_forbidden(cluster.pods_of(live).await)?;
            if !pods.is_empty() {
                facts.push(format!("{} of it run now", count(pods.len(), "pod")));
            }
        }
        _ => {}
    }
    let finalizers: Vec<_> = live["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !finalizers.is_empty() {
        facts.push(format!("its deletion waits for {}", finalizers.join(", ")));
    }
    Ok(facts)
}

/// The application's own live objects that a changed definition would not accept any more. Others' are not looked at: what
/// a pull request's schema says of them would tell what they hold.
async fn invalidated(
    asking: &Asking<'_>,
    definition: &Value,
    planned: &BTreeSet<ResourceKey>,
) -> Result<Option<String>> {
    let (group, kind) = (
        definition["spec"]["group"].as_str().unwrap_or_default(),
        definition["spec"]["names"]["kind"]
            .as_str()
            .unwrap_or_default(),
    );
    let stored = definition["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|version| version["storage"] == true);
    let version = stored
        .and_then(|version| version["name"].as_str())
        .unwrap_or_default()
        .to_string();
    let live = unless_forbidden(
        asking
            .cluster
            .owned(group, &version, kind, None, asking.owner)
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
        // What the same change changes of it is planned by itself.
        if planned.contains(&key) {
            continue;
        }
        let manifest = Manifest {
            key: key.clone(),
            version: version.clone(),
            value: value.clone(),
        };
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
