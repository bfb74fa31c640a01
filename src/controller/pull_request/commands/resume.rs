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
        let request = Request {
            application: &application,
            subject: "resume",
            annotations: &[(store::HOLD, None)],
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
