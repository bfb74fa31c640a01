//! Which stages a pull request touches, and which files its merge commit changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::controller::preview::{Changes, changes_between};
use crate::controller::{Base, Reader, Result};
use crate::domain::catalog::Target;
use crate::domain::pull_request::Preview;
use crate::domain::{CommitSha, PullRequestKey};
use crate::render::Source;

/// The stages that a pull request touches: those of its applications; those that `windlass.yaml`
/// reconfigures, before and after; and those whose namespace, or cluster, the changed objects are
/// in.
pub fn touched_stages(base: &Base, changes: &Changes, preview: &Preview) -> Vec<Target> {
    let mut found: Vec<Target> = Vec::new();
    let mut add = |target: &Target| {
        if !found.contains(target) {
            found.push(target.clone());
        }
    };
    changes
        .touched
        .iter()
        .chain(&changes.reconfigured)
        .for_each(&mut add);
    let all = base
        .configured()
        .map(|configured| configured.targets.as_slice())
        .unwrap_or_default();
    for app in &preview.applications {
        let mut places = BTreeSet::new();
        for change in app.plan.effective() {
            let is_namespace = change.key.is_core("Namespace");
            places.insert(if is_namespace {
                Some(change.key.name.clone())
            } else {
                change.key.namespace.clone()
            });
        }
        for place in places {
            let is_there = |target: &&Target| {
                target.destination.cluster == app.cluster
                    && place
                        .as_ref()
                        .is_none_or(|namespace| target.destination.namespace == *namespace)
            };
            all.iter().filter(is_there).for_each(&mut add);
        }
    }
    found
}

/// The files that a merge commit changed, and their owners before: an approval of the merge is
/// judged by them.
pub async fn merged_changes(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    commit: Option<CommitSha>,
) -> Result<Changes> {
    let Some(commit) = commit else {
        return Ok(Changes::default());
    };
    ctx.mirror(&key.repo, move |mirror| {
        if !mirror.knows(&commit)? {
            return Ok(Changes::default());
        }
        let Some(parent) = mirror.parent(&commit)? else {
            return Ok(Changes::default());
        };
        let after = mirror.files(mirror.tree(&commit)?)?;
        changes_between(&Source::open(mirror, mirror.tree(&parent)?)?, &after)
    })
    .await
}
