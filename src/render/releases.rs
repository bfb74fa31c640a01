//! Flux's HelmReleases among rendered objects: what their charts make is added to
//! the objects of the application.
//!
//! Their charts come from where their sources say, which any file of the repository
//! may have, or are directories of the repository that the application is built from.
//! One that cannot be rendered (a chart that may not be fetched, a version that
//! is a range, values from a Secret) says so in an annotation and stops nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::complete::{MOST_WANTED, Wanted, What};
use super::dependencies::{Dependency, chart_version, is_exact};
use super::inputs::{Chart, How, Inputs, Walk, check_readable};
use super::remote::FETCHED;
use super::{NotRendered, Release, Renderer};
use crate::domain::build::release::{self, HelmRelease, Sources};
use crate::domain::build::{Place, Written, flux, path_inside};
use crate::domain::catalog::HelmOptions;
use crate::domain::manifest::{Manifest, group_of};
use crate::domain::{Invalid, yaml};

/// What the HelmReleases of an application take from the tree, beside its own files.
#[derive(Debug, Clone)]
pub(super) struct OfReleases {
    sources: Sources,
    /// The files of these sources.
    files: BTreeSet<String>,
    /// The charts of this repository, by their directories.
    charts: BTreeMap<String, OwnChart>,
}

/// A chart of the repository that the application is built from.
#[derive(Debug, Clone)]
struct OwnChart {
    inputs: Result<Inputs, Invalid>,
    /// What the HelmReleases say of it.
    named: Vec<Value>,
}

impl OwnChart {
    /// Whether source-controller goes on with the chart as it was before: it packs one again for
    /// another version in its Chart.yaml, or another text in its HelmRelease. By
    /// `reconcileStrategy: Revision` it does for each commit.
    fn stays(&self, before: &Self) -> bool {
        let (Ok(now), Ok(was)) = (&self.inputs, &before.inputs) else {
            return false;
        };
        let version = |inputs: &Inputs| {
            let about = inputs
                .files
                .get(&format!("{}/Chart.yaml", inputs.directory));
            let about = about.map(|text| String::from_utf8_lossy(text).into_owned());
            yaml::parse(&about.unwrap_or_default())
                .map_or(Value::Null, |about: Value| about["version"].clone())
        };
        let by_revision = |named: &Value| named["reconcileStrategy"] == "Revision";
        now.hash != was.hash
            && version(now) == version(was)
            && self.named == before.named
            && !self.named.iter().any(by_revision)
    }
}

impl OfReleases {
    pub(super) fn reads(&self, path: &str) -> bool {
        let mut charts = self.charts.values().flat_map(|chart| &chart.inputs);
        self.files.contains(path) || charts.any(|chart| chart.reads(path))
    }

    fn identity(&self) -> String {
        let of_chart = |(directory, chart): (&String, &OwnChart)| match &chart.inputs {
            Ok(inputs) => format!("{directory} {}", inputs.hash),
            Err(why) => format!("{directory} {why}"),
        };
        let charts: Vec<_> = self.charts.iter().map(of_chart).collect();
        format!("{:?} {charts:?}", self.sources)
    }
}

impl Inputs {
    /// The inputs with what their HelmReleases take from the tree.
    pub(super) fn with(mut self, releases: Option<OfReleases>) -> Self {
        let Some(releases) = releases else {
            return self;
        };
        let identity = format!("{} {}", self.hash, releases.identity());
        self.hash = hex::encode(Sha256::digest(identity));
        self.releases = Some(Arc::new(releases));
        self
    }

    /// The inputs as Flux renders them after the ones before, where that differs: charts of the
    /// repository that change and stay what they were. With their directories.
    pub fn with_former_charts(&self, before: &Self) -> Option<(Self, Vec<String>)> {
        let (now, was) = (self.releases.as_ref()?, before.releases.as_ref()?);
        let former = now.charts.iter().filter_map(|(directory, chart)| {
            let before = was.charts.get(directory)?;
            chart
                .stays(before)
                .then(|| (directory.clone(), before.clone()))
        });
        let former: BTreeMap<_, _> = former.collect();
        if former.is_empty() {
            return None;
        }
        let directories = former.keys().cloned().collect();
        let mut releases = (**now).clone();
        releases.charts.extend(former);
        Some((self.clone().with(Some(releases)), directories))
    }
}

