//! Kustomizations: the files that they refer to, and running kustomize.

use std::collections::BTreeSet;

use serde_json::Value;

use super::complete::{Wanted, What};
use super::dependencies::line;
use super::inputs::{Inputs, Walk};
use super::plain::{manifests, repeated};
use super::remote::Base;
use super::run::{MOST_TIME, Program};
use super::source::{Source, join};
use super::{NotRendered, Renderer, ksops};
use crate::domain::catalog::{KUSTOMIZATIONS, RenderSource, is_manifest, is_own};
use crate::domain::manifest::Manifest;
use crate::domain::{Invalid, yaml};

/// What kustomize says of a kustomization without resources.
const EMPTY: &str = "kustomization.yaml is empty";

/// What it says of a key that is repeated, without the file.
const REPEATED: &str = "already defined at line";

/// Which key kustomize refuses, and where.
fn of_repeated(inputs: &Inputs) -> Option<String> {
    let files = inputs.files.iter();
    let mut found = files.flat_map(|(path, content)| repeated(path, content));
    let first = found.next()?;
    Some(format!(
        "{first} stands twice in one mapping, which kustomize refuses: leave one of them out"
    ))
}

pub(super) fn is_kustomization(source: &Source<'_>, directory: &str) -> bool {
    KUSTOMIZATIONS
        .iter()
        .any(|name| source.has_file(&format!("{directory}/{name}")))
}

impl Renderer {
    pub(super) async fn kustomize(&self, inputs: &Inputs) -> Result<Vec<Manifest>, NotRendered> {
        let arguments = ["build".into(), format!("./{}", inputs.directory)];
        let inputs = &*ksops::as_resources(inputs)?;
        let inputs = &*self.inflate(inputs).await?;
        let out = self
            .run(inputs, Program::Kustomize, &arguments, MOST_TIME)
            .await;
        match out {
            Ok(out) => Ok(self.parse(&out, inputs).await?),
            // Whether an application may be empty is decided where it is known what it has.
            Err(NotRendered::Invalid(Invalid(why))) if why.contains(EMPTY) => Ok(Vec::new()),
            Err(NotRendered::Invalid(Invalid(why))) if why.contains(REPEATED) => {
                Err(Invalid(of_repeated(inputs).unwrap_or(why)).into())
            }
            Err(error) => Err(error),
        }
    }
}

/// The paths that a directory's kustomization file may have.
pub(super) fn files_of(directory: &str) -> impl Iterator<Item = String> {
    let below = if directory.is_empty() { "" } else { "/" };
    KUSTOMIZATIONS
        .iter()
        .map(move |name| format!("{directory}{below}{name}"))
}

/// The directories below a directory that are kustomizations, without those below others.
fn kustomizations_below(tree: &Source<'_>, source: &RenderSource) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    // A directory comes before what is below it.
    for path in tree.under(&source.directory) {
        let Some((place, name)) = path.rsplit_once('/') else {
            continue;
        };
        let is_below = |other: &String| is_own(other, place);
        if KUSTOMIZATIONS.contains(&name) && !source.excludes(&path) && !found.iter().any(is_below)
        {
            found.retain(|other| !is_own(place, other));
            found.insert(place.into());
        }
    }
    found
}

