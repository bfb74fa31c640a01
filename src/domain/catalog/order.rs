//! The order of stages that an application passes, and its dependencies.

use std::collections::{BTreeMap, BTreeSet};

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
    let all = targets.iter().enumerate();
    let all: BTreeMap<_, _> = all.map(|(at, target)| (target.names(), at)).collect();
    // What was passed once is not passed again: there may be very many ways to it.
    let mut done = vec![false; targets.len()];
    for start in 0..targets.len() {
        // The way to the present target, each with how many of its dependencies were passed.
        let mut trail = vec![(start, 0)];
        while let Some((at, next)) = trail.last_mut() {
            let target = &targets[*at];
            let Some(application) = target.depends_on.get(*next) else {
                done[*at] = true;
                trail.pop();
                continue;
            };
            *next += 1;
            let (_, stage, cluster) = target.names();
            let Some(needed) = all.get(&(application, stage, cluster)).copied() else {
                return Err(invalid(format_args!(
                    "{} depends on `{application}`, which has no {}",
                    target.title(),
                    match cluster {
                        Some(cluster) => format!("`{stage}/{cluster}`"),
                        None => format!("stage `{stage}`"),
                    }
                )));
            };
            if trail.iter().any(|(on, _)| *on == needed) {
                let names = trail.iter().map(|(on, _)| *on).chain([needed]);
                let names: Vec<_> = names.map(|on| targets[on].title()).collect();
                return Err(invalid(format_args!(
                    "applications depend on each other: {}",
                    names.join(" → ")
                )));
            }
            if !done[needed] {
                trail.push((needed, 0));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::domain::catalog::{Catalog, Tree};

    /// Forty layers of two, each of which depends on both of the next: 2^40 ways, and no circle.
    #[test]
    fn many_ways_to_one_application_are_no_many_looks() {
        let (mut rules, mut paths) = (String::new(), Vec::new());
        for layer in 0..40 {
            for side in ["a", "b"] {
                let (name, next) = (format!("l{layer}{side}"), layer + 1);
                let needs = match next {
                    40 => String::new(),
                    next => format!(", dependsOn: [l{next}a, l{next}b]"),
                };
                rules += &format!("  - {{ name: {name}, path: {name}, namespace: x{needs} }}\n");
                paths.push(name);
            }
        }
        let catalog = Catalog::parse(&format!("version: 1\napplications:\n{rules}")).unwrap();
        let tree = Tree::of(paths.iter().map(String::as_str));
        assert_eq!(catalog.expand(&tree).unwrap().len(), 80);
    }
}
