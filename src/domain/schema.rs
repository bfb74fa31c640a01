//! Custom resources against the schema of a definition that is not installed
//! yet: what the API server will say once it is, as far as that can be told.
//!
//! Structural schemas only (the only ones that `apiextensions.k8s.io/v1`
//! takes). What they require is JSON Schema's business; that unknown fields are
//! refused and defaults filled in is the API server's, and done here. Validation
//! rules in CEL are the business of [`super::cel`]: those of a pull request are
//! not evaluated in this process.

use std::fmt;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{Draft, PatternOptions, ValidationError};
use serde_json::{Map, Value, json};

use super::manifest::Manifest;

/// What a schema has against an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The schema has no such field.
    Unknown(String),
    /// A field, and what is wrong with it.
    Invalid(String, String),
    /// The definition itself does not fit.
    Definition(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(path) => write!(f, "unknown field \"{}\"", path.trim_start_matches('.')),
            Self::Invalid(path, why) => write!(f, "{path}: {why}"),
            Self::Definition(why) => f.write_str(why),
        }
    }
}

/// Problems, as the API server lists them.
pub fn listed(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// The object with the schema's defaults filled in; or what is wrong with it.
pub fn check(definition: &Value, manifest: &Manifest) -> Result<Value, Vec<Problem>> {
    let versions = definition["spec"]["versions"].as_array();
    let version = versions
        .into_iter()
        .flatten()
        .find(|version| version["name"] == manifest.version.as_str());
    let (kind, wanted) = (&manifest.key.kind, &manifest.version);
    let Some(version) = version else {
        return Err(vec![Problem::Definition(format!(
            "the definition of {kind} has no version {wanted}"
        ))]);
    };
    if version["served"] == false {
        return Err(vec![Problem::Definition(format!(
            "the definition of {kind} does not serve version {wanted}"
        ))]);
    }
    let schema = &version["schema"]["openAPIV3Schema"];
    let mut value = manifest.value.clone();
    let mut problems = Vec::new();
    if let Value::Object(object) = &mut value {
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
    let options = jsonschema::options()
        .with_draft(Draft::Draft4)
        .should_validate_formats(true);
    // Linear in time, whatever a pull request writes.
    let validator = options
        .with_pattern_options(PatternOptions::regex())
        .build(&as_json_schema(schema, true));
    match validator {
        Ok(validator) => {
            problems.extend(validator.iter_errors(&value).flat_map(|error| told(&error)))
        }
        Err(error) => problems.push(Problem::Definition(format!(
            "the schema of {kind} {wanted} cannot be used: {error}"
        ))),
    }
    if problems.is_empty() {
        Ok(value)
    } else {
        Err(problems)
    }
}

/// The schema of the version that a manifest is written in, if validation rules stand anywhere in it.
pub fn ruled<'a>(definition: &'a Value, manifest: &Manifest) -> Option<&'a Value> {
    let versions = definition["spec"]["versions"].as_array()?;
    let schema = &versions
        .iter()
        .find(|version| version["name"] == manifest.version.as_str())?["schema"]["openAPIV3Schema"];
    has_rules(schema).then_some(schema)
}

fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => {
            map.contains_key("x-kubernetes-validations") || map.values().any(has_rules)
        }
        Value::Array(items) => items.iter().any(has_rules),
        _ => false,
    }
}

/// Whether an object that is there already fits a definition: what was dropped of the schema is dropped of the object too,
/// so only what is wrong counts, not what is unknown.
pub fn fits_stored(definition: &Value, manifest: &Manifest) -> bool {
    let mut manifest = manifest.clone();
    if let Some(object) = manifest.value.as_object_mut() {
        object.remove("status");
    }
    let Err(problems) = check(definition, &manifest) else {
        return true;
    };
    problems
        .iter()
        .all(|problem| matches!(problem, Problem::Unknown(_)))
}

