//! The API versions in `managedFields`, some of which may no longer be served.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::Live;

/// The API versions in `managedFields`, except the one that the object was read by.
pub fn recorded_versions(live: &Live) -> BTreeSet<String> {
    let entries = live["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten();
    let recorded = entries.filter_map(|entry| entry["apiVersion"].as_str());
    recorded
        .filter(|version| Some(*version) != live["apiVersion"].as_str())
        .map(str::to_string)
        .collect()
}

/// `managedFields` in which entries of versions that are no longer served have the version that the object was read by.
/// Until that is written, the API server refuses every server-side apply of the object.
pub fn migrated_managed_fields(live: &Live, unserved: &BTreeSet<String>) -> Value {
    let mut entries = live["metadata"]["managedFields"].clone();
    for entry in entries.as_array_mut().into_iter().flatten() {
        if entry["apiVersion"]
            .as_str()
            .is_some_and(|version| unserved.contains(version))
        {
            entry["apiVersion"] = live["apiVersion"].clone();
        }
    }
    entries
}
