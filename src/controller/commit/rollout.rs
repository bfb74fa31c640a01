//! How far what a commit changed has come.

use std::sync::Arc;

use super::changed::{changed_by, retired_by};
use crate::cluster::home::ApplicationStatus;
use crate::controller::cache::locked;
use crate::controller::revision::{hash_of, inputs_at};
use crate::controller::{Base, Reader, Result};
use crate::domain::catalog::{Reconciler, Target};
use crate::domain::health::{Health, SyncState};
use crate::domain::pull_request::{self, Position, Progress, ProgressState};
use crate::domain::{ApplicationKey, CommitKey, CommitSha, RepoName, sync};

/// Where each application that a commit changed stands with it; and whether that has to be asked again, since one of them is
/// just being looked at: a look that finds nothing new tells nobody.
pub async fn progress_of(
    ctx: &Arc<Reader>,
    repo: &RepoName,
    base: &Base,
    commit: &CommitSha,
) -> Result<(Vec<Progress>, bool)> {
    let (mut progress, mut again) = (Vec::new(), false);
    let name = CommitKey {
        repo: repo.clone(),
        commit: commit.clone(),
    };
    for target in changed_by(ctx, repo, base, commit).await?.iter() {
        let key = target.key(repo);
        let status = ctx.home.stand(&key).await?;
        let (mut position, mut newer) = (
            position(ctx, repo, commit, status.revision.as_ref()).await?,
            status.revision.as_ref(),
        );
        if position == Position::Before && ctx.applications.is_busy(&key) {
            again = true;
            // What came to its end stays there meanwhile.
            let known = ctx
                .cache
                .commits
                .progress
                .get(&name)
                .and_then(|known| known.iter().find(|one| one.key == key).cloned());
            if let Some(known) = known.filter(|known| known.state.is_final()) {
                progress.push(known);
                continue;
            }
        } else if position == Position::Before
            && let Some(taken_back) = taken_back(ctx, &key, base, target, commit, &status).await?
        {
            (position, newer) = (taken_back, Some(&base.commit));
        }
        let failure = status
            .failures
            .iter()
            .find(|known| known.revision == *commit)
            .map(|known| known.why.clone());
        let state = match pull_request::progress(position, &status) {
            ProgressState::Superseded if failure.is_some() => ProgressState::FailedBefore,
            state => state,
        };
        let detail = match (state, &status.message) {
            // No more detail than changes rarely.
            (ProgressState::Syncing, Some(message))
                if status.reason.as_deref() == Some(sync::APPLYING) =>
            {
                message.clone()
            }
            (ProgressState::Progressing, _) if !status.confirm => {
                "applied, waits to be healthy".into()
            }
            _ => String::new(),
        };
        let message = match state {
            ProgressState::Progressing if status.confirm => status.message.unwrap_or_default(),
            ProgressState::Superseded => format!("by {}", newer.map_or("", CommitSha::short)),
            ProgressState::Failed | ProgressState::FailedBefore => {
                failure.or(status.message).unwrap_or_default()
            }
            ProgressState::Stale => status.message.unwrap_or_default(),
            ProgressState::Unproven => status.unproven.unwrap_or_default(),
            // What passes by itself is not worth an edit.
            _ => String::new(),
        };
        progress.push(Progress {
            key,
            state,
            message,
            detail,
        });
    }
    for key in retired_by(ctx, repo, base, commit).await?.iter() {
        let object = ctx.home.application(key).await?;
        let status = object.map(|object| object.status.unwrap_or_default());
        // What is left then is kept by its marks.
        let is_over = |status: &ApplicationStatus| {
            (status.sync, status.health) == (SyncState::Unknown, Health::Healthy)
        };
        let state = if status.as_ref().is_none_or(is_over) {
            ProgressState::Gone
        } else {
            ProgressState::Leaving
        };
        let message = status.and_then(|status| status.message).unwrap_or_default();
        progress.push(Progress {
            key: key.clone(),
            state,
            message,
            detail: String::new(),
        });
    }
    Ok((progress, again))
}

/// A later commit may have put back what this one changed before anybody looked: then there is nothing to wait for. None:
/// it is not so.
async fn taken_back(
    ctx: &Arc<Reader>,
    key: &ApplicationKey,
    base: &Base,
    target: &Target,
    commit: &CommitSha,
    stand: &pull_request::Stand,
) -> Result<Option<Position>> {
    let tip = locked(&ctx.cache.repositories.changes)
        .get(key)
        .cloned()
        .filter(|tip| tip.base == base.commit);
    let Some(tip) = tip.filter(|tip| stand.inputs.as_ref() == Some(&tip.hash)) else {
        return Ok(None);
    };
    let (base, commit, place) = (base.commit.clone(), commit.clone(), target.place());
    let hash = ctx
        .mirror(&key.repo, move |mirror| {
            Ok(if mirror.is_ancestor(&commit, &base)? {
                Some(hash_of(&inputs_at(mirror, &commit, &place)?))
            } else {
                None
            })
        })
        .await?;
    // What others reconcile they may not have come to: that it runs is not said.
    let ours = target.stage.reconcile == Reconciler::Windlass;
    Ok(hash.map(|hash| {
        if ours && hash == tip.hash {
            Position::At
        } else {
            Position::After
        }
    }))
}

async fn position(
    ctx: &Arc<Reader>,
    repo: &RepoName,
    commit: &CommitSha,
    current: Option<&CommitSha>,
) -> Result<Position> {
    let Some(current) = current.cloned() else {
        return Ok(Position::Before);
    };
    if current == *commit {
        return Ok(Position::At);
    }
    let name = (commit.clone(), current.clone());
    let known = ctx.cache.commits.newer.get(&name);
    let newer = match known {
        Some(newer) => newer,
        None => {
            let commit = commit.clone();
            let (there, newer) = ctx
                .mirror(repo, move |mirror| {
                    let there = mirror.has(&current);
                    Ok((there, there && mirror.is_ancestor(&commit, &current)?))
                })
                .await?;
            if there {
                ctx.cache.commits.newer.insert(name, newer);
            }
            newer
        }
    };
    Ok(if newer {
        Position::After
    } else {
        Position::Before
    })
}
