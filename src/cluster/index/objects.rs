//! The objects of one kind: what is kept of each, and which applications a change wakes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::{Rules, assess};
use crate::domain::health;
use crate::domain::{Live, OWNER_LABEL, ownership};

/// The most objects of a kind that are kept. Others are read from the server.
pub(super) const MOST_OBJECTS: usize = 100_000;

/// An object's namespace and name.
pub(super) type Name = (Option<String>, String);

/// What is kept of a live object.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexEntry {
    pub uid: String,
    /// The value of our label: the application that owns it.
    pub owner: String,
    /// Changes when somebody else changes fields that we applied: see
    /// [`ownership::ownership_hash`].
    pub ownership_hash: String,
    pub health: health::Assessment,
    /// Since when its controller has not written a status: see [`health::silent_since`].
    pub silent_since: Option<jiff::Timestamp>,
    /// The workload, if its pods can say why it does not become healthy.
    pub workload: Option<Arc<health::Workload>>,
    /// What people set on it beside Git.
    pub unmanaged: Vec<ownership::UnmanagedFields>,
    resource_version: u64,
}

/// Stores an object. Returns the owners whose applications have to be reconciled: the owner of the
/// object and, if it changed hands, the owner before. `listing`: the object comes from a list,
/// which replaces any known version.
pub(super) fn upsert(
    objects: &mut HashMap<Name, IndexEntry>,
    name: Name,
    entry: IndexEntry,
    listing: bool,
) -> Vec<String> {
    let owner = entry.owner.clone();
    let full = objects.len() >= MOST_OBJECTS;
    match objects.entry(name) {
        Entry::Occupied(mut known) => {
            if !listing && known.get().resource_version > entry.resource_version {
                return Vec::new();
            }
            let before = known.insert(entry.clone());
            if before.owner != owner {
                return vec![owner, before.owner];
            }
            let same = IndexEntry {
                resource_version: 0,
                ..before
            } == IndexEntry {
                resource_version: 0,
                ..entry
            };
            if same { Vec::new() } else { vec![owner] }
        }
        // Anybody may create objects with our label, so their number is bounded.
        Entry::Vacant(_) if full => Vec::new(),
        Entry::Vacant(vacant) => {
            vacant.insert(entry);
            vec![owner]
        }
    }
}

/// None: it does not carry our label.
pub(super) fn index_entry(object: &Live, rules: &Rules) -> Option<IndexEntry> {
    let metadata = &object["metadata"];
    Some(IndexEntry {
        uid: metadata["uid"].as_str()?.into(),
        owner: metadata["labels"][OWNER_LABEL].as_str()?.into(),
        ownership_hash: ownership::ownership_hash(object),
        health: assess(rules, object),
        silent_since: health::silent_since(object),
        workload: health::Workload::of(object).map(Arc::new),
        unmanaged: ownership::unmanaged_fields(object),
        resource_version: metadata["resourceVersion"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
    })
}

pub(super) fn name_of(object: &Live) -> Option<Name> {
    let metadata = &object["metadata"];
    Some((
        metadata["namespace"].as_str().map(str::to_string),
        metadata["name"].as_str()?.to_string(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_another_takes_over_is_news_to_both() {
        let entry = |owner: &str, ownership_hash: &str, resource_version| IndexEntry {
            uid: "1".into(),
            owner: owner.into(),
            ownership_hash: ownership_hash.into(),
            health: (health::Health::Healthy, String::new()),
            silent_since: None,
            workload: None,
            unmanaged: Vec::new(),
            resource_version,
        };
        let mut objects = HashMap::new();
        let mut put = |entry, listing| {
            upsert(
                &mut objects,
                (Some("shop".into()), "shop".into()),
                entry,
                listing,
            )
        };
        let table: [(&str, IndexEntry, &[&str]); 6] = [
            ("new", entry("a", "x", 1), &["a"]),
            ("the same again", entry("a", "x", 2), &[]),
            ("older than what is known", entry("a", "y", 1), &[]),
            ("changed", entry("a", "y", 3), &["a"]),
            ("taken over", entry("b", "y", 4), &["b", "a"]),
            ("the same from the watch", entry("b", "y", 4), &[]),
        ];
        for (what, entry, woken) in table {
            assert_eq!(put(entry, false), woken, "{what}");
        }
        assert_eq!(
            put(entry("b", "x", 1), true),
            ["b"],
            "restored: older, and so it is"
        );
    }
}
