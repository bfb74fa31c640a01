//! Desired objects and their identity.
//!
//! `parse`: reads a document. `images`: what it runs. `names`: the names that Kubernetes accepts. `server_fields`: an object
//! without the fields that the server maintains. `stage`: the order of applying.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{APPLICATION_ANNOTATION, Invalid, Live, OWNER_LABEL, TargetKey, yaml};

mod images;
mod names;
mod parse;
mod phase;
mod server_fields;
#[cfg(test)]
mod tests;

use parse::collect;

pub use names::{group_of, is_custom_group, is_label, is_subdomain};
pub use phase::{ApplyPhase, apply_phase};
pub use server_fields::{BOOKKEEPING, finalizers, without_metadata, without_server_fields};

/// What an object is called, without its API version: the same object under
/// two versions of its API is one object. A cluster-scoped one has no
/// namespace; [`Manifest::normalise`] settles that by discovery before any
/// comparison with an inventory.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct ResourceKey {
    /// Empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
}

impl ResourceKey {
    /// Whether it is of a kind of the core group.
    pub fn is_core(&self, kind: &str) -> bool {
        self.group.is_empty() && self.kind == kind
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// A line of a file in Git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLine {
    pub path: String,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for FileLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path, self.line)
    }
}

/// A desired object.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub key: ResourceKey,
    /// The API version without the group: `v1`.
    pub version: String,
    pub value: Value,
    /// The keys of a Secret's data that were decrypted, each as it stands in Git.
    pub sealed: BTreeMap<String, String>,
    /// The HelmRelease that installs it: its namespace and name.
    pub installed_by: Option<(String, String)>,
    /// Of a HelmRelease: why what it installs is not rendered.
    pub not_rendered: Option<String>,
}

/// A manifest of a rendering as it is kept.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    value: Cow<'a, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    installed_by: Option<Cow<'a, (String, String)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_rendered: Option<Cow<'a, str>>,
}

impl Manifest {
    pub fn new(key: ResourceKey, version: &str, value: Value) -> Self {
        Self {
            key,
            version: version.into(),
            value,
            sealed: BTreeMap::new(),
            installed_by: None,
            not_rendered: None,
        }
    }

    /// Parses a stream of YAML documents. `List` objects become their items. `file`: for the error.
    pub fn parse_all(text: &str, file: &str) -> Result<Vec<Self>, Invalid> {
        Self::parse_changed(text, file, &|_| {})
    }

    /// The same, with each object changed before it is checked.
    pub fn parse_changed(
        text: &str,
        file: &str,
        change: &dyn Fn(&mut Value),
    ) -> Result<Vec<Self>, Invalid> {
        let documents =
            yaml::documents(text).map_err(|error| Invalid(format!("{file}: {error}")))?;
        let mut manifests = Vec::new();
        for document in documents {
            collect(document, file, change, &mut manifests)?;
        }
        Ok(manifests)
    }

    /// Manifests as compact text, for [`Manifest::restore`].
    pub fn store(manifests: &[Self]) -> String {
        let stored = manifests.iter().map(|manifest| Stored {
            value: Cow::Borrowed(&manifest.value),
            installed_by: manifest.installed_by.as_ref().map(Cow::Borrowed),
            not_rendered: manifest.not_rendered.as_deref().map(Cow::Borrowed),
        });
        serde_json::to_string(&stored.collect::<Vec<_>>()).unwrap_or_default()
    }

    pub fn restore(text: &str) -> Result<Vec<Self>, Invalid> {
        let all: Vec<Stored<'_>> = serde_json::from_str(text)
            .map_err(|error| Invalid(format!("a stored rendering: {error}")))?;
        let mut manifests = Vec::with_capacity(all.len());
        for stored in all {
            let value = stored.value.into_owned();
            collect(value, "a stored rendering", &|_| {}, &mut manifests)?;
            if let Some(manifest) = manifests.last_mut() {
                manifest.installed_by = stored.installed_by.map(Cow::into_owned);
                manifest.not_rendered = stored.not_rendered.map(Cow::into_owned);
            }
        }
        Ok(manifests)
    }

    /// The object with its data as it stands in Git, where that is encrypted: who reads Git can
    /// compare that, and nobody can test a guess of what it holds.
    pub fn as_in_git(&self) -> Value {
        let mut value = self.value.clone();
        for (key, text) in &self.sealed {
            value["data"][key] = text.as_str().into();
        }
        value
    }

    /// An estimate of the live object: as if the server stored it as it is.
    pub fn as_live(&self) -> Live {
        Live::new(self.value.clone())
    }

    /// Whether SOPS encrypted it, by what SOPS adds.
    pub fn is_encrypted(&self) -> bool {
        let sops = &self.value["sops"];
        sops["mac"].is_string() || sops["lastmodified"].is_string()
    }

    /// `group/version`, as `apiVersion` has it.
    pub fn api_version(&self) -> String {
        if self.key.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.key.group, self.version)
        }
    }

    /// Sets the namespace by the kind's scope: none for a cluster-scoped kind, the application's
    /// own if a namespaced object has none.
    pub fn normalise(&mut self, namespaced: bool, default_namespace: &str) {
        let metadata = self.value["metadata"]
            .as_object_mut()
            .expect("parse_all checks that there is metadata");
        if namespaced {
            let namespace = self
                .key
                .namespace
                .get_or_insert_with(|| default_namespace.to_string());
            metadata.insert("namespace".into(), Value::String(namespace.clone()));
        } else {
            metadata.remove("namespace");
            self.key.namespace = None;
        }
    }

    /// Adds the label and annotation of the owning application. `owner`: the label's value.
    pub fn label(&mut self, key: &TargetKey, owner: &str) {
        let metadata = self.value["metadata"]
            .as_object_mut()
            .expect("parse_all checks that there is metadata");
        for (map, name, value) in [
            ("labels", OWNER_LABEL, owner.to_string()),
            ("annotations", APPLICATION_ANNOTATION, key.title()),
        ] {
            let entry = metadata
                .entry(map)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(entry) = entry {
                entry.insert(name.into(), Value::String(value));
            }
        }
    }
}
