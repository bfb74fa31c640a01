//! `/adopt`: the first sync may change objects that existed before windlass.

use super::Invocation;
use super::request::{Needs, Request};
use crate::cluster::store;
use crate::controller::Result;
use crate::domain::ApplicationKey;
use crate::domain::command::{Answer, Done, Row, Sought};

pub async fn run(invocation: &Invocation<'_>, applications: Vec<ApplicationKey>) -> Result<Answer> {
    let mut rows = Vec::new();
    for application in applications {
        let Some(object) = invocation.ctx.store.application(&application).await? else {
            continue;
        };
        let objects = object.status.unwrap_or_default().adoption;
        if objects.is_empty() {
            continue;
        }
        let request = Request {
            application: &application,
            subject: "adopt",
            annotations: &[(store::ADOPT, Some("true"))],
            needs: Needs::Quorum,
        };
        let outcome = invocation.request(&request).await?;
        rows.push(Row {
            outcome: outcome.map(|_| Done::Adopts(objects)),
            application,
        });
    }
    Ok(Answer::Applications {
        rows,
        none: Sought::Adoption,
    })
}
