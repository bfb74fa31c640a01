//! Credentials inside texts: the texts of an object that may contain some, and where they are in a
//! text.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::credentials::names_a_credential;
use super::path::step;
use super::secrets::secrets;

/// The texts of an object that contain credentials, by path: entries of ConfigMaps, and arguments
/// of containers. Values that are masked as a whole are left out.
pub(super) fn texts(object: &Value) -> BTreeMap<Vec<String>, String> {
    let mut found = BTreeMap::new();
    let whole = secrets(object);
    let mut visit = |path: &[String], value: &Value| {
        if let Some(text) = value
            .as_str()
            .filter(|text| !whole.contains_key(path) && !pieces(text).is_empty())
        {
            found.insert(path.to_vec(), text.to_string());
        }
    };
    fn descend(value: &Value, path: &mut Vec<String>, visit: &mut impl FnMut(&[String], &Value)) {
        let inside = |path: &[String], name: &str| {
            path.iter().rev().nth(1).is_some_and(|above| above == name)
        };
        match value {
            Value::Object(map) => {
                let config = map.get("kind").is_some_and(|kind| kind == "ConfigMap");
                for (key, below) in map {
                    path.push(key.clone());
                    if config && key == "data" {
                        for (entry, value) in below.as_object().into_iter().flatten() {
                            path.push(entry.clone());
                            visit(path, value);
                            path.pop();
                        }
                    } else {
                        descend(below, path, visit);
                    }
                    path.pop();
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(step(index, item));
                    if item.is_string() && (inside(path, "args") || inside(path, "command")) {
                        visit(path, item);
                    } else {
                        descend(item, path, visit);
                    }
                    path.pop();
                }
            }
            _ => {}
        }
    }
    descend(object, &mut Vec::new(), &mut visit);
    found
}

/// The credentials in a text (a file of a ConfigMap, an argument): `password = x`, `"token": "x"`,
/// `--db-pass=x`. Each with its name and its range.
pub(super) fn pieces(text: &str) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some((name, value)) = piece(line) {
            found.push((name.to_string(), start + value.start..start + value.end));
        }
        start += line.len();
    }
    found
}

fn piece(line: &str) -> Option<(&str, Range<usize>)> {
    let at = line.find(['=', ':'])?;
    let name = line[..at]
        .trim()
        .trim_start_matches(['-', '"', '\'', ' ', '{', ','])
        .trim_end_matches(['"', '\'', ' ']);
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if name.is_empty() || name.len() > 100 || !name.chars().all(legal) || !names_a_credential(name)
    {
        return None;
    }
    let rest = &line[at + 1..];
    let value = rest
        .trim()
        .trim_end_matches([',', '}', ';'])
        .trim_end()
        .trim_matches(['"', '\'']);
    // Placeholders, references and empty values are no credentials.
    let placeholder = value.starts_with(['$', '<', '%', '{', '|', '>', '&', '*', '/'])
        || matches!(value, "" | "null" | "true" | "false" | "~" | "''");
    if placeholder {
        return None;
    }
    let from = at + 1 + rest.find(value)?;
    Some((name, from..from + value.len()))
}
