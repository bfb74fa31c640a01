//! An application that Argo CD or Flux applies, as an entry of `applications`: windlass
//! then applies it itself (`windlass import`).
//!
//! - [`import`]: the entry of an application, or why it stays where it is
//! - `differs`: what windlass does otherwise
//! - `text`: the file with the entries

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::tree::is_kustomization;
use super::{ImageRule, Target};
use crate::domain::Invalid;
use crate::domain::build::{Build, DirectoryFiles, Place, argocd};

mod differs;
mod text;

pub use differs::{Differs, differs};
pub use text::with_entries;

/// Why an application cannot be an entry yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stays {
    /// Its object cannot be read, for this reason.
    Unreadable(String),
    /// It is a chart of this name that is not in the repository.
    ChartElsewhere(String),
    /// Their object changes what the repository has, by these fields of it.
    Changes(Vec<&'static str>),
    /// It has so many sources that are rendered.
    Sources(usize),
    /// Only some files of its directory count, by `include`.
    Include,
    /// It applies the object that declares this application, as an app of apps does.
    Parent(String),
    /// It deploys to this cluster, which is not that of its stage.
    OtherCluster(String),
}

/// What an entry does not say, though their object does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOut {
    /// A rule of `ignoreDifferences` that is no list of plain paths, for this kind.
    IgnoredDifferences(String),
    /// `dependsOn` of an application that is none of those that move.
    DependsOn(String),
}

/// An entry of `applications`.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    path: String,
    name: String,
    /// None: the file has one stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    namespace: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    images: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    helm: BTreeMap<&'static str, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignore: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
}

impl Entry {
    /// Names the applications in the place of the objects that it waits for. `moved`: the application
    /// that an object becomes. Returns what does not move.
    pub fn settle(&mut self, moved: impl Fn(&str) -> Option<String>) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        for name in std::mem::take(&mut self.depends_on) {
            match moved(&name) {
                Some(application) => self.depends_on.push(application),
                None => left_out.push(LeftOut::DependsOn(name)),
            }
        }
        left_out
    }
}

/// An entry with what it leaves out, or why there is none.
pub type Import = Result<(Entry, Vec<LeftOut>), Vec<Stays>>;

/// The entry of an application that `discover` found. `object`: theirs; `under`: the files in its
/// directory. It waits for objects until [`Entry::settle`] names their applications.
pub fn import(
    target: &Target,
    object: &Value,
    build: &Result<Build, Invalid>,
    under: &[String],
) -> Import {
    let build = match build {
        Ok(build) => build,
        Err(Invalid(why)) => return Err(vec![Stays::Unreadable(why.clone())]),
    };
    let mut stays = reasons(object, build);
    if target.destination.cluster != target.stage.cluster {
        stays.push(Stays::OtherCluster(target.destination.cluster.clone()));
    }
    if !stays.is_empty() {
        return Err(stays);
    }
    let (ignore, left_out) = ignored(object);
    let entry = Entry {
        path: target.path.clone(),
        name: target.application.to_string(),
        stage: Some(target.stage.name.to_string()),
        namespace: target.destination.namespace.clone(),
        exclude: excluded(&target.path, &build.files, under),
        images: target.images.iter().map(image).collect(),
        helm: match under
            .iter()
            .any(|file| *file == below(&target.path, "Chart.yaml"))
        {
            true => helm(target, build, under),
            false => BTreeMap::new(),
        },
        ignore,
        depends_on: depends_on(object),
    };
    Ok((entry, left_out))
}

fn reasons(object: &Value, build: &Build) -> Vec<Stays> {
    let mut stays = Vec::new();
    if !build.beside.is_empty() {
        stays.push(Stays::Sources(build.beside.len() + 1));
    }
    if let Place::Chart { name, .. } = &build.place {
        stays.push(Stays::ChartElsewhere(name.clone()));
    }
    let mut changes = build.transforms.others.clone();
    let fills_in = object["spec"]["postBuild"].as_object();
    if fills_in.is_some_and(|fields| !fields.is_empty()) {
        changes.push("postBuild");
    }
    // A Kustomization adds what it has been named for already.
    if changes.is_empty() && !build.additions.is_empty() {
        changes.push("source.kustomize");
    }
    if build.helm.inline.is_some() {
        changes.push("source.helm.values");
    }
    if !changes.is_empty() {
        stays.push(Stays::Changes(changes));
    }
    if !build.files.include.is_empty() {
        stays.push(Stays::Include);
    }
    stays
}

fn below(directory: &str, file: &str) -> String {
    match directory {
        "" => file.into(),
        _ => format!("{directory}/{file}"),
    }
}

/// What does not count of a directory of plain manifests.
fn excluded(directory: &str, files: &DirectoryFiles, under: &[String]) -> Vec<String> {
    let is_built = |file: &String| {
        let (of, name) = file.rsplit_once('/').unwrap_or(("", file));
        of == directory && (is_kustomization(file) || name == "Chart.yaml")
    };
    if under.iter().any(is_built) {
        return Vec::new();
    }
    let prefix = below(directory, "");
    let inner = under.iter().filter_map(|file| file.strip_prefix(&prefix));
    let mut all: Vec<String> = inner
        .filter(|_| files.flat)
        .filter_map(|path| Some(below(directory, path.split_once('/')?.0)))
        .collect();
    all.extend(
        files
            .exclude
            .iter()
            .map(|pattern| below(directory, pattern)),
    );
    all.sort();
    all.dedup();
    all
}