impl Walk<'_> {
    /// What the HelmReleases in the files that were read take from the tree; None: there are none.
    /// `object` builds these files.
    pub(super) fn releases(
        &self,
        object: &Value,
        written: &Written,
    ) -> Result<Option<OfReleases>, Invalid> {
        let has = |content: &&Arc<[u8]>| {
            let group = release::GROUP.as_bytes();
            content.windows(group.len()).any(|part| part == group)
        };
        let mut texts = self.files.values().filter(has).peekable();
        if written.key.group != flux::GROUP || texts.peek().is_none() {
            return Ok(None);
        }
        // One that is no YAML is told of by who renders it.
        let found: Vec<_> = texts
            .flat_map(|text| yaml::documents(&String::from_utf8_lossy(text)).unwrap_or_default())
            .filter(|object| group_of(object) == release::GROUP && object["kind"] == "HelmRelease")
            .collect();
        let source = &object["spec"]["sourceRef"];
        let text = |field: &str| source[field].as_str().map(str::to_string);
        let own = (
            text("namespace").unwrap_or_else(|| written.namespace.clone()),
            text("name").unwrap_or_default(),
        );
        let is_named = |source: &Value| {
            found.iter().any(|release| {
                let reference = release::source_of(release);
                reference["kind"] == source["kind"]
                    && reference["name"] == source["metadata"]["name"]
            })
        };
        let objects = self.source.objects();
        let objects = objects.map_err(|error| Invalid(format!("{}: {error}", written.file)))?;
        let (files, all) = objects
            .sources()
            .filter(|(_, source)| is_named(source))
            .unzip();
        Ok(Some(OfReleases {
            charts: self.charts_of(&found, &own.1),
            sources: Sources { all, own },
            files,
        }))
    }

    /// The charts of the source of this name, with the values files that are named beside them.
    fn charts_of(&self, releases: &[Value], source: &str) -> BTreeMap<String, OwnChart> {
        let mut charts: BTreeMap<String, (Vec<Value>, BTreeSet<String>)> = BTreeMap::new();
        for release in releases {
            let chart = &release["spec"]["chart"]["spec"];
            let of = &chart["sourceRef"];
            let path = chart["chart"].as_str().and_then(path_inside);
            let (Some(directory), true) =
                (path, of["kind"] == "GitRepository" && of["name"] == source)
            else {
                continue;
            };
            let values = chart["valuesFiles"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).filter_map(path_inside);
            let (named, files) = charts.entry(directory).or_default();
            named.push(chart.clone());
            files.extend(values);
        }
        let read = |directory: &str, values: &BTreeSet<String>| {
            let mut walk = Walk::new(self.source);
            walk.chart(directory)?;
            for file in values {
                walk.file(file)?;
            }
            let alone = chart_in(directory, Vec::new(), HelmOptions::default());
            Ok(walk.inputs(directory, alone, None))
        };
        charts
            .into_iter()
            .map(|(directory, (named, values))| {
                let inputs = read(&directory, &values);
                (directory, OwnChart { inputs, named })
            })
            .collect()
    }
}

/// `values`: files that win over the chart's own.
fn chart_in(directory: &str, values: Vec<String>, options: HelmOptions) -> How {
    How::Helm(Box::new(Chart {
        directory: directory.into(),
        values,
        options,
    }))
}

impl Renderer {
    /// The manifests with those of their HelmReleases.
    pub(super) async fn with_releases(
        &self,
        mut manifests: Vec<Manifest>,
        near: &OfReleases,
        cluster: &Release,
    ) -> Result<Vec<Manifest>, NotRendered> {
        let releases = manifests.iter_mut();
        for release in releases.filter(|manifest| release::is_release(&manifest.key)) {
            release.normalise(true, &cluster.namespace);
        }
        let mut installed = Vec::new();
        let mut unknown: BTreeMap<usize, String> = BTreeMap::new();
        let all = manifests.iter().enumerate();
        let all = all.filter(|(_, manifest)| release::is_release(&manifest.key));
        for (count, (at, manifest)) in all.enumerate() {
            let of = HelmRelease::of(manifest, &manifests, &near.sources, &cluster.namespace);
            let found = match of {
                Ok(_) if count >= MOST_WANTED => Err(Invalid(format!(
                    "more than {MOST_WANTED} HelmReleases: split the application"
                ))
                .into()),
                Ok(of) => self.installed(&of, near, cluster).await,
                Err(why) => Err(Invalid(why).into()),
            };
            match found {
                Ok(found) => installed.extend(found),
                Err(NotRendered::Invalid(Invalid(why))) => drop(unknown.insert(at, why)),
                Err(other) => return Err(other),
            }
        }
        for (at, why) in unknown {
            manifests[at].not_rendered = Some(why);
        }
        manifests.extend(installed);
        Ok(manifests)
    }

