//! `/history`: the commits that each application was at.

use super::Invocation;
use crate::controller::Result;
use crate::domain::TargetKey;
use crate::domain::command::{Answer, Past};

pub async fn run(invocation: &Invocation<'_>, applications: Vec<TargetKey>) -> Result<Answer> {
    let mut pasts = Vec::new();
    for application in applications {
        let object = invocation.ctx.store.application(&application).await?;
        let status = object.and_then(|object| object.status).unwrap_or_default();
        pasts.push(Past {
            application,
            healthy: status.history,
            failed: status.failures,
        });
    }
    Ok(Answer::History(pasts))
}
