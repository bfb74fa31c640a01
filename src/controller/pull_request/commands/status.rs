//! `/status`: how far each application is.

use super::Invocation;
use crate::controller::Result;
use crate::domain::TargetKey;
use crate::domain::command::Answer;

pub async fn run(invocation: &Invocation<'_>, applications: Vec<TargetKey>) -> Result<Answer> {
    let store = &invocation.ctx.store;
    let mut rows = Vec::new();
    for application in applications {
        let exists = store.application(&application).await?.is_some();
        let summary = store.summary(&application).await?;
        rows.push((application, exists.then_some(summary)));
    }
    Ok(Answer::Status(rows))
}
