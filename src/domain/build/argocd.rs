//! An Argo CD `Application`: what it renders, and how.
//!
//! Facts: argo-cd.readthedocs.io (application specification, helm, kustomize,
//! directory), and reposerver/repository of github.com/argoproj/argo-cd: values
//! files, then inline values, then parameters; kustomize is called with
//! `edit set` and `edit add` on a copy.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Additions, Build, DirectoryFiles, Place, path_inside};
use crate::domain::catalog::{HelmOptions, LONGEST_RELEASE};
use crate::domain::substitute::Transforms;
use crate::domain::{Invalid, yaml};

pub const GROUP: &str = "argoproj.io";
pub const KIND: &str = "Application";
/// With it, or with a suffix of it, Argo CD deletes the objects of an Application before it.
pub(super) const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";
/// The cluster that Argo CD runs in.
pub(super) const IN_CLUSTER: &str = "https://kubernetes.default.svc";
pub const LOCAL: &str = "in-cluster";
/// The most sources of one Application that are rendered.
const MOST_RENDERED: usize = 20;
/// Argo CD's own namespace, for objects whose namespace no file says.
pub const NAMESPACE: &str = "argocd";

/// The sources of an Application.
pub fn sources(object: &Value) -> Vec<&Value> {
    let spec = &object["spec"];
    match spec["sources"].as_array() {
        Some(sources) if !sources.is_empty() => sources.iter().collect(),
        _ => vec![&spec["source"]],
    }
}

/// The charts of elsewhere that it installs: their repositories and names.
pub fn charts(object: &Value) -> Vec<(String, String)> {
    let all = sources(object).into_iter();
    let chart = |source: &Value| {
        let chart = source["chart"].as_str()?;
        Some((
            text(&source["repoURL"]).unwrap_or_default(),
            chart.to_string(),
        ))
    };
    all.filter_map(chart).collect()
}

/// The cluster that it deploys to, by its name or else its address. None: the one that Argo CD is
/// in.
pub(super) fn remote(object: &Value) -> Option<String> {
    let destination = &object["spec"]["destination"];
    let of = |field: &str, own: &str| text(&destination[field]).filter(|is| is != own);
    of("name", LOCAL).or_else(|| of("server", IN_CLUSTER))
}

/// Whether a source only lends its files to others, as `$NAME/…`.
pub fn only_lends(source: &Value) -> bool {
    source["ref"].is_string() && source["path"].is_null() && source["chart"].is_null()
}

/// How an Application is rendered.
pub fn build(object: &Value) -> Result<Build, Invalid> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let told = |why: String| Invalid(format!("{KIND} {name}: {why}"));
    let rendered: Vec<_> = sources(object)
        .into_iter()
        .filter(|source| !only_lends(source))
        .collect();
    if rendered.len() > MOST_RENDERED {
        let count = rendered.len();
        let why =
            format!("it has {count} sources that are rendered, and {MOST_RENDERED} are too many");
        return Err(told(why));
    }
    let repositories: BTreeSet<_> = (rendered.iter())
        .filter(|source| source["chart"].is_null())
        .map(|source| repository(source))
        .collect();
    if repositories.len() > 1 {
        return Err(told(
            "its sources are of several repositories, and windlass reads this one".into(),
        ));
    }
    let builds = rendered.into_iter().map(|source| of_source(object, source));
    let builds: Result<Vec<_>, _> = builds.collect();
    let mut builds = builds.map_err(told)?.into_iter();
    let first = builds.next();
    let first = first.ok_or_else(|| told("none of its sources is rendered".into()))?;
    Ok(Build {
        beside: builds.collect(),
        ..first
    })
}

/// A source's repository, however its URL is written.
fn repository(source: &Value) -> String {
    let url = source["repoURL"].as_str().unwrap_or_default();
    let url = url.trim_end_matches('/').trim_end_matches(".git");
    url.to_ascii_lowercase()
}

