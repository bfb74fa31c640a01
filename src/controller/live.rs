//! What the cluster says about an application's manifests: the reading half
//! that previews and syncs share.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::Result;
use crate::cluster::{self, Applied, Cluster};
use crate::domain::catalog::Target;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::plan::{Proof, Side};
use crate::domain::{ApplicationKey, OWNER_LABEL, plan};

/// Requests in flight for one application: more does not make the API server faster.
const IN_FLIGHT: usize = 16;

/// A desired object and what the server would make of it.
#[derive(Debug, Clone)]
pub struct Desired {
    pub manifest: Manifest,
    pub predicted: Side,
}

/// Settles namespaces by discovery, marks the objects as the application's, and has the server dry-run each.
pub async fn predict(
    cluster: &Cluster,
    key: &ApplicationKey,
    target: &Target,
    owner: &str,
    manifests: &[Manifest],
) -> Result<Vec<Desired>> {
    let mut settled = Vec::new();
    for manifest in manifests {
        let mut manifest = manifest.clone();
        let kind = cluster.kind(&manifest.key.group, &manifest.version, &manifest.key.kind).await?;
        let namespaced = kind.map_or_else(|| scope_of(manifests, &manifest.key), |(_, namespaced)| namespaced);
        manifest.normalise(namespaced, &target.destination.namespace);
        manifest.label(key, owner);
        settled.push(manifest);
    }
    let namespaces: BTreeSet<_> = settled.iter().filter(|m| m.key.kind == "Namespace").map(|m| m.key.name.clone()).collect();
    let manager = key.field_manager();
    let dry_runs = settled.iter().map(|manifest| {
        let (manager, namespaces, settled) = (&manager, &namespaces, &settled);
        async move {
            if let Some(why) = foreign(cluster, target, owner, manifest).await? {
                return Ok(Desired { manifest: manifest.clone(), predicted: Side::Refused(why) });
            }
            let predicted = match cluster.apply(manifest, manager, true).await? {
                Applied::Object(value) => Side::Object(value, Proof::Server),
                Applied::Refused(why) => Side::Refused(why),
                Applied::NamespaceMissing => {
                    let namespace = manifest.key.namespace.as_deref().unwrap_or_default();
                    if namespaces.contains(namespace) {
                        Side::Object(manifest.value.clone(), Proof::Static)
                    } else {
                        Side::Refused(format!(
                            "namespace `{namespace}` does not exist: create it, or add it to the application's manifests"
                        ))
                    }
                }
                Applied::KindMissing if defines(settled, &manifest.key) => Side::Object(manifest.value.clone(), Proof::Static),
                Applied::KindMissing => {
                    let version = manifest.api_version();
                    Side::Refused(format!(
                        "the cluster serves no {} of {version}: install its CustomResourceDefinition first",
                        manifest.key.kind
                    ))
                }
            };
            Ok::<_, cluster::Error>(Desired { manifest: manifest.clone(), predicted })
        }
    });
    // What windlass may not ask about is that object's trouble, not the others'.
    let dry_runs = dry_runs.zip(&settled).map(async |(dry_run, manifest)| match dry_run.await {
        Err(cluster::Error::Forbidden { message, .. }) => {
            let why = format!("{message} (windlass needs a ClusterRole with the label windlass.dev/aggregate-to-windlass for this kind)");
            Ok(Desired { manifest: manifest.clone(), predicted: Side::Refused(why) })
        }
        other => other,
    });
    Ok(futures::stream::iter(dry_runs.collect::<Vec<_>>()).buffered(IN_FLIGHT).try_collect().await?)
}

/// Why an object is not the application's to touch, or to be shown: it exists outside of the application's own
/// namespace, and is not marked as its own. Otherwise a pull request could read, or take, what belongs to others.
async fn foreign(
    cluster: &Cluster,
    target: &Target,
    owner: &str,
    manifest: &Manifest,
) -> std::result::Result<Option<String>, cluster::Error> {
    let (key, own) = (&manifest.key, &target.destination.namespace);
    if key.namespace.as_ref() == Some(own) || (key.kind == "Namespace" && key.name == *own) {
        return Ok(None);
    }
    let Some(live) = cluster.live(key, &manifest.version).await? else { return Ok(None) };
    let marked = live["metadata"]["labels"][OWNER_LABEL] == owner;
    Ok((!marked).then(|| format!("{key} exists already and is not this application's: label it `{OWNER_LABEL}={owner}` to hand it over")))
}

/// The live objects of keys, in their order.
pub async fn read(cluster: &Cluster, keys: &[(ResourceKey, String)]) -> Result<Vec<Option<Value>>> {
    let reads = keys.iter().map(async |(key, version)| match cluster.live(key, version).await {
        // Told by the dry-run of the same object.
        Err(cluster::Error::Forbidden { .. }) => Ok(None),
        other => other,
    });
    let reads: Vec<_> = reads.collect();
    Ok(futures::stream::iter(reads).buffered(IN_FLIGHT).try_collect().await?)
}

pub fn side(live: Option<Value>) -> Side {
    live.map_or(Side::Absent, |value| Side::Object(value, Proof::Server))
}

/// The definition of a kind among the manifests.
fn definition<'a>(manifests: &'a [Manifest], key: &ResourceKey) -> Option<&'a Manifest> {
    manifests.iter().find(|manifest| {
        let spec = &manifest.value["spec"];
        manifest.key.kind == "CustomResourceDefinition" && spec["group"] == key.group.as_str() && spec["names"]["kind"] == key.kind.as_str()
    })
}

fn defines(manifests: &[Manifest], key: &ResourceKey) -> bool {
    definition(manifests, key).is_some()
}

fn scope_of(manifests: &[Manifest], key: &ResourceKey) -> bool {
    definition(manifests, key).is_none_or(|definition| definition.value["spec"]["scope"] != "Cluster")
}

/// Base and head side by side: the comparison of a preview.
pub fn compare(base: Vec<Desired>, head: Vec<Desired>) -> Vec<plan::Comparison> {
    let keys: BTreeSet<_> = base.iter().chain(&head).map(|desired| desired.manifest.key.clone()).collect();
    let side =
        |all: &[Desired], key: &ResourceKey| all.iter().find(|d| d.manifest.key == *key).map_or(Side::Absent, |d| d.predicted.clone());
    keys.into_iter()
        .map(|key| {
            // What the base cannot be applied with is not this change's doing.
            let before = match side(&base, &key) {
                Side::Refused(_) => Side::Absent,
                other => other,
            };
            plan::Comparison { before, after: side(&head, &key), key }
        })
        .collect()
}
