//! A JSON schema as a table of keys.

use serde_json::Value;

use super::{cell, table};

/// Every key of the schema, in the order of the types.
pub fn keys(schema: &Value) -> String {
    let mut rows = Vec::new();
    walk(schema, schema, "", &mut rows);
    let description = schema["description"].as_str().unwrap_or_default();
    format!(
        "{description} It is read from the base branch only. `windlass schema` prints its JSON schema ([deploy/windlass.schema.json](../../deploy/windlass.schema.json)).\n\n{}",
        table("| key | type | meaning |", rows.into_iter())
    )
}

fn walk(root: &Value, at: &Value, path: &str, rows: &mut Vec<String>) {
    let at = resolved(root, at);
    let required: Vec<_> = at["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, property) in at["properties"].as_object().into_iter().flatten() {
        let value = resolved(root, property);
        let here = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        let description = property["description"]
            .as_str()
            .or_else(|| value["description"].as_str())
            .unwrap_or_default();
        let must = if required.contains(&name.as_str()) {
            ", required"
        } else {
            ""
        };
        rows.push(format!(
            "| `{here}` | {}{must} | {} |",
            kind(root, value),
            cell(description)
        ));
        let items = resolved(root, &value["items"]);
        if items["properties"].is_object() {
            walk(root, items, &format!("{here}[]"), rows);
        } else if value["additionalProperties"].is_object() {
            walk(
                root,
                &value["additionalProperties"],
                &format!("{here}.NAME"),
                rows,
            );
        } else {
            walk(root, value, &here, rows);
        }
    }
}

/// What a reference, or the one type that may also be null, stands for.
fn resolved<'a>(root: &'a Value, at: &'a Value) -> &'a Value {
    if let Some(name) = at["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return resolved(root, &root["definitions"][name]);
    }
    for list in ["allOf", "anyOf"] {
        let real = at[list].as_array().into_iter().flatten();
        if let Some(one) = real.into_iter().find(|one| one["type"] != "null") {
            return resolved(root, one);
        }
    }
    at
}

fn kind(root: &Value, value: &Value) -> String {
    let values = values(value);
    if !values.is_empty() {
        return values.join(" or ");
    }
    let name = match &value["type"] {
        Value::Array(types) => types
            .iter()
            .find(|one| **one != "null")
            .and_then(Value::as_str),
        one => one.as_str(),
    };
    match name {
        Some("array") => format!("list of {}", kind(root, resolved(root, &value["items"]))),
        Some("object") if value["additionalProperties"].is_object() => "map".into(),
        Some(name) => name.into(),
        None => "any".into(),
    }
}

/// The words of an enumeration.
fn values(value: &Value) -> Vec<String> {
    let word = |one: &Value| one.as_str().map(|one| format!("`{one}`"));
    let plain = value["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(word);
    let described = value["oneOf"].as_array().into_iter().flatten();
    let described =
        described.filter_map(|one| word(&one["const"]).or_else(|| word(&one["enum"][0])));
    plain.chain(described).collect()
}
