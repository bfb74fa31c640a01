//! `/confirm-prune`: confirms the deletions that wait for it, also in applications that the pull request removed from Git.

use super::Invocation;
use super::request::Decision;
use crate::cluster::store::{self, ApplicationStatus};
use crate::controller::{Result, configuration};
use crate::domain::command::{Answer, Done, Sought};
use crate::domain::{CommitSha, TargetKey};
use crate::render::Source;

pub async fn run(invocation: &Invocation<'_>, applications: Vec<TargetKey>) -> Result<Answer> {
    let waiting = |status: ApplicationStatus| {
        let confirm = status.confirm?;
        Some(Decision {
            subject: confirm.clone(),
            annotation: (store::CONFIRM_PRUNE, confirm),
            done: Done::Deletes(status.to_confirm),
        })
    };
    invocation
        .decide(applications, Sought::Deletion, waiting)
        .await
}

/// Applications that the configuration no longer has because of this pull request: it removed their
/// directory, or it changed the configuration.
pub async fn retired_by(invocation: &Invocation<'_>) -> Result<Vec<TargetKey>> {
    let Invocation {
        ctx,
        key,
        observation,
        ..
    } = invocation;
    // An invalid configuration retires nothing.
    if observation.base.configured().is_none() {
        return Ok(Vec::new());
    }
    let Some(commit) = observation.snapshot.pull.merged_as() else {
        return Ok(Vec::new());
    };
    let mut retired = Vec::new();
    let known = ctx.store.applications().await?;
    let known = known.iter().map(|object| object.key());
    for application in known.filter(|known| known.repo == key.repo) {
        if observation.base.target(&application).is_none() {
            retired.push(application);
        }
    }
    let (at, repo) = (commit.clone(), key.repo.clone());
    let fleet = ctx.environment.fleet_of(&key.repo);
    ctx.mirror(&key.repo, move |mirror| {
        let Some(parent) = mirror.parent(&at)? else {
            return Ok(Vec::new());
        };
        let declared = |commit: &CommitSha| -> anyhow::Result<Vec<TargetKey>> {
            let source = Source::open(mirror, mirror.tree(commit)?)?;
            let Some(Ok(configured)) = configuration(&source, &repo, &fleet)? else {
                return Ok(Vec::new());
            };
            let targets = configured.targets.iter();
            Ok(targets.map(|target| target.key(&repo)).collect())
        };
        let (before, after) = (declared(&parent)?, declared(&at)?);
        retired.retain(|key| before.contains(key) && !after.contains(key));
        Ok(retired)
    })
    .await
}
