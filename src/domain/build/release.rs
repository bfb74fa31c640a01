//! A Flux `HelmRelease` among rendered objects: which chart it installs, and how.
//!
//! Facts: fluxcd.io/flux/components/helm/helmreleases, and api/v2 of
//! github.com/fluxcd/helm-controller: the release's name and its length, the
//! order of values (`valuesFrom`, then `values`), labels of what is installed.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Place, join, path_inside};
use crate::domain::catalog::HelmOptions;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::{substitute, yaml};

pub const GROUP: &str = "helm.toolkit.fluxcd.io";
const SOURCES: &str = "source.toolkit.fluxcd.io";

/// What a HelmRelease installs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmRelease {
    pub name: String,
    pub namespace: String,
    pub chart: Place,
    pub options: HelmOptions,
    /// The kustomization that changes what the chart makes; its resource is `all.yaml`.
    pub post: Option<Value>,
}

/// What the repository has for the HelmReleases of an application, beside its objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Flux's sources, each with its name and its namespace in the cluster.
    pub all: Vec<Value>,
    /// Namespace and name of the GitRepository that the application is built from.
    pub own: (String, String),
}

/// Whether an object is a HelmRelease.
pub fn is_release(key: &ResourceKey) -> bool {
    key.group == GROUP && key.kind == "HelmRelease"
}

/// The reference to the source of a HelmRelease's chart.
pub fn source_of(release: &Value) -> &Value {
    match release["spec"]["chartRef"].is_object() {
        true => &release["spec"]["chartRef"],
        false => &release["spec"]["chart"]["spec"]["sourceRef"],
    }
}

/// The HelmRelease that a live object belongs to, by its labels: its namespace and name.
pub fn release_of_live(object: &Value) -> Option<(String, String)> {
    let labels = &object["metadata"]["labels"];
    let label = |name: &str| labels[format!("{GROUP}/{name}")].as_str().map(Into::into);
    Some((label("namespace")?, label("name")?))
}

/// A HelmRelease whose chart is not rendered: its namespace and name.
pub fn not_rendered(manifest: &Manifest) -> Option<(String, String)> {
    manifest.not_rendered.as_ref()?;
    let key = &manifest.key;
    Some((key.namespace.clone().unwrap_or_default(), key.name.clone()))
}

/// What is known of a HelmRelease among the objects of its application.
pub enum Installs {
    /// What it installs is among them.
    Shown,
    NotShown(Option<String>),
}

/// What is known of what an object installs; None: it is no HelmRelease.
pub fn installs(release: &Manifest, all: &[Manifest]) -> Option<Installs> {
    if !is_release(&release.key) {
        return None;
    }
    let key = &release.key;
    let own = (key.namespace.clone()?, key.name.clone());
    let is_of = |other: &Manifest| other.installed_by.as_ref() == Some(&own);
    Some(match all.iter().any(is_of) {
        true => Installs::Shown,
        false => Installs::NotShown(release.not_rendered.clone()),
    })
}

/// The names of the variables that a HelmRelease's values have.
pub fn variables(of: &(String, String), all: &[Manifest]) -> BTreeSet<String> {
    find(of, all).map_or_else(BTreeSet::new, |release| {
        substitute::names_in(&release.value["spec"]["values"])
    })
}

/// A HelmRelease among these, by its namespace and name.
fn find<'a>((namespace, name): &(String, String), all: &'a [Manifest]) -> Option<&'a Manifest> {
    let is = |manifest: &&Manifest| {
        let key = &manifest.key;
        is_release(key) && key.namespace.as_ref() == Some(namespace) && key.name == *name
    };
    all.iter().find(is)
}

/// Whether helm needs a kind to be served before it begins: it knows the kinds that definitions in
/// the chart's `crds/` bring, and none of those in its templates.
pub fn needs_kind(of: &(String, String), all: &[Manifest]) -> bool {
    let upgrade = find(of, all).map(|release| &release.value["spec"]["upgrade"]["crds"]);
    upgrade.is_none_or(|crds| crds.as_str().is_none_or(|crds| crds == "Skip"))
}