fn image(rule: &ImageRule) -> (String, Value) {
    let mut image = serde_json::json!({"source": rule.source.to_string()});
    let at = rule.at.iter();
    let at: Vec<_> = at
        .map(|place| serde_json::json!({"file": place.file, "path": place.path.to_string()}))
        .collect();
    if !at.is_empty() {
        image["at"] = at.into();
    }
    if let Some(workflow) = &rule.workflow {
        image["workflow"] = workflow.as_str().into();
    }
    if !rule.refs.is_empty() {
        image["refs"] = rule.refs.clone().into();
    }
    (rule.image.clone(), image)
}

/// The options that differ from those of an entry without any.
fn helm(target: &Target, build: &Build, under: &[String]) -> BTreeMap<&'static str, Value> {
    let options = &build.helm;
    let mut all = BTreeMap::new();
    let mut add = |name: &'static str, value: Value| drop(all.insert(name, value));
    let release = options.release.as_deref();
    if let Some(release) = release.filter(|name| *name != target.application.as_str()) {
        add("release", release.into());
    }
    let namespace = options.namespace.as_deref();
    if let Some(namespace) = namespace.filter(|name| *name != target.destination.namespace) {
        add("namespace", namespace.into());
    }
    let is_there = |file: &&String| !options.ignore_missing_values || under.contains(file);
    let values: Vec<_> = options.values.iter().flatten().filter(is_there).collect();
    if !values.is_empty() {
        add("values", serde_json::json!(values));
    }
    if !options.set.is_empty() {
        add("set", Value::Object(options.set.iter().cloned().collect()));
    }
    if options.skip_crds {
        add("skipCRDs", true.into());
    }
    if let Some(version) = &options.kube_version {
        add("kubeVersion", version.as_str().into());
    }
    if !options.api_versions.is_empty() {
        add("apiVersions", options.api_versions.clone().into());
    }
    all
}

/// Argo CD's `ignoreDifferences` as rules of `ignore`, and the rules that cannot be.
fn ignored(object: &Value) -> (Vec<Value>, Vec<LeftOut>) {
    let (mut ignore, mut left_out) = (Vec::new(), Vec::new());
    let rules = object["spec"]["ignoreDifferences"].as_array();
    for rule in rules.into_iter().flatten() {
        let kind = rule["kind"].as_str().unwrap_or_default();
        let pointers = rule["jsonPointers"].as_array().into_iter().flatten();
        let paths: Option<Vec<_>> = pointers.map(|pointer| path(pointer.as_str()?)).collect();
        let more = ["jqPathExpressions", "managedFieldsManagers", "namespace"];
        match paths {
            Some(paths) if more.iter().all(|field| rule[field].is_null()) => {
                ignore.extend(paths.into_iter().map(|path| {
                    let mut one = serde_json::json!({"path": path});
                    for (field, value) in [("kind", &rule["kind"]), ("name", &rule["name"])] {
                        if value.as_str().is_some_and(|text| text != "*") {
                            one[field] = value.clone();
                        }
                    }
                    one
                }));
            }
            _ => left_out.push(LeftOut::IgnoredDifferences(kind.into())),
        }
    }
    (ignore, left_out)
}

/// A JSON pointer as a field's path. None: it counts items of a list, or has characters to escape.
fn path(pointer: &str) -> Option<String> {
    let steps = pointer.strip_prefix('/')?.split('/');
    let is_plain = |step: &str| {
        step.starts_with(|first: char| first.is_ascii_alphabetic())
            && step.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let steps: Option<Vec<_>> = steps.map(|step| is_plain(step).then_some(step)).collect();
    Some(format!(".{}", steps?.join(".")))
}

/// The Kustomizations that a Flux Kustomization waits for.
fn depends_on(object: &Value) -> Vec<String> {
    let all = object["spec"]["dependsOn"].as_array().into_iter().flatten();
    let all = all.filter(|_| object["kind"] != argocd::KIND);
    all.filter_map(|of| of["name"].as_str().map(str::to_string))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_to_ignore_are_rules_where_they_are_plain_paths() {
        let object = json!({"spec": {"ignoreDifferences": [
            {"group": "apps", "kind": "Deployment", "name": "web", "jsonPointers": ["/spec/replicas"]},
            {"kind": "*", "jsonPointers": ["/metadata/labels"]},
            {"kind": "Service", "jqPathExpressions": [".spec.ports[]"]},
            {"kind": "ConfigMap", "jsonPointers": ["/data/a~1b"]},
            {"kind": "Ingress", "jsonPointers": ["/spec/rules/0/host"]},
        ]}});
        let (ignore, left_out) = ignored(&object);
        assert_eq!(
            ignore,
            [
                json!({"path": ".spec.replicas", "kind": "Deployment", "name": "web"}),
                json!({"path": ".metadata.labels"}),
            ]
        );
        let kinds = ["Service", "ConfigMap", "Ingress"];
        assert_eq!(
            left_out,
            kinds.map(|kind| LeftOut::IgnoredDifferences(kind.into()))
        );
    }

    #[test]
    fn a_flat_directory_leaves_out_what_is_below_it() {
        let files = DirectoryFiles {
            flat: true,
            exclude: vec!["draft-*.yaml".into()],
            ..DirectoryFiles::default()
        };
        let under = ["a/x.yaml", "a/old/y.yaml", "a/old/z.yaml"].map(String::from);
        assert_eq!(excluded("a", &files, &under), ["a/draft-*.yaml", "a/old"]);
        let built = [&under[..], &["a/kustomization.yaml".into()]].concat();
        assert!(excluded("a", &files, &built).is_empty());
    }
}