/// Fields of which a definition's schema does not say what they are.
fn is_every_objects(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

fn keeps_unknown(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}

/// Fills in defaults, and finds what the schema does not know.
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
                    // What is no object by the schema is told as such.
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

/// A structural schema as JSON Schema, draft 4, whose `exclusiveMinimum` is OpenAPI's. `root`: of the whole object.
fn as_json_schema(schema: &Value, root: bool) -> Value {
    let Value::Object(schema) = schema else {
        return json!({});
    };
    let mut out = Map::new();
    let nullable = schema.get("nullable") == Some(&Value::Bool(true));
    for (name, value) in schema {
        match name.as_str() {
            "type" if nullable => drop(out.insert(name.clone(), json!([value, "null"]))),
            "enum" if nullable => {
                let values = value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .cloned()
                    .chain([Value::Null]);
                out.insert(name.clone(), values.collect());
            }
            "type" | "enum" | "required" | "pattern" | "multipleOf" | "uniqueItems" | "minimum"
            | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "minLength" | "maxLength"
            | "minItems" | "maxItems" | "minProperties" | "maxProperties" => {
                out.insert(name.clone(), value.clone());
            }
            // Of the others the API server's idea is its own (go-openapi/strfmt).
            "format" if matches!(value.as_str(), Some("date-time" | "ipv4" | "ipv6")) => {
                drop(out.insert(name.clone(), value.clone()))
            }
            "properties" => {
                let all = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| !(root && is_every_objects(name)));
                let all = all.map(|(name, schema)| (name.clone(), as_json_schema(schema, false)));
                out.insert(name.clone(), Value::Object(all.collect()));
            }
            "items" | "not" => drop(out.insert(name.clone(), as_json_schema(value, false))),
            "additionalProperties" if value.is_object() => {
                drop(out.insert(name.clone(), as_json_schema(value, false)))
            }
            "allOf" | "anyOf" | "oneOf" => {
                let all = value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|schema| as_json_schema(schema, false));
                out.insert(name.clone(), all.collect());
            }
            _ => {}
        }
    }
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        out.remove("anyOf");
        out.insert(
            "type".into(),
            if nullable {
                json!(["integer", "string", "null"])
            } else {
                json!(["integer", "string"])
            },
        );
    }
    Value::Object(out)
}