    /// What a HelmRelease installs.
    async fn installed(
        &self,
        of: &HelmRelease,
        near: &OfReleases,
        cluster: &Release,
    ) -> Result<Vec<Manifest>, NotRendered> {
        let inputs = chart_inputs(of, near)?;
        let made = Box::pin(self.render(&inputs, Some(cluster.clone()))).await?;
        let made = match &of.post {
            None => made,
            Some(post) => {
                let inputs = post_inputs(&inputs, post, &made);
                Box::pin(self.render(&inputs, None)).await?
            }
        };
        let mark = |manifest: &Manifest| {
            let mut manifest = manifest.clone();
            of.mark(&mut manifest);
            let namespace = manifest.value["metadata"]["namespace"].as_str();
            manifest.key.namespace = namespace.map(Into::into);
            manifest
        };
        Ok(made.iter().map(mark).collect())
    }
}

fn chart_inputs(of: &HelmRelease, near: &OfReleases) -> Result<Inputs, Invalid> {
    let hash = hex::encode(Sha256::digest(format!("{of:?}")));
    let (repository, name, version) = match &of.chart {
        Place::Directory(directory) => {
            let chart = near.charts.get(directory);
            let chart = chart.ok_or_else(|| {
                Invalid(format!("its chart `{directory}` is not named in a file"))
            })?;
            return of_tree(of, directory, chart.inputs.clone()?, &hash);
        }
        Place::Chart {
            repository,
            name,
            version,
        } => (repository, name, version),
    };
    let at = format!("HelmRelease {}/{}", of.namespace, of.name);
    if !is_exact(version) {
        return Err(Invalid(format!(
            "`{version}` is no exact version of the chart `{name}`: which one runs cannot be told from Git"
        )));
    }
    let wanted = Dependency {
        name: name.clone(),
        version: version.clone(),
        repository: repository.clone(),
    };
    let directory = format!("{FETCHED}{name}");
    let what = What::Chart {
        chart: chart_version(&at, &wanted)?,
        into: directory.clone(),
        instead: "make the chart a part of the repository".into(),
    };
    let how = chart_in(&directory, Vec::new(), of.options.clone());
    let hash = format!("release {hash}");
    Ok(Inputs {
        wanted: vec![Wanted::new(&at, what)],
        ..Inputs::of_files(&directory, how, BTreeMap::new(), hash)
    })
}

/// The inputs of a chart of the tree. Values files take the place of the chart's own, as
/// source-controller packs it.
fn of_tree(
    of: &HelmRelease,
    directory: &str,
    mut chart: Inputs,
    hash: &str,
) -> Result<Inputs, Invalid> {
    let named = of.options.values.as_deref().unwrap_or_default();
    let is_there = |file: &&String| chart.files.contains_key(*file);
    let missing = named.iter().find(|file| !is_there(file));
    if let (Some(file), false) = (missing, of.options.ignore_missing_values) {
        return Err(Invalid(format!("its values file `{file}` is not there")));
    }
    let values: Vec<_> = named.iter().filter(is_there).cloned().collect();
    let own = format!("{directory}/values.yaml");
    if !values.is_empty() && !values.contains(&own) {
        chart.files.remove(&own);
    }
    for file in &values {
        check_readable(file, &chart.files[file])?;
    }
    chart.hash = format!("release {hash} {}", chart.hash);
    chart.how = chart_in(directory, values, of.options.clone());
    Ok(chart)
}

/// The inputs of the kustomization that changes what a chart made.
fn post_inputs(chart: &Inputs, post: &Value, made: &[Manifest]) -> Inputs {
    let directory = ".windlass-post".to_string();
    let all: Vec<_> = made
        .iter()
        .map(|manifest| manifest.value.to_string())
        .collect();
    let file =
        |name: &str, text: String| (format!("{directory}/{name}"), Arc::from(text.into_bytes()));
    let files = [
        file("kustomization.yaml", post.to_string()),
        file("all.yaml", all.join("\n---\n")),
    ];
    let digest = hex::encode(Sha256::digest(all.concat()));
    let hash = format!("{} {post} {digest}", chart.hash);
    Inputs::of_files(&directory, How::Kustomize, BTreeMap::from(files), hash)
}
