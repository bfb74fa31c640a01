//! Reads `managedFields` of an object: its entries, and the union of some entries' fields.

use serde_json::Value;

use super::Entry;
use crate::domain::Live;
use crate::domain::fieldset::{FieldPath, FieldSet};

/// The entries of an object.
pub fn entries(object: &Value) -> Vec<Entry> {
    entries_where(object, |_| true)
}

/// The entries that match by manager and operation. The fields of others are not parsed, which
/// takes long.
pub(super) fn entries_where(object: &Value, matters: impl Fn(&Entry) -> bool) -> Vec<Entry> {
    let read = |entry: &Value| {
        let named = Entry {
            manager: entry["manager"].as_str()?.into(),
            applies: entry["operation"] == "Apply",
            subresource: entry["subresource"].as_str().map(str::to_string),
            time: entry["time"].as_str().map(str::to_string),
            fields: FieldSet::default(),
        };
        matters(&named).then(|| Entry {
            fields: FieldSet::parse(&entry["fieldsV1"]),
            ..named
        })
    };
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(read)
        .collect()
}

/// The fields that a manager owns by server-side apply.
pub(super) fn applied_by(entries: &[Entry], manager: &str) -> FieldSet {
    entries
        .iter()
        .find(|entry| entry.manager == manager && entry.applies)
        .map(|entry| entry.fields.clone())
        .unwrap_or_default()
}

/// The union of the fields of all matching entries.
pub(super) fn owned_by(object: &Value, matters: impl Fn(&Entry) -> bool) -> FieldSet {
    entries_where(object, matters)
        .iter()
        .fold(FieldSet::default(), |all, entry| all.union(&entry.fields))
}

pub(super) fn applied_in(object: &Value, manager: &str) -> FieldSet {
    applied_by(
        &entries_where(object, |entry| entry.manager == manager && entry.applies),
        manager,
    )
}

/// The fields of the managers that match, however they wrote them.
pub fn owned_by_managers(live: &Live, matches: impl Fn(&str) -> bool) -> FieldSet {
    owned_by(live, |entry| matches(&entry.manager))
}

/// Whether a manager owns a field by server-side apply.
pub fn applies(live: &Live, manager: &str, field: &FieldPath) -> bool {
    applied_in(live, manager).contains(field)
}
