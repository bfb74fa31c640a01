//! The inputs of an application's rendering: the files, found by following every
//! reference inside the tree, and their hash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub(super) use super::chart::Chart;
use super::complete::Wanted;
use super::declared::{Declaration, declared};
use super::inflation::Inflation;
use super::ksops::Generator;
use super::kustomize::is_kustomization;
use super::releases::OfReleases;
use super::source::{Links, Source};
use crate::domain::catalog::{HelmOptions, RenderSource, is_manifest};
use crate::domain::{Invalid, yaml};

/// Bounds on the inputs of one rendering.
pub(super) const MOST_FILES: usize = 2_000;
pub(super) const MOST_INPUT: usize = 32 << 20;

/// How a directory is rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    Plain,
    Kustomize,
    /// As a kustomization whose file the directory does not have: its text.
    Generated(String),
    Helm(Box<Chart>),
}

impl How {
    /// The text that enters the hash: syncs of earlier versions are known by it.
    fn words(&self) -> String {
        let Self::Helm(chart) = self else {
            return format!("{self:?}");
        };
        let Chart {
            directory,
            values,
            options,
        } = &**chart;
        let plain = format!("Helm {{ chart: {directory:?}, values: {values:?} }}");
        match *options == HelmOptions::default() {
            true => plain,
            false => format!("{plain} {options:?}"),
        }
    }
}

/// The inputs of one application's rendering.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The application's directory.
    pub directory: String,
    pub(super) how: How,
    /// Path → content.
    pub(super) files: BTreeMap<String, Arc<[u8]>>,
    /// The object that says how it is rendered.
    pub(super) declaration: Option<Declaration>,
    /// The links to directories that they are read through.
    pub(super) links: Links,
    /// What these files need from elsewhere.
    pub(super) wanted: Vec<Wanted>,
    /// The charts of its kustomizations.
    pub(super) inflations: Vec<Inflation>,
    /// Their generators of encrypted files.
    pub(super) ksops: Vec<Generator>,
    /// What its HelmReleases take from the tree. None: there are none.
    pub(super) releases: Option<Arc<OfReleases>>,
    /// The other sources that are rendered, in their order.
    pub(super) beside: Vec<Self>,
    /// The hash over paths and contents.
    pub hash: String,
}

impl Inputs {
    /// Inputs that are these files, and nothing of a tree.
    pub(super) fn of_files(
        directory: &str,
        how: How,
        files: BTreeMap<String, Arc<[u8]>>,
        hash: String,
    ) -> Self {
        Self {
            directory: directory.into(),
            how,
            files,
            declaration: None,
            links: Links::new(),
            wanted: Vec::new(),
            inflations: Vec::new(),
            ksops: Vec::new(),
            releases: None,
            beside: Vec::new(),
            hash,
        }
    }

    /// Whether the rendering depends on the destination.
    pub fn asks_the_cluster(&self) -> bool {
        self.releases.is_some() || self.sources().any(|one| matches!(one.how, How::Helm(_)))
    }

    pub fn reads(&self, path: &str) -> bool {
        let declaration = self.declaration.as_ref();
        let releases = self.releases.as_ref();
        self.sources().any(|one| one.files.contains_key(path))
            || declaration.is_some_and(|by| by.file == path)
            || releases.is_some_and(|releases| releases.reads(path))
    }

    /// The object of Argo CD or Flux that says how it is rendered, as the tree has it.
    pub fn declaring_object(&self) -> Option<&Value> {
        Some(&self.declaration.as_ref()?.object)
    }

    /// The paths of all files that the rendering reads.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let all = self.sources().flat_map(|one| one.files.keys());
        all.map(String::as_str)
    }
}

/// Why a directory cannot be rendered, and a hash of its content, which identifies it whatever the
/// message is.
#[derive(Debug, Clone)]
pub struct Unreadable {
    pub why: Invalid,
    pub hash: String,
}

