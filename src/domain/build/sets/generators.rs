//! Generators: list, git (directories and files), clusters (those that `windlass.yaml` names), matrix
//! and merge.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::{argocd, join};
use super::template::Engine;
use super::{Cluster, MOST, Parameters, TOO_MANY, Tree, items};
use crate::domain::{RepoName, yaml};

/// Bounds on the search for paths: the patterns of a generator, and the steps of one match.
const MOST_PATTERNS: usize = 200;
const MOST_STEPS: u32 = 2_000;

/// What all generators of a set see.
pub(super) struct Context<'a> {
    pub(super) tree: &'a Tree,
    /// The repositories of the template's sources.
    pub(super) repositories: Vec<RepoName>,
    pub(super) engine: Engine,
}

/// The parameters of each Application of a generator. `outer`: those of the generator before it in a
/// matrix.
pub(super) fn parameters(
    generator: &Value,
    context: &Context<'_>,
    outer: &Parameters,
) -> Result<Vec<Parameters>, String> {
    // The first one in a matrix may fill in texts of the second.
    let generator = match outer.is_empty() {
        true => generator.clone(),
        false => context.engine.fill(generator, outer)?,
    };
    let of = |kind: &str| Some(&generator[kind]).filter(|one| !one.is_null());
    let mut made = if let Some(list) = of("list") {
        listed(list)?
    } else if let Some(git) = of("git") {
        of_git(git, context)?
    } else if let Some(clusters) = of("clusters") {
        of_clusters(clusters, context)?
    } else if let Some(matrix) = of("matrix") {
        of_matrix(matrix, context, outer)?
    } else if let Some(merge) = of("merge") {
        of_merge(merge, context, outer)?
    } else {
        let kind = generator.as_object().and_then(|all| all.keys().next());
        let kind = kind.map_or("", String::as_str);
        return Err(format!(
            "the generator `{kind}` is not evaluated: what it finds is not in Git"
        ));
    };
    bounded(&made)?;
    made.retain(|parameters| is_selected(&generator["selector"], parameters));
    Ok(made)
}

fn bounded(made: &[Parameters]) -> Result<(), String> {
    match made.len() > MOST {
        true => Err(TOO_MANY.into()),
        false => Ok(()),
    }
}

fn listed(list: &Value) -> Result<Vec<Parameters>, String> {
    let mut elements = items(&list["elements"]).to_vec();
    if let Some(text) = list["elementsYaml"].as_str() {
        let more: Vec<Value> = yaml::parse(text).map_err(|why| format!("elementsYaml: {why}"))?;
        elements.extend(more);
    }
    let fields = |element: Value| match element {
        Value::Object(fields) => fields,
        _ => Parameters::new(),
    };
    Ok(elements.into_iter().map(fields).collect())
}

/// The clusters of Argo CD that are known. Its own has labels only where it is named among them.
fn of_clusters(clusters: &Value, context: &Context<'_>) -> Result<Vec<Parameters>, String> {
    let selector = &clusters["selector"];
    let selects = |field: &str| {
        let selected = &selector[field];
        selected.as_object().is_some_and(|map| !map.is_empty()) || !items(selected).is_empty()
    };
    let by_labels = selects("matchLabels") || selects("matchExpressions");
    let known = &context.tree.clusters;
    if by_labels && known.is_empty() {
        return Err(
            "the generator `clusters` selects by labels: name Argo CD's clusters with their labels in `clusters` of `discover`"
                .into(),
        );
    }
    let own = Cluster {
        name: argocd::LOCAL.into(),
        server: Some(argocd::IN_CLUSTER.into()),
        labels: BTreeMap::new(),
    };
    if clusters["flatList"] == true {
        return Err("the generator `clusters` with `flatList` is not evaluated".into());
    }
    let is_named = known
        .iter()
        .any(|cluster| cluster.name == own.name || cluster.server == own.server);
    let unnamed = (!is_named && !by_labels).then_some(&own);
    let all = unnamed.into_iter().chain(known);
    let selected = all.filter(|cluster| {
        let mut labels = labels_of(cluster);
        // The label of a cluster's Secret; Argo CD's own has none where nobody made one.
        if !std::ptr::eq(*cluster, &own) {
            labels.insert(SECRET_TYPE.into(), "cluster".into());
        }
        is_selected(selector, &labels)
    });
    selected
        .map(|cluster| of_cluster(cluster, clusters, context))
        .collect()
}

const SECRET_TYPE: &str = "argocd.argoproj.io/secret-type";

fn labels_of(cluster: &Cluster) -> Parameters {
    let labels = cluster.labels.iter();
    labels
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect()
}