impl HelmRelease {
    /// Reads a HelmRelease among the objects of its application. An error: why what it installs
    /// cannot be told from Git.
    pub fn of(
        release: &Manifest,
        all: &[Manifest],
        sources: &Sources,
        namespace: &str,
    ) -> Result<Self, String> {
        let (spec, name) = (&release.value["spec"], &release.key.name);
        let own = release.key.namespace.as_deref().unwrap_or(namespace);
        for (field, why) in [
            ("suspend", "it is suspended"),
            ("kubeConfig", "it is for another cluster (`kubeConfig`)"),
        ] {
            if !spec[field].is_null() && spec[field] != false {
                return Err(why.into());
            }
        }
        let near = Near {
            all,
            sources,
            namespace: own,
        };
        let chart = near.chart(spec)?;
        let target = text(&spec["targetNamespace"]);
        let default = match &target {
            Some(target) => format!("{target}-{name}"),
            None => name.clone(),
        };
        let crds = spec["upgrade"]["crds"].as_str().unwrap_or("Skip");
        let release = Self {
            name: name.clone(),
            namespace: own.into(),
            options: HelmOptions {
                release: Some(shortened(text(&spec["releaseName"]).unwrap_or(default))),
                namespace: Some(target.unwrap_or_else(|| own.into())),
                values: Some(values_files(spec, &chart)?),
                ignore_missing_values: spec["chart"]["spec"]["ignoreMissingValuesFiles"] == true,
                inline: Some(near.values(spec)?),
                skip_crds: crds == "Skip",
                ..HelmOptions::default()
            },
            chart,
            post: post(spec)?,
        };
        release.options.check()?;
        Ok(release)
    }

    /// Marks an object that it installs, as helm and helm-controller do.
    pub fn mark(&self, manifest: &mut Manifest) {
        manifest.installed_by = Some((self.namespace.clone(), self.name.clone()));
        let object = &mut manifest.value;
        let (release, namespace) = (&self.options.release, &self.options.namespace);
        let (name, own) = (format!("{GROUP}/name"), format!("{GROUP}/namespace"));
        for (field, mark, value) in [
            ("labels", "app.kubernetes.io/managed-by", Some("Helm")),
            ("labels", name.as_str(), Some(self.name.as_str())),
            ("labels", own.as_str(), Some(self.namespace.as_str())),
            (
                "annotations",
                "meta.helm.sh/release-name",
                release.as_deref(),
            ),
            (
                "annotations",
                "meta.helm.sh/release-namespace",
                namespace.as_deref(),
            ),
        ] {
            let map = &mut object["metadata"][field];
            if !map.is_object() {
                *map = json!({});
            }
            map[mark] = json!(value);
        }
        if object["metadata"]["namespace"].is_null() {
            object["metadata"]["namespace"] = json!(namespace);
        }
    }
}

/// What is beside a HelmRelease.
struct Near<'a> {
    all: &'a [Manifest],
    sources: &'a Sources,
    namespace: &'a str,
}

