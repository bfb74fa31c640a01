//! Where a commit stands, told to GitHub: one commit status over all the
//! applications that it changed, and its pull request's comment.
//!
//! A loop of its own, so that two hundred applications that move at once are
//! one status. It tells what the `Application` objects say; what is lost by a
//! crash is told again, since every look at an application puts its commits
//! here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::revision::{hash_of, inputs_at};
use super::{Base, Event, Reader, Requeue, Result, Writer, deployment, locked, receipt};
use crate::cluster::home::ApplicationStatus;
use crate::domain::catalog::{Reconciler, Target};
use crate::domain::health::{Health, SyncState};
use crate::domain::pull_request::{
    self, Position, Progress, ProgressState, SYNC_CONTEXT, shortened,
};
use crate::domain::rollout::{self, Outcome};
use crate::domain::sync;
use crate::domain::{ApplicationKey, CommitKey, CommitSha, Invalid, RepoName};
use crate::render::Source;
use crate::view;

/// GitHub tells of a merge's pull request a while after the merge: that there is none is believed for so long.
const NO_PULLS_FOR: Duration = Duration::from_secs(30);

pub async fn reconcile(ctx: Arc<Writer>, key: CommitKey) -> Result<Requeue> {
    let base = ctx.known_base(&key.repo).await?;
    // Before anything is read: who has news meanwhile puts it here once more.
    ctx.memory.unfinished.insert(key.clone(), ());
    if let Some(Err(Invalid(why))) = &base.catalog {
        // Which applications a commit changed cannot be told: what was told before stays, until that is mended.
        if key.commit == base.commit {
            let description = shortened(&why.replace('\n', " "), 140);
            post(&ctx, &key, "failure", description).await?;
        }
        return Ok(Requeue::Idle);
    }
    let (progress, again) = progress_of(&ctx, &key.repo, &base, &key.commit).await?;
    if let Some((state, description)) = observe(&ctx, &key, &progress).await? {
        post(&ctx, &key, state, description).await?;
    }
    let before = ctx.memory.progress.get(&key);
    if before.as_deref() != Some(&progress) {
        ctx.emit(&Event::Rollout {
            commit: key.clone(),
            pulls: pulls_of(&ctx, &key).await?,
        });
        // What was told to wait for the sync of what is merged does so no more.
        let healthy = |progress: &[Progress]| -> BTreeSet<ApplicationKey> {
            progress
                .iter()
                .filter(|one| one.state == ProgressState::Healthy)
                .map(|one| one.key.clone())
                .collect()
        };
        let synced =
            &healthy(&progress) - &healthy(before.as_deref().map_or(&[][..], |before| before));
        super::pull_request::anew(&ctx, &key.repo, &synced, |app| !app.waiting.is_empty());
        // Last: what fails before is told again.
        ctx.memory
            .progress
            .insert(key.clone(), Arc::new(progress.clone()));
    }
    deployment::deployments(&ctx, &key, &progress).await?;
    deployment::sources(&ctx, &base, &progress).await?;
    if let Some(text) = receipt::observe(&ctx, &key, &progress).await? {
        receipt::write(&ctx, &key, &text).await?;
    }
    if progress.iter().all(|one| one.state.is_final()) {
        ctx.memory.unfinished.invalidate(&key);
    }
    Ok(if again {
        Requeue::After(Duration::from_secs(2))
    } else {
        Requeue::Idle
    })
}

/// Statuses that a commit gets, at most: GitHub takes 1,000 of a context on one commit, and refuses
/// more (docs.github.com/rest/commits/statuses).
const MOST_STATUSES: u32 = 800;
/// After so many, only a change of the state is worth one more.
const MOST_WORDS: u32 = 200;

