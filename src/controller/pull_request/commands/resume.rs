//! `/resume`: ends a hold.

use super::Invocation;
use super::request::{Needs, Outcome, Request, annotated};
use crate::cluster::store;
use crate::controller::Result;
use crate::domain::TargetKey;
use crate::domain::command::{Done, NotDone};

pub async fn run(invocation: &Invocation<'_>, application: &TargetKey) -> Result<Outcome> {
    let object = invocation.ctx.store.application(application).await?;
    let is_held = !annotated(object.as_ref(), store::HOLD).is_empty();
    let mut annotations = vec![(store::HOLD, None)];
    if cannot_roll_back(invocation, application).await? {
        annotations.push((store::ROLLBACK, None));
    }
    let request = Request {
        application,
        subject: "resume",
        annotations: &annotations,
        needs: Needs::Decider,
    };
    let is_requested = invocation.request(&request).await?;
    Ok(is_requested.and(match is_held {
        true => Ok(Done::Resumes),
        false => Err(NotDone::NotHeld),
    }))
}

/// Whether a rollback is under way that cannot be made any more: nothing else would end it.
async fn cannot_roll_back(invocation: &Invocation<'_>, key: &TargetKey) -> Result<bool> {
    let promotion = invocation.ctx.store.promotion(&key.of_stage()).await?;
    let status = promotion.and_then(|object| object.status);
    let state = status.and_then(|status| status.state);
    Ok(state.as_deref() == Some("Failed"))
}
