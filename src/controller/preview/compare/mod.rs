//! What a pull request does to each object of an application: what a sync of
//! the base would leave, compared with what a sync of the head would leave.
//!
//! Of an object that did not move, nothing is asked. Of one that is as it was
//! left, what the base leaves is the live object; of the others both sides are
//! asked ([`dry_run::predict_one`]). What a sync would set back anyway is drift,
//! and what is merged and was not applied yet waits: neither is the pull
//! request's doing.
//!
//! - `object`: one object, asked about and compared
//! - `secret`: what of a Secret is compared

mod object;
mod secret;

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};

use crate::cluster::Lookup;
use crate::cluster::store::InventoryEntry;
use crate::controller::Result;
use crate::controller::dry_run::{self, AT_ONCE, AppScope, is_as_left, manifest_hash};
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::plan::Comparison;
use object::Comparing;

/// Base and head of one application, for a preview.
pub struct Sides<'a> {
    pub base: &'a [Manifest],
    pub head: &'a [Manifest],
    /// What was synced last, where that is not the base: what was in it is ours.
    pub synced: Option<&'a [Manifest]>,
    pub inventory: &'a [InventoryEntry],
}

/// What a preview finds.
#[derive(Default)]
pub struct Compared {
    /// What the pull request does.
    pub change: Vec<Comparison>,
    /// What a sync of the base would do anyway: others changed live objects.
    pub drift: Vec<Comparison>,
    /// What is merged and was not applied yet.
    pub waiting: Vec<Comparison>,
    /// Objects that were not asked about, since nothing about them moved.
    pub unmoved: usize,
}

/// Compares what a sync of the base leaves with what a sync of the head would leave.
pub async fn compare(scope: &AppScope<'_>, sides: Sides<'_>) -> Result<Compared> {
    let (base, head) = (printed(sides.base), printed(sides.head));
    let entries: BTreeMap<_, _> = sides
        .inventory
        .iter()
        .map(|entry| (&entry.key, entry))
        .collect();
    let (moved, unmoved) = moved(scope, &base, &head, &entries).await?;
    let live = dry_run::read(scope, &moved).await?;
    let comparing = Comparing::new(scope, sides, (base, head), entries, live);
    let asked = moved
        .iter()
        .map(async |(key, _)| comparing.object(key).boxed().await);
    let found: Vec<_> = futures::stream::iter(asked.collect::<Vec<_>>())
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let mut compared = Compared {
        unmoved,
        ..Compared::default()
    };
    for one in found {
        compared.change.extend(one.change);
        compared.drift.extend(one.drift);
        compared.waiting.extend(one.waiting);
    }
    Ok(compared)
}

/// The objects to ask about, each with the API version to ask by; and how many others there are.
async fn moved(
    scope: &AppScope<'_>,
    base: &Printed<'_>,
    head: &Printed<'_>,
    entries: &Entries<'_>,
) -> Result<(Vec<(ResourceKey, String)>, usize)> {
    let (mut moved, mut unmoved) = (Vec::new(), 0);
    for key in base.keys().chain(head.keys()).collect::<BTreeSet<_>>() {
        let (old, new) = (base.get(key), head.get(key));
        // Asked about by the version that will be: the one before may be served no more.
        let Some((manifest, print)) = new.or(old) else {
            continue;
        };
        if print_of(old) == print_of(new) {
            // What others reconcile is theirs to watch.
            let as_left = !scope.applies()
                || match scope.cluster.lookup(key, &manifest.version).await? {
                    Some(Lookup::Found(seen)) => {
                        is_as_left(entries.get(key).copied(), print, &seen)
                    }
                    _ => false,
                };
            if as_left {
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

/// Manifests by key, each with its fingerprint.
type Printed<'a> = BTreeMap<&'a ResourceKey, (&'a Manifest, String)>;

fn printed(manifests: &[Manifest]) -> Printed<'_> {
    manifests
        .iter()
        .map(|manifest| (&manifest.key, (manifest, manifest_hash(manifest))))
        .collect()
}

fn print_of<'a>(printed: Option<&'a (&Manifest, String)>) -> Option<&'a String> {
    printed.map(|(_, print)| print)
}
