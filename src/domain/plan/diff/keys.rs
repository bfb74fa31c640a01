//! What an item of a list is known by.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::canonical_json;

/// The keys of lists in Kubernetes' API (`x-kubernetes-list-map-keys` and `patchMergeKey` of its
/// types), and what tells items of other lists apart.
const KEYS: [&[&str]; 13] = [
    &["name"],
    &["containerPort", "protocol"],
    &["port", "protocol"],
    &["mountPath"],
    &["devicePath"],
    &["topologyKey", "whenUnsatisfiable"],
    &["ip"],
    &["uid"],
    &["key"],
    &["type"],
    &["path"],
    &["host"],
    &["id"],
];

/// The fields that tell the items of both lists apart. None: there are no such fields.
pub(super) fn of(before: &[Value], after: &[Value]) -> Option<&'static [&'static str]> {
    KEYS.into_iter().find(|keys| {
        [before, after]
            .into_iter()
            .all(|items| tells_apart(items, keys))
    })
}

fn tells_apart(items: &[Value], keys: &[&str]) -> bool {
    let mut seen = BTreeSet::new();
    !items.is_empty()
        && items
            .iter()
            .all(|item| key(item, keys).is_some_and(|key| seen.insert(key)))
}

/// The key of an item, as the API server prints it in paths: `name="proxy"`. Fields after the first
/// may be missing: `protocol` has a default.
pub(super) fn key(item: &Value, keys: &[&str]) -> Option<String> {
    let scalar = |value: &&Value| value.is_string() || value.is_number();
    let first = keys.first().and_then(|key| item.get(key));
    first.filter(scalar)?;
    let told = keys
        .iter()
        .filter_map(|key| Some((key, item.get(key).filter(scalar)?)));
    let told: Vec<_> = told
        .map(|(key, value)| format!("{key}={}", canonical_json(value)))
        .collect();
    Some(told.join(","))
}

/// `"proxy"` of `name="proxy"`; several fields as they are.
pub(super) fn value_of(key: &str) -> &str {
    match key.split_once('=') {
        Some((_, value)) if !key.contains(',') => value,
        _ => key,
    }
}
