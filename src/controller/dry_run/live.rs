//! What is known of live objects without a dry-run.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};

use super::scope::AppScope;
use super::{AT_ONCE, ClusterResult};
use crate::cluster;
use crate::cluster::store::InventoryEntry;
use crate::controller::Result;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::plan::{Confidence, Side};
use crate::domain::{Live, OWNER_LABEL, canonical_json};

/// From this many objects of a kind on, one list is cheaper than a request for each.
const LIST_FROM: usize = 6;

/// A digest of the manifest that would be applied. What is encrypted in Git counts as it stands
/// there: the digest is in the status of `Application`, for everybody who reads that.
pub fn manifest_hash(manifest: &Manifest) -> String {
    let mut hash = Sha256::new();
    hash.update(&manifest.version);
    hash.update(canonical_json(&manifest.as_in_git()));
    hex::encode(&hash.finalize()[..8])
}

/// Whether an object was applied from exactly this manifest and nobody has changed it since: then
/// no dry-run is needed.
pub fn is_as_applied(
    owned: Option<&InventoryEntry>,
    manifest_hash: &str,
    live: &cluster::IndexEntry,
) -> bool {
    owned.is_some_and(|owned| owned.manifest_hash.as_deref() == Some(manifest_hash))
        && is_live_unchanged(owned, live)
}

/// Whether nobody has changed a live object since we applied it, even if its manifest changed.
pub fn is_live_unchanged(owned: Option<&InventoryEntry>, live: &cluster::IndexEntry) -> bool {
    owned.is_some_and(|owned| {
        owned.ownership_hash.as_deref() == Some(&live.ownership_hash)
            && owned.uid.as_deref() == Some(&live.uid)
    })
}

/// A placeholder for a live object of ours, from what the index knows of it.
pub fn placeholder(manifest: &Manifest, live: &cluster::IndexEntry) -> Live {
    let labels = serde_json::json!({OWNER_LABEL: live.owner});
    Live::new(
        serde_json::json!({"apiVersion": manifest.api_version(), "kind": manifest.key.kind, "metadata": {"uid": live.uid, "labels": labels}}),
    )
}

/// Keys of one kind in one namespace: its group, version and name, and the namespace.
type Collection<'a> = (&'a str, &'a str, &'a str, Option<&'a str>);

/// The live objects of keys, by key. Many of one kind are read by one list.
pub async fn read(
    scope: &AppScope<'_>,
    keys: &[(ResourceKey, String)],
) -> Result<BTreeMap<ResourceKey, Live>> {
    if !scope.shows_live {
        return Ok(BTreeMap::new());
    }
    let reads = collections(keys)
        .into_iter()
        .map(|(collection, keys)| read_collection(scope, collection, keys));
    let found: Vec<_> = futures::stream::iter(reads.collect::<Vec<_>>())
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

fn collections(keys: &[(ResourceKey, String)]) -> BTreeMap<Collection<'_>, Vec<&ResourceKey>> {
    let mut collections: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (key, version) in keys {
        let namespace = key.namespace.as_deref();
        collections
            .entry((&*key.group, &**version, &*key.kind, namespace))
            .or_default()
            .push(key);
    }
    collections
}

async fn read_collection(
    scope: &AppScope<'_>,
    (group, version, kind, namespace): Collection<'_>,
    keys: Vec<&ResourceKey>,
) -> ClusterResult<BTreeMap<ResourceKey, Live>> {
    let mut found = BTreeMap::new();
    if keys.len() >= LIST_FROM {
        let listed = match scope
            .cluster
            .owned(group, version, kind, namespace, scope.owner)
            .await
        {
            Err(cluster::Error::Forbidden { .. }) => Vec::new(),
            other => other?,
        };
        for object in listed {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if let Some(key) = keys.iter().find(|key| key.name == name) {
                found.insert((*key).clone(), object);
            }
        }
    }
    // An object that is not in the list may exist without our label.
    let missing: Vec<_> = keys
        .into_iter()
        .filter(|key| !found.contains_key(*key))
        .collect();
    let single = missing.into_iter().map(async |key| {
        match scope.cluster.live(key, version).await {
            // The dry-run of the same object reports the missing right.
            Err(cluster::Error::Forbidden { .. }) => Ok((key.clone(), None)),
            other => other.map(|live| (key.clone(), live)),
        }
    });
    let single: Vec<_> = futures::stream::iter(single.collect::<Vec<_>>())
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let single = single.into_iter();
    found.extend(single.filter_map(|(key, live)| Some((key, live?))));
    Ok(found)
}

pub fn side(live: Option<Live>) -> Side {
    live.map_or(Side::Absent, |value| {
        Side::Object(value, Confidence::Server)
    })
}
