//! The draft for a repository with objects of Argo CD or Flux.

use std::collections::{BTreeMap, BTreeSet};

use super::super::discover::By;
use super::place::rank;
use super::{Objects, text};
use crate::domain::build::Written;
use crate::domain::{Invalid, Name, RepoName};

/// What says the stage of an object.
pub(super) struct Under {
    /// The pattern of directories.
    pub(super) pattern: String,
    /// In order.
    pub(super) stages: Vec<String>,
}

/// One entry of `discover`.
pub(super) struct Entry {
    pub(super) by: By,
    pub(super) under: Option<Under>,
    /// Files that do not count.
    pub(super) exclude: Vec<String>,
    /// The other clusters that the objects deploy to, with the addresses by which they name them.
    pub(super) clusters: BTreeMap<String, Option<String>>,
}

/// A draft that would leave out more files than that is none.
const MOST_EXCLUDED: usize = 30;

/// The file's text, and what it leaves out. None: there are no such objects, or too many of them
/// have one name.
pub(super) fn discovered(
    objects: &Objects,
    repo: &RepoName,
) -> Result<Option<(String, Vec<String>)>, Invalid> {
    let (mut entries, mut left_out) = (Vec::new(), Vec::new());
    for by in [By::ArgoCd, By::Flux] {
        let all = objects.of(by, repo)?;
        if all.is_empty() {
            continue;
        }
        let remotes = all
            .iter()
            .filter_map(|(written, object)| written.remote_of(object));
        let remotes: BTreeSet<String> = remotes.filter(|remote| !remote.contains("{{")).collect();
        let mut clusters = BTreeMap::new();
        for (name, server) in remotes.into_iter().map(named) {
            // Several may be behind one host.
            let count = clusters
                .keys()
                .filter(|known: &&String| known.starts_with(&name))
                .count();
            let name = match clusters.contains_key(&name) {
                true => format!("{name}-{}", count + 1),
                false => name,
            };
            clusters.insert(name, server);
        }
        let all: Vec<Written> = all.into_iter().map(|(written, _)| written).collect();
        let under = under(&all);
        let at = under
            .as_ref()
            .map(|under| under.pattern.matches('/').count());
        let twins = twins(&all, at);
        // A file with something else is not left out as a whole.
        let declares_more = all.iter().any(|written| {
            let twin = twins.get(&written.file);
            twin.is_some_and(|(names, _)| !names.contains(&written.name))
        });
        if twins.len() > MOST_EXCLUDED || declares_more {
            return Ok(None);
        }
        left_out.extend(twins.iter().map(|(file, (names, other))| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!(
                "{file}: it declares {}, and so does {other}",
                names.join(", ")
            )
        }));
        entries.push(Entry {
            by,
            under,
            exclude: twins.into_keys().collect(),
            clusters,
        });
    }
    Ok((!entries.is_empty()).then(|| (text::of_discover(&entries), left_out)))
}

/// The name of a cluster that an object names so, and its address if it names that.
fn named(remote: String) -> (String, Option<String>) {
    let Some((_, host)) = remote.split_once("://") else {
        return (remote, None);
    };
    let host = host.split(['/', ':']).next().unwrap_or(host);
    (host.to_string(), Some(remote))
}

/// What two declarations of one application have in common: the directory at this place of their
/// paths, namespace and name.
fn identity(written: &Written, at: Option<usize>) -> (Option<&str>, &str, &str) {
    let directory = at.and_then(|at| written.file.split('/').nth(at));
    (directory, &written.namespace, &written.name)
}

/// The files that declare what an earlier file declares, each with the names and that file.
fn twins(all: &[Written], at: Option<usize>) -> BTreeMap<String, (BTreeSet<String>, String)> {
    let mut first = BTreeMap::new();
    let mut twins = BTreeMap::<String, (BTreeSet<String>, String)>::new();
    for written in all {
        let key = identity(written, at);
        match first.get(&key) {
            None => drop(first.insert(key, &written.file)),
            // Two in one file are not told apart by files.
            Some(file) if **file == written.file => {}
            Some(file) => {
                let twin = twins.entry(written.file.clone());
                let (names, _) = twin.or_insert_with(|| (BTreeSet::new(), file.to_string()));
                names.insert(written.name.clone());
            }
        }
    }
    twins
}

/// Which directory of the files names the stage: where all are words for stages, or where objects
/// of one name would otherwise be the same application. None: there is one stage.
fn under(all: &[Written]) -> Option<Under> {
    let paths: Vec<Vec<&str>> = all
        .iter()
        .map(|written| written.file.split('/').collect())
        .collect();
    let shortest = paths.iter().map(Vec::len).min()?;
    let values = |at: usize| -> BTreeSet<&str> { paths.iter().map(|path| path[at]).collect() };
    for at in 0..shortest.saturating_sub(1) {
        let names = values(at);
        if names.len() == 1 {
            continue;
        }
        let are_stages = names.iter().all(|name| rank(name).is_some());
        let are_names = names.iter().all(|name| name.parse::<Name>().is_ok());
        if !are_names || !(are_stages || repeats(all, None) && !repeats(all, Some(at))) {
            return None;
        }
        let mut stages: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        stages.sort_by_key(|stage| (rank(stage), stage.clone()));
        let prefix = paths[0][..at].join("/");
        let pattern = match prefix.is_empty() {
            true => "{stage}".to_string(),
            false => format!("{prefix}/{{stage}}"),
        };
        return Some(Under { pattern, stages });
    }
    None
}

/// Whether two objects have one name, below the same directory at this place of their paths.
fn repeats(all: &[Written], at: Option<usize>) -> bool {
    let mut seen = BTreeMap::new();
    for written in all {
        *seen.entry(identity(written, at)).or_insert(0) += 1;
    }
    seen.values().any(|count| *count > 1)
}
