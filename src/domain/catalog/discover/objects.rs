//! The objects of other reconcilers in the files of a tree.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::invalid;
use super::super::tree::is_kustomization;
use super::By;
use crate::domain::build::{Written, argocd, flux, path_inside, sets};
use crate::domain::manifest::{ResourceKey, group_of};
use crate::domain::{Invalid, RepoName, directories_of, yaml};

/// The most objects that are read.
const MOST_OBJECTS: usize = 5_000;
/// How many kustomizations are followed, one below the other.
const MOST_NESTED: usize = 16;
/// The API group of Flux's sources.
const SOURCES: &str = "source.toolkit.fluxcd.io";
const SOURCE_KINDS: [&str; 3] = ["GitRepository", "HelmRepository", "OCIRepository"];

/// The objects of reconcilers that a tree has.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// In the order of their files.
    all: Vec<(String, Value)>,
    /// The directories with the templates of charts, whose texts are no objects yet.
    templates: BTreeSet<String>,
    /// The files that kustomizations patch other objects with.
    patches: BTreeSet<String>,
    /// The namespaces that kustomizations set, by their directories.
    namespaces: BTreeMap<String, String>,
    /// What they put before and behind names.
    affixes: BTreeMap<String, (String, String)>,
    /// The files and directories that they name.
    resources: BTreeMap<String, Vec<String>>,
    /// The Applications that ApplicationSets make.
    pub(super) made: Vec<(Written, Value)>,
    /// The ApplicationSets that cannot be evaluated, and why.
    pub(super) broken: Vec<(Written, Value, Invalid)>,
}

