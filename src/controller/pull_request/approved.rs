//! What a pull request was approved for, stored with the applications that it changes: the sync
//! and the score are compared with it.

use super::Observation;
use crate::controller::{Result, Writer};
use crate::domain::PullRequestKey;
use crate::domain::approved::{self, ApprovedPlan};

/// The same as [`record`], once for each preview: another head, base or plan has another one.
pub async fn record_once(
    ctx: &Writer,
    key: &PullRequestKey,
    observation: &Observation,
) -> Result<()> {
    let Some(shown) = &observation.shown_preview else {
        return Ok(());
    };
    let preview = (shown.preview.head.clone(), shown.id.clone());
    let recorded = &ctx.cache.pulls.recorded;
    if recorded.get(key).is_some_and(|known| known == preview) {
        return Ok(());
    }
    record(ctx, key, observation).await?;
    recorded.insert(key.clone(), preview);
    Ok(())
}

/// Stores what the pull request was approved for before anybody may merge it.
pub async fn record(ctx: &Writer, key: &PullRequestKey, observation: &Observation) -> Result<()> {
    let Some(shown) = &observation.shown_preview else {
        return Ok(());
    };
    for app in &shown.preview.applications {
        if observation.base.target(&app.key).is_none() {
            continue;
        }
        // Without an object, it was never synced.
        let Some(object) = ctx.store.application(&app.key).await? else {
            continue;
        };
        let mut status = object.status.clone().unwrap_or_default();
        let plan = ApprovedPlan::new(key.number, app.inputs.clone(), &app.plan);
        if status.approved.contains(&plan) {
            continue;
        }
        approved::keep(&mut status.approved, plan);
        let store = ctx.to_store();
        store.report_application(&object, status, ctx.now()).await?;
    }
    Ok(())
}
