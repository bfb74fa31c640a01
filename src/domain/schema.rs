//! Custom resources against the schema of a definition that is not installed
//! yet: what the API server will say once it is, as far as that can be told.
//!
//! Structural schemas only (the only ones that `apiextensions.k8s.io/v1`
//! takes): types, required and unknown fields, enums, bounds and defaults.
//! Validation rules in CEL are the business of [`super::cel`]: those of a pull
//! request are not evaluated in this process.

use serde_json::{Map, Value};

use super::manifest::Manifest;

/// The object with the schema's defaults filled in; or what is wrong with it, each with its path.
pub fn check(definition: &Value, manifest: &Manifest) -> Result<Value, String> {
    let versions = definition["spec"]["versions"].as_array();
    let version = versions.into_iter().flatten().find(|version| version["name"] == manifest.version.as_str());
    let Some(version) = version else {
        return Err(format!("the definition of {} has no version {}", manifest.key.kind, manifest.version));
    };
    if version["served"] == false {
        return Err(format!("the definition of {} does not serve version {}", manifest.key.kind, manifest.version));
    }
    let schema = &version["schema"]["openAPIV3Schema"];
    let mut value = manifest.value.clone();
    let mut problems = Vec::new();
    if let Value::Object(object) = &mut value {
        for (name, below) in object.iter_mut().filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata")) {
            match schema["properties"].get(name) {
                Some(schema) => walk(schema, below, &format!(".{name}"), &mut problems),
                None if keeps_unknown(schema) => {}
                None => problems.push(format!("unknown field \"{name}\"")),
            }
        }
        required(schema, object, "", &mut problems);
    }
    if problems.is_empty() { Ok(value) } else { Err(problems.join("; ")) }
}

/// The schema of the version that a manifest is written in, if validation rules stand anywhere in it.
pub fn ruled<'a>(definition: &'a Value, manifest: &Manifest) -> Option<&'a Value> {
    let versions = definition["spec"]["versions"].as_array()?;
    let schema = &versions.iter().find(|version| version["name"] == manifest.version.as_str())?["schema"]["openAPIV3Schema"];
    has_rules(schema).then_some(schema)
}

fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.contains_key("x-kubernetes-validations") || map.values().any(has_rules),
        Value::Array(items) => items.iter().any(has_rules),
        _ => false,
    }
}

/// Whether an object that is there already fits a definition: what was dropped of the schema is dropped of the object too,
/// so only what is wrong counts, not what is unknown.
pub fn check_stored(definition: &Value, manifest: &Manifest) -> Result<(), String> {
    let mut manifest = manifest.clone();
    if let Some(object) = manifest.value.as_object_mut() {
        object.remove("status");
    }
    match check(definition, &manifest) {
        Ok(_) => Ok(()),
        Err(why) if why.split("; ").all(|one| one.starts_with("unknown field")) => Ok(()),
        Err(why) => Err(why),
    }
}

fn keeps_unknown(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}

fn required(schema: &Value, object: &Map<String, Value>, path: &str, problems: &mut Vec<String>) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            problems.push(format!("{path}.{name}: Required value"));
        }
    }
}

fn walk(schema: &Value, value: &mut Value, path: &str, problems: &mut Vec<String>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    let wanted = schema["type"].as_str().unwrap_or_default();
    let int_or_string = schema["x-kubernetes-int-or-string"] == true;
    let fits = match wanted {
        "" => !int_or_string || value.is_i64() || value.is_u64() || value.is_string(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => true,
    };
    if !fits {
        problems.push(format!("{path}: Invalid type: must be {}", if int_or_string { "integer or string" } else { wanted }));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<_> = allowed.iter().map(Value::to_string).collect();
        problems.push(format!("{path}: Unsupported value: supported values: {}", allowed.join(", ")));
    }
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
                match properties.and_then(|properties| properties.get(name)) {
                    Some(schema) => walk(schema, below, &path, problems),
                    None if schema["additionalProperties"].is_object() => walk(&schema["additionalProperties"], below, &path, problems),
                    None if keeps_unknown(schema) || schema["x-kubernetes-embedded-resource"] == true => {}
                    None if schema["additionalProperties"] == true => {}
                    None => problems.push(format!("unknown field \"{}\"", path.trim_start_matches('.'))),
                }
            }
            required(schema, object, path, problems);
        }
        Value::Array(items) => {
            bound(schema, "minItems", "maxItems", items.len() as f64, path, "items", problems);
            for (index, item) in items.iter_mut().enumerate() {
                walk(&schema["items"], item, &format!("{path}[{index}]"), problems);
            }
        }
        Value::String(text) => bound(schema, "minLength", "maxLength", text.chars().count() as f64, path, "characters", problems),
        Value::Number(number) => bound(schema, "minimum", "maximum", number.as_f64().unwrap_or_default(), path, "", problems),
        _ => {}
    }
}

fn bound(schema: &Value, least: &str, most: &str, is: f64, path: &str, unit: &str, problems: &mut Vec<String>) {
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    if let Some(least) = schema[least].as_f64().filter(|least| is < *least) {
        problems.push(format!("{path}: Invalid value: must be at least {least}{unit}"));
    }
    if let Some(most) = schema[most].as_f64().filter(|most| is > *most) {
        problems.push(format!("{path}: Invalid value: must be at most {most}{unit}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::manifest::ResourceKey;

    #[test]
    fn a_definition_of_the_same_change_judges_its_objects() {
        let definition = json!({"spec": {"versions": [{"name": "v1", "served": true, "schema": {"openAPIV3Schema": {"type": "object",
            "required": ["spec"], "properties": {"spec": {"type": "object", "required": ["size"], "properties": {
                "size": {"type": "integer", "minimum": 1}, "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
                "port": {"x-kubernetes-int-or-string": true}, "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}}}]}});
        let manifest = |spec: Value| Manifest {
            key: ResourceKey { group: "x.dev".into(), kind: "Widget".into(), namespace: None, name: "w".into() },
            version: "v1".into(),
            value: json!({"apiVersion": "x.dev/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}),
        };
        let good = check(&definition, &manifest(json!({"size": 1, "port": "http", "labels": {"a": "b"}, "free": {"x": 1}}))).unwrap();
        assert_eq!(good["spec"]["mode"], "a");
        for (spec, expected) in [
            (json!({}), ".spec.size: Required value"),
            (json!({"size": "1"}), ".spec.size: Invalid type: must be integer"),
            (json!({"size": 0}), "must be at least 1"),
            (json!({"size": 1, "mode": "c"}), "Unsupported value"),
            (json!({"size": 1, "sise": 1}), "unknown field \"spec.sise\""),
            (json!({"size": 1, "labels": {"a": 1}}), ".spec.labels.a: Invalid type"),
        ] {
            let error = check(&definition, &manifest(spec)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
