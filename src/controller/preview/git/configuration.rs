//! `windlass.yaml` on the base and at the head, and the applications whose configuration differs.

use std::collections::BTreeSet;

use crate::controller::{Configured, configuration, targets_in};
use crate::domain::catalog::{Approver, FILE, Fleet, PolicyChange, Target, policy_changes};
use crate::domain::codeowners;
use crate::domain::pull_request::Forgotten;
use crate::domain::{Invalid, RepoName};
use crate::git::{Listing, Mirror, TreeId};
use crate::render::{Source, places_of};

/// Messages about patterns of the base or the head that match no directory on either side.
pub fn unmatched(
    mirror: &Mirror,
    (repo, fleet): (&RepoName, &Fleet),
    base: &Source<'_>,
    catalog: &std::result::Result<Configured, Invalid>,
    merged: Option<TreeId>,
) -> anyhow::Result<Vec<String>> {
    let Some(merged) = merged else {
        return Ok(Vec::new());
    };
    let head = Source::open(mirror, merged)?;
    let places = places_of([base, &head]);
    let proposed = configuration(&head, repo, fleet)?;
    let catalogs = [Some(catalog), proposed.as_ref()]
        .into_iter()
        .flatten()
        .flatten();
    let catalogs: Vec<_> = catalogs.collect();
    let targets = catalogs.iter().flat_map(|configured| &configured.targets);
    let targets: Vec<_> = targets.collect();
    let all = catalogs.iter().flat_map(|configured| {
        let undiscovered = configured.catalog.undiscovered(&targets, repo);
        let unmatched = configured.catalog.unmatched(&places);
        unmatched.into_iter().chain(undiscovered)
    });
    Ok(all.collect::<BTreeSet<_>>().into_iter().collect())
}

/// The applications whose configuration or approvers a pull request changes, as they were and as
/// they would be.
pub fn reconfigured(
    base: &Configured,
    head: Option<&Configured>,
    before: &Listing,
    after: &Listing,
) -> Vec<Target> {
    let differs = |path: &str| before.get(path) != after.get(path);
    let mut found = if differs(FILE) {
        differing(base, head)
    } else {
        Vec::new()
    };
    // A change of `CODEOWNERS` changes who approves: the current owners have to approve it.
    if codeowners::PLACES.iter().any(|place| differs(place)) {
        let by_owners = |target: &&Target| target.stage.approvers.contains(&Approver::CodeOwners);
        found.extend(base.targets.iter().filter(by_owners).cloned());
    }
    found
}

/// How a pull request changes the policy of applications, by their titles.
pub fn policy(
    repo: &RepoName,
    base: &Configured,
    head: Option<&Configured>,
) -> Vec<(String, PolicyChange)> {
    // Where there is no file, nobody wrote a policy.
    if base.is_drafted {
        return Vec::new();
    }
    let targets = head.map(|head| head.targets.as_slice()).unwrap_or_default();
    let of = |before: &Target| {
        let after = targets.iter().find(|after| after.is_same(before));
        let title = before.key(repo).title();
        let changes = policy_changes(before, after);
        changes
            .into_iter()
            .map(move |change| (title.clone(), change))
            .collect::<Vec<_>>()
    };
    base.targets.iter().flat_map(of).collect()
}

/// Every application that two configurations declare differently, as each of them has it.
fn differing(base: &Configured, head: Option<&Configured>) -> Vec<Target> {
    let head_targets = head.map(|head| head.targets.as_slice()).unwrap_or_default();
    // Health rules of custom kinds concern every application.
    let everything = head.is_none_or(|head| head.catalog.health != base.catalog.health);
    let differ = |all: &[Target], others: &[Target]| -> Vec<Target> {
        all.iter()
            .filter(|target| everything || !others.contains(target))
            .cloned()
            .collect()
    };
    let mut found = [
        differ(&base.targets, head_targets),
        differ(head_targets, &base.targets),
    ]
    .concat();
    // A later stage relies on the configuration of the stage before it.
    loop {
        let relies = |later: &&Target| {
            !found.contains(later)
                && found.iter().any(|earlier| {
                    earlier.application == later.application
                        && later.stage.after.contains(&earlier.stage.name)
                })
        };
        let more: Vec<_> = base.targets.iter().filter(relies).cloned().collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// The applications of the base's patterns.
pub struct Targets {
    /// Those that are there after the change, also those that it adds.
    pub found: Vec<Target>,
    /// Those of the base that are not.
    pub gone: Vec<Target>,
}

impl Targets {
    /// All of them; and whether each is gone.
    pub fn all(&self) -> impl Iterator<Item = (&Target, bool)> {
        let found = self.found.iter().map(|target| (target, false));
        found.chain(self.gone.iter().map(|target| (target, true)))
    }

    /// Why an application is none of windlass's any more, though the object that declares it is
    /// there. `leaves`: the configuration no longer has it.
    pub fn forgotten(
        &self,
        (target, is_gone): (&Target, bool),
        after: &Source<'_>,
        leaves: bool,
    ) -> anyhow::Result<Option<Forgotten>> {
        let declared = target.declared.as_ref().filter(|_| leaves || is_gone);
        let Some(declared) = declared else {
            return Ok(None);
        };
        if after.objects()?.object(&declared.written).is_none() {
            return Ok(None);
        }
        if leaves {
            return Ok(Some(Forgotten::Unlisted));
        }
        let is_of_it = |found: &&Target| {
            let other = found.declared.as_ref();
            other.is_some_and(|other| other.written.is_same(&declared.written))
        };
        let other = self.found.iter().find(is_of_it);
        Ok(Some(match other {
            Some(other) => Forgotten::Renamed(other.title()),
            None => Forgotten::Elsewhere,
        }))
    }
}

/// The applications of the base's patterns in both trees.
pub fn targets(
    configured: &Configured,
    after: &Source<'_>,
    repo: &RepoName,
) -> anyhow::Result<std::result::Result<Targets, Invalid>> {
    let found = match targets_in(&configured.catalog, after, repo)? {
        Ok(targets) => targets,
        Err(why) => return Ok(Err(why)),
    };
    let is_gone = |target: &&Target| {
        let is_there = |known: &Target| match &target.declared {
            Some(_) => known.is_same(target),
            // One directory may be an application of several clusters.
            None if target.one_of.is_some() => known.is_same(target),
            None => known.path == target.path,
        };
        !found.iter().any(is_there)
    };
    let gone = configured.targets.iter().filter(is_gone);
    let gone = gone.cloned().collect();
    Ok(Ok(Targets { found, gone }))
}
