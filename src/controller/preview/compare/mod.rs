//! What a pull request does to each object of an application: compares the
//! result of a sync of the base with the result of a sync of the head.
//!
//! An object that did not change is not dry-run. If the live object is as the
//! base was applied, only the head is dry-run; otherwise both sides are
//! ([`dry_run::predict_one`]). Changes that a sync would revert anyway are
//! drift, and merged changes that are not applied yet wait: neither is the pull
//! request's doing.
//!
//! - `object`: one object, dry-run on both sides and compared
//! - `secret`: what of a Secret is compared

mod object;
mod secret;

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};

use crate::cluster::Lookup;
use crate::cluster::store::InventoryEntry;
use crate::controller::Result;
use crate::controller::dry_run::{self, AT_ONCE, AppScope, is_as_applied, manifest_hash};
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::plan::Comparison;
use object::Comparing;

/// Base and head of one application, for a preview.
pub struct Sides<'a> {
    pub base: &'a [Manifest],
    pub head: &'a [Manifest],
    /// The manifests that were synced last, if not the base's: the fields in them are ours.
    pub synced: Option<&'a [Manifest]>,
    pub inventory: &'a [InventoryEntry],
}

/// What a preview finds.
#[derive(Default)]
pub struct Compared {
    /// The changes of the pull request.
    pub change: Vec<Comparison>,
    /// What a sync of the base would revert anyway: others changed live objects.
    pub drift: Vec<Comparison>,
    /// Merged changes that are not applied yet.
    pub waiting: Vec<Comparison>,
    /// Objects that were not dry-run, since nothing about them changed.
    pub unmoved: usize,
    /// Objects that leave Git and stay in the cluster, since windlass did not apply them.
    pub left: Vec<ResourceKey>,
}

/// Compares the result of a sync of the base with the result of a sync of the head.
pub async fn compare(scope: &AppScope<'_>, sides: Sides<'_>) -> Result<Compared> {
    let (base, head) = (hashed(sides.base), hashed(sides.head));
    let entries: BTreeMap<_, _> = sides
        .inventory
        .iter()
        .map(|entry| (&entry.key, entry))
        .collect();
    let (moved, unmoved) = moved(scope, &base, &head, &entries).await?;
    let live = dry_run::read(scope, &moved).await?;
    let comparing = Comparing::new(scope, sides, (base, head), entries, live);
    let objects = moved
        .iter()
        .map(async |(key, _)| comparing.object(key).boxed().await);
    let found: Vec<_> = futures::stream::iter(objects.collect::<Vec<_>>())
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let mut compared = Compared {
        unmoved,
        ..Compared::default()
    };
    for (object, (key, _)) in found.into_iter().zip(&moved) {
        compared.change.extend(object.change);
        compared.drift.extend(object.drift);
        compared.waiting.extend(object.waiting);
        compared.left.extend(object.is_left.then(|| key.clone()));
    }
    Ok(compared)
}

/// The objects to dry-run, each with its API version; and the number of the others.
async fn moved(
    scope: &AppScope<'_>,
    base: &Hashed<'_>,
    head: &Hashed<'_>,
    entries: &Entries<'_>,
) -> Result<(Vec<(ResourceKey, String)>, usize)> {
    let (mut moved, mut unmoved) = (Vec::new(), 0);
    let applying = scope.applying().await?;
    for key in base.keys().chain(head.keys()).collect::<BTreeSet<_>>() {
        let (old, new) = (base.get(key), head.get(key));
        // By the API version of the head: the base's may no longer be served.
        let Some((manifest, hash)) = new.or(old) else {
            continue;
        };
        if hash_of(old) == hash_of(new) {
            // windlass does not watch objects that Argo CD or Flux applies.
            let set_back = applying.is_some_and(|applying| applying.sets_back(key));
            let unchanged = !scope.applies() && !set_back
                || match scope.cluster.lookup(key, &manifest.version).await? {
                    Some(Lookup::Found(live)) => {
                        is_as_applied(entries.get(key).copied(), hash, &live)
                    }
                    _ => false,
                };
            if unchanged {
                unmoved += 1;
                continue;
            }
        }
        moved.push(((*key).clone(), manifest.version.clone()));
    }
    Ok((moved, unmoved))
}

/// The inventory by key.
type Entries<'a> = BTreeMap<&'a ResourceKey, &'a InventoryEntry>;

/// Manifests by key, each with its hash.
type Hashed<'a> = BTreeMap<&'a ResourceKey, (&'a Manifest, String)>;

fn hashed(manifests: &[Manifest]) -> Hashed<'_> {
    manifests
        .iter()
        .map(|manifest| (&manifest.key, (manifest, manifest_hash(manifest))))
        .collect()
}

fn hash_of<'a>(hashed: Option<&'a (&Manifest, String)>) -> Option<&'a String> {
    hashed.map(|(_, hash)| hash)
}