fn of_cluster(
    cluster: &Cluster,
    generator: &Value,
    context: &Context<'_>,
) -> Result<Parameters, String> {
    let own = (cluster.name == argocd::LOCAL).then_some(argocd::IN_CLUSTER);
    let mut parameters = Parameters::new();
    for (name, value) in [
        ("name", json!(cluster.name)),
        ("nameNormalized", json!(normalized(&cluster.name))),
        (
            "metadata",
            json!({"labels": labels_of(cluster), "annotations": {}}),
        ),
        ("project", json!("")),
        ("values", generator["values"].clone()),
    ] {
        parameters.insert(name.into(), value);
    }
    if let Some(server) = cluster.server.as_deref().or(own) {
        parameters.insert("server".into(), server.into());
    }
    // As texts of old templates name them.
    for (label, value) in &cluster.labels {
        parameters.insert(format!("metadata.labels.{label}"), value.as_str().into());
    }
    if generator["values"].is_object() {
        let values = context.engine.fill(&generator["values"], &parameters)?;
        parameters.insert("values".into(), values);
    }
    Ok(parameters)
}

fn of_git(git: &Value, context: &Context<'_>) -> Result<Vec<Parameters>, String> {
    let url = git["repoURL"].as_str().unwrap_or_default();
    let is_ours = |of: RepoName| context.repositories.contains(&of);
    if !RepoName::of_url(url).is_some_and(is_ours) {
        return Err(format!(
            "the generator `git` reads another repository ({url})"
        ));
    }
    let revision = git["revision"].as_str().unwrap_or_default();
    if !["", "HEAD", "main", "master"].contains(&revision) {
        return Err(format!(
            "the generator `git` reads another revision ({revision})"
        ));
    }
    let prefix = git["pathParamPrefix"].as_str().unwrap_or_default();
    let mut made = Vec::new();
    let directories = items(&git["directories"]);
    if directories.len() + items(&git["files"]).len() > MOST_PATTERNS {
        return Err(format!(
            "the generator `git` has more than {MOST_PATTERNS} patterns"
        ));
    }
    for path in chosen(&context.tree.directories, directories, false)? {
        made.push(of_path(path, None, prefix));
    }
    let files = context.tree.files.keys();
    for path in chosen(files, items(&git["files"]), true)? {
        let text = &context.tree.files[path];
        let documents = yaml::documents(text).map_err(|why| format!("{path}: {why}"))?;
        // A file may have a list of parameters.
        let all = documents.into_iter().flat_map(|document| match document {
            Value::Array(items) => items,
            other => vec![other],
        });
        for fields in all {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            let mut parameters = fields.as_object().cloned().unwrap_or_default();
            parameters.extend(of_path(directory, Some(name), prefix));
            made.push(parameters);
        }
        bounded(&made)?;
    }
    for parameters in &mut made {
        if git["values"].is_object() {
            let values = context.engine.fill(&git["values"], parameters)?;
            parameters.insert("values".into(), values);
        }
    }
    Ok(made)
}

/// The paths that entries choose and none excludes.
fn chosen<'a>(
    paths: impl IntoIterator<Item = &'a String>,
    entries: &[Value],
    crosses: bool,
) -> Result<Vec<&'a str>, String> {
    let matches = |path: &str, excludes: bool| {
        let mut of = entries
            .iter()
            .filter(|one| (one["exclude"] == true) == excludes);
        of.any(|one| glob(one["path"].as_str().unwrap_or_default(), path, crosses))
    };
    let odd = entries.iter().filter_map(|one| one["path"].as_str());
    if let Some(odd) = odd
        .clone()
        .find(|pattern| pattern.contains(['[', '\\', '{']))
    {
        return Err(format!(
            "the pattern `{odd}` of the generator `git` is not evaluated"
        ));
    }
    let hidden = |path: &str| path.split('/').any(|part| part.starts_with('.'));
    Ok(paths
        .into_iter()
        .map(String::as_str)
        .filter(|path| matches(path, false) && !matches(path, true))
        .filter(|path| crosses || !hidden(path))
        .collect())
}

/// The parameters of a path, as Argo CD names them.
fn of_path(directory: &str, file: Option<&str>, prefix: &str) -> Parameters {
    let base = directory.rsplit('/').next().unwrap_or_default();
    let mut path = json!({
        "path": directory,
        "basename": base,
        "basenameNormalized": normalized(base),
        "segments": directory.split('/').collect::<Vec<_>>(),
    });
    if let Some(file) = file {
        path["filename"] = file.into();
        path["filenameNormalized"] = normalized(file).into();
    }
    let all = match prefix {
        "" => json!({"path": path}),
        prefix => json!({prefix: {"path": path}}),
    };
    all.as_object().cloned().unwrap_or_default()
}

