//! The order of stages that an application passes, and its dependencies.

use std::collections::BTreeSet;

use super::{Catalog, Stage, Target, invalid};
use crate::domain::{Invalid, Name};

impl Catalog {
    /// The stages that an application passes directly before `stage`. A stage that it does not have
    /// is replaced by the stages before that. Empty: the application begins at `stage`. `has`:
    /// whether the application has a stage.
    pub(super) fn stages_before(&self, stage: &Stage, has: impl Fn(&Name) -> bool) -> Vec<Name> {
        let of = |name: &Name| {
            self.stages
                .iter()
                .find(|stage| stage.name == *name)
                .map(|stage| stage.after.as_slice())
                .unwrap_or_default()
        };
        // All stages before a stage, nearest first. The search does not go beyond a stage for which
        // `ends` is true.
        let before = |after: &[Name], ends: &dyn Fn(&Name) -> bool| {
            let mut found: Vec<Name> = Vec::new();
            let mut next = after.to_vec();
            while let Some(name) = (!next.is_empty()).then(|| next.remove(0)) {
                if !found.contains(&name) {
                    if !ends(&name) {
                        next.extend(of(&name).iter().cloned());
                    }
                    found.push(name);
                }
            }
            found
        };
        let found: Vec<_> = before(&stage.after, &has)
            .into_iter()
            .filter(|name| has(name))
            .collect();
        // A stage found in the place of a skipped one is left out if it comes before another stage
        // in the list.
        let earlier: BTreeSet<_> = found
            .iter()
            .flat_map(|name| before(of(name), &|_| false))
            .collect();
        found
            .into_iter()
            .filter(|name| stage.after.contains(name) || !earlier.contains(name))
            .collect()
    }
}

/// Checks that dependencies exist and have no cycle.
pub(super) fn dependencies(targets: &[Target]) -> Result<(), Invalid> {
    let find = |application: &Name, dependent: &Target| {
        let cluster = |target: &Target| target.one_of.as_ref().map(|one| one.cluster.clone());
        targets.iter().find(|target| {
            target.application == *application
                && target.stage.name == dependent.stage.name
                && cluster(target) == cluster(dependent)
        })
    };
    for target in targets {
        let mut trail = vec![target];
        let mut next: Vec<(usize, &Target)> = vec![(0, target)];
        while let Some((depth, at)) = next.pop() {
            trail.truncate(depth);
            trail.push(at);
            for name in &at.depends_on {
                let Some(needed) = find(name, at) else {
                    return Err(invalid(format_args!(
                        "{} depends on `{name}`, which has no stage `{}`",
                        at.title(),
                        at.stage.name
                    )));
                };
                if trail.iter().any(|earlier| std::ptr::eq(*earlier, needed)) {
                    let names: Vec<_> = trail
                        .iter()
                        .chain([&needed])
                        .map(|target| target.title())
                        .collect();
                    return Err(invalid(format_args!(
                        "applications depend on each other: {}",
                        names.join(" → ")
                    )));
                }
                next.push((depth + 1, needed));
            }
        }
    }
    Ok(())
}
