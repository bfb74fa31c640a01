//! The directories that are applications by themselves: kustomizations that no other
//! one refers to, charts, and directories of manifests.

use std::collections::BTreeSet;

use serde_json::Value;

use super::place::is_stage_word;
use super::{Contents, parent};
use crate::domain::build::path_inside;

/// A directory that is an application, or the file with the values of a chart for one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) path: String,
    /// The chart that the file has values for, and the stage in the file's name.
    pub(super) values: Option<Values>,
    /// The namespace that its objects name, if it is one.
    pub(super) namespace: Option<String>,
    /// Its files that are no manifests.
    pub(super) exclude: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) chart: String,
    pub(super) stage: String,
}

/// In the order of their paths, and what is left out.
pub(super) fn roots(contents: &Contents) -> (Vec<Root>, Vec<String>) {
    let mut left_out = Vec::new();
    let charts = charts(contents);
    // What is below the root is more than what a kustomization there refers to.
    let all = contents.kustomizations.keys().map(String::as_str);
    let kustomizations: BTreeSet<&str> = all.filter(|path| !path.is_empty()).collect();
    let below = |path: &str, of: &BTreeSet<&str>| of.iter().any(|above| is_below(path, above));
    let mut found = Vec::new();
    let referred = referred(contents);
    for (directory, kustomization) in &contents.kustomizations {
        let is_part = kustomization["kind"] == "Component" || referred.contains(directory);
        if is_part || below(directory, &charts) {
            continue;
        }
        found.push(Root {
            path: directory.clone(),
            values: None,
            namespace: namespace_of(contents, directory, 8),
            exclude: Vec::new(),
        });
    }
    for chart in charts
        .iter()
        .filter(|chart| !below_other(chart, &kustomizations))
    {
        found.extend(of_chart(contents, chart));
    }
    found.extend(plain(contents, &charts, &kustomizations, &mut left_out));
    left_out.extend(unusable(&mut found));
    found.sort_by(|one, other| one.path.cmp(&other.path));
    (found, left_out)
}

/// The directories of manifests without a kustomization or a chart above or below them.
fn plain(
    contents: &Contents,
    charts: &BTreeSet<&str>,
    kustomizations: &BTreeSet<&str>,
    left_out: &mut Vec<String>,
) -> Vec<Root> {
    let below = |path: &str, of: &BTreeSet<&str>| of.iter().any(|above| is_below(path, above));
    let mut found = Vec::new();
    let plain: BTreeSet<&str> = contents
        .manifests
        .keys()
        .map(|file| parent(file))
        .filter(|directory| !below(directory, charts) && !below(directory, kustomizations))
        .collect();
    for directory in plain
        .iter()
        .filter(|directory| !below_other(directory, &plain))
    {
        let above = |roots: &BTreeSet<&str>| roots.iter().any(|root| is_below(root, directory));
        if above(kustomizations) || above(charts) {
            left_out.push(format!(
                "the manifests in {} itself: there are kustomizations or charts below it",
                shown(directory)
            ));
            continue;
        }
        let all = contents.manifests.iter();
        let own: Vec<_> = all.filter(|(file, _)| is_below(file, directory)).collect();
        let others = contents.others.iter();
        let others: Vec<_> = others.filter(|file| is_below(file, directory)).collect();
        if others.len() > own.len() {
            left_out.push(format!(
                "{}: most of its YAML files are no manifests, such as {}",
                shown(directory),
                others[0]
            ));
            continue;
        }
        found.push(Root {
            path: directory.to_string(),
            values: None,
            namespace: only(own.into_iter().flat_map(|(_, namespaces)| namespaces)),
            exclude: others.into_iter().cloned().collect(),
        });
    }
    found
}

/// Takes out what no entry can name, and says why.
fn unusable(found: &mut Vec<Root>) -> Vec<String> {
    let mut left_out = Vec::new();
    found.retain(|root| {
        if root.path.is_empty() {
            let why = "the root of the repository: an application is a directory below it";
            left_out.push(why.to_string());
        } else if root.path.contains(['{', '}', '*']) {
            left_out.push(format!("{}: its name is a pattern", root.path));
        } else {
            return true;
        }
        false
    });
    left_out
}

