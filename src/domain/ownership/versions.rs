//! The API versions that fields are recorded under, of which some may be served no more.

use std::collections::BTreeSet;

use serde_json::Value;

/// The API versions that fields of an object are recorded under, other than the one that it was read by.
pub fn recorded_versions(live: &Value) -> BTreeSet<String> {
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

/// `managedFields` with what is recorded under versions that are served no more recorded under the one that the object was
/// read by: until then the API server takes no server-side apply of it.
pub fn carried_over(live: &Value, gone: &BTreeSet<String>) -> Value {
    let mut entries = live["metadata"]["managedFields"].clone();
    for entry in entries.as_array_mut().into_iter().flatten() {
        if entry["apiVersion"]
            .as_str()
            .is_some_and(|version| gone.contains(version))
        {
            entry["apiVersion"] = live["apiVersion"].clone();
        }
    }
    entries
}
