//! A Flux `Kustomization`: the directory that it builds, and how.
//!
//! Facts: fluxcd.io/flux/components/kustomize/kustomizations, and the generator
//! of github.com/fluxcd/pkg/kustomize, which writes the additions into the
//! directory's kustomization.

use serde_json::{Value, json};

use super::{Additions, Build, DirectoryFiles, Place, path_inside};
use crate::domain::Invalid;
use crate::domain::catalog::HelmOptions;
use crate::domain::substitute::Transforms;

pub const GROUP: &str = "kustomize.toolkit.fluxcd.io";
pub const KIND: &str = "Kustomization";

/// How a Kustomization in a namespace is built.
pub fn build(object: &Value, namespace: &str) -> Result<Build, Invalid> {
    let (spec, metadata) = (&object["spec"], &object["metadata"]);
    let name = metadata["name"].as_str().unwrap_or_default();
    let directory = path_inside(spec["path"].as_str().unwrap_or_default())
        .ok_or_else(|| Invalid(format!("{KIND} {name}: `path` leads out of the repository")))?;
    let text = |field: &str| {
        let text = spec[field].as_str().filter(|text| !text.is_empty());
        text.map(str::to_string)
    };
    let items = |field: &str| spec[field].as_array().cloned().unwrap_or_default();
    let texts = |field: &str| {
        let all = spec["commonMetadata"][field].as_object();
        let all = all.into_iter().flatten();
        all.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_string())))
    };
    let mut labels: std::collections::BTreeMap<_, _> = texts("labels").collect();
    for (mark, value) in [("name", name), ("namespace", namespace)] {
        labels.insert(format!("{GROUP}/{mark}"), value.into());
    }
    Ok(Build {
        place: Place::Directory(directory),
        helm: HelmOptions::default(),
        files: DirectoryFiles::default(),
        deletes: match spec["deletionPolicy"].as_str() {
            None | Some("MirrorPrune") => spec["prune"] == true,
            Some(policy) => policy != "Orphan",
        },
        additions: Additions {
            namespace: text("targetNamespace"),
            name_prefix: text("namePrefix"),
            name_suffix: text("nameSuffix"),
            components: items("components")
                .iter()
                .filter_map(|path| path.as_str().map(str::to_string))
                .collect(),
            images: items("images"),
            patches: items("patches").iter().map(patch).collect(),
            ..Additions::default()
        },
        transforms: Transforms::of(object),
        labels,
        annotations: texts("annotations").collect(),
        beside: Vec::new(),
    })
}

/// The cluster that it deploys to, by the Secret or ConfigMap with its kubeconfig, which is in the
/// same namespace: `NAMESPACE/NAME`. None: the one that Flux is in.
pub(super) fn remote(object: &Value, namespace: &str) -> Option<String> {
    let from = object["spec"]["kubeConfig"].as_object()?;
    let mut names = from.values().filter_map(|of| of["name"].as_str());
    Some(format!("{namespace}/{}", names.next().unwrap_or_default()))
}

/// Flux's own namespace, for objects whose namespace no file says.
pub const NAMESPACE: &str = "flux-system";

/// Only text and target: Flux takes no options for them.
fn patch(of: &Value) -> Value {
    match of["target"].is_object() {
        true => json!({"patch": of["patch"], "target": of["target"]}),
        false => json!({"patch": of["patch"]}),
    }
}