impl Walk<'_> {
    /// A directory of manifests with kustomizations below it, as one kustomization of them all: the
    /// text of its file, as Flux would write it. None: there are none below.
    pub(super) fn generated(&mut self, source: &RenderSource) -> Result<Option<String>, Invalid> {
        let directory = &source.directory;
        let nested = kustomizations_below(self.source, source);
        if nested.is_empty() {
            return Ok(None);
        }
        let is_nested = |path: &str| nested.iter().any(|other| is_own(other, path));
        let files = self.source.under(directory);
        let files: Vec<_> = files
            .filter(|path| is_manifest(path) && !is_nested(path) && !source.excludes(path))
            .collect();
        for path in &files {
            self.file(path)?;
            let content = &self.files[path];
            // A variable is filled in after kustomize.
            if !String::from_utf8_lossy(content).contains("${") {
                manifests(path, content, &|text| Manifest::parse_all(text, path))?;
            }
        }
        for path in &nested {
            self.kustomization(path)?;
        }
        let resources = files.iter().chain(&nested);
        let relative = resources.filter_map(|path| path.strip_prefix(&format!("{directory}/")));
        let resources: Vec<_> = relative.collect();
        let text = serde_json::json!({"kind": "Kustomization", "resources": resources});
        Ok(Some(text.to_string()))
    }

    /// The only kustomization file of a directory.
    pub(super) fn file_of(&self, directory: &str) -> Result<String, Invalid> {
        let mut present = files_of(directory).filter(|path| self.source.has_file(path));
        match (present.next(), present.count()) {
            (Some(file), 0) => Ok(file),
            (found, more) => Err(Invalid(format!(
                "{directory}: {} kustomization files, but there must be exactly one",
                found.map_or(0, |_| 1) + more
            ))),
        }
    }

    pub(super) fn kustomization(&mut self, directory: &str) -> Result<(), Invalid> {
        // Its charts take the namespace of whoever names it.
        let visited = format!(
            "{directory} {}",
            self.namespace.as_deref().unwrap_or_default()
        );
        if !self.visited.insert(visited) {
            return Ok(());
        }
        let file = &self.file_of(directory)?;
        self.file(file)?;
        let text = String::from_utf8_lossy(&self.files[file]).into_owned();
        let documents =
            yaml::documents(&text).map_err(|error| Invalid(format!("{file}: {error}")))?;
        let outer = self.namespace.clone();
        for document in &documents {
            if let Some(own) = document["namespace"].as_str().filter(|own| !own.is_empty()) {
                self.namespace = Some(own.into());
            }
            self.charts(directory, file, document)?;
            self.ksops(directory, file, document)?;
            for reference in references(document) {
                self.reference(directory, file, &reference)?;
            }
        }
        self.namespace = outer;
        Ok(())
    }

    /// Reads what a kustomization, or a file of it, refers to. Returns the file of this repository
    /// that it is, if it is one.
    pub(super) fn reference(
        &mut self,
        directory: &str,
        file: &str,
        reference: &str,
    ) -> Result<Option<String>, Invalid> {
        let text = &self.files[file];
        let at = line(file, text, reference);
        if let Some(base) = Base::parse(reference) {
            let (file, written) = (file.into(), reference.into());
            let what = What::Base {
                base,
                file,
                written,
            };
            let namespace = self.namespace.clone();
            self.want(Wanted {
                at,
                what,
                namespace,
            })?;
            return Ok(None);
        }
        let remote =
            reference.contains("://") || reference.contains('?') || reference.starts_with("git@");
        if remote {
            return Err(Invalid(format!(
                "{at} refers to `{reference}`, which is not in this repository: remote files are not read, but for bases in Git repositories (`https://github.com/OWNER/NAME//PATH?ref=COMMIT`); put a copy beside it"
            )));
        }
        let outside = || {
            Invalid(format!(
                "{at} refers to `{reference}`, which is not in this repository"
            ))
        };
        let path = join(directory, reference).ok_or_else(outside)?;
        let path = self.real(&path)?;
        if self.source.is_directory(&path) {
            self.kustomization(&path)?;
            return Ok(None);
        }
        match self.file(&path)? {
            true => Ok(Some(path)),
            false => Err(outside()),
        }
    }
}

/// Every path that a kustomization refers to, but for those of its charts.
fn references(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |value: &Value| {
        let path = value.as_str().filter(|text| !is_inline(text));
        found.extend(path.map(str::to_string));
    };
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for field in [
        "resources",
        "bases",
        "components",
        "crds",
        "configurations",
        "transformers",
        "generators",
        "validators",
        "patchesStrategicMerge",
    ] {
        items(&document[field]).iter().for_each(&mut add);
    }
    for field in ["patches", "patchesJson6902", "replacements"] {
        items(&document[field])
            .iter()
            .for_each(|patch| add(&patch["path"]));
    }
    add(&document["openapi"]["path"]);
    for field in ["configMapGenerator", "secretGenerator"] {
        for generator in items(&document[field]) {
            items(&generator["envs"]).iter().for_each(&mut add);
            add(&generator["env"]);
            for entry in items(&generator["files"]) {
                let text = entry.as_str().unwrap_or_default();
                add(&Value::String(
                    text.split_once('=').map_or(text, |(_, path)| path).into(),
                ));
            }
        }
    }
    found
}

/// Whether a text is YAML in the place of a path.
fn is_inline(text: &str) -> bool {
    let is_object = |all: Vec<Value>| all.iter().any(Value::is_object);
    text.contains('\n') || yaml::documents(text).is_ok_and(is_object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_file_is_followed() {
        let document = serde_json::json!({
            "resources": ["a.yaml", "https://example.com/b"], "patches": [{"path": "p.yaml"}, {"patch": "x: 1"}],
            "patchesStrategicMerge": ["s.yaml", "inline:\n  yaml: 1", "{\"kind\": \"A\"}"], "configMapGenerator": [{"files": ["k=f.txt", "g.txt"], "envs": [".env"]}],
            "openapi": {"path": "o.json"},
        });
        assert_eq!(
            references(&document),
            [
                "a.yaml",
                "https://example.com/b",
                "s.yaml",
                "p.yaml",
                "o.json",
                ".env",
                "f.txt",
                "g.txt"
            ]
        );
    }
}
