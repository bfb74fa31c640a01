//! The base branch of a config repository moved: everything that depends on it is reconciled.
//!
//! A loop of its own, so that a slow Git server delays no webhook. The branch may
//! lag behind the webhook of its push (rancher/fleet#4842): it is fetched again
//! until it has the commit that the webhook named.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::cache::locked;
use super::config_repo::{Base, NoBranch};
use super::error::Error;
use super::wake::Event;
use super::{Reader, Requeue, Result, Writer, promotion};
use crate::cluster::store::{Application, Promotion};
use crate::domain::{CommitSha, Invalid, PullRequestKey, RepoName};
use crate::github::Pull;

/// After this time the named commit was probably replaced by a forced push.
const LONGEST_LAG: Duration = Duration::from_secs(600);
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Closed pull requests that changed earlier are not looked at again: GitHub redelivers webhooks for
/// three days.
const CLOSED_SINCE: SignedDuration = SignedDuration::from_hours(72);

#[derive(Default)]
pub struct Cache {
    /// The commits that webhooks named and that no fetch has shown yet.
    awaited: Mutex<HashMap<RepoName, (CommitSha, Instant)>>,
    /// Repositories whose closed pull requests are looked at as well, since webhooks may have been
    /// lost.
    whole: Mutex<HashMap<RepoName, ()>>,
}

impl Cache {
    /// The branch has this commit, or a later one.
    pub fn expect(&self, repo: &RepoName, commit: CommitSha) {
        let named = (commit, Instant::now());
        locked(&self.awaited).insert(repo.clone(), named);
    }

    pub fn read_whole(&self, repo: &RepoName) {
        locked(&self.whole).insert(repo.clone(), ());
    }
}

pub async fn reconcile(ctx: Arc<Writer>, repo: RepoName) -> Result<Requeue> {
    let base = match ctx.known_base(&repo).await {
        Ok(base) => base,
        // An empty repository is no config repository yet.
        Err(Error::Git(error)) if error.is::<NoBranch>() => return Ok(Requeue::Idle),
        Err(error) => return Err(error),
    };
    if let Some(pause) = lag(&ctx, &base).await? {
        tracing::debug!(%repo, ?pause, "the branch does not have the pushed commit yet");
        ctx.touch(&repo);
        return Ok(Requeue::After(pause));
    }
    if base.configuration.is_none() {
        return Ok(Requeue::Idle);
    }
    if let Some(Err(Invalid(why))) = &base.configuration {
        tracing::warn!(%repo, why, "the configuration cannot be read: everything stays as it is");
    }
    if let Err(error) = delete_past_freezes(&ctx, &base).await {
        tracing::warn!(%repo, %error, "freezes that are over cannot be deleted: is the Freeze resource installed?");
    }
    let mut pulls = ctx.github.open_pulls(&repo).await?;
    promotion::compare(&ctx, &repo, &pulls);
    if locked(&ctx.cache.bases.whole).remove(&repo).is_some() {
        let since = Timestamp::now() - CLOSED_SINCE;
        match ctx.github.closed_pulls(&repo, since).await {
            Ok(closed) => pulls.extend(closed),
            Err(error) => {
                ctx.cache.bases.read_whole(&repo);
                return Err(error.into());
            }
        }
    }
    let woken = wake(&ctx, base, &pulls).await;
    if woken.is_err() {
        ctx.cache.bases.read_whole(&repo);
    }
    woken.map(|()| Requeue::Idle)
}

/// Deletes the freezes that are over. Nothing waits for that: they do not count any more.
async fn delete_past_freezes(ctx: &Writer, base: &Base) -> Result<()> {
    for freeze in ctx.store.freezes(&base.repo.name, base.repo.id).await? {
        if freeze.is_over(ctx.now()) {
            ctx.to_store().unfreeze(&freeze).await?;
        }
    }
    Ok(())
}

/// How long to wait until the next fetch, since this one lacks the commit that a webhook named.
async fn lag(ctx: &Arc<Reader>, base: &Base) -> Result<Option<Duration>> {
    let repo = &base.repo.name;
    let awaited = locked(&ctx.cache.bases.awaited).get(repo).cloned();
    let Some((commit, since)) = awaited else {
        return Ok(None);
    };
    let (wanted, tip) = (commit.clone(), base.commit.clone());
    let is_there = ctx
        .mirror(repo, move |mirror| mirror.has_in(&wanted, &tip))
        .await?;
    if is_there || since.elapsed() > LONGEST_LAG {
        let mut all = locked(&ctx.cache.bases.awaited);
        if all.get(repo).is_some_and(|(known, _)| *known == commit) {
            all.remove(repo);
        }
        return Ok(None);
    }
    Ok(Some(since.elapsed().clamp(SHORTEST_PAUSE, LONGEST_PAUSE)))
}

/// Wakes everything of a repository, also applications and promotions that it no longer has.
async fn wake(ctx: &Arc<Reader>, base: Arc<Base>, pulls: &[Pull]) -> Result<()> {
    let repo = &base.repo.name;
    for pull in pulls {
        let key = PullRequestKey {
            repo: repo.clone(),
            number: pull.number,
        };
        let snapshots = &ctx.cache.pulls.snapshots;
        match ctx.preview_only {
            true => snapshots.compare_polled(&key, pull),
            false => snapshots.compare(&key, pull),
        }
    }
    let (applications, promotions) = (
        ctx.store.applications().await?,
        ctx.store.promotions().await?,
    );
    let applications = applications.iter().map(Application::key);
    let promotions = promotions.iter().map(Promotion::key);
    ctx.emit(&Event::Base {
        applications: applications.filter(|key| key.repo == *repo).collect(),
        promotions: promotions.filter(|key| key.repo == *repo).collect(),
        pulls: pulls.iter().map(|pull| pull.number).collect(),
        base: base.clone(),
    });
    Ok(())
}
