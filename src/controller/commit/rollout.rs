//! The rollout of a commit: the progress of each application that it changed.

use std::sync::Arc;

use super::changed::{changed_by, retired_by};
use crate::cluster::store::ApplicationStatus;
use crate::controller::cache::locked;
use crate::controller::revision::{hash_of, inputs_at};
use crate::controller::{Base, Reader, Result};
use crate::domain::catalog::{Reconciler, Target};
use crate::domain::health::{Health, SyncState};
use crate::domain::pull_request::{self, RevisionOrder, Rollout, RolloutState};
use crate::domain::{CommitKey, CommitSha, RepoName, TargetKey, sync};

/// The progress of each application that a commit changed; and whether to check again soon, since
/// one of them is just being reconciled: a reconcile that changes nothing emits no event.
pub async fn progress_of(
    ctx: &Arc<Reader>,
    repo: &RepoName,
    base: &Base,
    commit: &CommitSha,
) -> Result<(Vec<Rollout>, bool)> {
    let (mut progress, mut recheck) = (Vec::new(), false);
    let name = CommitKey {
        repo: repo.clone(),
        commit: commit.clone(),
    };
    for target in changed_by(ctx, repo, base, commit).await?.iter() {
        let (rollout, is_busy) = application_progress(ctx, base, &name, target).await?;
        progress.push(rollout);
        recheck |= is_busy;
    }
    for key in retired_by(ctx, repo, base, commit).await?.iter() {
        let object = ctx.store.application(key).await?;
        let status = object.map(|object| object.status.unwrap_or_default());
        progress.push(retirement(key.clone(), status));
    }
    Ok((progress, recheck))
}

/// The progress of one application with a commit; and whether it has not reached the commit yet and
/// is just being reconciled.
async fn application_progress(
    ctx: &Arc<Reader>,
    base: &Base,
    name: &CommitKey,
    target: &Target,
) -> Result<(Rollout, bool)> {
    let (key, commit) = (target.key(&name.repo), &name.commit);
    let status = ctx.store.summary(&key).await?;
    let newer = status.revision.clone();
    let position = position(ctx, &name.repo, commit, newer.as_ref()).await?;
    if position == RevisionOrder::Before && ctx.applications.is_busy(&key) {
        // A final state stays meanwhile.
        let known = ctx
            .cache
            .commits
            .progress
            .get(name)
            .and_then(|known| known.iter().find(|rollout| rollout.key == key).cloned())
            .filter(|known| known.state.is_final());
        let progress =
            known.unwrap_or_else(|| progress_at(key, commit, position, newer.as_ref(), status));
        return Ok((progress, true));
    }
    if position == RevisionOrder::Before
        && let Some(reverted) = reverted(ctx, &key, base, target, commit, &status).await?
    {
        let progress = progress_at(key, commit, reverted, Some(&base.commit), status);
        return Ok((progress, false));
    }
    let progress = progress_at(key, commit, position, newer.as_ref(), status);
    Ok((progress, false))
}

/// The progress of an application whose position is known. `newer`: the revision that it is at.
fn progress_at(
    key: TargetKey,
    commit: &CommitSha,
    position: RevisionOrder,
    newer: Option<&CommitSha>,
    status: pull_request::ApplicationSummary,
) -> Rollout {
    let failure = status
        .failures
        .iter()
        .find(|known| known.revision == *commit)
        .map(|known| known.why.clone());
    let state = match pull_request::progress(position, &status) {
        // It was over before the newer commit came, even if nobody was told yet.
        RolloutState::Superseded if status.healthy.contains(commit) => RolloutState::Healthy,
        RolloutState::Superseded if failure.is_some() => RolloutState::FailedBefore,
        state => state,
    };
    let failed = failure.is_some();
    let detail = match (state, &status.message) {
        // Only details that change rarely: each change edits a comment.
        (RolloutState::Syncing, Some(message))
            if status.reason.as_deref() == Some(sync::APPLYING) =>
        {
            message.clone()
        }
        (RolloutState::Progressing, _) if !status.confirm => "applied, waits to be healthy".into(),
        _ => String::new(),
    };
    let message = match state {
        RolloutState::Progressing if status.confirm => status.message.unwrap_or_default(),
        RolloutState::Superseded => format!("by {}", newer.map_or("", CommitSha::short)),
        RolloutState::Failed => failure.or(status.message).unwrap_or_default(),
        RolloutState::FailedBefore => {
            let why = failure.unwrap_or_default();
            let by = newer.map(|newer| format!(" (superseded by {})", newer.short()));
            why + &by.unwrap_or_default()
        }
        RolloutState::Stale | RolloutState::Undecided => status.message.unwrap_or_default(),
        RolloutState::Unproven => status.unproven.unwrap_or_default(),
        // A state that passes by itself is not worth an edit.
        _ => String::new(),
    };
    Rollout {
        key,
        state,
        failed,
        message,
        detail,
    }
}

