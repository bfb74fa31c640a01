//! The values of an object that are masked as a whole, by path.

use std::collections::BTreeMap;

use serde_json::Value;

use super::credentials::{has_the_shape, names_a_credential};
use super::path::step;

/// The values to mask, by path.
pub(super) fn secrets(object: &Value) -> BTreeMap<Vec<String>, Value> {
    let mut found = BTreeMap::new();
    walk(object, &mut Vec::new(), &mut found);
    found
}

fn walk(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Value>) {
    match value {
        Value::Object(map) => {
            let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default();
            for (key, below) in map {
                path.push(key.clone());
                let data = matches!(key.as_str(), "data" | "stringData");
                if data && (kind == "Secret" || inside_a_secret(path)) {
                    every(below, path, found);
                } else if (data && kind == "ConfigMap") || key == "binaryData" {
                    entries(below, path, found);
                } else if key == "annotations" {
                    annotations(below, path, found);
                } else if key == "env" {
                    environment(below, path, found);
                } else {
                    walk(below, path, found);
                }
                path.pop();
            }
        }
        Value::Array(items) => {
            let arguments = path
                .last()
                .is_some_and(|name| name == "args" || name == "command");
            let mut named = false;
            for (index, item) in items.iter().enumerate() {
                path.push(step(index, item));
                let text = item.as_str().unwrap_or_default();
                // The argument after `--password` is the value.
                if arguments && named && !text.is_empty() && !text.starts_with(['-', '$']) {
                    found.insert(path.clone(), item.clone());
                } else {
                    walk(item, path, found);
                }
                named = text.starts_with('-') && !text.contains('=') && names_a_credential(text);
                path.pop();
            }
        }
        Value::String(text) if has_the_shape(text) => {
            found.insert(path.clone(), value.clone());
        }
        _ => {}
    }
}

/// Whether a path is inside a template for a Secret: `spec.template.data` of a SealedSecret or an
/// ExternalSecret.
fn inside_a_secret(path: &[String]) -> bool {
    path.len() >= 3 && path[path.len() - 2] == "template" && path[path.len() - 3] == "spec"
}

fn every(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                path.push(key.clone());
                found.insert(path.clone(), value.clone());
                path.pop();
            }
        }
        Value::Null => {}
        other => {
            found.insert(path.clone(), other.clone());
        }
    }
}

fn entries(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Value>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        if value.as_str().is_some_and(|text| {
            !text.is_empty() && (names_a_credential(key) || has_the_shape(text))
        }) {
            path.push(key.clone());
            found.insert(path.clone(), value.clone());
            path.pop();
        }
    }
}

/// Some annotations hold whole objects, which may be Secrets.
fn annotations(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Value>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        let object = serde_json::from_str::<Value>(text).is_ok_and(|inner| {
            inner["kind"].is_string()
                || inner["data"].is_object()
                || inner["stringData"].is_object()
        });
        if object || has_the_shape(text) {
            path.push(key.clone());
            found.insert(path.clone(), value.clone());
            path.pop();
        }
    }
}

fn environment(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Value>) {
    let Some(items) = value.as_array() else {
        return walk(value, path, found);
    };
    for (index, item) in items.iter().enumerate() {
        path.push(step(index, item));
        let name = item["name"].as_str().unwrap_or_default();
        let text = item["value"].as_str().unwrap_or_default();
        if !text.is_empty() && (names_a_credential(name) || has_the_shape(text)) {
            path.push("value".into());
            found.insert(path.clone(), item["value"].clone());
            path.pop();
        } else {
            walk(item, path, found);
        }
        path.pop();
    }
}
