//! A structural schema as JSON Schema, and its validator.

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::structural::is_every_objects;

/// The validator of whole objects.
pub(super) fn validator(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    let options = jsonschema::options()
        .with_draft(Draft::Draft4)
        .should_validate_formats(true);
    // Patterns of a pull request must be evaluated in linear time.
    options
        .with_pattern_options(PatternOptions::regex())
        .build(&as_json_schema(schema, true))
}

/// A structural schema as JSON Schema draft 4, which has OpenAPI's `exclusiveMinimum`. `root`: the
/// whole object's.
fn as_json_schema(schema: &Value, root: bool) -> Value {
    let Value::Object(schema) = schema else {
        return json!({});
    };
    let nullable = schema.get("nullable") == Some(&Value::Bool(true));
    let mut out: Map<_, _> = schema
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), keyword(name, value, nullable, root)?)))
        .collect();
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

/// The value of a structural schema's keyword in JSON Schema. None: there is no such keyword.
fn keyword(name: &str, value: &Value, nullable: bool, root: bool) -> Option<Value> {
    let items = value.as_array().into_iter().flatten();
    Some(match name {
        "type" if nullable => json!([value, "null"]),
        "enum" if nullable => items.cloned().chain([Value::Null]).collect(),
        "type" | "enum" | "required" | "pattern" | "multipleOf" | "uniqueItems" | "minimum"
        | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "minLength" | "maxLength"
        | "minItems" | "maxItems" | "minProperties" | "maxProperties" => value.clone(),
        // The API server checks other formats in a way of its own (go-openapi/strfmt).
        "format" if matches!(value.as_str(), Some("date-time" | "ipv4" | "ipv6")) => value.clone(),
        "properties" => {
            let all = value
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(name, _)| !(root && is_every_objects(name)));
            let all = all.map(|(name, schema)| (name.clone(), as_json_schema(schema, false)));
            Value::Object(all.collect())
        }
        "items" | "not" => as_json_schema(value, false),
        "additionalProperties" if value.is_object() => as_json_schema(value, false),
        "allOf" | "anyOf" | "oneOf" => items.map(|schema| as_json_schema(schema, false)).collect(),
        _ => return None,
    })
}
