//! Custom resources against the schema of a definition that is not installed
//! yet: what the API server will say once it is, as far as that can be told.
//!
//! Structural schemas only (the only ones that `apiextensions.k8s.io/v1`
//! takes). What they require is JSON Schema's business; that unknown fields are
//! refused and defaults filled in is the API server's, and done here. Validation
//! rules in CEL are the business of [`super::cel`]: those of a pull request are
//! not evaluated in this process.
//!
//! `structural`: defaults and unknown fields. `json_schema`: what JSON Schema
//! judges. `problem`: what is wrong, in the API server's words.

use serde_json::Value;

use super::manifest::Manifest;

mod json_schema;
mod problem;
mod structural;
#[cfg(test)]
mod tests;

pub use problem::{Problem, listed};

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