fn of_source(object: &Value, source: &Value) -> Result<Build, String> {
    if source["plugin"].is_object() {
        return Err("plugins of Argo CD are not run".into());
    }
    let place = place(source)?;
    let directory = match &place {
        Place::Directory(directory) => directory.as_str(),
        Place::Chart { .. } => "",
    };
    let mut patches = items(&source["kustomize"]["patches"]).iter();
    if patches.any(|patch| patch["path"].is_string()) {
        return Err("patches of `kustomize` by their paths are not read".into());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let namespace = text(&object["spec"]["destination"]["namespace"]);
    let helm = helm(source, name, namespace, directory)?;
    helm.check()?;
    let mut finalizers = items(&object["metadata"]["finalizers"])
        .iter()
        .filter_map(Value::as_str);
    Ok(Build {
        helm,
        files: files(&source["directory"]),
        deletes: finalizers.any(|finalizer| finalizer.starts_with(FINALIZER)),
        additions: additions(&source["kustomize"]),
        transforms: Transforms::default(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        place,
        beside: Vec::new(),
    })
}

fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_string)
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn place(source: &Value) -> Result<Place, String> {
    let repository = text(&source["repoURL"]).unwrap_or_default();
    let Some(name) = text(&source["chart"]) else {
        let path = source["path"].as_str().unwrap_or_default();
        let directory = path_inside(path);
        let directory =
            directory.ok_or_else(|| format!("the path `{path}` leads out of the repository"))?;
        return Ok(Place::Directory(directory));
    };
    // Without a scheme it is a registry.
    let repository = match repository.contains("://") {
        true => repository,
        false => format!("oci://{repository}"),
    };
    let version = text(&source["targetRevision"]).unwrap_or_default();
    Ok(Place::Chart {
        repository,
        name,
        version,
    })
}

fn helm(
    source: &Value,
    name: &str,
    namespace: Option<String>,
    directory: &str,
) -> Result<HelmOptions, String> {
    let helm = &source["helm"];
    if !items(&helm["fileParameters"]).is_empty() {
        return Err("`fileParameters` are not read".into());
    }
    let inline = match (&helm["valuesObject"], helm["values"].as_str()) {
        (values @ Value::Object(_), _) => Some(values.clone()),
        (_, Some(text)) if !text.trim().is_empty() => {
            Some(yaml::parse(text).map_err(|why| format!("values: {why}"))?)
        }
        _ => None,
    };
    let values = items(&helm["valueFiles"]).iter();
    let values = values
        .filter_map(Value::as_str)
        .map(|file| values_file(directory, file));
    // Of an Application with a longer name, Argo CD renders no chart. It may be a kustomization.
    let own = Some(name.to_string()).filter(|name| name.len() <= LONGEST_RELEASE);
    Ok(HelmOptions {
        release: text(&helm["releaseName"]).or(own),
        namespace: text(&helm["namespace"]).or(namespace),
        values: Some(values.collect::<Result<_, _>>()?),
        ignore_missing_values: helm["ignoreMissingValueFiles"] == true,
        inline,
        set: items(&helm["parameters"])
            .iter()
            .filter_map(parameter)
            .collect(),
        skip_crds: helm["skipCrds"] == true,
        kube_version: text(&helm["kubeVersion"]),
        api_versions: items(&helm["apiVersions"])
            .iter()
            .filter_map(text)
            .collect(),
    })
}

/// A values file from the repository's root: its path is from the source's directory, from the root,
/// or from a source that lends its files.
fn values_file(directory: &str, file: &str) -> Result<String, String> {
    let outside = || format!("the values file `{file}` is not in this repository");
    if file.contains("://") {
        return Err(outside());
    }
    let path = match file.strip_prefix('$') {
        Some(lent) => lent.split_once('/').map(|(_, path)| path.to_string()),
        None if file.starts_with('/') => Some(file.into()),
        None => Some(format!("{directory}/{file}")),
    };
    path.and_then(|path| path_inside(&path)).ok_or_else(outside)
}

/// A parameter as helm's `--set` reads it, or as a text.
fn parameter(of: &Value) -> Option<(String, Value)> {
    let (name, value) = (text(&of["name"])?, of["value"].as_str().unwrap_or_default());
    let is_integer = value.parse::<i64>().is_ok() && (value == "0" || !value.starts_with('0'));
    let typed = match value {
        _ if of["forceString"] == true => json!(value),
        "true" => json!(true),
        "false" => json!(false),
        "null" => Value::Null,
        _ if is_integer => json!(value.parse::<i64>().unwrap_or_default()),
        _ => json!(value),
    };
    Some((name, typed))
}

fn files(directory: &Value) -> DirectoryFiles {
    let patterns = |field: &str| {
        let pattern = directory[field].as_str().unwrap_or_default();
        let inner = pattern
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let all = inner.unwrap_or(pattern).split(',').map(str::trim);
        all.filter(|one| !one.is_empty())
            .map(str::to_string)
            .collect()
    };
    DirectoryFiles {
        flat: directory["recurse"] != true,
        include: patterns("include"),
        exclude: patterns("exclude"),
    }
}

fn additions(kustomize: &Value) -> Additions {
    let without_selector = kustomize["labelWithoutSelector"] == true;
    let labels = kustomize["commonLabels"].as_object();
    let labels = labels.filter(|labels| !labels.is_empty()).map(|pairs| {
        let templates = kustomize["labelIncludeTemplates"] == true;
        json!({"pairs": pairs, "includeSelectors": !without_selector, "includeTemplates": templates || !without_selector})
    });
    Additions {
        namespace: text(&kustomize["namespace"]),
        name_prefix: text(&kustomize["namePrefix"]),
        name_suffix: text(&kustomize["nameSuffix"]),
        components: items(&kustomize["components"])
            .iter()
            .filter_map(text)
            .collect(),
        images: items(&kustomize["images"])
            .iter()
            .filter_map(Value::as_str)
            .map(image)
            .collect(),
        patches: items(&kustomize["patches"]).to_vec(),
        labels: labels.into_iter().collect(),
        replicas: items(&kustomize["replicas"]).to_vec(),
        annotations: kustomize["commonAnnotations"]
            .as_object()
            .cloned()
            .unwrap_or_default(),
        replaces_images: true,
    }
}

/// `[NAME=]NEW-NAME[:TAG][@DIGEST]` as an entry of `images`.
fn image(text: &str) -> Value {
    let (name, new) = match text.split_once('=') {
        Some((name, new)) => (Some(name), new),
        None => (None, text),
    };
    let (rest, digest) = match new.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (new, None),
    };
    let slash = rest.rfind('/').map_or(0, |at| at + 1);
    let (new_name, tag) = match rest[slash..].split_once(':') {
        Some((last, tag)) => (&rest[..slash + last.len()], Some(tag)),
        None => (rest, None),
    };
    let mut entry = Map::new();
    entry.insert("name".into(), name.unwrap_or(new_name).into());
    if name.is_some() && new_name != "*" {
        entry.insert("newName".into(), new_name.into());
    }
    for (field, value) in [("newTag", tag), ("digest", digest)] {
        if let Some(value) = value {
            entry.insert(field.into(), value.into());
        }
    }
    Value::Object(entry)
}
