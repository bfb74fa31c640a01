//! `/confirm-prune`: the deletions that wait for it, also in applications that the pull request took out of Git.

use std::sync::Arc;

use super::request::Request;
use super::{Given, Observation};
use crate::cluster::store;
use crate::controller::{Reader, Result};
use crate::domain::catalog::FILE;
use crate::domain::command::{Answer, Done, Row};
use crate::domain::{ApplicationKey, PullRequestKey};

pub async fn run(given: &Given<'_>) -> Result<Answer> {
    let mut rows = Vec::new();
    let touched = given.look.changes.touched.iter();
    let mut applications: Vec<_> = touched.map(|target| target.key(&given.key.repo)).collect();
    applications.extend(retired_by(given.ctx, given.key, given.look).await?);
    for application in applications {
        let object = given.ctx.store.application(&application).await?;
        let status = object.and_then(|object| object.status).unwrap_or_default();
        let Some(confirm) = status.confirm else {
            continue;
        };
        let request = Request {
            application: &application,
            subject: &confirm,
            annotation: (store::CONFIRM_PRUNE, &confirm),
        };
        let outcome = given.request(&request).await?;
        rows.push(Row {
            outcome: outcome.map(|_| Done::Deletes(status.to_confirm)),
            application,
        });
    }
    Ok(Answer::Applications(given.command, rows))
}

/// Applications that the configuration has no more, by this pull request: their directory went with it, or it changed the
/// configuration itself.
async fn retired_by(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    look: &Observation,
) -> Result<Vec<ApplicationKey>> {
    // What cannot be read has retired nothing.
    if look.base.configured().is_none() {
        return Ok(Vec::new());
    }
    let Some(commit) = look.snapshot.pull.merged_as() else {
        return Ok(Vec::new());
    };
    let mut gone = Vec::new();
    for object in ctx
        .store
        .applications()
        .await?
        .into_iter()
        .filter(|object| object.spec.repository == key.repo)
    {
        let application = ApplicationKey {
            repo: key.repo.clone(),
            application: object.spec.application,
            stage: object.spec.stage,
        };
        if look.base.target(&application).is_none() {
            gone.push((application, object.spec.path));
        }
    }
    let at = commit.clone();
    ctx.mirror(&key.repo, move |mirror| {
        let Some(parent) = mirror.parent(&at)? else {
            return Ok(Vec::new());
        };
        let (before, after) = (
            mirror.files(mirror.tree(&parent)?)?,
            mirror.files(mirror.tree(&at)?)?,
        );
        let configured = before.get(FILE) != after.get(FILE);
        let under = |files: &crate::git::Listing, path: &str| {
            files
                .keys()
                .any(|file| file.starts_with(&format!("{path}/")))
        };
        Ok(gone
            .into_iter()
            .filter(|(_, path)| configured || under(&before, path) && !under(&after, path))
            .map(|(key, _)| key)
            .collect())
    })
    .await
}