async fn post(
    ctx: &Writer,
    key: &CommitKey,
    state: &'static str,
    description: String,
) -> Result<()> {
    let told = (state.to_string(), description);
    let known = ctx.memory.statuses.get(key);
    let (last, count) = known.map_or((None, 0), |(last, count)| (Some(last), count));
    if last.as_ref() == Some(&told) || !is_worth(last.as_ref(), &told, count) {
        return Ok(());
    }
    ctx.to_github()
        .set_status(&key.repo, &key.commit, SYNC_CONTEXT, state, &told.1)
        .await?;
    ctx.memory.statuses.insert(key.clone(), (told, count + 1));
    Ok(())
}

/// Whether one more status is told of a commit that had so many already.
fn is_worth(last: Option<&(String, String)>, told: &(String, String), count: u32) -> bool {
    let same_state = last.is_some_and(|(state, _)| *state == told.0);
    count < MOST_WORDS || !same_state && count < MOST_STATUSES
}

/// The status to post; None: it is posted.
async fn observe(
    ctx: &Arc<Reader>,
    key: &CommitKey,
    progress: &[Progress],
) -> Result<Option<(&'static str, String)>> {
    let posted = match ctx.memory.statuses.get(key) {
        Some(known) => Some(known),
        None => {
            let statuses = ctx.github.statuses(&key.repo, &key.commit).await?;
            let mut ours = statuses
                .into_iter()
                .filter(|status| status.context == SYNC_CONTEXT);
            let newest = ours.next();
            let more = u32::try_from(ours.count()).unwrap_or(u32::MAX);
            newest.map(|status| {
                let told = (status.state, status.description.unwrap_or_default());
                (told, more.saturating_add(1))
            })
        }
    };
    if let Some(posted) = &posted {
        ctx.memory.statuses.insert(key.clone(), posted.clone());
    }
    let posted = posted.map(|(told, _)| told);
    let (state, description) = aggregated(progress);
    // A commit that came to its good end stays told so: what came later is told on later commits.
    let superseded = progress.iter().any(|one| {
        matches!(
            one.state,
            ProgressState::Superseded | ProgressState::FailedBefore
        )
    });
    // Nor does it become pending again because somebody's edit is being set back.
    if (superseded || matches!(state, "pending" | "error"))
        && posted.as_ref().is_some_and(|(state, _)| state == "success")
    {
        return Ok(None);
    }
    Ok((posted != Some((state.to_string(), description.clone()))).then_some((state, description)))
}

/// A commit came by a pull request: GitHub tells that later when it is asked about the commit.
pub fn came_by(ctx: &Reader, key: &CommitKey, number: u64) {
    came_by_all(ctx, key, &[number], false);
}

/// Adds pull requests to those that are known of a commit. `asked`: GitHub was just asked about it.
fn came_by_all(ctx: &Reader, key: &CommitKey, numbers: &[u64], asked: bool) -> Vec<u64> {
    let entry = ctx
        .memory
        .pulls_of
        .entry(key.clone())
        .and_upsert_with(|known| {
            let (at, mut pulls) =
                known.map_or_else(|| (Instant::now(), Vec::new()), |known| known.into_value());
            // What was told meanwhile stays.
            pulls.extend(
                numbers
                    .iter()
                    .filter(|number| !pulls.contains(number))
                    .copied()
                    .collect::<Vec<_>>(),
            );
            (if asked { Instant::now() } else { at }, pulls)
        });
    entry.into_value().1
}

/// The merged pull requests that a commit came by.
pub async fn pulls_of(ctx: &Arc<Reader>, key: &CommitKey) -> Result<Vec<u64>> {
    let known = ctx.memory.pulls_of.get(key);
    if let Some((at, pulls)) = known
        && (!pulls.is_empty() || at.elapsed() < NO_PULLS_FOR)
    {
        return Ok(pulls);
    }
    let found = ctx.github.pulls_with(&key.repo, &key.commit).await?;
    let merged: Vec<_> = found
        .iter()
        .filter(|pull| pull.merged_at.is_some())
        .map(|pull| pull.number)
        .collect();
    Ok(came_by_all(ctx, key, &merged, true))
}

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
                .memory
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

