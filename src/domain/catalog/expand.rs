//! From the directories of a tree to the applications that they are.

use std::collections::{BTreeMap, BTreeSet};

use super::order::dependencies;
use super::raw::RawImage;
use super::rule::{Rule, Segment};
use super::{Catalog, Destination, FILE, ImageRule, Reconciler, Stage, Target, invalid};
use crate::domain::image;
use crate::domain::manifest::is_label;
use crate::domain::{Invalid, Name};

impl Catalog {
    /// The applications that the directories of a tree are; each directory belongs to the first rule that matches it.
    /// Two directories that come out as the same application in the same stage are an error.
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
        let there: BTreeSet<_> = targets
            .iter()
            .map(|target| (target.application.clone(), target.stage.name.clone()))
            .collect();
        for target in &mut targets {
            target.stage.after = self.passed(&target.stage, |stage| {
                there.contains(&(target.application.clone(), stage.clone()))
            });
        }
        dependencies(&targets)?;
        Ok(targets)
    }

    /// The patterns that match none of a tree's directories, in words, each with the directory that is nearest to it.
    pub fn unmatched(&self, directories: &BTreeSet<String>) -> Vec<String> {
        let idle = |rule: &&Rule| {
            !directories
                .iter()
                .any(|path| self.apply(rule, path).is_some())
        };
        let told = |rule: &Rule| {
            let pattern = rule.pattern();
            let nearest = self.nearest(rule, directories);
            let nearest = nearest
                .map(|path| format!("; the nearest is `{path}`"))
                .unwrap_or_default();
            format!("{FILE}: `{pattern}` matches no directory{nearest}")
        };
        self.rules.iter().filter(idle).map(told).collect()
    }

    /// The directory whose parts are most like a pattern's, if any part is.
    fn nearest<'a>(&self, rule: &Rule, directories: &'a BTreeSet<String>) -> Option<&'a String> {
        let likeness = |path: &&'a String| {
            let parts: Vec<&str> = path.split('/').collect();
            // In hundredths: a literal may be misspelt, a stage is one of a few, any name may be an application's.
            let like = |(segment, part): (&Segment, &&str)| match segment {
                Segment::Literal(text) => {
                    (strsim::normalized_damerau_levenshtein(text, part) * 100.0) as usize
                }
                Segment::Stage if self.stages.iter().any(|stage| stage.name.as_str() == *part) => {
                    100
                }
                Segment::Stage => 0,
                Segment::Application => 10,
            };
            let sum: usize = rule.segments.iter().zip(&parts).map(like).sum();
            let apart = rule.segments.len().abs_diff(parts.len()) * 50;
            (sum.saturating_sub(apart), std::cmp::Reverse(path.len()))
        };
        directories
            .iter()
            .max_by_key(likeness)
            .filter(|path| likeness(path).0 >= 50)
    }

    /// None: the rule does not match. An error: it matches and what comes out is not legal.
    fn apply(&self, rule: &Rule, path: &str) -> Option<Result<Target, Invalid>> {
        let found = rule.match_path(&self.stages, path)?;
        Some(found.and_then(|(application, stage)| target(rule, application, stage, path)))
    }
}

/// What a rule says of an application in a stage: placeholders are filled in.
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
