//! Who approved a deletion: the approvers of the pull request, somebody who confirmed it, or
//! nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::desired::rendered;
use super::prune::Prunable;
use crate::cluster::store::InventoryEntry;
use crate::controller::dry_run::{self, AppScope};
use crate::controller::revision::inputs_at;
use crate::controller::{Base, Reader, Result, authority};
use crate::domain::manifest::ResourceKey;
use crate::domain::{CommitSha, PullRequestKey, sync};

/// Pauses between two requests to GitHub whether a deletion was approved: GitHub links a commit to
/// its merged pull request, and to the reviews, a while after the push.
const FIRST_PAUSE: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Decides what may be pruned, and when to check GitHub again. GitHub is only asked for an approval
/// if a deletion is withheld without one. `uncommitted`: this very revision was synced with these
/// objects, so no commit removed them.
pub async fn judge(
    ctx: &Arc<Reader>,
    scope: &AppScope<'_>,
    base: &Base,
    revision: &CommitSha,
    prunable: &Prunable,
    owned: usize,
    (confirmed, uncommitted): (sync::Confirmed<'_>, bool),
) -> Result<(sync::PruneDecision, Option<Instant>)> {
    let title = scope.key.title();
    let removed = prunable.removed_from_git(|_| false, uncommitted);
    let decision = sync::decide_prune(&removed, owned, confirmed, &title);
    let removed_in =
        |entry: &InventoryEntry| entry.removed_by.clone().unwrap_or_else(|| revision.clone());
    let waits = |entry: &InventoryEntry| {
        let withheld = decision.withheld.iter().any(|(key, _)| *key == entry.key);
        withheld && !(uncommitted && entry.removed_by.is_none())
    };
    let waiting = prunable.prune.values().filter(|(entry, _)| waits(entry));
    let commits: BTreeSet<_> = waiting.map(|(entry, _)| removed_in(entry)).collect();
    if commits.is_empty() {
        return Ok((decision, None));
    }
    let (mut approved, mut next_checks) = (BTreeMap::new(), Vec::new());
    for commit in commits {
        let (found, next) = removed_by(ctx, scope, base, &commit).await?;
        next_checks.extend(next);
        approved.insert(commit, found);
    }
    let is_approved = |entry: &InventoryEntry| {
        let found = approved.get(&removed_in(entry));
        found.is_some_and(|found| found.contains(&entry.key))
    };
    let removed = prunable.removed_from_git(is_approved, uncommitted);
    let decision = sync::decide_prune(&removed, owned, confirmed, &title);
    Ok((decision, next_checks.into_iter().min()))
}

/// The objects that an approved change removed, and when to check again. While GitHub knows no
/// approval, the pause between two checks doubles.
async fn removed_by(
    ctx: &Arc<Reader>,
    scope: &AppScope<'_>,
    base: &Base,
    commit: &CommitSha,
) -> Result<(BTreeSet<ResourceKey>, Option<Instant>)> {
    let cache_key = (scope.key.clone(), commit.clone());
    let known = ctx.cache.applications.unapproved.get(&cache_key);
    if let Some((next, _)) = known.filter(|(next, _)| *next > Instant::now()) {
        return Ok((BTreeSet::new(), Some(next)));
    }
    let found = removed_by_approved_change(ctx, scope, base, commit).await?;
    if !found.is_empty() {
        return Ok((found, None));
    }
    let pause = known.map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
    let next = Instant::now() + pause;
    ctx.cache
        .applications
        .unapproved
        .insert(cache_key, (next, pause));
    Ok((found, (pause < LONGEST_PAUSE).then_some(next)))
}

/// The objects that the revision's pull request removed from Git, if the merged head was approved
/// by the rule of the gate.
async fn removed_by_approved_change(
    ctx: &Arc<Reader>,
    scope: &AppScope<'_>,
    base: &Base,
    revision: &CommitSha,
) -> Result<BTreeSet<ResourceKey>> {
    let repo = &scope.key.repo;
    let mut approved = false;
    let target = base.target(scope.key);
    // As many approvals as the stage requires, and at least one: a deletion needs two people.
    let needed = target.map_or(1, |target| target.stage.approvals.max(1));
    for pull in ctx
        .github
        .pulls_with(repo, revision)
        .await?
        .into_iter()
        .filter(|pull| pull.merged_at.is_some())
    {
        let key = PullRequestKey {
            repo: repo.clone(),
            number: pull.number,
        };
        let snapshot = ctx.github.snapshot(&key).await?;
        approved |= authority::approved_by(ctx, &key, &snapshot, target)
            .await?
            .len()
            >= needed as usize;
    }
    if !approved || base.target(scope.key).is_none() {
        return Ok(BTreeSet::new());
    }
    let (at, place) = (revision.clone(), scope.target.render_source());
    let before = ctx.mirror(repo, move |mirror| {
        let parent = if mirror.knows(&at)? {
            mirror.parent(&at)?
        } else {
            None
        };
        match parent {
            Some(parent) => inputs_at(mirror, &parent, &place),
            None => Ok(Ok(None)),
        }
    });
    let before = rendered(ctx, scope.target, &before.await?, None)
        .await?
        .unwrap_or_default();
    Ok(dry_run::normalize(scope, &before)
        .await?
        .manifests
        .into_iter()
        .map(|manifest| manifest.key)
        .collect())
}
