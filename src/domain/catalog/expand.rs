//! From the directories of a tree to applications.

use std::collections::{BTreeMap, BTreeSet};

use super::images::RawImage;
use super::order::dependencies;
use super::pattern::STAGE;
use super::rule::{Match, Rule};
use super::tree::Tree;
use super::{Catalog, Destination, FILE, Objects, OneOf, Stage, Target, invalid};
use crate::domain::manifest::is_label;
use crate::domain::{Invalid, RepoName, directories_of};

/// The most applications of a file, in each stage and cluster.
const MOST_TARGETS: usize = 20_000;

impl Catalog {
    /// The applications in a tree by their paths: see [`Self::expand_with`].
    pub fn expand(&self, tree: &Tree) -> Result<Vec<Target>, Invalid> {
        self.unite(self.by_paths(tree)?)
    }

    /// The applications in a tree of a repository: by their paths, and by the objects of other
    /// reconcilers.
    pub fn expand_with(
        &self,
        tree: &Tree,
        objects: &Objects,
        repo: &RepoName,
    ) -> Result<Vec<Target>, Invalid> {
        let mut found = self.by_paths(tree)?;
        // An entry wins over an object of the same name, and over the object that it names.
        let names = |target: &Target| (target.application.clone(), target.stage.name.clone());
        let named: BTreeSet<_> = found.iter().map(names).collect();
        let taken: BTreeSet<_> = found.iter().filter_map(Target::reconciled_by).collect();
        let is_new = |target: &Target| {
            let object = target.reconciled_by();
            !object.is_some_and(|object| taken.contains(&object)) && !named.contains(&names(target))
        };
        let discovered = self.discovered(objects, repo)?.into_iter();
        let new: Vec<_> = discovered.filter(is_new).collect();
        found.extend(new);
        self.unite(found)
    }

    /// Each directory and file belongs to the first rule that matches it.
    fn by_paths(&self, tree: &Tree) -> Result<Vec<Target>, Invalid> {
        let mut targets = Vec::new();
        let of_files = |rule: &&Rule| rule.pattern.is_of_files();
        let (files, directories): (Vec<_>, Vec<_>) = self.rules.iter().partition(of_files);
        let directories = tree.directories().map(|path| (path, &directories));
        let files = tree.manifests().map(|path| (path, &files));
        for (path, rules) in directories.chain(files) {
            let mut counting = rules.iter().filter(|rule| rule.counts(tree, path));
            let Some(target) = counting.find_map(|rule| self.apply(rule, path)) else {
                continue;
            };
            targets.extend(target?);
        }
        Ok(targets)
    }

    /// In order. It is an error if two of them are the same application in the same stage.
    fn unite(&self, found: Vec<Target>) -> Result<Vec<Target>, Invalid> {
        if found.len() > MOST_TARGETS {
            return Err(invalid(format_args!(
                "it makes more than {MOST_TARGETS} applications, counted in each stage and cluster"
            )));
        }
        let mut targets = BTreeMap::<_, Target>::new();
        for target in found {
            let position = self
                .stages
                .iter()
                .position(|stage| stage.name == target.stage.name)
                .unwrap_or_default();
            let title = target.title();
            let place = target.place().to_string();
            let one = target.one_of.clone().map(|one| (one.wave, one.cluster));
            let key = (target.application.clone(), position, one);
            if let Some(other) = targets.insert(key, target) {
                return Err(invalid(format_args!(
                    "`{}` and `{place}` are both {title}: one application in one stage has one place. Leave one out by `exclude:`, or give them names with more placeholders",
                    other.place()
                )));
            }
        }
        let mut targets: Vec<_> = targets.into_values().collect();
        let declared: BTreeSet<_> = targets
            .iter()
            .map(|target| (target.application.clone(), target.stage.name.clone()))
            .collect();
        for target in &mut targets {
            target.stage.after = self.stages_before(&target.stage, |stage| {
                declared.contains(&(target.application.clone(), stage.clone()))
            });
        }
        dependencies(&targets)?;
        Ok(targets)
    }

    /// Whether a file of this path may be in the place of an application: by the patterns alone.
    pub fn may_place(&self, file: &str) -> bool {
        let mut places = directories_of(file).chain([file]);
        let matches = |path: &str| {
            let mut rules = self.rules.iter();
            rules.any(|rule| rule.find_anywhere(&self.stages, path).is_some())
        };
        self.discovers() || places.any(matches)
    }

    /// The application that a file would be of, if its stage had the cluster that its directory is
    /// for.
    pub fn dormant(&self, file: &str) -> Option<Target> {
        let places = directories_of(file).chain([file]);
        let in_place = |path: &str| {
            self.rules.iter().find_map(|rule| {
                let found = rule.find_anywhere(&self.stages, path)?.ok()?;
                let cluster = found.missing_cluster()?.parse().ok()?;
                let one = OneOf { cluster, wave: 0 };
                target(rule, &found, path, Some(&one)).ok()
            })
        };
        places.rev().find_map(in_place)
    }

