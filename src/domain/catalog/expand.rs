//! From the directories of a tree to applications.

use std::collections::{BTreeMap, BTreeSet};

use super::order::dependencies;
use super::raw::RawImage;
use super::rule::{Rule, Segment};
use super::{Catalog, Destination, FILE, ImageRule, Reconciler, Stage, Target, invalid};
use crate::domain::image;
use crate::domain::manifest::is_label;
use crate::domain::{Invalid, Name};

impl Catalog {
    /// The applications in the directories of a tree. Each directory belongs to the first rule that
    /// matches it. It is an error if two directories are the same application in the same stage.
    pub fn expand<'a>(
        &self,
        directories: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Target>, Invalid> {
        let mut targets: BTreeMap<(Name, usize), Target> = BTreeMap::new();
        for path in directories {
            let Some(target) = self.rules.iter().find_map(|rule| self.apply(rule, path)) else {
                continue;
            };
            let target = target?;
            let position = self
                .stages
                .iter()
                .position(|stage| stage.name == target.stage.name)
                .unwrap_or_default();
            let title = format!("{}/{}", target.application, target.stage.name);
            if let Some(other) = targets.insert((target.application.clone(), position), target) {
                return Err(invalid(format_args!(
                    "`{}` and `{path}` are both {title}: one application in one stage has one directory",
                    other.path
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

    /// A message for each pattern that matches no directory, with the directory that is most
    /// similar.
    pub fn unmatched(&self, directories: &BTreeSet<String>) -> Vec<String> {
        let is_unmatched = |rule: &&Rule| {
            !directories
                .iter()
                .any(|path| self.apply(rule, path).is_some())
        };
        let message = |rule: &Rule| {
            let pattern = rule.pattern();
            let nearest = self.nearest(rule, directories);
            let nearest = nearest
                .map(|path| format!("; the nearest is `{path}`"))
                .unwrap_or_default();
            format!("{FILE}: `{pattern}` matches no directory{nearest}")
        };
        self.rules
            .iter()
            .filter(is_unmatched)
            .map(message)
            .collect()
    }

    /// The directory that is most similar to a pattern, if any is.
    fn nearest<'a>(&self, rule: &Rule, directories: &'a BTreeSet<String>) -> Option<&'a String> {
        let similarity = |path: &&'a String| {
            let parts: Vec<&str> = path.split('/').collect();
            // In percent: a literal may be misspelt, a stage has to be a declared one, any name may
            // be an application's.
            let score = |(segment, part): (&Segment, &&str)| match segment {
                Segment::Literal(text) => {
                    (strsim::normalized_damerau_levenshtein(text, part) * 100.0) as usize
                }
                Segment::Stage if self.stages.iter().any(|stage| stage.name.as_str() == *part) => {
                    100
                }
                Segment::Stage => 0,
                Segment::Application => 10,
            };
            let sum: usize = rule.segments.iter().zip(&parts).map(score).sum();
            let penalty = rule.segments.len().abs_diff(parts.len()) * 50;
            (sum.saturating_sub(penalty), std::cmp::Reverse(path.len()))
        };
        directories
            .iter()
            .max_by_key(similarity)
            .filter(|path| similarity(path).0 >= 50)
    }

    /// None: the rule does not match. An error: it matches, and the result is invalid.
    fn apply(&self, rule: &Rule, path: &str) -> Option<Result<Target, Invalid>> {
        let found = rule.match_path(&self.stages, path)?;
        Some(found.and_then(|(application, stage)| target(rule, application, stage, path)))
    }
}

/// The target for an application in a stage: the rule with its placeholders replaced.
fn target(rule: &Rule, application: Name, stage: &Stage, path: &str) -> Result<Target, Invalid> {
    let fill = |text: &str| {
        text.replace("{application}", application.as_str())
            .replace("{stage}", stage.name.as_str())
    };
    let reconcile = stage.reconcile.filled(fill);
    if let Reconciler::ArgoCd(named) | Reconciler::Flux(named) = &reconcile
        && !(is_label(&named.namespace) && is_label(&named.name.replace('.', "-")))
    {
        return Err(invalid(format_args!(
            "`{}/{}` is not a valid namespace and name",
            named.namespace, named.name
        )));
    }
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
    let image = |(image, raw): &(String, RawImage)| {
        Ok(ImageRule {
            image: image::image_name(&fill(image))?,
            source: fill(&raw.source).parse()?,
        })
    };
    Ok(Target {
        images: rule
            .images
            .iter()
            .map(image)
            .collect::<Result<_, Invalid>>()?,
        chart: rule.chart.as_deref().map(fill),
        stage: Stage {
            reconcile,
            ..stage.clone()
        },
        application,
        path: path.into(),
        destination,
        fields: rule.fields.clone(),
        drift: rule.drift,
        depends_on: rule.depends_on.clone(),
        health_timeout: rule.health_timeout,
    })
}