impl Objects {
    /// Of a tree with these files, which are to be added.
    pub fn of_files<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        let charts = files.into_iter().filter_map(|file| {
            let chart = file.strip_suffix("Chart.yaml")?;
            (chart.is_empty() || chart.ends_with('/')).then(|| format!("{chart}templates"))
        });
        Self {
            templates: charts.collect(),
            ..Self::default()
        }
    }

    /// Whether a file is to be added.
    pub fn may_have(file: &str, text: &str) -> bool {
        let groups = [flux::GROUP, SOURCES, argocd::GROUP];
        is_kustomization(file) || groups.iter().any(|group| text.contains(group))
    }

    /// Adds a file. One that is no YAML, such as a template, has no objects.
    pub fn add(&mut self, file: &str, text: &str) {
        let is_template = directories_of(file).any(|above| self.templates.contains(above));
        if self.all.len() > MOST_OBJECTS || is_template {
            return;
        }
        for object in yaml::documents(text).unwrap_or_default() {
            let kind = object["kind"].as_str().unwrap_or_default();
            if is_kustomization(file) && group_of(&object) != flux::GROUP {
                self.add_kustomization(file, &object);
            } else if is_read(group_of(&object), kind) && object["$patch"].is_null() {
                self.all.push((file.into(), object));
            }
        }
    }

    fn add_kustomization(&mut self, file: &str, kustomization: &Value) {
        let (directory, _) = file.rsplit_once('/').unwrap_or(("", file));
        if let Some(namespace) = kustomization["namespace"].as_str() {
            self.namespaces.insert(directory.into(), namespace.into());
        }
        let text = |field: &str| {
            kustomization[field]
                .as_str()
                .unwrap_or_default()
                .to_string()
        };
        let affixes = (text("namePrefix"), text("nameSuffix"));
        if affixes != Default::default() {
            self.affixes.insert(directory.into(), affixes);
        }
        let items = |field: &str| kustomization[field].as_array().into_iter().flatten();
        let inside = |path: &str| path_inside(&format!("{directory}/{path}"));
        let resources = ["resources", "bases", "components"].into_iter();
        let resources = resources.flat_map(items).filter_map(Value::as_str);
        self.resources
            .insert(directory.into(), resources.filter_map(inside).collect());
        let patches = items("patches").map(|patch| &patch["path"]);
        let paths = patches.chain(items("patchesStrategicMerge"));
        let paths = paths.filter_map(Value::as_str);
        self.patches.extend(paths.filter_map(inside));
    }

    /// The objects, with their files.
    fn written(&self) -> impl Iterator<Item = &(String, Value)> {
        let all = self.all.iter();
        all.filter(|(file, _)| !self.patches.contains(file))
    }

    /// Whether a file has an object of this one's kind, namespace and name, or a set makes it.
    pub fn has(&self, object: &Value) -> bool {
        let (metadata, group) = (&object["metadata"], group_of(object));
        let home = metadata["namespace"].as_str().unwrap_or_default();
        let is = |known: &Value, name: &str, namespace: &str| {
            group_of(known) == group
                && known["kind"] == object["kind"]
                && metadata["name"] == name
                && namespace == home
        };
        let of_file = |file: &str, known: &Value| {
            let name = known["metadata"]["name"].as_str().unwrap_or_default();
            let (name, namespace) = (self.name(file, name), self.namespace(file, known, home));
            is(known, &name, &namespace)
        };
        let mut written = self.written();
        let mut made = self.made.iter();
        written.any(|(file, known)| of_file(file, known))
            || made.any(|(by, known)| is(known, &by.name, &by.namespace))
    }

    /// The namespace of an object: the outermost kustomization above it that sets one wins.
    fn namespace(&self, file: &str, object: &Value, default: &str) -> String {
        let set = directories_of(file).find_map(|directory| self.namespaces.get(directory));
        let own = object["metadata"]["namespace"].as_str();
        let own = own.unwrap_or(default);
        set.map_or_else(|| own.to_string(), Clone::clone)
    }

    /// The name of an object in a file in the cluster: each kustomization above it may lengthen it.
    fn name(&self, file: &str, name: &str) -> String {
        let all: Vec<_> = directories_of(file)
            .filter_map(|directory| Some((directory, self.affixes.get(directory)?)))
            .filter(|(directory, _)| self.reaches(directory, file, MOST_NESTED))
            .map(|(_, affixes)| affixes)
            .collect();
        let longer =
            |name: String, (prefix, suffix): &&(String, String)| format!("{prefix}{name}{suffix}");
        all.iter().rev().fold(name.to_string(), longer)
    }

    /// Whether a kustomization has a file among its resources, or among those of a directory below
    /// it.
    fn reaches(&self, directory: &str, file: &str, depth: usize) -> bool {
        let all = self.resources.get(directory).into_iter().flatten();
        let mut all = all.filter(|path| file.starts_with(path.as_str()));
        all.any(|path| path == file || depth > 0 && self.reaches(path, file, depth - 1))
    }

    /// The object that declares an application.
    pub fn object(&self, written: &Written) -> Option<&Value> {
        let mut made = self.made.iter();
        if let Some((_, object)) = made.find(|(known, _)| known.is_same(written)) {
            return Some(object);
        }
        let mut all = self.written().filter(|(file, _)| *file == written.file);
        all.find(|(_, object)| written.is(object))
            .map(|(_, object)| object)
    }

    /// The objects of a reconciler that build files of a repository.
    pub(in super::super) fn of(
        &self,
        by: By,
        repo: &RepoName,
    ) -> Result<Vec<(Written, &Value)>, Invalid> {
        if self.all.len() + self.made.len() > MOST_OBJECTS {
            return Err(invalid(format_args!(
                "`discover` finds more than {MOST_OBJECTS} objects: leave some out by `under` or `exclude`"
            )));
        }
        Ok(match by {
            By::Flux => self.of_flux(repo),
            By::ArgoCd => self.of_argo_cd(repo),
        })
    }

    /// Flux's sources with their files, each with its name and its namespace in the cluster.
    pub fn sources(&self) -> impl Iterator<Item = (String, Value)> {
        let all = SOURCE_KINDS
            .iter()
            .flat_map(|kind| self.of_kind(SOURCES, kind, flux::NAMESPACE));
        all.map(|(written, object)| {
            let mut object = object.clone();
            object["metadata"]["name"] = written.name.into();
            object["metadata"]["namespace"] = written.namespace.into();
            (written.file, object)
        })
    }

    /// Those of a kind, each with where it is written.
    pub(super) fn of_kind<'a>(
        &'a self,
        group: &'static str,
        kind: &'static str,
        default_namespace: &'a str,
    ) -> impl Iterator<Item = (Written, &'a Value)> {
        let is = move |(_, object): &&(String, Value)| {
            group_of(object) == group && object["kind"] == kind
        };
        self.written().filter(is).filter_map(move |(file, object)| {
            let metadata = &object["metadata"];
            let key = ResourceKey {
                group: group.into(),
                kind: kind.into(),
                namespace: metadata["namespace"].as_str().map(Into::into),
                name: metadata["name"].as_str()?.into(),
            };
            let written = Written {
                file: file.clone(),
                name: self.name(file, &key.name),
                key,
                namespace: self.namespace(file, object, default_namespace),
                made_by: None,
                remote: None,
            };
            Some((written, object))
        })
    }

    /// A Kustomization whose source is not in the tree counts as one of this repository.
    fn of_flux(&self, repo: &RepoName) -> Vec<(Written, &Value)> {
        let sources = self.of_kind(SOURCES, "GitRepository", flux::NAMESPACE);
        let urls: BTreeMap<_, _> = sources
            .map(|(written, object)| {
                let url = object["spec"]["url"].as_str().unwrap_or_default();
                ((written.namespace, written.key.name), url)
            })
            .collect();
        let is_of = |(written, object): &(Written, &Value)| {
            let source = &object["spec"]["sourceRef"];
            let text = |field: &str| source[field].as_str();
            let namespace = text("namespace").unwrap_or(&written.namespace);
            let name = text("name").unwrap_or_default();
            let url = urls.get(&(namespace.to_string(), name.to_string()));
            text("kind") == Some("GitRepository") && url.is_none_or(|url| repo.has_url(url))
        };
        let all = self.of_kind(flux::GROUP, flux::KIND, flux::NAMESPACE);
        all.filter(is_of).collect()
    }

    /// An Application of a chart elsewhere counts, since its values and its version are in this
    /// repository.
    fn of_argo_cd(&self, repo: &RepoName) -> Vec<(Written, &Value)> {
        let is_ours = |source: &&Value| {
            let revision = source["targetRevision"].as_str().unwrap_or_default();
            let url = source["repoURL"].as_str().unwrap_or_default();
            let follows = ["", "HEAD", "main", "master"].contains(&revision);
            !source["chart"].is_null() || repo.has_url(url) && follows
        };
        let is_of = |(_, object): &(Written, &Value)| argocd::sources(object).iter().all(is_ours);
        let all = self.of_kind(argocd::GROUP, argocd::KIND, argocd::NAMESPACE);
        let made = self.made.iter();
        let made = made.map(|(written, object)| (written.clone(), object));
        let broken = self.broken.iter().filter(|(_, set, _)| {
            let sources = argocd::sources(&set["spec"]["template"]);
            let url = |source: &&Value| source["repoURL"].as_str().map(str::to_string);
            let mut urls = sources.iter().filter_map(url);
            urls.any(|url| url.contains("{{") || repo.has_url(&url))
        });
        let broken = broken.map(|(written, set, _)| (written.clone(), set));
        all.chain(made).filter(is_of).chain(broken).collect()
    }
}

/// Whether objects of a kind say what is deployed.
fn is_read(group: &str, kind: &str) -> bool {
    let applied = [
        (flux::GROUP, flux::KIND),
        (argocd::GROUP, argocd::KIND),
        (argocd::GROUP, sets::KIND),
    ];
    applied.contains(&(group, kind)) || group == SOURCES && SOURCE_KINDS.contains(&kind)
}