/// The inputs for rendering an application; None: its directory does not exist.
pub fn inputs(tree: &Source<'_>, source: &RenderSource) -> Result<Option<Inputs>, Unreadable> {
    read(tree, source).map_err(|why| {
        let mut hash = Sha256::new();
        for path in tree.under(&source.directory) {
            let entry = tree.listing().get(&path);
            let entry = entry.map(|(mode, id)| (mode, id.to_string()));
            hash.update(format!("{path}\0{entry:?}\n"));
        }
        Unreadable {
            why,
            hash: format!("unreadable {}", hex::encode(hash.finalize())),
        }
    })
}

pub(super) fn read(tree: &Source<'_>, source: &RenderSource) -> Result<Option<Inputs>, Invalid> {
    if let Some(written) = &source.written {
        return declared(tree, source, written);
    }
    let directory = &source.directory;
    tree.check_submodules(directory)?;
    if !tree.is_directory(directory) && !tree.has_file(directory) {
        return Ok(None);
    }
    let mut walk = Walk::new(tree);
    let how = walk.application(source)?;
    Ok(Some(walk.inputs(directory, how, None)))
}

fn is_values(path: &str) -> bool {
    path.ends_with(".yaml") || path.ends_with(".yml")
}

/// An error if SOPS encrypted the values: a chart would take what it wrote for the values.
pub(super) fn check_readable(path: &str, content: &[u8]) -> Result<(), Invalid> {
    let text = String::from_utf8_lossy(content);
    let is_sops = |document: &Value| document["sops"]["mac"].is_string();
    match text.contains("sops") && yaml::documents(&text).is_ok_and(|all| all.iter().any(is_sops)) {
        false => Ok(()),
        true => Err(Invalid(format!(
            "{path} is encrypted with SOPS, which windlass does not decrypt for charts: take secret values from a Secret in the cluster"
        ))),
    }
}

/// The hash of all inputs.
fn identity(
    directory: &str,
    how: &How,
    declaration: &Option<Declaration>,
    files: &BTreeMap<String, Arc<[u8]>>,
    links: &Links,
) -> String {
    let mut hash = Sha256::new();
    for (path, content) in files {
        hash.update((path.len() as u64).to_be_bytes());
        hash.update(path);
        hash.update((content.len() as u64).to_be_bytes());
        hash.update(content);
    }
    hash.update(directory);
    hash.update(how.words());
    for (path, to) in links {
        hash.update(format!("\0{path}\0{to}"));
    }
    if let Some(by) = declaration {
        hash.update(by.build.identity());
    }
    hex::encode(hash.finalize())
}

