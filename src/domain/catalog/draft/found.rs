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

/// The file's text; None: there are no such objects.
pub(super) fn discovered(objects: &Objects, repo: &RepoName) -> Result<Option<String>, Invalid> {
    let mut found = Vec::new();
    for by in [By::ArgoCd, By::Flux] {
        let all = objects.of(by, repo)?;
        let all: Vec<Written> = all.into_iter().map(|(written, _)| written).collect();
        if !all.is_empty() {
            found.push((by, under(&all)));
        }
    }
    Ok((!found.is_empty()).then(|| text::of_discover(&found)))
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
        let directory = at.and_then(|at| written.file.split('/').nth(at));
        let key = (directory, &written.namespace, &written.key.name);
        *seen.entry(key).or_insert(0) += 1;
    }
    seen.values().any(|count| *count > 1)
}
