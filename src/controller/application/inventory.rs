//! What is owned after one reconcile of an application: pure, from what was observed.

use std::collections::{BTreeMap, BTreeSet};

use super::Observation;
use crate::cluster::store::InventoryEntry;
use crate::domain::manifest::{Manifest, ResourceKey};

/// The objects that Git has, and the ones that were removed from Git until they are deleted.
pub(super) fn next(observation: &Observation) -> Vec<InventoryEntry> {
    let before = &observation.declared.status.inventory;
    // Objects that wait for adoption are not owned yet. While Git cannot be rendered, no object
    // counts as removed.
    if observation.facts.adoption.is_some() && !observation.facts.plan.is_empty()
        || observation
            .facts
            .rendered
            .as_ref()
            .map_or(true, |count| *count == 0)
    {
        return before.clone();
    }
    let mut entries = in_git(observation);
    entries.extend(
        observation
            .prune
            .deleted
            .values()
            .map(|(entry, _)| entry.clone()),
    );
    let has = |key: &ResourceKey| observation.objects.all.contains_key(key);
    let stays = observation
        .facts
        .withheld
        .iter()
        .chain(&observation.facts.terminating);
    let stays: BTreeSet<_> = stays.map(|(key, _)| key).collect();
    let has_problem = |key: &ResourceKey| {
        observation
            .facts
            .plan
            .problems()
            .any(|change| change.key == *key)
    };
    let known = |is_kept: &dyn Fn(&ResourceKey) -> bool| -> Vec<_> {
        let kept = before.iter().filter(|entry| is_kept(&entry.key));
        kept.cloned().collect()
    };
    // Hooks that ran stay in the inventory until Git no longer has them.
    entries.extend(known(&|key| {
        observation.desired.hooks.keeps(key) && !has(key)
    }));
    entries.extend(known(&|key| stays.contains(key)));
    // Objects that the project does not allow stay known: an administrator may allow them yet.
    entries.extend(known(&|key| has_problem(key) && !has(key)));
    let mut entries = with_removal_commit(observation, entries);
    entries.sort();
    entries.dedup_by(|a, b| a.key == b.key);
    entries
}

/// The entries of the objects that Git has.
fn in_git(observation: &Observation) -> Vec<InventoryEntry> {
    let before = observation.declared.status.inventory.iter();
    let known: BTreeMap<_, _> = before.map(|entry| (&entry.key, entry)).collect();
    let pending = super::health::pending(&observation.facts.plan);
    let entry = |manifest: &Manifest| {
        let object = observation.objects.all.get(&manifest.key);
        let last_applied =
            object.and_then(|object| object.last_applied(pending.contains(&manifest.key)));
        let known = known.get(&manifest.key);
        let (uid, hashes) = last_applied
            .map(|applied| (applied.uid, applied.hashes))
            .unzip();
        let (manifest_hash, ownership_hash) = hashes.flatten().unzip();
        InventoryEntry {
            key: manifest.key.clone(),
            version: manifest.version.clone(),
            uid,
            // Until it is in sync, the hashes of the last apply stay.
            manifest_hash: manifest_hash.or_else(|| known?.manifest_hash.clone()),
            ownership_hash: ownership_hash.or_else(|| known?.ownership_hash.clone()),
            hook: observation.desired.hooks.has(&manifest.key),
            removed_by: None,
        }
    };
    // If one object is refused, nothing is applied: nothing becomes ours by that.
    let is_refused = observation.facts.plan.problems().next().is_some();
    let is_ours = |manifest: &&Manifest| !is_refused || known.contains_key(&manifest.key);
    let manifests = observation.desired.manifests.iter().filter(is_ours);
    manifests.map(entry).collect()
}

/// Notes by which commit each object was removed from Git: the approvals of that commit count,
/// however long it stays.
fn with_removal_commit(
    observation: &Observation,
    mut entries: Vec<InventoryEntry>,
) -> Vec<InventoryEntry> {
    if observation.declared.status.synced_revision.as_ref() == Some(observation.revision()) {
        return entries;
    }
    let outside = observation.desired.outside();
    let was_removed = |entry: &&mut InventoryEntry| {
        let key = &entry.key;
        let has = observation.objects.all.contains_key(key);
        let stays = has || outside.contains(key) || observation.desired.hooks.keeps(key);
        entry.removed_by.is_none() && !stays
    };
    for entry in entries.iter_mut().filter(was_removed) {
        entry.removed_by = Some(observation.revision().clone());
    }
    entries
}
