//! The fields in which two objects differ.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::fieldset::of_pointer;
use crate::domain::manifest::without_server_fields;

/// The fields in which two objects differ, without metadata and status: path, old value and new
/// value.
pub fn differences(before: &Value, after: &Value) -> Vec<(String, Value, Value)> {
    let mut leaves = Vec::new();
    let bare = |value: &Value| {
        let mut value = value.clone();
        value
            .as_object_mut()
            .map(|object| ["metadata", "status"].map(|name| object.remove(name)));
        value
    };
    differing(Some(&bare(before)), Some(&bare(after)), "", &mut leaves);
    leaves
        .into_iter()
        .map(|leaf| {
            (
                of_pointer(leaf[0].as_str().unwrap_or_default()),
                leaf[1].clone(),
                leaf[2].clone(),
            )
        })
        .collect()
}

/// Whether two answers differ in a field that no manifest has: the server or admission filled it
/// in.
pub fn differs_beside(before: &Value, after: &Value, manifests: &[&Value]) -> bool {
    let mut leaves = Vec::new();
    differing(
        Some(&without_server_fields(before)),
        Some(&without_server_fields(after)),
        "",
        &mut leaves,
    );
    leaves
        .iter()
        .filter_map(|leaf| leaf[0].as_str())
        .any(|path| {
            !manifests
                .iter()
                .any(|manifest| manifest.pointer(path).is_some())
        })
}

/// `[path, before, after]` for each leaf that differs.
pub(super) fn differing(
    before: Option<&Value>,
    after: Option<&Value>,
    path: &str,
    leaves: &mut Vec<Value>,
) {
    match (before, after) {
        (Some(a), Some(b)) if a == b => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                differing(
                    a.get(key),
                    b.get(key),
                    &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")),
                    leaves,
                );
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                differing(
                    a.get(index),
                    b.get(index),
                    &format!("{path}/{index}"),
                    leaves,
                );
            }
        }
        (a, b) => leaves.push(serde_json::json!([path, a, b])),
    }
}
