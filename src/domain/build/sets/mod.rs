//! An Argo CD `ApplicationSet`: the Applications that it makes of what is in Git.
//!
//! Facts: argo-cd.readthedocs.io (applicationset: generators, templates), and
//! applicationset/{generators,utils} of github.com/argoproj/argo-cd. What only the
//! cluster or another service knows (repositories, pull requests) is not evaluated: such a set is an
//! error in words. Clusters are those that `windlass.yaml` names.
//!
//! - `generators`: the parameters of each Application
//! - `template`: the template with its parameters; `go`: the part of Go's templates that is read

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::argocd;
use crate::domain::{Invalid, RepoName, yaml};

mod generators;
mod go;
mod template;

pub use generators::may_read;

pub const KIND: &str = "ApplicationSet";

/// The most Applications of one set, and the most parameters of one generator.
const MOST: usize = 2_000;
/// The most bytes that one text is filled in to, and those of all Applications of a set.
const MOST_TEXT: usize = 256 << 10;
const MOST_BYTES: usize = 16 << 20;

const TOO_MANY: &str = "it makes more Applications than windlass evaluates (2,000, of 16 MiB)";

/// What a set makes.
#[derive(Debug, Default)]
pub struct Made {
    pub applications: Vec<Value>,
    /// How large they are, as text.
    pub bytes: usize,
}

/// What generators read of a tree.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    pub directories: BTreeSet<String>,
    /// The texts of the files that a generator may read.
    pub files: BTreeMap<String, String>,
    /// The clusters that Argo CD deploys to. Empty: only its own is known.
    pub clusters: Vec<Cluster>,
}

/// A cluster that Argo CD deploys to, as its Secret there describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    pub name: String,
    /// The address of its API server, if it is known.
    pub server: Option<String>,
    pub labels: BTreeMap<String, String>,
}

/// The parameters of one Application.
type Parameters = Map<String, Value>;

/// The Applications of a set.
pub fn applications(set: &Value, tree: &Tree) -> Result<Made, Invalid> {
    let name = set["metadata"]["name"].as_str().unwrap_or_default();
    let of_set = |why: String| Invalid(format!("{KIND} {name}: {why}"));
    let spec = &set["spec"];
    let sources = argocd::sources(&spec["template"]);
    let urls = sources
        .iter()
        .filter_map(|source| source["repoURL"].as_str());
    let context = generators::Context {
        tree,
        repositories: urls.filter_map(RepoName::of_url).collect(),
        engine: template::Engine::of(set),
    };
    let mut made = Made::default();
    for generator in items(&spec["generators"]) {
        let all = generators::parameters(generator, &context, &Parameters::new());
        for parameters in all.map_err(of_set)? {
            // A generator's own template goes over that of the set.
            let mut text = spec["template"].clone();
            merge(&mut text, template_of(generator));
            let object = application(set, &text, &parameters, &context.engine);
            let object = object.map_err(of_set)?;
            made.bytes += object.to_string().len();
            made.applications.push(object);
            if made.applications.len() > MOST || made.bytes > MOST_BYTES {
                return Err(of_set(TOO_MANY.into()));
            }
        }
    }
    Ok(made)
}

/// The patterns of the files that a set may read.
pub fn files_read(set: &Value) -> Vec<&str> {
    fn within<'a>(generator: &'a Value, found: &mut Vec<&'a str>) {
        let patterns = items(&generator["git"]["files"]).iter();
        found.extend(patterns.filter_map(|one| one["path"].as_str()));
        for kind in ["matrix", "merge"] {
            let below = items(&generator[kind]["generators"]).iter();
            below.for_each(|one| within(one, found));
        }
    }
    let mut found = Vec::new();
    let generators = items(&set["spec"]["generators"]).iter();
    generators.for_each(|one| within(one, &mut found));
    found
}

fn template_of(generator: &Value) -> &Value {
    let own = generator.as_object().into_iter().flatten();
    let mut own = own.map(|(_, of_kind)| &of_kind["template"]);
    own.find(|template| template.is_object())
        .unwrap_or(&Value::Null)
}

/// The Application of a template with its parameters.
fn application(
    set: &Value,
    text: &Value,
    parameters: &Parameters,
    engine: &template::Engine,
) -> Result<Value, String> {
    let filled = engine.fill(text, parameters)?;
    let mut object = json!({
        "apiVersion": format!("{}/v1alpha1", argocd::GROUP),
        "kind": argocd::KIND,
        "metadata": filled["metadata"],
        "spec": filled["spec"],
    });
    if let Some(patch) = set["spec"]["templatePatch"].as_str() {
        let patch = engine.fill_text(patch, parameters)?;
        let patch: Value = yaml::parse(&patch).map_err(|why| format!("templatePatch: {why}"))?;
        merge(&mut object, &patch);
    }
    for field in ["metadata", "spec"] {
        if !object[field].is_object() {
            return Err(format!("its template has no `{field}`"));
        }
    }
    // It deletes the objects of those that leave, unless the set keeps them.
    let keeps = &set["spec"]["syncPolicy"]["preserveResourcesOnDeletion"];
    if object["metadata"]["finalizers"].is_null() && *keeps != true {
        object["metadata"]["finalizers"] = json!([argocd::FINALIZER]);
    }
    // Argo CD makes its Applications in the namespace of the set.
    object["metadata"]["namespace"] = set["metadata"]["namespace"].clone();
    match object["metadata"]["name"].as_str() {
        Some(name) if !name.is_empty() => Ok(object),
        _ => Err("its template has no `metadata.name`".into()),
    }
}

/// A merge patch (RFC 7386).
fn merge(into: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (name, value) in fields {
        match value {
            Value::Object(_) => {
                if !into[name].is_object() {
                    into[name] = json!({});
                }
                merge(&mut into[name], value);
            }
            Value::Null => {
                into.as_object_mut().map(|all| all.remove(name));
            }
            other => into[name] = other.clone(),
        }
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests;
