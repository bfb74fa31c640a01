//! `/rollback`: takes a stage back to a commit that was healthy, by a pull request, and holds it.

use super::Invocation;
use super::request::{Needs, Outcome, Request};
use crate::cluster::store::{self, ApplicationStatus};
use crate::controller::promotion::{places, undoing};
use crate::controller::{Event, Result, promotion};
use crate::domain::catalog::Target;
use crate::domain::command::{Done, NotDone};
use crate::domain::history::{HealthyRevision, last_before};
use crate::domain::rollback::Rollback;
use crate::domain::{CommitSha, Invalid, TargetKey, image};
use crate::git::Mirror;

pub async fn run(invocation: &Invocation<'_>, application: &TargetKey) -> Result<Outcome> {
    let (ctx, author) = (invocation.ctx, &invocation.comment.author);
    let Some(object) = ctx.store.application(application).await? else {
        return Ok(Err(NotDone::NoObject));
    };
    let status = object.status.clone().unwrap_or_default();
    let inputs = status.inputs.as_deref().unwrap_or_default();
    let (to, healthy) = match invocation.arguments.subject.as_deref() {
        None => match last_before(&status.history, inputs) {
            Some(good) => (good.revision.clone(), Some(good.clone())),
            None => return Ok(Err(NotDone::NothingGood)),
        },
        Some(named) => match revision(invocation, &status.history, named).await? {
            Some(found) => found,
            None => return Ok(Err(NotDone::NoSuchRevision(named.into()))),
        },
    };
    let chosen = invocation.arguments.subject.is_some();
    let (to, away_from) = match possible(invocation, application, &status, (&to, chosen)).await? {
        Ok(found) => found,
        Err(Invalid(why)) => return Ok(Err(NotDone::Impossible(why))),
    };
    let rollback = Rollback {
        to: to.clone(),
        by: author.clone(),
        reason: String::new(),
        pull_request: Some(invocation.key.number),
        chosen,
        away_from: away_from.filter(|_| !chosen),
    };
    if let Some(known) = object.rollback().filter(|known| known.to != to) {
        return Ok(Err(NotDone::RollsBack(known.to)));
    }
    let hold = rollback.hold(object.hold(ctx.now()), ctx.now());
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
    let outcome = invocation
        .carried(
            &request,
            Done::RollsBack {
                to: to.clone(),
                healthy,
                reviewed: is_reviewed(invocation, application),
            },
        )
        .await?;
    ctx.emit(&Event::Candidate(application.of_stage()));
    Ok(outcome)
}

fn is_reviewed(invocation: &Invocation<'_>, application: &TargetKey) -> bool {
    let target = invocation.observation.base.target(application);
    target.is_none_or(|target| target.stage.is_reviewed())
}

/// The commit to go back to, and what to get away from, if the files of a commit can be put among the
/// present ones. `chosen`: somebody named that commit.
async fn possible(
    invocation: &Invocation<'_>,
    application: &TargetKey,
    status: &ApplicationStatus,
    (to, chosen): (&CommitSha, bool),
) -> Result<std::result::Result<(CommitSha, Option<String>), Invalid>> {
    let base = &invocation.observation.base;
    let targets = base.targets_of(&application.of_stage());
    let targets: Vec<_> = targets.into_iter().cloned().collect();
    if targets.is_empty() {
        let why = format!("{} is not in Git any more", application.title());
        return Ok(Err(Invalid(why)));
    }
    let own = base.target(application).map(Target::render_source);
    let (places, commit, to) = (places(&targets), base.commit.clone(), to.clone());
    let status = status.clone();
    let job = move |mirror: &Mirror| {
        let to = match own.filter(|_| !chosen) {
            Some(place) => undoing(mirror, &status, &place, &places, to)?,
            None => to,
        };
        let away_from = promotion::possible(mirror, &commit, &places, &to)?;
        Ok(away_from.map(|away_from| match places.len() {
            // What it had when it was seen last: a push since then is away from it already.
            1 => (to, status.inputs),
            _ => (to, Some(away_from)),
        }))
    };
    invocation.ctx.mirror(&application.repo, job).await
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
        // What only came with a merge was never approved by itself.
        let past = mirror.past_tip_named(&named, &tip)?;
        Ok(past.map(|commit| (commit, None)))
    });
    found.await
}
