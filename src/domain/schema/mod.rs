//! Validates custom resources against a definition that is not installed yet, as
//! the API server will do, as far as that is possible here.
//!
//! Only structural schemas are supported (`apiextensions.k8s.io/v1` accepts no
//! others). JSON Schema checks their constraints. This module adds what the API
//! server does itself: it refuses unknown fields and fills in defaults. CEL
//! validation rules are in [`super::cel`]; those of a pull request are never
//! evaluated in this process.
//!
//! `structural`: defaults and unknown fields. `json_schema`: the constraints.
//! `problem`: errors in the API server's words.

use serde_json::Value;

use super::manifest::Manifest;

mod json_schema;
mod problem;
mod structural;
#[cfg(test)]
mod tests;

pub use problem::{Problem, listed};

/// The object with the schema's defaults, or its errors.
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
    let mut problems = structural::complete(schema, &mut value);
    problems.extend(match json_schema::validator(schema) {
        Ok(validator) => validator.iter_errors(&value).map(Problem::from).collect(),
        Err(error) => vec![Problem::Definition(format!(
            "the schema of {kind} {wanted} cannot be used: {error}"
        ))],
    });
    if problems.is_empty() {
        Ok(value)
    } else {
        Err(problems)
    }
}

/// The schema for a manifest's version, if it contains validation rules.
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

/// Whether an existing object fits a definition. Unknown fields do not count: the server drops
/// fields that the schema no longer has.
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
