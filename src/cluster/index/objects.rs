//! The objects of one kind: what is kept of each, and to whom a change is news.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use serde_json::Value;

use super::{Rules, assess};
use crate::domain::health;
use crate::domain::{OWNER_LABEL, ownership};

/// Objects of a kind that are kept; beyond that the server is asked.
pub(super) const MOST_OBJECTS: usize = 100_000;

/// An object's namespace and name.
pub(super) type Name = (Option<String>, String);

/// What is kept of a live object.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexEntry {
    pub uid: String,
    /// The value of our label: whose it is.
    pub owner: String,
    /// Changes when a person, or another that applies, changes what we applied: see [`ownership::ownership_hash`].
    pub ownership_hash: String,
    pub health: health::Assessment,
    /// Since when its controller says nothing: see [`health::silent_since`].
    pub silent_since: Option<jiff::Timestamp>,
    /// Whose pods could tell more than it does.
    pub workload: Option<Arc<health::Workload>>,
    resource_version: u64,
}

/// Whom it is news to, by the marks of the applications: whose the object is, and whose it was before.
/// `listing`: it is from a list, which counts whatever was known.
pub(super) fn upsert(
    objects: &mut HashMap<Name, IndexEntry>,
    name: Name,
    seen: IndexEntry,
    listing: bool,
) -> Vec<String> {
    let owner = seen.owner.clone();
    let full = objects.len() >= MOST_OBJECTS;
    match objects.entry(name) {
        Entry::Occupied(mut known) => {
            if !listing && known.get().resource_version > seen.resource_version {
                return Vec::new();
            }
            let before = known.insert(seen.clone());
            if before.owner != owner {
                return vec![owner, before.owner];
            }
            let same = IndexEntry {
                resource_version: 0,
                ..before
            } == IndexEntry {
                resource_version: 0,
                ..seen
            };
            if same { Vec::new() } else { vec![owner] }
        }
        // Anybody may make objects with our label: of those that are nobody's not all are kept.
        Entry::Vacant(_) if full => Vec::new(),
        Entry::Vacant(place) => {
            place.insert(seen);
            vec![owner]
        }
    }
}

/// None: without our label, and so not ours to know.
pub(super) fn seen(object: &Value, rules: &Rules) -> Option<IndexEntry> {
    let metadata = &object["metadata"];
    Some(IndexEntry {
        uid: metadata["uid"].as_str()?.into(),
        owner: metadata["labels"][OWNER_LABEL].as_str()?.into(),
        ownership_hash: ownership::ownership_hash(object),
        health: assess(rules, object),
        silent_since: health::silent_since(object),
        workload: health::Workload::of(object).map(Arc::new),
        resource_version: metadata["resourceVersion"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
    })
}

pub(super) fn name_of(object: &Value) -> Option<Name> {
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
        let seen = |owner: &str, ownership_hash: &str, resource_version| IndexEntry {
            uid: "1".into(),
            owner: owner.into(),
            ownership_hash: ownership_hash.into(),
            health: (health::Health::Healthy, String::new()),
            silent_since: None,
            workload: None,
            resource_version,
        };
        let mut objects = HashMap::new();
        let mut put = |seen, listing| {
            upsert(
                &mut objects,
                (Some("shop".into()), "shop".into()),
                seen,
                listing,
            )
        };
        let table: [(&str, IndexEntry, &[&str]); 6] = [
            ("new", seen("a", "x", 1), &["a"]),
            ("the same again", seen("a", "x", 2), &[]),
            ("older than what is known", seen("a", "y", 1), &[]),
            ("changed", seen("a", "y", 3), &["a"]),
            ("taken over", seen("b", "y", 4), &["b", "a"]),
            ("the same from the watch", seen("b", "y", 4), &[]),
        ];
        for (what, seen, told) in table {
            assert_eq!(put(seen, false), told, "{what}");
        }
        assert_eq!(
            put(seen("b", "x", 1), true),
            ["b"],
            "restored: older, and so it is"
        );
    }
}