/// Each pair of the two generators.
fn of_matrix(
    matrix: &Value,
    context: &Context<'_>,
    outer: &Parameters,
) -> Result<Vec<Parameters>, String> {
    let [first, second] = items(&matrix["generators"]) else {
        return Err("a `matrix` has two generators".into());
    };
    let mut made = Vec::new();
    for one in parameters(first, context, outer)? {
        for other in parameters(second, context, &one)? {
            let mut both = one.clone();
            join(&mut both, other);
            made.push(both);
        }
        bounded(&made)?;
    }
    Ok(made)
}

/// The first generator's parameters, with those of the others that have the same keys over them.
fn of_merge(
    merge: &Value,
    context: &Context<'_>,
    outer: &Parameters,
) -> Result<Vec<Parameters>, String> {
    let keys: Vec<&str> = items(&merge["mergeKeys"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let [first, others @ ..] = items(&merge["generators"]) else {
        return Err("a `merge` has generators".into());
    };
    let mut made = parameters(first, context, outer)?;
    for other in others {
        for over in parameters(other, context, outer)? {
            let same = |one: &&mut Parameters| {
                let value = |of: &Parameters, key: &str| lookup(of, key).cloned();
                keys.iter().all(|key| value(one, key) == value(&over, key))
            };
            for one in made.iter_mut().filter(same) {
                join(one, over.clone());
            }
        }
    }
    Ok(made)
}

/// A parameter by its path, as in `a.b.c`.
pub(super) fn lookup<'a>(parameters: &'a Parameters, path: &str) -> Option<&'a Value> {
    if let Some(whole) = parameters.get(path) {
        return Some(whole);
    }
    let mut parts = path.split('.');
    let first = parameters.get(parts.next()?)?;
    parts.try_fold(first, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        value => value.get(part),
    })
}

/// A generator's own selector over its parameters.
fn is_selected(selector: &Value, parameters: &Parameters) -> bool {
    let value = |key: &str| lookup(parameters, key).and_then(Value::as_str);
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let expressions = items(&selector["matchExpressions"]).iter();
    labels
        .clone()
        .all(|(key, wanted)| value(key) == wanted.as_str())
        && expressions.clone().all(|one| {
            let found = value(one["key"].as_str().unwrap_or_default());
            let values = items(&one["values"]);
            let is_in = found.is_some_and(|found| values.iter().any(|value| value == found));
            match one["operator"].as_str() {
                Some("In") => is_in,
                Some("NotIn") => !is_in,
                Some("Exists") => found.is_some(),
                Some("DoesNotExist") => found.is_none(),
                _ => false,
            }
        })
}

/// A name as Kubernetes takes it: in lower case, without what no name may have.
pub(super) fn normalized(name: &str) -> String {
    let legal = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || c == '-' || c == '.' => c,
        _ => '-',
    };
    let name: String = name.chars().map(legal).take(253).collect();
    name.trim_matches(['-', '.']).to_string()
}

/// Whether a pattern may match a file once its parameters are filled in.
pub fn may_read(pattern: &str, file: &str) -> bool {
    match pattern.split_once("{{") {
        Some((before, _)) => file.starts_with(before.rsplit_once('/').map_or("", |(at, _)| at)),
        None => glob(pattern, file, true),
    }
}

/// Whether a pattern matches a path. `*` stands for any text in one name, and with `crosses` over
/// slashes, as in `git ls-files`; `**` over slashes always.
fn glob(pattern: &str, path: &str, crosses: bool) -> bool {
    fn at(pattern: &[u8], path: &[u8], crosses: bool, steps: &mut u32) -> bool {
        *steps += 1;
        if *steps > MOST_STEPS {
            return false;
        }
        match pattern {
            [] => path.is_empty(),
            [b'*', b'*', rest @ ..] if !crosses => {
                at(&[&b"*"[..], rest].concat(), path, crosses, steps)
            }
            [b'*', b'*', b'/', rest @ ..] if at(rest, path, crosses, steps) => true,
            [b'*', b'*', rest @ ..] => {
                (0..=path.len()).any(|skip| at(rest, &path[skip..], crosses, steps))
            }
            [b'*', rest @ ..] => {
                let slash = path.iter().position(|b| *b == b'/').filter(|_| !crosses);
                let end = slash.unwrap_or(path.len());
                (0..=end).any(|skip| at(rest, &path[skip..], crosses, steps))
            }
            [b'?', rest @ ..] => !path.is_empty() && at(rest, &path[1..], crosses, steps),
            [one, rest @ ..] => path.first() == Some(one) && at(rest, &path[1..], crosses, steps),
        }
    }
    at(pattern.as_bytes(), path.as_bytes(), crosses, &mut 0)
}