/// The progress of an application that the commit removed from Git. `status`: None if its object is
/// gone.
fn retirement(key: TargetKey, status: Option<ApplicationStatus>) -> Rollout {
    // The remaining objects are protected from deletion.
    let is_over = |status: &ApplicationStatus| {
        (status.sync, status.health) == (SyncState::Unknown, Health::Healthy)
    };
    let state = if status.as_ref().is_none_or(is_over) {
        RolloutState::Deleted
    } else {
        RolloutState::Leaving
    };
    Rollout {
        key,
        state,
        message: status.and_then(|status| status.message).unwrap_or_default(),
        failed: false,
        detail: String::new(),
    }
}

/// A later commit may have reverted this one before the application was reconciled: then there is
/// nothing to wait for. None: that is not the case.
async fn reverted(
    ctx: &Arc<Reader>,
    key: &TargetKey,
    base: &Base,
    target: &Target,
    commit: &CommitSha,
    summary: &pull_request::ApplicationSummary,
) -> Result<Option<RevisionOrder>> {
    let tip = locked(&ctx.cache.repositories.changes)
        .get(key)
        .cloned()
        .filter(|tip| tip.base == base.commit);
    let Some(tip) = tip.filter(|tip| summary.inputs.as_ref() == Some(&tip.hash)) else {
        return Ok(None);
    };
    let (base, commit, place) = (base.commit.clone(), commit.clone(), target.render_source());
    let hash = ctx
        .mirror(&key.repo, move |mirror| {
            Ok(if mirror.is_ancestor(&commit, &base)? {
                Some(hash_of(&inputs_at(mirror, &commit, &place)?))
            } else {
                None
            })
        })
        .await?;
    // Argo CD or Flux may not have applied it yet: it does not count as synced.
    let ours = target.stage.reconcile == Reconciler::Windlass;
    Ok(hash.map(|hash| {
        if ours && hash == tip.hash {
            RevisionOrder::At
        } else {
            RevisionOrder::After
        }
    }))
}

async fn position(
    ctx: &Arc<Reader>,
    repo: &RepoName,
    commit: &CommitSha,
    current: Option<&CommitSha>,
) -> Result<RevisionOrder> {
    let Some(current) = current.cloned() else {
        return Ok(RevisionOrder::Before);
    };
    if current == *commit {
        return Ok(RevisionOrder::At);
    }
    let pair = (commit.clone(), current.clone());
    let known = ctx.cache.commits.is_ancestor.get(&pair);
    let newer = match known {
        Some(newer) => newer,
        None => {
            let commit = commit.clone();
            let (exists, newer) = ctx
                .mirror(repo, move |mirror| {
                    let exists = mirror.knows(&current)?;
                    Ok((exists, exists && mirror.is_ancestor(&commit, &current)?))
                })
                .await?;
            if exists {
                ctx.cache.commits.is_ancestor.insert(pair, newer);
            }
            newer
        }
    };
    Ok(if newer {
        RevisionOrder::After
    } else {
        RevisionOrder::Before
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pull_request::{ApplicationSummary, FailedSync};

    fn key() -> TargetKey {
        TargetKey {
            repo: "acme/config".parse().unwrap(),
            application: "shop".parse().unwrap(),
            stage: "staging".parse().unwrap(),
            cluster: None,
        }
    }

    fn sha(digit: char) -> CommitSha {
        digit.to_string().repeat(40).parse().unwrap()
    }

    /// Each row: the position of an application, whether the commit failed or was healthy there, and
    /// what is told.
    #[test]
    fn what_was_superseded_is_told_with_why() {
        use RevisionOrder::{After, Before};
        let table = [
            (Before, false, false, RolloutState::Waiting, ""),
            (
                After,
                false,
                false,
                RolloutState::Superseded,
                "by bbbbbbbbbbbb",
            ),
            (
                After,
                true,
                false,
                RolloutState::FailedBefore,
                "no (superseded by bbbbbbbbbbbb)",
            ),
            (After, false, true, RolloutState::Healthy, ""),
            (After, true, true, RolloutState::Healthy, ""),
        ];
        for (position, failed, healthy, state, message) in table {
            let failure = FailedSync {
                revision: sha('a'),
                why: "no".into(),
            };
            let status = ApplicationSummary {
                failures: failed.then_some(failure).into_iter().collect(),
                healthy: healthy.then(|| sha('a')).into_iter().collect(),
                ..ApplicationSummary::default()
            };
            let found = progress_at(key(), &sha('a'), position, Some(&sha('b')), status);
            assert_eq!((found.state, found.message.as_str()), (state, message));
        }
    }

    #[test]
    fn a_retired_application_is_gone_once_nothing_is_left_to_delete() {
        let status = |health| {
            Some(ApplicationStatus {
                health,
                ..ApplicationStatus::default()
            })
        };
        for (status, state) in [
            (None, RolloutState::Deleted),
            (status(Health::Healthy), RolloutState::Deleted),
            (status(Health::Progressing), RolloutState::Leaving),
        ] {
            assert_eq!(retirement(key(), status).state, state);
        }
    }
}