impl Near<'_> {
    fn find(&self, group: &str, kind: &str, reference: &Value) -> Option<&Value> {
        let namespace = reference["namespace"].as_str().unwrap_or(self.namespace);
        let is = |manifest: &&Manifest| {
            let key = &manifest.key;
            key.group == group
                && key.kind == kind
                && Some(key.name.as_str()) == reference["name"].as_str()
                && key.namespace.as_deref().is_none_or(|own| own == namespace)
        };
        let found = self.all.iter().find(is).map(|manifest| &manifest.value);
        let elsewhere = || {
            let mut sources = self.sources.all.iter();
            sources.find(|source| {
                let metadata = &source["metadata"];
                group == SOURCES
                    && source["kind"] == kind
                    && metadata["name"] == reference["name"]
                    && metadata["namespace"] == namespace
            })
        };
        found.or_else(elsewhere)
    }

    /// Whether a reference names the source that the application is built from itself.
    fn is_own(&self, reference: &Value) -> bool {
        let (namespace, name) = &self.sources.own;
        reference["kind"] == "GitRepository"
            && reference["name"] == name.as_str()
            && reference["namespace"].as_str().unwrap_or(self.namespace) == namespace
    }

    fn source(&self, reference: &Value) -> Result<&Value, String> {
        let kind = reference["kind"].as_str().unwrap_or_default();
        let name = reference["name"].as_str().unwrap_or_default();
        if !["HelmRepository", "OCIRepository"].contains(&kind) {
            return Err(format!(
                "its chart comes from the {kind} {name}, which is not read"
            ));
        }
        let found = self.find(SOURCES, kind, reference);
        found.ok_or_else(|| format!("its {kind} {name} is not in this repository"))
    }

    fn chart(&self, spec: &Value) -> Result<Place, String> {
        if spec["chartRef"].is_object() {
            let source = &self.source(&spec["chartRef"])?["spec"];
            let url = source["url"].as_str().unwrap_or_default();
            let url = url.trim_end_matches('/');
            let (repository, name) = url.rsplit_once('/').unwrap_or(("", url));
            let version = text(&source["ref"]["tag"]).ok_or(
                "its OCIRepository names no tag, so which version runs cannot be told from Git",
            )?;
            return Ok(Place::Chart {
                repository: repository.into(),
                name: name.into(),
                version,
            });
        }
        let chart = &spec["chart"]["spec"];
        if self.is_own(&chart["sourceRef"]) {
            let path = chart["chart"].as_str().unwrap_or_default();
            let directory = path_inside(path);
            return directory
                .map(Place::Directory)
                .ok_or_else(|| format!("its chart `{path}` is not in this repository"));
        }
        let source = &self.source(&chart["sourceRef"])?["spec"];
        let version = text(&chart["version"]).unwrap_or_default();
        Ok(Place::Chart {
            repository: text(&source["url"]).unwrap_or_default(),
            name: text(&chart["chart"]).unwrap_or_default(),
            version,
        })
    }

    /// The values: from ConfigMaps in their order, then its own.
    fn values(&self, spec: &Value) -> Result<Value, String> {
        let mut values = json!({});
        for from in spec["valuesFrom"].as_array().into_iter().flatten() {
            let kind = from["kind"].as_str().unwrap_or_default();
            let name = from["name"].as_str().unwrap_or_default();
            let found = match kind {
                "ConfigMap" => self.find("", kind, from),
                _ => None,
            };
            let Some(found) = found else {
                return Err(format!(
                    "some of its values come from the {kind} {name}, which windlass does not read"
                ));
            };
            let key = from["valuesKey"].as_str().unwrap_or("values.yaml");
            let text = found["data"][key].as_str().unwrap_or_default();
            if from["targetPath"].is_string() {
                return Err(format!(
                    "`targetPath` of the values from {name} is not read"
                ));
            }
            let more = yaml::parse(text).map_err(|why| format!("{kind} {name}: {why}"))?;
            merge(&mut values, more);
        }
        merge(&mut values, spec["values"].clone());
        Ok(values)
    }
}

/// The files that take the place of the values of its chart, from the repository's root.
fn values_files(spec: &Value, chart: &Place) -> Result<Vec<String>, String> {
    let files = spec["chart"]["spec"]["valuesFiles"].as_array();
    let mut files = files.into_iter().flatten().filter_map(Value::as_str);
    match chart {
        Place::Chart { .. } if files.next().is_some() => {
            Err("`valuesFiles` of a chart from elsewhere are not read".into())
        }
        Place::Chart { .. } => Ok(Vec::new()),
        Place::Directory(_) => files
            .map(|file| {
                let path = path_inside(file);
                path.ok_or_else(|| format!("its values file `{file}` is not in this repository"))
            })
            .collect(),
    }
}

/// Merges values as helm does: nothing is no value of a chart.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => join(into, more),
        (_, Value::Null) => {}
        (into, more) => *into = more,
    }
}

/// The kustomization of its `postRenderers`.
fn post(spec: &Value) -> Result<Option<Value>, String> {
    let renderers = spec["postRenderers"].as_array();
    let renderers = renderers.map(Vec::as_slice).unwrap_or_default();
    let [renderer] = renderers else {
        return match renderers.is_empty() {
            true => Ok(None),
            false => Err("it has several `postRenderers`".into()),
        };
    };
    let kustomize = &renderer["kustomize"];
    let list = |field: &str| kustomize[field].as_array().cloned().unwrap_or_default();
    if kustomize.as_object().is_none_or(|fields| {
        fields
            .keys()
            .any(|field| field != "patches" && field != "images")
    }) {
        return Err("its `postRenderers` have more than patches and images".into());
    }
    Ok(Some(json!({
        "kind": "Kustomization", "resources": ["all.yaml"],
        "patches": list("patches"), "images": list("images"),
    })))
}

fn text(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_string)
}

/// A release's name has at most 53 characters: a longer one is cut, and ends in a digest.
fn shortened(name: String) -> String {
    if name.len() <= 53 {
        return name;
    }
    let digest = hex::encode(Sha256::digest(&name));
    let kept: String = name.chars().take(40).collect();
    format!("{kept}-{}", &digest[..12])
}