/// The problem that a validator found: never with the value, which may be anybody's.
fn told(error: &ValidationError<'_>) -> Vec<Problem> {
    let mut path = String::new();
    for part in error.instance_path().to_string().split('/').skip(1) {
        match part.parse::<usize>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) => path.push_str(&format!(".{}", part.replace("~1", "/").replace("~0", "~"))),
        }
    }
    let why = match error.kind() {
        Kind::Required { property } => {
            path.push_str(&format!(".{}", property.as_str().unwrap_or_default()));
            "Required value".into()
        }
        Kind::Type {
            kind: TypeKind::Single(wanted),
        } => format!("Invalid type: must be {wanted}"),
        Kind::Type {
            kind: TypeKind::Multiple(wanted),
        } => {
            let wanted: Vec<_> = wanted.iter().map(|one| one.to_string()).collect();
            format!("Invalid type: must be {}", wanted.join(" or "))
        }
        Kind::Enum { options } => {
            let options: Vec<_> = options
                .as_array()
                .into_iter()
                .flatten()
                .map(Value::to_string)
                .collect();
            format!(
                "Unsupported value: supported values: {}",
                options.join(", ")
            )
        }
        Kind::Minimum { limit } => format!("Invalid value: must be at least {limit}"),
        Kind::Maximum { limit } => format!("Invalid value: must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("Invalid value: must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("Invalid value: must be less than {limit}"),
        Kind::MinLength { limit } => format!("Invalid value: must be at least {limit} characters"),
        Kind::MaxLength { limit } => format!("Too long: may not be more than {limit} characters"),
        Kind::MinItems { limit } => format!("Invalid value: must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("Too many: must have at most {limit} items"),
        Kind::MinProperties { limit } => {
            format!("Invalid value: must have at least {limit} properties")
        }
        Kind::MaxProperties { limit } => format!("Too many: must have at most {limit} properties"),
        Kind::MultipleOf { multiple_of } => {
            format!("Invalid value: must be a multiple of {multiple_of}")
        }
        Kind::Pattern { pattern } => format!("Invalid value: must match `{pattern}`"),
        Kind::Format { format } => format!("Invalid value: must be of the format {format}"),
        Kind::UniqueItems => "Invalid value: has an item twice".into(),
        Kind::AnyOf { .. } => {
            "Invalid value: must be one of several forms, and is none (anyOf)".into()
        }
        Kind::OneOfNotValid { .. } => {
            "Invalid value: must be one of several forms, and is none (oneOf)".into()
        }
        Kind::OneOfMultipleValid { .. } => {
            "Invalid value: must be just one of several forms (oneOf)".into()
        }
        Kind::Not { .. } => "Invalid value: is of a form that is ruled out (not)".into(),
        _ => format!("Invalid value: {}", error.masked()),
    };
    vec![Problem::Invalid(path, why)]
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
                "size": {"type": "integer", "minimum": 1, "not": {"enum": [3]}}, "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
                "port": {"x-kubernetes-int-or-string": true}, "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "name": {"type": "string", "pattern": "^[a-z]+$"}, "share": {"type": "number", "maximum": 1, "exclusiveMaximum": true},
                "list": {"type": "array", "uniqueItems": true, "items": {"type": "string"}}, "none": {"type": "string", "nullable": true},
                "one": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                    "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, "address": {"type": "string", "format": "ipv4"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}}}]}});
        let manifest = |spec: Value| Manifest {
            key: ResourceKey {
                group: "x.dev".into(),
                kind: "Widget".into(),
                namespace: None,
                name: "w".into(),
            },
            version: "v1".into(),
            value: json!({"apiVersion": "x.dev/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}),
        };
        let good = check(
            &definition,
            &manifest(json!({"size": 1, "port": "http", "labels": {"a": "b"}, "none": null, "one": {"b": 1}, "free": {"x": 1}})),
        )
        .unwrap();
        assert_eq!(good["spec"]["mode"], "a");
        for (spec, expected) in [
            (json!({}), ".spec.size: Required value"),
            (
                json!({"size": "1"}),
                ".spec.size: Invalid type: must be integer",
            ),
            (
                json!({"size": 0}),
                ".spec.size: Invalid value: must be at least 1",
            ),
            (json!({"size": 1, "mode": "c"}), "Unsupported value"),
            (json!({"size": 1, "sise": 1}), "unknown field \"spec.sise\""),
            (
                json!({"size": 1, "labels": {"a": 1}}),
                ".spec.labels.a: Invalid type: must be string",
            ),
            (
                json!({"size": 1, "port": true}),
                ".spec.port: Invalid type: must be integer or string",
            ),
            (json!({"size": 1, "mode": null}), ".spec.mode: Invalid type"),
            (
                json!({"size": 1, "name": "A b"}),
                ".spec.name: Invalid value: must match `^[a-z]+$`",
            ),
            (
                json!({"size": 1, "share": 1}),
                ".spec.share: Invalid value: must be less than 1",
            ),
            (
                json!({"size": 3}),
                ".spec.size: Invalid value: is of a form that is ruled out",
            ),
            (
                json!({"size": 1, "list": ["a", "a"]}),
                ".spec.list: Invalid value: has an item twice",
            ),
            (
                json!({"size": 1, "one": {"a": 1, "b": 2}}),
                ".spec.one: Invalid value: must be just one of several forms",
            ),
            (
                json!({"size": 1, "address": "localhost"}),
                ".spec.address: Invalid value: must be of the format ipv4",
            ),
            (
                json!({"size": 1, "list": [1]}),
                ".spec.list[0]: Invalid type: must be string",
            ),
        ] {
            let error = listed(&check(&definition, &manifest(spec)).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
