//! `/apply`: a merged change is applied although the sync is not what was approved.

use super::Invocation;
use super::request::{Needs, Request};
use crate::cluster::store;
use crate::controller::Result;
use crate::domain::ApplicationKey;
use crate::domain::command::{Answer, Done, Row, Sought};

pub async fn run(invocation: &Invocation<'_>, applications: Vec<ApplicationKey>) -> Result<Answer> {
    let mut rows = Vec::new();
    for application in applications {
        let object = invocation.ctx.store.application(&application).await?;
        let status = object.and_then(|object| object.status).unwrap_or_default();
        // Who contributed is known of this pull request: another one's approvers are others.
        let own = format!("#{} ", invocation.key.number);
        let unapproved = status.unapproved.filter(|it| it.starts_with(&own));
        let Some(unapproved) = unapproved else {
            continue;
        };
        let request = Request {
            application: &application,
            subject: &unapproved,
            annotations: &[(store::APPLY, Some(&unapproved))],
            needs: Needs::Quorum,
        };
        let outcome = invocation.request(&request).await?;
        rows.push(Row {
            outcome: outcome.map(|_| Done::Applies),
            application,
        });
    }
    Ok(Answer::Applications {
        rows,
        none: Sought::Deviation,
    })
}
