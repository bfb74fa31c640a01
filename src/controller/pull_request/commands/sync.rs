//! `/sync`: syncs the applications that the pull request touches, or the selected ones of them, to the current base branch.

use super::Invocation;
use super::request::{Needs, Outcome, Request};
use crate::cluster::store;
use crate::controller::Result;
use crate::domain::TargetKey;
use crate::domain::command::Done;

pub async fn run(invocation: &Invocation<'_>, application: &TargetKey) -> Result<Outcome> {
    let (to, wanted) = (
        &invocation.observation.base.commit,
        invocation.comment.source.to_string(),
    );
    let request = Request {
        application,
        subject: to.as_str(),
        annotations: &[(store::SYNC_REQUEST, Some(&wanted))],
        needs: Needs::Quorum,
    };
    let outcome = invocation.request(&request).await?;
    Ok(outcome.map(|_| Done::SyncsTo(to.clone())))
}
