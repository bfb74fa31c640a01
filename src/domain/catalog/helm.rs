//! How a chart is rendered: the options of `helm`, beside its files.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::pattern::names_in;
use super::raw::{Ordered, unguarded};
use crate::domain::Invalid;

/// How a chart is rendered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct HelmOptions {
    /// The release's name; by default the application's.
    pub release: Option<String>,
    /// The release's namespace; by default the application's.
    pub namespace: Option<String>,
    /// Values files, in order, from the repository's root. None: those of the directory.
    pub values: Option<Vec<String>>,
    /// Values by their paths (`image.tag`), as JSON; they win over those of the files.
    pub set: Vec<(String, String)>,
    pub skip_crds: bool,
    /// What the chart takes the cluster's version for.
    pub kube_version: Option<String>,
    /// What it takes for served beside what the cluster serves.
    pub api_versions: Vec<String>,
}

/// How a chart is rendered; without it, as `helm template` does by default.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawHelm {
    /// The name of the release: `{application}` by default.
    #[serde(default)]
    release: Option<String>,
    /// The namespace of the release: that of the application by default.
    #[serde(default)]
    namespace: Option<String>,
    /// Values files from the repository's root, in order: the later ones win. By default every
    /// `*.yaml` in the application's directory, if the chart is elsewhere.
    #[serde(default)]
    values: Option<Vec<String>>,
    /// Single values by their paths, as `image.tag: 1.2.3`: they win over the files.
    #[serde(default)]
    set: Ordered<Value>,
    /// Leaves out the definitions in the chart's `crds/`.
    #[serde(default, rename = "skipCRDs")]
    skip_crds: bool,
    /// The version of Kubernetes that the chart sees, as `1.33`: the cluster's by default.
    #[serde(default)]
    kube_version: Option<String>,
    /// API versions that the chart sees beside those that the cluster serves.
    #[serde(default)]
    api_versions: Vec<String>,
}

impl RawHelm {
    pub(super) fn validate(self) -> Result<HelmOptions, Invalid> {
        let values = self.values.map(|values| {
            let checked = values.iter().map(|path| unguarded(path)).map(inside);
            checked.collect::<Result<Vec<_>, _>>()
        });
        let set = self.set.0.into_iter();
        Ok(HelmOptions {
            release: self.release.as_deref().map(unguarded),
            namespace: self.namespace.as_deref().map(unguarded),
            values: values.transpose()?,
            set: set
                .map(|(path, value)| (path, unguarded(&value.to_string())))
                .collect(),
            skip_crds: self.skip_crds,
            kube_version: self.kube_version,
            api_versions: self.api_versions,
        })
    }
}

/// A path inside the repository.
fn inside(path: String) -> Result<String, Invalid> {
    match path.starts_with('/') || path.split('/').any(|part| part == "..") {
        true => Err(super::invalid(format_args!(
            "helm: values: `{path}`: a path is relative to the repository's root"
        ))),
        false => Ok(path),
    }
}

impl HelmOptions {
    /// Its texts that may have placeholders.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let values = self.values.iter().flatten().map(String::as_str);
        // JSON has braces of its own.
        let set = self.set.iter().map(|(_, value)| value.as_str());
        let set = set.filter(|value| value.starts_with('"') && !names_in(value).is_empty());
        let names = self
            .release
            .as_deref()
            .into_iter()
            .chain(self.namespace.as_deref());
        names.chain(values).chain(set)
    }

    /// With the placeholders replaced: by `fill` in names and values, by `fill_path` in paths.
    pub(super) fn filled(
        &self,
        fill: impl Fn(&str) -> String,
        fill_path: impl Fn(&str) -> String,
    ) -> Self {
        let values = self.values.as_ref();
        let set = |(path, value): &(String, String)| (path.clone(), fill(value));
        Self {
            release: self.release.as_deref().map(&fill),
            namespace: self.namespace.as_deref().map(&fill),
            values: values.map(|all| all.iter().map(|path| fill_path(path)).collect()),
            set: self.set.iter().map(set).collect(),
            ..self.clone()
        }
    }
}
