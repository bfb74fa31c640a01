//! The digest of an object that moves when somebody changes what we applied.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{OURS, is_a_person};
use crate::domain::canonical_json;

/// What changes when somebody changes what we applied, and neither with the object's status nor with what controllers
/// add beside: the uid, our own entry with its time, and the entries of people.
///
/// When another manager changes or takes a field of ours, the API server takes it out of our entry; that works on
/// objects that have no generation too, and is in the metadata. The entry's time moves when somebody writes under our
/// name. What a person adds inside a list or map of ours is in the person's entry.
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
