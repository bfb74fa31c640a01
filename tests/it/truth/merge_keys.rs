//! The merge keys of Kubernetes' lists, by which Argo CD's applies are predicted.

use std::collections::BTreeMap;

use serde_json::Value;
use windlass::judged_by::merge_key;

use crate::support::plane;

/// Types that only the status of an object has, those of kinds that are no manifests, and the schema
/// of a definition, which is in a list that is replaced.
fn is_left_out(name: &str) -> bool {
    [
        "JSONSchemaProps",
        "Status",
        "Condition",
        "NodeAllocatable",
        "VolumeHealth",
        "Eviction",
    ]
    .iter()
    .any(|part| name.contains(part))
}

/// Every list with a merge key in the types of an API version, as (type, list, key).
fn declared(document: &Value) -> Vec<(String, String, String)> {
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let of_type = |(name, schema): (&String, &Value)| {
        let name = name.rsplit('.').next().unwrap_or_default().to_string();
        let fields = schema["properties"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let key = |(field, schema): (String, Value)| {
            let key = schema["x-kubernetes-patch-merge-key"].as_str()?;
            Some((name.clone(), field, key.to_string()))
        };
        fields.into_iter().filter_map(key).collect::<Vec<_>>()
    };
    schemas
        .iter()
        .flat_map(of_type)
        .filter(|(name, ..)| !is_left_out(name))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_merged_by_the_keys_that_the_server_declares() {
    let raw = |path: &str| -> Value {
        serde_json::from_str(&plane().kubectl(&["get", "--raw", path]).unwrap()).unwrap()
    };
    let index = raw("/openapi/v3");
    let stable = |path: &&String| {
        let mut parts = path.split('/');
        let group = parts.nth(1).unwrap_or_default();
        let version = path.rsplit('/').next().unwrap_or_default();
        // What every release serves; an installed definition's group is somebody else's.
        path.starts_with("api")
            && ["v1", "v2"].contains(&version)
            && (!group.contains('.') || group.ends_with(".k8s.io"))
    };
    let paths = index["paths"].as_object().unwrap().keys().filter(stable);
    let mut found = BTreeMap::new();
    for (name, field, key) in paths.flat_map(|path| declared(&raw(&format!("/openapi/v3/{path}"))))
    {
        let kind = name.strip_suffix("Spec").unwrap_or(&name);
        found.insert(
            (name.clone(), field.clone()),
            (key.clone(), merge_key(kind, &field)),
        );
    }
    assert!(
        found.len() > 20,
        "the server declares merge keys: {found:?}"
    );
    let wrong: Vec<_> = found
        .iter()
        .filter(|(_, (key, known))| *known != Some(key.as_str()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
