//! Reads one document of a stream of manifests.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::names::{is_group, is_kind, is_label, is_name, is_version};
use super::{Manifest, ResourceKey};
use crate::domain::hook::Hook;
use crate::domain::{Invalid, canonical_json};

/// Adds the object of a document, or the items of a `List`, each changed first.
pub(super) fn collect(
    document: Value,
    file: &str,
    change: &dyn Fn(&mut Value),
    manifests: &mut Vec<Manifest>,
) -> Result<(), Invalid> {
    let lacks = |what: &str| {
        Err(Invalid(format!(
            "{file}: a document {what}: each one needs apiVersion, kind and metadata.name"
        )))
    };
    let Some(api_version) = text(&document["apiVersion"]) else {
        return lacks("has no apiVersion");
    };
    let Some(kind) = text(&document["kind"]) else {
        return lacks("has no kind");
    };
    if kind.ends_with("List") && document["items"].is_array() {
        let Value::Array(items) = document["items"].clone() else {
            return Ok(());
        };
        return items
            .into_iter()
            .try_for_each(|item| collect(item, file, change, manifests));
    }
    let mut document = with_generated_name(document);
    if document["metadata"].is_object() {
        change(&mut document);
    }
    let Some(name) = text(&document["metadata"]["name"]) else {
        return Err(nameless(&document, &kind, file));
    };
    let (group, version) = match api_version.split_once('/') {
        Some((group, version)) => (group.to_string(), version.to_string()),
        None => (String::new(), api_version),
    };
    let key = ResourceKey {
        group,
        kind,
        namespace: text(&document["metadata"]["namespace"]),
        name,
    };
    let manifest = Manifest::new(key, &version, document);
    check_names(&manifest, file)?;
    manifests.push(manifest);
    Ok(())
}

/// A string that is not empty.
fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_string)
}

/// Replaces the `generateName` of a hook by a name that ends in a digest of its content.
fn with_generated_name(mut document: Value) -> Value {
    if document["metadata"]["name"].is_null()
        && let Some(prefix) =
            text(&document["metadata"]["generateName"]).filter(|_| Hook::of(&document).is_some())
    {
        let digest = hex::encode(Sha256::digest(canonical_json(&document)));
        document["metadata"]["name"] = format!("{prefix}{}", &digest[..8]).into();
        document["metadata"]
            .as_object_mut()
            .map(|metadata| metadata.remove("generateName"));
    }
    document
}

/// Why an object without a name is refused.
fn nameless(document: &Value, kind: &str, file: &str) -> Invalid {
    let why = match document["metadata"]["generateName"].is_string() {
        true => {
            "only a hook may use generateName: any other object needs a fixed name, or each sync would create another one"
        }
        false => "each one needs it",
    };
    Invalid(format!("{file}: a {kind} has no metadata.name: {why}"))
}

/// Checks names strictly: they become parts of URLs, log lines and comments.
fn check_names(manifest: &Manifest, file: &str) -> Result<(), Invalid> {
    let Manifest { key, version, .. } = manifest;
    let refused = |what: &str, text: &str| {
        let text: String = text
            .chars()
            .take(60)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Err(Invalid(format!(
            "{file}: `{text}` is not a valid Kubernetes {what}"
        )))
    };
    if !is_kind(&key.kind) {
        return refused("kind", &key.kind);
    }
    if !is_group(&key.group) || !is_version(version) {
        return refused(
            "apiVersion",
            manifest.value["apiVersion"].as_str().unwrap_or_default(),
        );
    }
    if !is_name(&key.name) {
        return refused("name", &key.name);
    }
    match key.namespace.as_deref() {
        Some(namespace) if !is_label(namespace) => refused("namespace", namespace),
        _ => Ok(()),
    }
}
