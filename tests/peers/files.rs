//! The corpus's files as another tool's users write them.

use serde::Deserialize as _;
use serde_json::{Value, json};

/// Kinds of the corpus that have no namespace.
const CLUSTER_SCOPED: [&str; 3] = ["Namespace", "ClusterRole", "CustomResourceDefinition"];

/// A file's manifests with their namespace named, and with the tool's word for recreating instead of windlass's.
pub fn adapted(text: &str, namespace: Option<&str>, (word, value): (&str, &str)) -> String {
    let documents = serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap());
    let adapt = |mut object: Value| {
        let Some(kind) = object["kind"].as_str().map(str::to_string) else {
            return object.to_string();
        };
        let metadata = &mut object["metadata"];
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
            && annotations.remove("windlass.dev/recreate").is_some()
        {
            annotations.insert(word.into(), json!(value));
        }
        if let Some(namespace) = namespace
            && metadata.get("namespace").is_none()
            && metadata.get("name").is_some_and(Value::is_string)
            && !CLUSTER_SCOPED.contains(&kind.as_str())
        {
            metadata["namespace"] = json!(namespace);
        }
        object.to_string()
    };
    documents
        .filter(|one| !one.is_null())
        .map(adapt)
        .collect::<Vec<_>>()
        .join("\n---\n")
        + "\n"
}
