//! The entries of `applications` that find a repository's roots, and the stages that they name.

use std::collections::{BTreeMap, BTreeSet};

use super::super::rule::name_of;
use super::super::tree::Tree;
use super::namespaces::{fits, namespace};
use super::place::{DraftedStage, Placed, is_above_stages, is_generic, placed, rank};
use super::roots::Root;
use super::{Catalog, Contents, text};
use crate::domain::catalog::LOCAL;
use crate::domain::{Invalid, Name, RepoName};

/// An entry with more exceptions than that names its directories one by one.
const MOST_EXCLUDED: usize = 5;
/// A draft that leaves out more entries than that is none.
const MOST_LEFT_OUT: usize = 20;
/// The namespace of objects that name none, as kubectl has it.
pub(super) const NO_NAMESPACE: &str = "default";
/// The stage of directories whose paths name none, where others do.
const NO_STAGE: &str = "shared";

/// What an entry is grouped by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) name: Option<String>,
    pub(super) stage: Option<String>,
    pub(super) namespace: String,
    /// Whether the repository says the namespace.
    pub(super) knows_namespace: bool,
    pub(super) chart: Option<String>,
    pub(super) exclude: Vec<String>,
    /// The directories or files that it is for.
    pub(super) paths: BTreeSet<String>,
}

pub(super) struct Drafted {
    /// In order.
    pub(super) stages: Vec<DraftedStage>,
    pub(super) entries: Vec<Entry>,
    pub(super) left_out: Vec<String>,
}

/// The entries for the roots. Each is proven by what it finds.
pub(super) fn entries(contents: &Contents, roots: Vec<Root>, repo: &RepoName) -> Drafted {
    let all = placed(roots);
    let has_stages = all.iter().any(|placed| placed.stage.is_some());
    let stages = stages(&all);
    let (groups, mut singles) = groups(&all);
    let mut patterns = Vec::new();
    for group in groups {
        let (entry, others) = of_group(&group, has_stages);
        patterns.extend(entry);
        singles.extend(others);
    }
    let tree = contents.tree();
    let mut known: BTreeSet<String> = paths(&singles);
    let (mut kept, mut entries) = (Vec::new(), merged(patterns));
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.paths.len()));
    for mut entry in entries {
        match excluding(&mut entry, &known, &stages, &tree) {
            true => kept.push(entry),
            false => {
                known.extend(entry.paths.iter().cloned());
                singles.extend(
                    all.iter()
                        .filter(|one| entry.paths.contains(&one.root.path)),
                );
            }
        }
    }
    kept.extend(
        singles
            .iter()
            .map(|placed| single(placed, has_stages, repo)),
    );
    // The first entry that matches a path wins: the narrower ones are first.
    kept.sort_by_key(|entry| (entry.path.matches(['{', '*']).count(), entry.path.clone()));
    proven(kept, stages, &tree)
}

/// Those that can be one entry, since their paths differ in the application and the stage only; and
/// those that are entries of their own.
fn groups(all: &[Placed]) -> (Vec<Vec<&Placed>>, Vec<&Placed>) {
    let name = |placed: &Placed| {
        let application = placed.application().filter(|name| !is_generic(name))?;
        Some((name_of(application).ok()?, placed.stage.clone()))
    };
    let mut named = BTreeMap::<_, usize>::new();
    for name in all.iter().filter_map(name) {
        *named.entry(name).or_default() += 1;
    }
    let mut groups = BTreeMap::<_, Vec<&Placed>>::new();
    let mut singles = Vec::new();
    for placed in all {
        match name(placed).is_some_and(|name| named[&name] == 1) {
            true => {
                let key = (placed.pattern(true), placed.chart(true));
                groups.entry(key).or_default().push(placed);
            }
            false => singles.push(placed),
        }
    }
    (groups.into_values().collect(), singles)
}

/// The entry of a group, and those whose namespaces it does not fit.
fn of_group<'a>(group: &[&'a Placed], has_stages: bool) -> (Option<Entry>, Vec<&'a Placed>) {
    let first = group[0];
    let form = namespace(group);
    let (fitting, others): (Vec<_>, Vec<_>) = group.iter().partition(|placed| fits(placed, &form));
    if fitting.len() == 1 && (group.len() > 1 || first.stage.is_none()) {
        return (None, group.to_vec());
    }
    let entry = Entry {
        path: first.pattern(true),
        name: None,
        stage: constant_stage(first, has_stages),
        namespace: form.clone().unwrap_or_else(|| NO_NAMESPACE.into()),
        knows_namespace: form.is_some(),
        chart: first.chart(true),
        exclude: excluded(&fitting),
        paths: paths(&fitting),
    };
    (Some(entry), others)
}

