//! What is owned after one look at an application: pure, from what was observed.

use std::collections::{BTreeMap, BTreeSet};

use super::Observation;
use crate::cluster::store::InventoryEntry;
use crate::domain::manifest::{Manifest, ResourceKey};

/// The objects that Git has, with what is known of them, and those it has no more until they are gone.
pub(super) fn next(seen: &Observation) -> Vec<InventoryEntry> {
    let before = &seen.declared.status.inventory;
    // What is only looked at is not owned yet; while Git cannot be read nothing is known to be gone.
    if seen.facts.adoption.is_some() && !seen.facts.plan.is_empty()
        || seen
            .facts
            .rendered
            .as_ref()
            .map_or(true, |count| *count == 0)
    {
        return before.clone();
    }
    let mut entries = in_git(seen);
    entries.extend(seen.prune.deleted.values().map(|(entry, _)| entry.clone()));
    let has = |key: &ResourceKey| seen.objects.all.contains_key(key);
    let stays = seen.facts.withheld.iter().chain(&seen.facts.terminating);
    let stays: BTreeSet<_> = stays.map(|(key, _)| key).collect();
    let has_problem =
        |key: &ResourceKey| seen.facts.plan.problems().any(|change| change.key == *key);
    let known = |is_kept: &dyn Fn(&ResourceKey) -> bool| -> Vec<_> {
        let kept = before.iter().filter(|entry| is_kept(&entry.key));
        kept.cloned().collect()
    };
    // Hooks that ran are kept track of until they are gone from Git.
    entries.extend(known(&|key| seen.desired.hooks.keeps(key) && !has(key)));
    entries.extend(known(&|key| stays.contains(key)));
    // What is not the application's to have stays known: an administrator may grant it yet.
    entries.extend(known(&|key| has_problem(key) && !has(key)));
    let mut entries = with_gone(seen, entries);
    entries.sort();
    entries.dedup_by(|a, b| a.key == b.key);
    entries
}

/// What Git has.
fn in_git(seen: &Observation) -> Vec<InventoryEntry> {
    let before = seen.declared.status.inventory.iter();
    let known: BTreeMap<_, _> = before.map(|entry| (&entry.key, entry)).collect();
    let pending = super::health::pending(&seen.facts.plan);
    let entry = |manifest: &Manifest| {
        let object = seen.objects.all.get(&manifest.key);
        let left = object.and_then(|object| object.last_applied(pending.contains(&manifest.key)));
        let known = known.get(&manifest.key);
        let (uid, hashes) = left.map(|left| (left.uid, left.hashes)).unzip();
        let (manifest_hash, ownership_hash) = hashes.flatten().unzip();
        InventoryEntry {
            key: manifest.key.clone(),
            version: manifest.version.clone(),
            uid,
            // Until it is as it should be, what was applied last is what was known before.
            manifest_hash: manifest_hash.or_else(|| known?.manifest_hash.clone()),
            ownership_hash: ownership_hash.or_else(|| known?.ownership_hash.clone()),
            hook: seen.desired.hooks.has(&manifest.key),
            removed_by: None,
        }
    };
    seen.desired.manifests.iter().map(entry).collect()
}

/// By which commit it left Git tells whose approval counts, however long it stays.
fn with_gone(seen: &Observation, mut entries: Vec<InventoryEntry>) -> Vec<InventoryEntry> {
    if seen.declared.status.synced_revision.as_ref() == Some(seen.revision()) {
        return entries;
    }
    let outside = seen.desired.outside();
    let leaves = |entry: &&mut InventoryEntry| {
        let key = &entry.key;
        let has = seen.objects.all.contains_key(key);
        let stays = has || outside.contains(key) || seen.desired.hooks.keeps(key);
        entry.removed_by.is_none() && !stays
    };
    for entry in entries.iter_mut().filter(leaves) {
        entry.removed_by = Some(seen.revision().clone());
    }
    entries
}
