//! Desired objects: their identity, and what of them may be shown.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use sha2::{Digest as _, Sha256};

use super::hook::Hook;
use super::image::ImageRef;
use super::{APPLICATION_ANNOTATION, ApplicationKey, Invalid, OWNER_LABEL, canonical_json, yaml};

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

/// A desired object.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub key: ResourceKey,
    /// The API version without the group: `v1`.
    pub version: String,
    pub value: Value,
}

impl Manifest {
    /// Reads a stream of YAML documents; `List` objects are taken apart. `file` is for the error.
    pub fn parse_all(text: &str, file: &str) -> Result<Vec<Self>, Invalid> {
        let documents =
            yaml::documents(text).map_err(|error| Invalid(format!("{file}: {error}")))?;
        let mut manifests = Vec::new();
        for document in documents {
            collect(document, file, &mut manifests)?;
        }
        Ok(manifests)
    }

    /// Manifests as compact text, for [`Manifest::restore`].
    pub fn store(manifests: &[Self]) -> String {
        serde_json::to_string(
            &manifests
                .iter()
                .map(|manifest| &manifest.value)
                .collect::<Vec<_>>(),
        )
        .unwrap_or_default()
    }

    pub fn restore(text: &str) -> Result<Vec<Self>, Invalid> {
        let documents: Vec<Value> = serde_json::from_str(text)
            .map_err(|error| Invalid(format!("a stored rendering: {error}")))?;
        let mut manifests = Vec::with_capacity(documents.len());
        documents
            .into_iter()
            .try_for_each(|document| collect(document, "a stored rendering", &mut manifests))?;
        Ok(manifests)
    }

    /// `group/version`, as `apiVersion` has it.
    pub fn api_version(&self) -> String {
        if self.key.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.key.group, self.version)
        }
    }

    /// Settles the namespace by the scope that discovery tells: none for a cluster-scoped kind, the application's own
    /// where a namespaced object names none.
    pub fn normalise(&mut self, namespaced: bool, default_namespace: &str) {
        let metadata = self.value["metadata"]
            .as_object_mut()
            .expect("parse_all saw metadata");
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

    /// Marks the object as an application's; `owner` is the label's value.
    pub fn label(&mut self, key: &ApplicationKey, owner: &str) {
        let metadata = self.value["metadata"]
            .as_object_mut()
            .expect("parse_all saw metadata");
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

    /// Every image that the object's containers run.
    pub fn images(&self) -> Vec<ImageRef> {
        self.containers()
            .into_iter()
            .map(|(_, image)| image)
            .collect()
    }

    /// Every image, with the name of the container that runs it.
    pub fn containers(&self) -> Vec<(String, ImageRef)> {
        let mut found = Vec::new();
        walk(&self.value, &mut |object| {
            if let Some(image) = object
                .get("image")
                .and_then(Value::as_str)
                .and_then(|text| text.parse().ok())
            {
                let name = object
                    .get("name")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                found.push((format!("{} {name}", self.key), image));
            }
        });
        found
    }
}

fn collect(document: Value, file: &str, manifests: &mut Vec<Manifest>) -> Result<(), Invalid> {
    let text = |value: &Value| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_string)
    };
    let fail = |what: &str| {
        Err(Invalid(format!(
            "{file}: a document {what}: each one needs apiVersion, kind and metadata.name"
        )))
    };
    let Some(api_version) = text(&document["apiVersion"]) else {
        return fail("has no apiVersion");
    };
    let Some(kind) = text(&document["kind"]) else {
        return fail("has no kind");
    };
    if kind.ends_with("List") && document["items"].is_array() {
        let Value::Array(items) = document["items"].clone() else {
            return Ok(());
        };
        return items
            .into_iter()
            .try_for_each(|item| collect(item, file, manifests));
    }
    let (group, version) = match api_version.split_once('/') {
        Some((group, version)) => (group.to_string(), version.to_string()),
        None => (String::new(), api_version.clone()),
    };
    let mut document = document;
    // A hook is run, not kept: what its name ends in is made up from what it is.
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
    let Some(name) = text(&document["metadata"]["name"]) else {
        let why = match document["metadata"]["generateName"].is_string() {
            true => {
                "only a hook may have generateName: what is kept needs a fixed name, or it would be another object each time"
            }
            false => "each one needs it",
        };
        return Err(Invalid(format!(
            "{file}: a {kind} has no metadata.name: {why}"
        )));
    };
    let namespace = text(&document["metadata"]["namespace"]);
    let shown = |what: &str, text: &str| {
        let text: String = text
            .chars()
            .take(60)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Err(Invalid(format!(
            "{file}: `{text}` is no {what} that Kubernetes takes"
        )))
    };
    // They become parts of URLs, log lines and comments: nothing else is let in.
    if !is_kind(&kind) {
        return shown("kind", &kind);
    }
    if !is_group(&group) || !is_version(&version) {
        return shown("apiVersion", &api_version);
    }
    if !is_name(&name) {
        return shown("name", &name);
    }
    if let Some(namespace) = namespace
        .as_deref()
        .filter(|namespace| !is_label(namespace))
    {
        return shown("namespace", namespace);
    }
    manifests.push(Manifest {
        key: ResourceKey {
            group,
            kind,
            namespace,
            name,
        },
        version,
        value: document,
    });
    Ok(())
}

/// Whether a group is no part of Kubernetes: its kinds come by definitions, and controllers see to their objects.
pub fn is_custom_group(group: &str) -> bool {
    group.contains('.') && !group.ends_with(".k8s.io")
}