/// The applications that a commit took out of Git and that are not back: their directory or their rule went.
async fn retired_by(
    ctx: &Arc<Reader>,
    repo: &RepoName,
    base: &Base,
    commit: &CommitSha,
) -> Result<Arc<Vec<ApplicationKey>>> {
    let name = (
        base.commit.clone(),
        CommitKey {
            repo: repo.clone(),
            commit: commit.clone(),
        },
    );
    if let Some(known) = ctx.memory.retired_by.get(&name) {
        return Ok(known);
    }
    let at = commit.clone();
    let left = ctx
        .mirror(repo, move |mirror| {
            let targets = |commit: &CommitSha| -> anyhow::Result<Vec<Target>> {
                let source = Source::open(mirror, mirror.tree(commit)?)?;
                Ok(super::configuration(&source)?
                    .and_then(std::result::Result::ok)
                    .map(|all| all.targets)
                    .unwrap_or_default())
            };
            let Some(parent) = mirror.parent(&at)? else {
                return Ok(Vec::new());
            };
            let after = targets(&at)?;
            Ok(targets(&parent)?
                .into_iter()
                .filter(|before| !after.iter().any(|other| other.is_same(before)))
                .collect())
        })
        .await?;
    let gone = left
        .iter()
        .map(|target: &Target| target.key(repo))
        .filter(|key| base.target(key).is_none());
    let gone: Arc<Vec<_>> = Arc::new(gone.collect());
    ctx.memory.retired_by.insert(name, gone.clone());
    Ok(gone)
}

/// The applications whose inputs a commit changed.
async fn changed_by(
    ctx: &Arc<Reader>,
    repo: &RepoName,
    base: &Base,
    commit: &CommitSha,
) -> Result<Arc<Vec<Target>>> {
    let name = (
        base.commit.clone(),
        CommitKey {
            repo: repo.clone(),
            commit: commit.clone(),
        },
    );
    let known = ctx.memory.changed_by.get(&name);
    if let Some(known) = known {
        return Ok(known);
    }
    let targets: Vec<Target> = base
        .configured()
        .map(|configured| configured.targets.clone())
        .unwrap_or_default();
    let at = commit.clone();
    let changed = ctx
        .mirror(repo, move |mirror| {
            let parent = mirror.parent(&at)?;
            let mut changed = Vec::new();
            for target in targets {
                let before = parent
                    .as_ref()
                    .map(|parent| inputs_at(mirror, parent, &target.place()))
                    .transpose()?;
                let before = before.map_or("absent".to_string(), |inputs| hash_of(&inputs));
                if before != hash_of(&inputs_at(mirror, &at, &target.place())?) {
                    changed.push(target);
                }
            }
            Ok(changed)
        })
        .await?;
    let changed = Arc::new(changed);
    ctx.memory.changed_by.insert(name, changed.clone());
    Ok(changed)
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
    let tip = locked(&ctx.memory.changes)
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
    let known = ctx.memory.newer.get(&name);
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
                ctx.memory.newer.insert(name, newer);
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

/// One status for a commit, over all its applications: GitHub's word and a description.
fn aggregated(progress: &[Progress]) -> (&'static str, String) {
    let summary = rollout::summary(progress);
    let state = match summary.outcome {
        Outcome::Failed => "failure",
        Outcome::Stale => "error",
        Outcome::Pending => "pending",
        Outcome::Superseded | Outcome::Healthy | Outcome::Nothing => "success",
    };
    (state, shortened(&view::rollout(&summary), 140))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_a_commit_are_bounded() {
        let told = |state: &str, words: &str| (state.to_string(), words.to_string());
        let (one, other) = (told("pending", "1 of 2"), told("pending", "2 of 2"));
        let failed = told("failure", "no");
        assert!(is_worth(None, &one, 0) && is_worth(Some(&one), &other, MOST_WORDS - 1));
        assert!(!is_worth(Some(&one), &other, MOST_WORDS));
        assert!(is_worth(Some(&one), &failed, MOST_WORDS));
        assert!(!is_worth(Some(&one), &failed, MOST_STATUSES));
    }
}