/// The directories of charts, but for those that are parts of another one.
fn charts(contents: &Contents) -> BTreeSet<&str> {
    let all = contents.files.iter();
    let all: BTreeSet<&str> = all
        .filter(|file| file.rsplit('/').next() == Some("Chart.yaml"))
        .map(|file| parent(file))
        .collect();
    let is_part = |path: &&str| {
        all.iter()
            .any(|above| above != path && is_below(path, above))
    };
    all.iter().copied().filter(|path| !is_part(path)).collect()
}

/// A chart by itself, or with each of its values files that is for a stage.
fn of_chart(contents: &Contents, chart: &str) -> Vec<Root> {
    let values = |file: &String| {
        let inside = file.strip_prefix(chart)?.trim_start_matches('/');
        let stage = stage_of_values(inside)?;
        Some(Root {
            path: file.clone(),
            values: Some(Values {
                chart: chart.into(),
                stage,
            }),
            namespace: None,
            exclude: Vec::new(),
        })
    };
    let own = contents.files.iter().filter(|file| is_below(file, chart));
    let of_stages: Vec<_> = own.filter_map(values).collect();
    // Values of one stage alone may be an example.
    match of_stages.len() < 2 || chart.is_empty() {
        false => of_stages,
        true => vec![Root {
            path: chart.into(),
            values: None,
            namespace: None,
            exclude: Vec::new(),
        }],
    }
}

/// The stage that a chart's file has values for: `values-staging.yaml`, `values/staging.yaml`.
fn stage_of_values(file: &str) -> Option<String> {
    let stem = file
        .strip_suffix(".yaml")
        .or_else(|| file.strip_suffix(".yml"))?;
    let (directory, stem) = stem.rsplit_once('/').unwrap_or(("", stem));
    let stage = match directory {
        "" => stem
            .strip_prefix("values-")
            .or_else(|| stem.strip_prefix("values."))
            .or_else(|| stem.strip_suffix("-values"))?,
        "values" | "env" | "envs" | "environments" => stem.strip_prefix("values-").unwrap_or(stem),
        _ => return None,
    };
    is_stage_word(stage).then(|| stage.to_string())
}

/// The directories that kustomizations refer to.
fn referred(contents: &Contents) -> BTreeSet<String> {
    let all = contents.kustomizations.iter();
    all.flat_map(|(directory, kustomization)| parts(directory, kustomization))
        .collect()
}

/// The directories that one kustomization refers to.
fn parts(directory: &str, kustomization: &Value) -> Vec<String> {
    let listed = |field: &str| {
        let items = kustomization[field].as_array();
        items.into_iter().flatten().filter_map(Value::as_str)
    };
    let all = ["resources", "bases", "components"].map(listed);
    all.into_iter()
        .flatten()
        .filter_map(|part| path_inside(&format!("{directory}/{part}")))
        .collect()
}

/// The namespace of a kustomization: its own, or that of what it refers to, or of its manifests.
fn namespace_of(contents: &Contents, directory: &str, depth: usize) -> Option<String> {
    let kustomization = contents.kustomizations.get(directory)?;
    if let Some(namespace) = kustomization["namespace"].as_str() {
        return Some(namespace.into());
    }
    let depth = depth.checked_sub(1)?;
    let parts = parts(directory, kustomization);
    let of_parts = parts
        .iter()
        .filter_map(|part| match contents.manifests.get(part) {
            Some(namespaces) => only(namespaces),
            None => namespace_of(contents, part, depth),
        });
    let all: BTreeSet<String> = of_parts.collect();
    only(&all)
}

/// The only one of several.
fn only<'a>(all: impl IntoIterator<Item = &'a String>) -> Option<String> {
    let all: BTreeSet<&String> = all.into_iter().collect();
    match all.len() {
        1 => all.first().map(|one| one.to_string()),
        _ => None,
    }
}

/// Whether a path is in a directory, or is it.
fn is_below(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory);
    directory.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn below_other(path: &str, directories: &BTreeSet<&str>) -> bool {
    let mut others = directories.iter().filter(|other| **other != path);
    others.any(|other| is_below(path, other))
}

fn shown(directory: &str) -> &str {
    match directory {
        "" => "the root",
        directory => directory,
    }
}
