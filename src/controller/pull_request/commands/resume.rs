//! `/resume`: ends a hold.

use super::Invocation;
use super::request::{Needs, Request, annotated};
use crate::cluster::store;
use crate::controller::{Event, Result};
use crate::domain::ApplicationKey;
use crate::domain::command::{Answer, Done, NotDone, Row, Sought};

pub async fn run(invocation: &Invocation<'_>, applications: Vec<ApplicationKey>) -> Result<Answer> {
    let mut rows = Vec::new();
    for application in applications {
        let object = invocation.ctx.store.application(&application).await?;
        let held = annotated(object.as_ref(), store::HOLD).to_string();
        let mut annotations = vec![(store::HOLD, None)];
        if cannot_roll_back(invocation, &application).await? {
            annotations.push((store::ROLLBACK, None));
        }
        let request = Request {
            application: &application,
            subject: "resume",
            annotations: &annotations,
            needs: Needs::Decider,
        };
        let outcome = match invocation.request(&request).await? {
            Err(why) => Err(why),
            Ok(_) if held.is_empty() => Err(NotDone::NotHeld),
            Ok(_) => Ok(Done::Resumes),
        };
        rows.push(Row {
            application,
            outcome,
        });
    }
    invocation
        .ctx
        .emit(&Event::Holds(invocation.key.repo.clone()));
    Ok(Answer::Applications {
        rows,
        none: Sought::Application,
    })
}

/// Whether a rollback is under way that cannot be made any more: nothing else would end it.
async fn cannot_roll_back(invocation: &Invocation<'_>, key: &ApplicationKey) -> Result<bool> {
    let promotion = invocation.ctx.store.promotion(key).await?;
    let status = promotion.and_then(|object| object.status);
    let state = status.and_then(|status| status.state);
    Ok(state.as_deref() == Some("Failed"))
}
