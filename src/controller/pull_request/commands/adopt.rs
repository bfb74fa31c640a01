//! `/adopt`: the first sync may change what was there before windlass.

use super::Given;
use super::request::Request;
use crate::cluster::store;
use crate::controller::Result;
use crate::domain::command::{Answer, Done, Row};

pub async fn run(given: &Given<'_>) -> Result<Answer> {
    let mut rows = Vec::new();
    for target in &given.look.changes.touched {
        let application = target.key(&given.key.repo);
        let Some(object) = given.ctx.store.application(&application).await? else {
            continue;
        };
        let waits = object.status.unwrap_or_default().adoption;
        if waits.is_empty() {
            continue;
        }
        let request = Request {
            application: &application,
            subject: "adopt",
            annotation: (store::ADOPT, "true"),
        };
        let outcome = given.request(&request).await?;
        rows.push(Row {
            outcome: outcome.map(|_| Done::Adopts(waits)),
            application,
        });
    }
    Ok(Answer::Applications(given.command, rows))
}