fn excluded(group: &[&Placed]) -> Vec<String> {
    let all = group.iter();
    all.flat_map(|placed| placed.root.exclude.clone()).collect()
}

fn paths(group: &[&Placed]) -> BTreeSet<String> {
    let all = group.iter();
    all.map(|placed| placed.root.path.clone()).collect()
}

fn constant_stage(placed: &Placed, has_stages: bool) -> Option<String> {
    (has_stages && placed.stage.is_none()).then(|| NO_STAGE.to_string())
}

/// The entry of one place, without placeholders but for its stage.
fn single(placed: &Placed, has_stages: bool, repo: &RepoName) -> Entry {
    let short = placed.application().filter(|name| !is_generic(name));
    let long = placed.long_name();
    let name = match (short, long.is_empty()) {
        (_, false) => long,
        (Some(short), true) => short.to_string(),
        (None, true) => match placed.application() {
            Some(generic) if !is_above_stages(generic) => generic.to_string(),
            _ => repo.name.clone(),
        },
    };
    let namespace = placed.root.namespace.clone();
    let name = name_of(&name).map(|name| name.to_string()).unwrap_or(name);
    Entry {
        stage: match &placed.stage {
            Some(stage) => Some(stage.to_string()),
            None => constant_stage(placed, has_stages),
        },
        path: placed.root.path.clone(),
        name: Some(name),
        knows_namespace: namespace.is_some(),
        namespace: namespace.unwrap_or_else(|| NO_NAMESPACE.into()),
        chart: placed.chart(false).map(|_| {
            let values = placed.root.values.as_ref();
            values
                .map(|values| values.chart.clone())
                .unwrap_or_default()
        }),
        exclude: placed.root.exclude.clone(),
        paths: BTreeSet::from([placed.root.path.clone()]),
    }
}

/// Entries that differ in one directory are one: with `{namespace}` where it is the namespace, with
/// `*` where it does not matter.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    let mut entries = entries;
    let longest = entries.iter().map(|entry| entry.path.split('/').count());
    for at in 0..longest.max().unwrap_or_default() {
        let mut buckets = BTreeMap::<_, Vec<Entry>>::new();
        for entry in std::mem::take(&mut entries) {
            let parts: Vec<&str> = entry.path.split('/').collect();
            let masked = match parts.get(at) {
                Some(part) if !part.contains(['{', '*']) && entry.chart.is_none() => {
                    let without = [&parts[..at], &["\0"], &parts[at + 1..]].concat();
                    without.join("/")
                }
                _ => entry.path.clone(),
            };
            let key = (masked, entry.stage.clone(), entry.chart.clone());
            buckets.entry(key).or_default().push(entry);
        }
        for ((masked, ..), bucket) in buckets {
            entries.extend(united(&masked, at, bucket));
        }
    }
    entries
}

fn united(masked: &str, at: usize, bucket: Vec<Entry>) -> Vec<Entry> {
    let part = |entry: &Entry| {
        entry
            .path
            .split('/')
            .nth(at)
            .unwrap_or_default()
            .to_string()
    };
    let is_namespace = |entry: &Entry| entry.namespace == part(entry);
    let first = &bucket[0];
    let (filler, namespace) = match bucket.len() {
        1 => return bucket,
        _ if bucket.iter().all(is_namespace) => ("{namespace}", "{namespace}".to_string()),
        _ if bucket
            .iter()
            .all(|entry| entry.namespace == first.namespace) =>
        {
            ("*", first.namespace.clone())
        }
        _ => return bucket,
    };
    vec![Entry {
        path: masked.replace('\0', filler),
        namespace,
        knows_namespace: bucket.iter().any(|entry| entry.knows_namespace),
        paths: bucket
            .iter()
            .flat_map(|entry| entry.paths.clone())
            .collect(),
        exclude: bucket
            .iter()
            .flat_map(|entry| entry.exclude.clone())
            .collect(),
        ..first.clone()
    }]
}

