//! The ownership hash of an object: it changes when somebody else changes what we applied.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{OURS, is_a_person};
use crate::domain::canonical_json;

/// A digest that changes when somebody else changes what we applied, but not when the status
/// changes or controllers add fields. It covers the uid, our own entry in `managedFields` with its
/// time, and the entries of people.
///
/// When another manager changes or takes over a field of ours, the API server removes it from our
/// entry. That is in the metadata, and also works for objects without a generation. The entry's
/// time changes when somebody writes under our name. Items that a person adds to a list or map of
/// ours are in the person's entry.
pub fn ownership_hash(object: &Value) -> String {
    let mut hash = Sha256::new();
    hash.update(object["metadata"]["uid"].as_str().unwrap_or_default());
    let mut lines: Vec<String> = Vec::new();
    for entry in object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let manager = entry["manager"].as_str().unwrap_or_default();
        let ours = manager.starts_with(OURS) && entry["operation"] == "Apply";
        let status = entry["subresource"] == "status";
        if !status && (ours || is_a_person(manager)) {
            let time = if ours {
                entry["time"].as_str().unwrap_or_default()
            } else {
                ""
            };
            lines.push(format!(
                "{manager} {} {time} {}",
                entry["operation"],
                canonical_json(&entry["fieldsV1"])
            ));
        }
    }
    lines.sort();
    lines.iter().for_each(|line| hash.update(line));
    hex::encode(&hash.finalize()[..8])
}
