//! `/sync`: the applications that the pull request touches, to the base branch as it is now.

use super::Given;
use super::request::Request;
use crate::cluster::store;
use crate::controller::Result;
use crate::domain::command::{Answer, Done, Row};

pub async fn run(given: &Given<'_>) -> Result<Answer> {
    let mut rows = Vec::new();
    let (to, wanted) = (&given.look.base.commit, given.ask.comment.to_string());
    for target in &given.look.changes.touched {
        let application = target.key(&given.key.repo);
        let request = Request {
            application: &application,
            subject: to.as_str(),
            annotation: (store::SYNC_REQUEST, &wanted),
        };
        let outcome = given.request(&request).await?;
        rows.push(Row {
            outcome: outcome.map(|_| Done::SyncsTo(to.clone())),
            application,
        });
    }
    Ok(Answer::Applications(given.command, rows))
}
