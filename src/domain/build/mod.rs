//! How Argo CD or Flux renders an application: what their object in the config
//! repository says.
//!
//! - [`Written`]: where their object is written
//! - [`Build`]: what is rendered, and what is changed before and after
//! - [`flux`]: from a Flux `Kustomization`; [`argocd`]: from an Argo CD `Application`
//! - [`sets`]: what an Argo CD `ApplicationSet` makes
//! - [`release`]: what a Flux `HelmRelease` among the objects installs
//! - [`Additions`]: what is added to a kustomization before it is built

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::catalog::HelmOptions;
use super::manifest::{ResourceKey, group_of};
use super::substitute::Transforms;
use super::{Invalid, wildcard, yaml};

mod additions;
pub mod argocd;
pub mod flux;
pub mod release;
pub mod sets;

pub use additions::Additions;

/// Where the object of a reconciler is written in the config repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Written {
    /// The file, from the repository's root.
    pub file: String,
    /// Its key there.
    pub key: ResourceKey,
    /// Its name and its namespace in the cluster: kustomizations may set others than the file.
    pub name: String,
    pub namespace: String,
    /// The name of the `ApplicationSet` in the file that makes it. None: the file has it itself.
    pub made_by: Option<String>,
    /// The cluster that it deploys to, as the object names it, if windlass knows that cluster. None:
    /// the one that the object is in.
    pub remote: Option<String>,
}

/// How a reconciler renders an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    pub place: Place,
    /// How a chart is rendered.
    pub helm: HelmOptions,
    /// Which files of a directory count that is no kustomization and no chart.
    pub files: DirectoryFiles,
    /// Whether its objects are deleted with the object that declares them.
    pub deletes: bool,
    pub additions: Additions,
    pub transforms: Transforms,
    /// The labels and annotations that each object gets.
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// The other sources that are rendered, in their order: of an object that several have, the last
    /// one counts.
    pub beside: Vec<Build>,
}

/// What is rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A directory of this repository, from its root; empty: the root itself.
    Directory(String),
    /// A chart elsewhere.
    Chart {
        repository: String,
        name: String,
        version: String,
    },
}

/// Which manifests of a directory count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirectoryFiles {
    /// Only those in the directory itself.
    pub flat: bool,
    /// Patterns of paths from the directory; empty: all.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
}

impl DirectoryFiles {
    /// Whether a file counts, by its path from the directory.
    pub fn counts(&self, path: &str) -> bool {
        let is_in = |patterns: &[String]| patterns.iter().any(|one| wildcard(one, path));
        (!self.flat || !path.contains('/'))
            && (self.include.is_empty() || is_in(&self.include))
            && !is_in(&self.exclude)
    }
}

impl Written {
    /// The object in its file's text; None: the file does not have it.
    pub fn find(&self, text: &str) -> Result<Option<Value>, Invalid> {
        let documents = yaml::documents(text);
        let documents = documents.map_err(|why| Invalid(format!("{}: {why}", self.file)))?;
        Ok(documents.into_iter().find(|object| self.is(object)))
    }

    /// Whether both are one object, whatever is known of its cluster.
    pub fn is_same(&self, other: &Self) -> bool {
        self.file == other.file && self.key == other.key && self.made_by == other.made_by
    }

    /// Whether an object is the one that is written there.
    pub fn is(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        group_of(object) == self.key.group
            && object["kind"] == self.key.kind.as_str()
            && metadata["name"] == self.key.name.as_str()
            && metadata["namespace"].as_str() == self.key.namespace.as_deref()
    }

    /// How the application is rendered by this object.
    pub fn build(&self, object: &Value) -> Result<Build, Invalid> {
        if self.key.kind == sets::KIND {
            let why = format!("{}: an {} is no application itself", self.file, sets::KIND);
            return Err(Invalid(why));
        }
        let of_file = |why: String| Invalid(format!("{}: {why}", self.file));
        let remote = self.remote_of(object);
        if remote != self.remote {
            let (kind, name) = (&self.key.kind, &self.key.name);
            return Err(of_file(match remote {
                Some(remote) if remote.contains("{{") => format!(
                    "{kind} {name}: its destination is `{remote}`: add the `server` of each cluster to `clusters` of `discover`"
                ),
                Some(remote) => format!(
                    "{kind} {name}: it deploys to another cluster than its own, `{remote}`: name that in `clusters` of this entry of `discover`"
                ),
                None => format!("{kind} {name}: it deploys to the cluster that it is in"),
            }));
        }
        let mut object = object.clone();
        object["metadata"]["name"] = self.name.as_str().into();
        let build = match self.key.group.as_str() {
            argocd::GROUP => argocd::build(&object),
            _ => flux::build(&object, &self.namespace),
        };
        build.map_err(|Invalid(why)| of_file(why))
    }

    /// The cluster that the object deploys to, by its name or address there. None: the one that it
    /// is in.
    pub fn remote_of(&self, object: &Value) -> Option<String> {
        match self.key.group.as_str() {
            argocd::GROUP => argocd::remote(object),
            _ => flux::remote(object, &self.namespace),
        }
    }
}

impl Build {
    /// What enters the hash of a source's inputs, as earlier versions wrote it: without the other
    /// sources, which have hashes of their own.
    pub fn identity(&self) -> String {
        let Self {
            place,
            helm,
            files,
            deletes,
            additions,
            transforms,
            labels,
            annotations,
            beside: _,
        } = self;
        format!(
            "Build {{ place: {place:?}, helm: {helm:?}, files: {files:?}, deletes: {deletes:?}, additions: {additions:?}, transforms: {transforms:?}, labels: {labels:?}, annotations: {annotations:?} }}"
        )
    }

    /// Changes a rendered object as the reconciler does before it applies it. Variables whose values
    /// are not in Git stay.
    pub fn finish(&self, object: &mut Value) {
        self.transforms.fill_known(object);
        self.mark(object);
    }

    fn mark(&self, object: &mut Value) {
        for (field, values) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            for (name, value) in values {
                let map = &mut object["metadata"][field];
                if !map.is_object() {
                    *map = Value::Object(Default::default());
                }
                map[name] = value.as_str().into();
            }
        }
    }
}

/// Merges mappings into mappings; everything else is replaced.
fn join(into: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(known)), Value::Object(more)) => join(known, more),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// A path from the repository's root, without `.` and `..`; None: it leads out of it.
pub fn path_inside(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests;
