//! `/sync`: syncs the applications that the pull request touches, or the selected ones of them, to the current base branch.

use super::Invocation;
use super::request::{Needs, Request};
use crate::cluster::store;
use crate::controller::Result;
use crate::domain::ApplicationKey;
use crate::domain::command::{Answer, Done, Row, Sought};

pub async fn run(invocation: &Invocation<'_>, applications: Vec<ApplicationKey>) -> Result<Answer> {
    let mut rows = Vec::new();
    let (to, wanted) = (
        &invocation.observation.base.commit,
        invocation.comment.source.to_string(),
    );
    for application in applications {
        let request = Request {
            application: &application,
            subject: to.as_str(),
            annotations: &[(store::SYNC_REQUEST, Some(&wanted))],
            needs: Needs::Quorum,
        };
        let outcome = invocation.request(&request).await?;
        rows.push(Row {
            outcome: outcome.map(|_| Done::SyncsTo(to.clone())),
            application,
        });
    }
    Ok(Answer::Applications {
        rows,
        none: Sought::Application,
    })
}
