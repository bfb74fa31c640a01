//! Whose word a deletion has: a change that was approved, a confirmation, or nobody's.

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

/// Pauses between two questions to GitHub whether a deletion was approved: it tells of a merged
/// pull request, and of its reviews, a while after the push.
const FIRST_PAUSE: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// What of it may be pruned, and when GitHub is asked again. Whether a preview that somebody
/// approved listed it is only asked when it matters. `uncommitted`: what was synced of this very
/// revision had these objects, so no commit took them out.
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
    let gone = prunable.gone(|_| false, uncommitted);
    let judgement = sync::decide_prune(&gone, owned, confirmed, &title);
    let left_by =
        |entry: &InventoryEntry| entry.removed_by.clone().unwrap_or_else(|| revision.clone());
    let waits = |entry: &InventoryEntry| {
        let withheld = judgement.withheld.iter().any(|(key, _)| *key == entry.key);
        withheld && !(uncommitted && entry.removed_by.is_none())
    };
    let waiting = prunable.prune.values().filter(|(entry, _)| waits(entry));
    let commits: BTreeSet<_> = waiting.map(|(entry, _)| left_by(entry)).collect();
    if commits.is_empty() {
        return Ok((judgement, None));
    }
    let (mut approved, mut again) = (BTreeMap::new(), Vec::new());
    for commit in commits {
        let (found, next) = removed_by(ctx, scope, base, &commit).await?;
        again.extend(next);
        approved.insert(commit, found);
    }
    let is_approved = |entry: &InventoryEntry| {
        let found = approved.get(&left_by(entry));
        found.is_some_and(|found| found.contains(&entry.key))
    };
    let gone = prunable.gone(is_approved, uncommitted);
    let judgement = sync::decide_prune(&gone, owned, confirmed, &title);
    Ok((judgement, again.into_iter().min()))
}

/// What an approved change took out, asked of GitHub ever more seldom while it knows of none; and
/// when it is asked again.
async fn removed_by(
    ctx: &Arc<Reader>,
    scope: &AppScope<'_>,
    base: &Base,
    commit: &CommitSha,
) -> Result<(BTreeSet<ResourceKey>, Option<Instant>)> {
    let asked = (scope.key.clone(), commit.clone());
    let known = ctx.cache.applications.unapproved.get(&asked);
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
        .insert(asked, (next, pause));
    Ok((found, (pause < LONGEST_PAUSE).then_some(next)))
}

/// The objects that the revision's pull request took out of Git, if the head that was merged was approved by the rule of
/// the gate.
async fn removed_by_approved_change(
    ctx: &Arc<Reader>,
    scope: &AppScope<'_>,
    base: &Base,
    revision: &CommitSha,
) -> Result<BTreeSet<ResourceKey>> {
    let repo = &scope.key.repo;
    let mut approved = false;
    let target = base.target(scope.key);
    // As many as the stage asks for, and one in any case: what is lost is lost by two people's word.
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
        let parent = if mirror.has(&at) {
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