/// Whether an entry finds its paths and no other that is not `known`, with a few exceptions.
fn excluding(
    entry: &mut Entry,
    known: &BTreeSet<String>,
    stages: &[DraftedStage],
    tree: &Tree,
) -> bool {
    let found = finds(std::slice::from_ref(entry), stages, tree);
    let Ok(found) = found else {
        return false;
    };
    let more = found.difference(&entry.paths);
    let more = more.filter(|path| !known.contains(*path)).cloned();
    entry.exclude.extend(more);
    entry.exclude.len() <= MOST_EXCLUDED && entry.paths.is_subset(&found)
}

/// The paths that entries find. An error: they are no valid file.
fn finds(
    entries: &[Entry],
    stages: &[DraftedStage],
    tree: &Tree,
) -> Result<BTreeSet<String>, Invalid> {
    let catalog = Catalog::parse(&text::plain(stages, entries))?;
    let targets = catalog.expand(tree)?.into_iter();
    Ok(targets.map(|target| target.path).collect())
}

/// The entries that find what they are for, together; the others are left out. Each that is left out
/// costs a search through the tree.
fn proven(mut entries: Vec<Entry>, stages: Vec<DraftedStage>, tree: &Tree) -> Drafted {
    let mut left_out = Vec::new();
    while let Some((at, why)) = wrong(&entries, &stages, tree) {
        left_out.push(why);
        entries.remove(at);
        if left_out.len() > MOST_LEFT_OUT {
            left_out.push(format!("{} more entries", entries.len()));
            entries.clear();
        }
    }
    Drafted {
        stages,
        entries,
        left_out,
    }
}

/// An entry that does not find what it is for beside the others, and why.
fn wrong(entries: &[Entry], stages: &[DraftedStage], tree: &Tree) -> Option<(usize, String)> {
    if entries.is_empty() {
        return None;
    }
    match finds(entries, stages, tree) {
        Ok(found) => {
            let mut all = entries.iter().enumerate();
            all.find_map(|(at, entry)| {
                let mut paths = entry.paths.iter();
                let missing = paths.find(|path| !found.contains(*path))?;
                Some((
                    at,
                    format!("{missing}: it would be no application of its own"),
                ))
            })
        }
        // The last one with which the file is not valid any more.
        Err(_) => {
            let fails = |count: &usize| finds(&entries[..*count], stages, tree).is_err();
            let counts: Vec<usize> = (1..=entries.len()).collect();
            let at = counts.partition_point(|count| !fails(count));
            let why = finds(&entries[..=at], stages, tree).err()?;
            Some((at, why.to_string()))
        }
    }
}

/// The stages in order. One whose name says no order comes first and waits for none.
fn stages(all: &[Placed]) -> Vec<DraftedStage> {
    let named: BTreeSet<String> = all
        .iter()
        .filter_map(|placed| placed.stage.as_ref().map(Name::to_string))
        .collect();
    if named.is_empty() {
        return Vec::new();
    }
    let has_others = all.iter().any(|placed| placed.stage.is_none());
    let shared = has_others.then(|| NO_STAGE.to_string());
    let mut order: Vec<String> = named.into_iter().chain(shared).collect();
    order.sort_by_key(|stage| (rank(stage), stage.clone()));
    let ranks: BTreeSet<usize> = order.iter().filter_map(|stage| rank(stage)).collect();
    let before = |stage: &String| {
        let own = rank(stage);
        let last = own.and_then(|own| ranks.range(..own).next_back().copied());
        let of_last = order
            .iter()
            .filter(|other| last.is_some() && rank(other) == last);
        of_last.cloned().collect()
    };
    let (one_cluster, mut drafted) = (fit_one_cluster(all), Vec::new());
    for name in &order {
        drafted.push(DraftedStage {
            cluster: match one_cluster || name == NO_STAGE {
                true => LOCAL.into(),
                false => name.clone(),
            },
            after: before(name),
            name: name.clone(),
        });
    }
    drafted
}

/// Whether no application has one namespace in two stages: in one cluster, its objects would be the
/// same.
fn fit_one_cluster(all: &[Placed]) -> bool {
    let mut seen = BTreeMap::new();
    all.iter().all(|placed| {
        let name = placed.application().map(str::to_string);
        let key = (
            name.unwrap_or_else(|| placed.long_name()),
            &placed.root.namespace,
        );
        let stage = seen.entry(key).or_insert(&placed.stage);
        *stage == &placed.stage
    })
}