/// RFC 1123 label: a namespace's name, for one.
pub fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A name as a segment of a path (apimachinery, `IsValidPathSegmentName`), of the characters that names are made of in
/// any kind: roles have `:`, addresses too, accounts `@`. What else a kind asks of its names is the API server's to say.
fn is_name(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.:@+".contains(&b);
    !text.is_empty() && text.len() <= 253 && text != "." && text != ".." && text.bytes().all(legal)
}

fn is_kind(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// RFC 1123 subdomain: most objects' names.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Empty for the core group.
fn is_group(text: &str) -> bool {
    text.is_empty() || is_subdomain(text)
}

fn is_version(text: &str) -> bool {
    is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn walk(value: &Value, visit: &mut impl FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            visit(map);
            map.values().for_each(|value| walk(value, visit));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

/// What the API server keeps for itself in an object's metadata.
pub const BOOKKEEPING: [&str; 6] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "selfLink",
];

/// Without status, what the API server maintains, and the copy that `kubectl apply` keeps in an annotation.
pub fn cleaned(value: &Value) -> Value {
    let Value::Object(object) = value else {
        return value.clone();
    };
    let mut out = Map::new();
    // Copied without what is left out, which is most of an object: managedFields.
    for (key, below) in object.iter().filter(|(key, _)| *key != "status") {
        let below = match below {
            Value::Object(metadata) if key == "metadata" => {
                Value::Object(cleaned_metadata(metadata))
            }
            other => other.clone(),
        };
        out.insert(key.clone(), below);
    }
    // stringData is write-only; the server answers with data.
    if out.get("kind").is_some_and(|kind| kind == "Secret") {
        out.entry("data")
            .or_insert_with(|| Value::Object(Map::new()));
    }
    Value::Object(out)
}

fn cleaned_metadata(metadata: &Map<String, Value>) -> Map<String, Value> {
    // What a hook ran for is no difference that anybody made.
    const ANNOTATIONS: [&str; 3] = [
        "kubectl.kubernetes.io/last-applied-configuration",
        "deployment.kubernetes.io/revision",
        super::hook::RUN,
    ];
    let mut out = Map::new();
    for (key, below) in metadata
        .iter()
        .filter(|(key, _)| !BOOKKEEPING.contains(&key.as_str()))
    {
        match below {
            Value::Object(annotations) if key == "annotations" => {
                let kept: Map<_, _> = annotations
                    .iter()
                    .filter(|(name, _)| !ANNOTATIONS.contains(&name.as_str()))
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                if !kept.is_empty() {
                    out.insert(key.clone(), Value::Object(kept));
                }
            }
            other => drop(out.insert(key.clone(), other.clone())),
        }
    }
    out
}

/// The stage of a sync an object belongs to: definitions, then what others refer to, the rest, and last what could
/// block the rest (webhooks, aggregated APIs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApplyStage {
    Definitions,
    References,
    Workloads,
    Gatekeepers,
}

pub fn apply_stage(key: &ResourceKey) -> ApplyStage {
    match key.kind.as_str() {
        "CustomResourceDefinition" | "Namespace" => ApplyStage::Definitions,
        "ClusterRole"
        | "ClusterRoleBinding"
        | "ServiceAccount"
        | "Role"
        | "RoleBinding"
        | "Secret"
        | "ConfigMap"
        | "PersistentVolume"
        | "PersistentVolumeClaim"
        | "ResourceQuota"
        | "LimitRange" => ApplyStage::References,
        kind if kind.ends_with("Class") => ApplyStage::References,
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" | "APIService" => {
            ApplyStage::Gatekeepers
        }
        _ => ApplyStage::Workloads,
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn lists_are_taken_apart_and_namespaces_settled() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- {apiVersion: apps/v1, kind: Deployment, metadata: {name: b, namespace: x}}\n";
        let mut read = Manifest::parse_all(text, "f").unwrap();
        read[0].normalise(true, "shop");
        read[1].normalise(true, "shop");
        assert_eq!(read[0].key.to_string(), "ConfigMap shop/a");
        assert_eq!(
            (read[1].key.to_string().as_str(), read[1].key.group.as_str()),
            ("Deployment x/b", "apps")
        );
        read[0].value["number"] = serde_json::json!([0.1, 1e300, 9_007_199_254_740_993_u64, -1]);
        let mut again = Manifest::restore(&Manifest::store(&read)).unwrap();
        again[0].key = read[0].key.clone();
        assert_eq!(again, read);
        assert!(
            Manifest::parse_all("kind: ConfigMap\n", "f.yaml")
                .unwrap_err()
                .0
                .starts_with("f.yaml: a document has no apiVersion")
        );
    }

    proptest::proptest! {
        /// What names an object becomes part of URLs, log lines and comments.
        #[test]
        fn no_byte_of_a_name_needs_escaping(name in "(?s).{0,20}|[a-z./?#%&:@ \n`|<-]{1,20}", kind in "(?s).{0,12}|[A-Za-z/?# ]{1,12}", group in "(?s).{0,12}|[a-z./?#]{1,12}", namespace in "(?s).{0,12}|[a-z-]{1,12}") {
            let document = serde_json::json!({
                "apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": name, "namespace": namespace},
            });
            let mut found = Vec::new();
            if collect(document, "f", &mut found).is_ok() {
                for Manifest { key, version, .. } in found {
                    let text = format!("{} {} {} {} {}", key.group, key.kind, key.namespace.as_deref().unwrap_or_default(), key.name, version);
                    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@+ ".contains(c);
                    proptest::prop_assert!(text.chars().all(plain), "{text}");
                    proptest::prop_assert!(key.name != ".." && key.name != ".");
                }
            }
        }
    }
}