    /// The directory of a file that would be an application if there were such a stage, and that
    /// stage.
    pub fn without_stage<'a>(&self, file: &'a str) -> Option<(&'a str, String)> {
        let mut places = directories_of(file).chain([file]);
        places.find_map(|path| {
            let found = |rule: &Rule| rule.pattern.find(path, &|_| true)?.remove(STAGE);
            let is_known =
                |stage: &String| self.stages.iter().any(|one| one.name.as_str() == stage);
            let stage = self.rules.iter().find_map(found)?;
            (!is_known(&stage)).then_some((path, stage))
        })
    }

    /// A message for each pattern that matches nothing, with the directory that is most similar.
    pub fn unmatched(&self, tree: &Tree) -> Vec<String> {
        let matches = |rule: &Rule, path: &str| rule.find(&self.stages, path).is_some();
        let is_unmatched = |rule: &&Rule| match rule.pattern.is_of_files() {
            true => !tree.manifests().any(|path| matches(rule, path)),
            false => {
                let mut counting = tree.directories().filter(|path| rule.counts(tree, path));
                !counting.any(|path| matches(rule, path))
            }
        };
        let message = |rule: &Rule| {
            let pattern = &rule.pattern.text;
            if let Some(empty) = tree.directories().find(|path| matches(rule, path)) {
                return format!(
                    "{FILE}: `{pattern}` matches only directories that cannot be rendered, such as `{empty}`: they hold no kustomization, no chart and no manifests of their own"
                );
            }
            let what = if rule.pattern.is_of_files() {
                "file"
            } else {
                "directory"
            };
            let nearest = self.nearest(rule, tree);
            let nearest = nearest
                .map(|path| format!("; the nearest is `{path}`"))
                .unwrap_or_default();
            format!("{FILE}: `{pattern}` matches no {what}{nearest}")
        };
        self.rules
            .iter()
            .filter(is_unmatched)
            .map(message)
            .collect()
    }

    /// The path that is most similar to a pattern, if any is.
    fn nearest<'a>(&self, rule: &Rule, tree: &'a Tree) -> Option<&'a str> {
        let is_stage = |name: &str| self.stages.iter().any(|stage| stage.name.as_str() == name);
        let similarity = |path: &&'a str| {
            let similarity = rule.pattern.similarity(path, &is_stage);
            (similarity, std::cmp::Reverse(path.len()))
        };
        let all: Box<dyn Iterator<Item = &str>> = match rule.pattern.is_of_files() {
            true => Box::new(tree.manifests()),
            false => Box::new(tree.directories()),
        };
        all.max_by_key(similarity)
            .filter(|path| similarity(path).0 >= 50)
    }

    /// None: the rule does not match. An error: it matches, and the result is invalid.
    fn apply(&self, rule: &Rule, path: &str) -> Option<Result<Vec<Target>, Invalid>> {
        let found = rule.find(&self.stages, path)?;
        Some(found.and_then(|found| {
            let clusters = found.clusters().into_iter();
            clusters
                .map(|one| target(rule, &found, path, one))
                .collect()
        }))
    }
}

/// The target for an application in a stage: the rule with its placeholders replaced.
fn target(
    rule: &Rule,
    found: &Match<'_>,
    path: &str,
    one: Option<&OneOf>,
) -> Result<Target, Invalid> {
    let stage = found.stage.in_cluster(one);
    let fill = |text: &str| found.fill(text, one);
    let fill_path = |path: &str| found.fill_path(path, one);
    let reconcile = stage.reconcile.filled(fill);
    reconcile.check()?;
    let destination = Destination {
        cluster: stage.cluster.clone(),
        namespace: fill(&rule.namespace),
    };
    if !is_label(&destination.namespace) {
        return Err(invalid(format_args!(
            "`{}` is not a valid namespace name",
            destination.namespace
        )));
    }
    let helm = rule.helm.filled(fill, fill_path);
    for name in [&helm.release, &helm.namespace].into_iter().flatten() {
        // A release's name has at most 53 characters (helm's chartutil.ValidateReleaseName).
        if !is_label(name) || name.len() > 53 {
            return Err(invalid(format_args!(
                "`{path}`: helm: `{name}` is not a valid name"
            )));
        }
    }
    let image = |(image, raw): &(String, RawImage)| raw.rule(image, fill);
    Ok(Target {
        images: rule
            .images
            .iter()
            .map(image)
            .collect::<Result<_, Invalid>>()?,
        chart: rule.chart.as_deref().map(fill_path),
        helm,
        declared: None,
        exclude: rule.exclude.clone(),
        stage: Stage { reconcile, ..stage },
        application: found.application.clone(),
        one_of: one.cloned(),
        path: path.into(),
        destination,
        fields: rule.fields.clone(),
        drift: rule.drift,
        depends_on: rule.depends_on.clone(),
        health_timeout: rule.health_timeout,
    })
}
