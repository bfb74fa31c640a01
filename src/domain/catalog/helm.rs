//! How a chart is rendered: the options of `helm`, beside its files.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::placeholders::unguarded;
use super::raw::Ordered;
use crate::domain::Invalid;
use crate::domain::manifest::is_label;

/// How a chart is rendered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct HelmOptions {
    /// The release's name; by default the application's.
    pub release: Option<String>,
    /// The release's namespace; by default the application's.
    pub namespace: Option<String>,
    /// Values files, in order, from the repository's root. None: those of the directory.
    pub values: Option<Vec<String>>,
    /// Values files that are not there are passed over.
    pub ignore_missing_values: bool,
    /// Values that win over those of the files.
    pub inline: Option<Value>,
    /// Values by their paths (`image.tag`); they win over those of the files.
    pub set: Vec<(String, Value)>,
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
        for (path, _) in &self.set.0 {
            if path.contains(['=', ',', '{', '\\']) || path.starts_with('-') {
                return Err(refused("set", path));
            }
        }
        let versions = self.kube_version.iter().chain(&self.api_versions);
        let is_odd = |text: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"./+-_".contains(&b);
            text.starts_with('-') || !text.bytes().all(plain)
        };
        if let Some(odd) = versions.into_iter().find(|text| is_odd(text)) {
            return Err(refused("kubeVersion, apiVersions", odd));
        }
        let set = self.set.0.into_iter();
        Ok(HelmOptions {
            release: self.release.as_deref().map(unguarded),
            namespace: self.namespace.as_deref().map(unguarded),
            values: values.transpose()?,
            ignore_missing_values: false,
            inline: None,
            set: set
                .map(|(path, value)| (path, with_texts(&value, &unguarded)))
                .collect(),
            skip_crds: self.skip_crds,
            kube_version: self.kube_version,
            api_versions: self.api_versions,
        })
    }
}

fn refused(key: &str, text: &str) -> Invalid {
    super::invalid(format_args!("helm: {key}: `{text}` is not one"))
}

/// A value with each text in it changed.
fn with_texts(value: &Value, change: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text)),
        Value::Array(items) => items.iter().map(|item| with_texts(item, change)).collect(),
        Value::Object(map) => {
            let all = map.iter();
            let all = all.map(|(key, value)| (key.clone(), with_texts(value, change)));
            Value::Object(all.collect())
        }
        other => other.clone(),
    }
}

/// A path inside the repository.
fn inside(path: String) -> Result<String, Invalid> {
    // helm reads a list of files where there are commas.
    let outside = path.starts_with(['/', '-']) || path.split('/').any(|part| part == "..");
    match outside || path.contains(',') {
        true => Err(super::invalid(format_args!(
            "helm: values: `{path}`: a path is relative to the repository's root"
        ))),
        false => Ok(path),
    }
}

/// The most characters of a release's name (helm's chartutil.ValidateReleaseName).
pub const LONGEST_RELEASE: usize = 53;

impl HelmOptions {
    /// An error for what helm would read as something else: an option, or several files.
    pub fn check(&self) -> Result<(), String> {
        let is_release = |name: &str| is_label(name) && name.len() <= LONGEST_RELEASE;
        let odd_release = self.release.iter().find(|name| !is_release(name));
        let odd_namespace = self.namespace.iter().find(|name| !is_label(name));
        let odd_path = |path: &&String| path.starts_with(['/', '-']) || path.contains(',');
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"./+-_".contains(&b);
        let odd_version = |text: &&String| text.starts_with('-') || !text.bytes().all(plain);
        let odd_set =
            |path: &&String| path.contains(['=', ',', '{', '\\']) || path.starts_with('-');
        let odd = odd_release.or(odd_namespace);
        let odd = odd.or_else(|| self.values.iter().flatten().find(odd_path));
        let odd = odd.or_else(|| {
            self.kube_version
                .iter()
                .chain(&self.api_versions)
                .find(odd_version)
        });
        let odd = odd.or_else(|| self.set.iter().map(|(path, _)| path).find(odd_set));
        odd.map_or(Ok(()), |odd| {
            Err(format!("`{odd}` is no name, path or version for helm"))
        })
    }

    /// Its texts that may have placeholders.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let values = self.values.iter().flatten().map(String::as_str);
        let set = self.set.iter().filter_map(|(_, value)| value.as_str());
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
        let set = |(path, value): &(String, Value)| (path.clone(), with_texts(value, &fill));
        Self {
            release: self.release.as_deref().map(&fill),
            namespace: self.namespace.as_deref().map(&fill),
            values: values.map(|all| all.iter().map(|path| fill_path(path)).collect()),
            set: self.set.iter().map(set).collect(),
            ..self.clone()
        }
    }
}
