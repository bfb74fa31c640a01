//! `/reject`: an image is not proposed for a stage any more.

use super::Invocation;
use super::request::{Needs, Outcome, Request};
use crate::controller::promotion::decisions;
use crate::controller::{Event, Result};
use crate::domain::TargetKey;
use crate::domain::command::{Done, NotDone};
use crate::domain::image::{self, Candidate};
use crate::domain::promotion::{Decision, How, record};

pub async fn run(invocation: &Invocation<'_>, application: &TargetKey) -> Result<Outcome> {
    let named = invocation.arguments.subject.as_deref().unwrap_or_default();
    let Some(object) = invocation
        .ctx
        .store
        .promotion(&application.of_stage())
        .await?
    else {
        return Ok(Err(NotDone::NotAnnounced(named.into())));
    };
    let is_named = |known: &&Candidate| image::names(named, Some(&known.tag), Some(&known.digest));
    let known = object.spec.candidates.iter().filter(is_named);
    let rejected: Vec<_> = known.cloned().collect();
    if rejected.is_empty() {
        return Ok(Err(NotDone::NotAnnounced(named.into())));
    }
    // Written before the command counts as carried out: after an interruption it is done again.
    let mut status = object.status.clone().unwrap_or_default();
    status.decided = decisions(&object);
    for candidate in &rejected {
        record(&mut status.decided, Decision::of(candidate, How::Rejected));
    }
    if !invocation.is_handled(application).await? {
        let store = invocation.ctx.to_store();
        store.report_promotion(&object, status).await?;
    }
    let request = Request {
        application,
        subject: named,
        annotations: &[],
        needs: Needs::Writer,
    };
    let outcome = invocation.request(&request).await?;
    invocation
        .ctx
        .emit(&Event::Candidate(application.of_stage()));
    Ok(outcome.map(|_| Done::Rejects(rejected)))
}
