//! Holds what a preview showed against what came of it.

use std::sync::Arc;

use serde_json::Value;

use crate::controller::{Base, Reader, Result, dry_run};
use crate::domain::PullRequestKey;
use crate::domain::mask::Mask;
use crate::domain::plan::{self, Change, Comparison, Plan, Side};

/// Holds what a preview showed against what came of it, once. Only for the preview that this process made: it is a
/// measure, and nothing waits for it.
pub async fn score(ctx: &Arc<Reader>, key: &PullRequestKey, base: &Base) -> Result<()> {
    let Some(shown) = ctx.cache.pulls.previews.remove(key) else {
        return Ok(());
    };
    let (mut held, mut missed) = (0, 0);
    for app in &shown.preview.applications {
        let Some(target) = base.target(&app.key) else {
            continue;
        };
        let cluster = ctx.cluster(&target.destination.cluster)?;
        let predicted = app.plan.effective();
        for change in predicted.filter(|change| change.problem.is_none()) {
            let live = cluster.live(&change.key, &change.version).await?;
            if plan::matches_prediction(&ctx.environment.mask, change, live.as_ref()) {
                held += 1;
            } else {
                missed += 1;
                // What is live is nobody's business who reads logs: how much differs is enough to look at it.
                let (added, removed) = differs(&ctx.environment.mask, change, live);
                tracing::info!(pr = %key, object = %change.key, action = change.action.word(), added, removed, "a prediction did not come out");
            }
        }
    }
    ctx.metrics.predicted(held, missed);
    Ok(())
}

/// How many lines of a prediction came out otherwise: added, removed.
fn differs(mask: &Mask, predicted: &Change, live: Option<Value>) -> (usize, usize) {
    let live = Comparison::new(predicted.key.clone(), Side::Absent, dry_run::side(live));
    let came = Plan::new(mask, [live]);
    let difference = Change {
        before: predicted.after.clone(),
        after: came.changes.first().and_then(|came| came.after.clone()),
        ..predicted.clone()
    };
    plan::size(&difference.diff())
}
