//! The manifest in Git merged onto the live object, where the server cannot dry-run it.

use std::collections::BTreeSet;

use serde_json::Value;

/// The merge patch (RFC 7386) that makes one value the other.
pub fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let mut patch = serde_json::Map::new();
    for (key, value) in to {
        match from.get(key) {
            Some(before) if before == value => {}
            Some(before) => {
                patch.insert(key.clone(), merge_patch(before, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

/// Maps are merged; so are lists whose items have distinct list map keys. Other values are
/// replaced.
pub fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(base), Value::Array(over))
            if have_distinct_keys(base) && have_distinct_keys(over) =>
        {
            for item in over {
                match base
                    .iter_mut()
                    .find(|known| list_map_key(known) == list_map_key(item))
                {
                    Some(known) => overlay(known, item),
                    None => base.push(item.clone()),
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn have_distinct_keys(items: &[Value]) -> bool {
    let names: BTreeSet<_> = items.iter().map(list_map_key).collect();
    names.len() == items.len() && !names.contains(&None)
}

/// The list map key of an item, in the kinds that come with Kubernetes
/// (`x-kubernetes-list-map-keys`).
fn list_map_key(item: &Value) -> Option<String> {
    let protocol = item["protocol"].as_str().unwrap_or("TCP");
    let number = |field: &str| {
        item[field]
            .as_i64()
            .map(|port| format!("{field} {port} {protocol}"))
    };
    let text = |field: &str| item[field].as_str().map(|text| format!("{field} {text}"));
    text("mountPath")
        .or_else(|| text("devicePath"))
        .or_else(|| number("containerPort"))
        .or_else(|| number("port"))
        .or_else(|| text("name"))
}
