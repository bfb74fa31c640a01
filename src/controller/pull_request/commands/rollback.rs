//! `/rollback`: takes a stage back to a commit that was healthy, by a pull request, and holds it.

use super::Invocation;
use super::request::{Needs, Request};
use crate::cluster::store;
use crate::controller::{Event, Result};
use crate::domain::command::{Answer, Done, NotDone, Row, Sought};
use crate::domain::history::{HealthyRevision, last_good};
use crate::domain::hold::Hold;
use crate::domain::rollback::Rollback;
use crate::domain::{ApplicationKey, CommitSha, image};

pub async fn run(invocation: &Invocation<'_>, applications: Vec<ApplicationKey>) -> Result<Answer> {
    let mut rows = Vec::new();
    for application in applications {
        rows.push(Row {
            outcome: one(invocation, &application).await?,
            application,
        });
    }
    let repo = &invocation.key.repo;
    invocation.ctx.emit(&Event::Holds(repo.clone()));
    Ok(Answer::Applications {
        rows,
        none: Sought::Application,
    })
}

async fn one(
    invocation: &Invocation<'_>,
    application: &ApplicationKey,
) -> Result<std::result::Result<Done, NotDone>> {
    let (ctx, author) = (invocation.ctx, &invocation.comment.author);
    let Some(object) = ctx.store.application(application).await? else {
        return Ok(Err(NotDone::NoObject));
    };
    let status = object.status.unwrap_or_default();
    let inputs = status.inputs.as_deref().unwrap_or_default();
    let (to, healthy) = match invocation.arguments.subject.as_deref() {
        None => match last_good(&status.history, inputs) {
            Some(good) => (good.revision.clone(), Some(good.clone())),
            None => return Ok(Err(NotDone::NothingGood)),
        },
        Some(named) => match revision(invocation, &status.history, named).await? {
            Some(found) => found,
            None => return Ok(Err(NotDone::NoSuchRevision(named.into()))),
        },
    };
    let rollback = Rollback {
        to: to.clone(),
        by: author.clone(),
        reason: String::new(),
        pull_request: Some(invocation.key.number),
    };
    let reason = format!("rolled back to {}", to.short());
    let hold = Hold {
        pull_request: Some(invocation.key.number),
        ..Hold::new(author, &reason, ctx.now(), None)
    };
    let (rollback, hold) = (rollback.to_text(), hold.to_text());
    let request = Request {
        application,
        subject: to.as_str(),
        annotations: &[
            (store::ROLLBACK, Some(&rollback)),
            (store::HOLD, Some(&hold)),
        ],
        needs: Needs::Writer,
    };
    let outcome = invocation.request(&request).await?;
    ctx.emit(&Event::Candidate(application.clone()));
    Ok(match outcome {
        Ok(true) => Ok(Done::RollsBack { to, healthy }),
        Ok(false) => Err(NotDone::NoObject),
        Err(why) => Err(why),
    })
}

/// The commit that is named: by itself, or by an image that a healthy one had.
async fn revision(
    invocation: &Invocation<'_>,
    history: &[HealthyRevision],
    named: &str,
) -> Result<Option<(CommitSha, Option<HealthyRevision>)>> {
    let is_named = |known: &&HealthyRevision| {
        let mut images = known.images.iter();
        named.len() >= 7 && known.revision.as_str().starts_with(named)
            || images.any(|image| image::names(named, image.tag.as_ref(), image.digest.as_ref()))
    };
    if let Some(known) = history.iter().rev().find(is_named) {
        return Ok(Some((known.revision.clone(), Some(known.clone()))));
    }
    let is_sha = named.len() >= 7 && named.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_sha {
        return Ok(None);
    }
    let (named, tip) = (
        named.to_string(),
        invocation.observation.base.commit.clone(),
    );
    let found = invocation.ctx.mirror(&invocation.key.repo, move |mirror| {
        let Ok(commit) = mirror.revision(&named) else {
            return Ok(None);
        };
        let is_past = mirror.has_in(&commit, &tip)?;
        Ok(is_past.then_some((commit, None)))
    });
    found.await
}
