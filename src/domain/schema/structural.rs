//! Structural schemas: their defaults, and unknown fields.

use serde_json::Value;

use super::Problem;

/// Fills in the schema's defaults, and returns the unknown fields.
pub(super) fn complete(schema: &Value, object: &mut Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Value::Object(object) = object {
        for (name, below) in object
            .iter_mut()
            .filter(|(name, _)| !is_every_objects(name))
        {
            let path = format!(".{name}");
            match schema["properties"].get(name) {
                Some(schema) => fill(schema, below, &path, &mut problems),
                None if keeps_unknown(schema) => {}
                None => problems.push(Problem::Unknown(path)),
            }
        }
    }
    problems
}

/// Fills in defaults, and collects unknown fields.
fn fill(schema: &Value, value: &mut Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(object) => {
            let properties = schema["properties"].as_object();
            for (name, schema) in properties.into_iter().flatten() {
                if let Some(default) = schema.get("default")
                    && !object.contains_key(name)
                {
                    object.insert(name.clone(), default.clone());
                }
            }
            for (name, below) in object.iter_mut() {
                let path = format!("{path}.{name}");
                let more = &schema["additionalProperties"];
                match properties.and_then(|properties| properties.get(name)) {
                    Some(schema) => fill(schema, below, &path, problems),
                    None if more.is_object() => fill(more, below, &path, problems),
                    None if keeps_unknown(schema)
                        || schema["x-kubernetes-embedded-resource"] == true
                        || *more == true => {}
                    // If the schema expects no object here, JSON Schema reports that.
                    None if schema["type"] != "object" => {}
                    None => problems.push(Problem::Unknown(path)),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                fill(
                    &schema["items"],
                    item,
                    &format!("{path}[{index}]"),
                    problems,
                );
            }
        }
        _ => {}
    }
}

/// The fields of every object, which a definition's schema does not describe.
pub(super) fn is_every_objects(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

fn keeps_unknown(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}