/// Follows the references of kustomizations.
pub(super) struct Walk<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) files: BTreeMap<String, Arc<[u8]>>,
    pub(super) links: Links,
    pub(super) wanted: Vec<Wanted>,
    pub(super) inflations: Vec<Inflation>,
    pub(super) ksops: Vec<Generator>,
    pub(super) visited: BTreeSet<String>,
    /// The namespace of the kustomization that is read, or of one that names it.
    pub(super) namespace: Option<String>,
    size: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(source: &'a Source<'a>) -> Self {
        Self {
            source,
            files: BTreeMap::new(),
            links: Links::new(),
            wanted: Vec::new(),
            inflations: Vec::new(),
            ksops: Vec::new(),
            visited: BTreeSet::new(),
            namespace: None,
            size: 0,
        }
    }

    /// What was read, as the inputs of an application's rendering.
    pub(super) fn inputs(
        self,
        directory: &str,
        how: How,
        declaration: Option<Declaration>,
    ) -> Inputs {
        Inputs {
            directory: directory.into(),
            hash: identity(directory, &how, &declaration, &self.files, &self.links),
            how,
            files: self.files,
            declaration,
            links: self.links,
            wanted: self.wanted,
            inflations: self.inflations,
            ksops: self.ksops,
            releases: None,
            beside: Vec::new(),
        }
    }

    /// Reads all files that an application's directory needs.
    pub(super) fn application(&mut self, source: &RenderSource) -> Result<How, Invalid> {
        let (tree, directory) = (self.source, &source.directory);
        let chart = source.chart.clone().or_else(|| {
            tree.has_file(&format!("{directory}/Chart.yaml"))
                .then(|| directory.clone())
        });
        if let Some(chart) = chart {
            self.chart(&chart)?;
            return Ok(How::Helm(Box::new(Chart {
                values: self.values(source, &chart)?,
                directory: chart,
                options: source.helm.clone(),
            })));
        }
        if tree.has_file(directory) {
            self.file(directory)?;
            return Ok(How::Plain);
        }
        if is_kustomization(tree, directory) {
            self.kustomization(directory)?;
            return Ok(How::Kustomize);
        }
        tree.check_submodules_under(directory)?;
        if let Some(text) = self.generated(source)? {
            return Ok(How::Generated(text));
        }
        for path in tree.under(directory) {
            if is_manifest(&path) && !source.excludes(&path) {
                self.file(&path)?;
            }
        }
        Ok(How::Plain)
    }

    /// The values files of a chart, in their order: those that are named, then the application's
    /// file; otherwise all of its directory.
    pub(super) fn values(
        &mut self,
        source: &RenderSource,
        chart: &str,
    ) -> Result<Vec<String>, Invalid> {
        let (tree, place) = (self.source, &source.directory);
        let mut values = source.helm.values.clone().unwrap_or_default();
        let mut missing = Vec::new();
        for path in &values {
            if self.file(path)? {
                continue;
            }
            if !source.helm.ignore_missing_values {
                return Err(Invalid(format!(
                    "{place}: the values file `{path}` is not there"
                )));
            }
            missing.push(path.clone());
        }
        values.retain(|path| !missing.contains(path));
        let is_own = |path: &String| is_values(path) && !source.excludes(path);
        let own = tree.under(place).filter(is_own);
        let own: Vec<_> = match &source.helm.values {
            _ if tree.has_file(place) => vec![place.clone()],
            None if chart != place => own.collect(),
            _ => Vec::new(),
        };
        for path in own {
            self.file(&path)?;
            values.push(path);
        }
        for path in &values {
            check_readable(path, &self.files[path])?;
        }
        Ok(values)
    }

    /// A path without links to directories on it.
    pub(super) fn real(&mut self, path: &str) -> Result<String, Invalid> {
        self.source.resolved(path, &mut self.links)
    }

    pub(super) fn file(&mut self, path: &str) -> Result<bool, Invalid> {
        if self.files.contains_key(path) {
            return Ok(true);
        }
        let Some(content) = self.source.content(path)? else {
            return Ok(false);
        };
        self.size += content.len();
        if self.files.len() >= MOST_FILES || self.size > MOST_INPUT {
            return Err(Invalid(format!(
                "more than {MOST_FILES} files or {} MiB are read: split the application",
                MOST_INPUT >> 20
            )));
        }
        self.files.insert(path.into(), content.into());
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::ResourceKey;

    #[test]
    fn objects_are_found_in_their_files() {
        let file = |text: &str| Arc::<[u8]>::from(text.as_bytes());
        let files = BTreeMap::from([
            (
                "base/all.yaml".to_string(),
                file(
                    "# all\n---\nkind: A\nmetadata: {name: x}\n---\n# this one\nkind: B\nmetadata: {name: x}\n",
                ),
            ),
            (
                "own/patch.yaml".to_string(),
                file("kind: A\nmetadata:\n  name: x\n"),
            ),
        ]);
        let inputs = Inputs::of_files("own", How::Plain, files, String::new());
        let at = |kind: &str| {
            let key = ResourceKey {
                group: String::new(),
                kind: kind.into(),
                namespace: None,
                name: "x".into(),
            };
            let found = inputs.locate(&key, None);
            found.map(|place| place.to_string())
        };
        assert_eq!(
            (at("A").as_deref(), at("B").as_deref(), at("C")),
            (Some("own/patch.yaml:1"), Some("base/all.yaml:7"), None)
        );
    }
}
