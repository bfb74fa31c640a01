//! An object without the fields that the API server maintains.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::domain::Live;
use crate::domain::hook;

/// The fields in an object's metadata that the API server maintains.
pub const BOOKKEEPING: [&str; 6] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "selfLink",
];

/// The object without its status, the fields that the API server maintains, and the annotation of
/// `kubectl apply`.
pub fn without_server_fields(value: &Value) -> Value {
    let Value::Object(object) = value else {
        return value.clone();
    };
    let mut out = Map::new();
    // Copies only what stays: managedFields are often most of an object.
    for (key, below) in object.iter().filter(|(key, _)| *key != "status") {
        let below = match below {
            Value::Object(metadata) if key == "metadata" => {
                Value::Object(cleaned_metadata(metadata))
            }
            other => other.clone(),
        };
        out.insert(key.clone(), below);
    }
    // stringData is write-only; the server answers with data.
    if out.get("kind").is_some_and(|kind| kind == "Secret") {
        out.entry("data")
            .or_insert_with(|| Value::Object(Map::new()));
    }
    Value::Object(out)
}

/// The object without these labels and annotations, each by its map and its name. A map that nothing
/// is left in goes.
pub fn without_metadata<'a>(object: &'a Value, marks: &[(&str, &str)]) -> Cow<'a, Value> {
    let has = |(map, name): &(&str, &str)| object["metadata"][map].get(name).is_some();
    if !marks.iter().any(has) {
        return Cow::Borrowed(object);
    }
    let mut bare = object.clone();
    for (map, name) in marks {
        let Some(metadata) = bare["metadata"].as_object_mut() else {
            continue;
        };
        if let Some(Value::Object(all)) = metadata.get_mut(*map) {
            all.remove(*name);
            if all.is_empty() {
                metadata.remove(*map);
            }
        }
    }
    Cow::Owned(bare)
}

fn cleaned_metadata(metadata: &Map<String, Value>) -> Map<String, Value> {
    // Controllers and windlass write these annotations; they are no change by a person.
    const ANNOTATIONS: [&str; 3] = [
        "kubectl.kubernetes.io/last-applied-configuration",
        "deployment.kubernetes.io/revision",
        hook::RUN,
    ];
    let mut out = Map::new();
    for (key, below) in metadata
        .iter()
        .filter(|(key, _)| !BOOKKEEPING.contains(&key.as_str()))
    {
        match below {
            Value::Object(annotations) if key == "annotations" => {
                let kept: Map<_, _> = annotations
                    .iter()
                    .filter(|(name, _)| !ANNOTATIONS.contains(&name.as_str()))
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                if !kept.is_empty() {
                    out.insert(key.clone(), Value::Object(kept));
                }
            }
            other => drop(out.insert(key.clone(), other.clone())),
        }
    }
    out
}

/// What holds up the deletion of an object: its finalizers.
pub fn finalizers(live: &Live) -> Vec<&str> {
    let finalizers = live["metadata"]["finalizers"].as_array();
    finalizers
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
