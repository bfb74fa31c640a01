//! A `windlass.yaml` for a repository that has none: from the objects of Argo CD
//! or Flux in it, or from its kustomizations, charts and manifests.
//!
//! A draft is a text that people read and change. It is checked by what the file
//! would find: each application of a draft is one that [`Catalog::expand`] finds.
//!
//! - [`Contents`]: what is read of the repository
//! - `roots`: the directories that are applications by themselves
//! - `place`: which part of a path is the stage, and which the application
//! - `entries`: the entries of `applications`, `namespaces`: for which namespace; `found`: those of `discover`
//! - `text`: the file

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::tree::{Tree, is_kustomization};
use super::{Catalog, Objects, is_manifest};
use crate::domain::{Invalid, RepoName, yaml};

mod entries;
mod found;
mod namespaces;
mod place;
mod roots;
mod text;

/// The most directories that a draft is made for.
const MOST_ROOTS: usize = 2_000;

/// What a repository holds.
#[derive(Debug, Default)]
pub struct Contents {
    files: BTreeSet<String>,
    /// By their directories; that of the root is empty.
    kustomizations: BTreeMap<String, Value>,
    /// The files with objects of Kubernetes, and the namespaces that those name.
    manifests: BTreeMap<String, BTreeSet<String>>,
    /// The YAML files that hold something else.
    others: BTreeSet<String>,
}

/// A drafted `windlass.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub text: String,
    /// How many applications it finds, each counted once for each stage.
    pub applications: usize,
    /// What it leaves out, and why.
    pub left_out: Vec<String>,
}

impl Contents {
    pub fn new(files: impl IntoIterator<Item = String>) -> Self {
        Self {
            files: files.into_iter().filter(|file| !is_hidden(file)).collect(),
            ..Self::default()
        }
    }

    /// The files whose text [`Self::add`] needs.
    pub fn wanted(&self) -> Vec<String> {
        let all = self.files.iter();
        all.filter(|file| is_manifest(file) || is_kustomization(file))
            .cloned()
            .collect()
    }

    /// Adds the text of a file. One that is no YAML, such as a template, is none of its manifests.
    pub fn add(&mut self, file: &str, text: &str) {
        let documents = yaml::documents(text).unwrap_or_default();
        if is_kustomization(file) {
            let kustomization = documents.into_iter().next().unwrap_or_default();
            let directory = parent(file).to_string();
            self.kustomizations.insert(directory, kustomization);
            return;
        }
        let is_object =
            |value: &&Value| value["apiVersion"].is_string() && value["kind"].is_string();
        let objects: Vec<_> = documents.iter().filter(is_object).collect();
        if objects.is_empty() {
            if documents.iter().any(|document| !document.is_null()) {
                self.others.insert(file.into());
            }
            return;
        }
        let named = objects
            .iter()
            .filter_map(|object| object["metadata"]["namespace"].as_str());
        self.manifests
            .insert(file.into(), named.map(str::to_string).collect());
    }

    /// The same with what only another tree holds.
    pub fn over(self, mut under: Self) -> Self {
        let is_missing = |file: &String| !self.files.contains(file);
        under.manifests.retain(|file, _| is_missing(file));
        under.others.retain(is_missing);
        under.kustomizations.extend(self.kustomizations);
        under.manifests.extend(self.manifests);
        under.others.extend(self.others);
        under.files.extend(self.files);
        under
    }

    fn tree(&self) -> Tree {
        Tree::new(self.files.iter().map(String::as_str))
    }
}

/// The draft for a repository. An error: nothing in it can be deployed.
pub fn draft(contents: &Contents, objects: &Objects, repo: &RepoName) -> Result<Draft, Invalid> {
    if let Some((text, left_out)) = found::discovered(objects, repo)? {
        let applications = Catalog::parse(&text)?
            .expand_with(&contents.tree(), objects, repo)?
            .len();
        return Ok(Draft {
            text,
            applications,
            left_out,
        });
    }
    let (roots, mut left_out) = roots::roots(contents);
    if roots.len() > MOST_ROOTS {
        return Err(Invalid(format!(
            "there are more than {MOST_ROOTS} directories with a kustomization, a Helm chart or manifests"
        )));
    }
    let drafted = entries::entries(contents, roots, repo);
    left_out.extend(drafted.left_out);
    if drafted.entries.is_empty() {
        let why = left_out.first().map(|why| format!(" ({why})"));
        return Err(Invalid(format!(
            "there is no directory with a kustomization, a Helm chart or manifests{}",
            why.unwrap_or_default()
        )));
    }
    let applications = drafted.entries.iter().map(|entry| entry.paths.len()).sum();
    Ok(Draft {
        text: text::of_entries(&drafted.stages, &drafted.entries, repo),
        applications,
        left_out,
    })
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Directories of tools, such as `.github`.
fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.'))
}

#[cfg(test)]
mod tests;
