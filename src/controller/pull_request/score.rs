//! Compares the predictions of a preview with the live objects after the sync.

use std::sync::Arc;

use serde_json::Value;

use crate::controller::{Base, Reader, Result, dry_run};
use crate::domain::PullRequestKey;
use crate::domain::mask::Mask;
use crate::domain::plan::{self, Change, Comparison, Plan, Side};

/// Compares the predictions of a preview with the live objects, once: how many objects are as
/// predicted, of how many. None: another process made the preview. Nothing depends on it.
pub async fn score(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Base,
) -> Result<Option<(usize, usize)>> {
    let Some(shown_preview) = ctx.cache.pulls.previews.remove(key) else {
        return Ok(None);
    };
    let (mut matched, mut missed) = (0, 0);
    for app in &shown_preview.preview.applications {
        let Some(target) = base.target(&app.key) else {
            continue;
        };
        let cluster = ctx.cluster(&target.destination.cluster)?;
        let predicted = app.plan.effective();
        for change in predicted.filter(|change| change.problem.is_none()) {
            let live = cluster.live(&change.key, &change.version).await?;
            if plan::matches_prediction(&ctx.environment.mask, change, live.as_ref()) {
                matched += 1;
            } else {
                missed += 1;
                // Live objects do not belong into logs: the size of the difference is enough.
                let (added, removed) = differs(&ctx.environment.mask, change, live);
                tracing::info!(pr = %key, object = %change.key, action = change.action.word(), added, removed, "the live object differs from its prediction");
            }
        }
    }
    ctx.metrics.predicted(matched, missed);
    Ok((matched + missed > 0).then_some((matched, matched + missed)))
}

/// How many lines differ from the prediction: added, removed.
fn differs(mask: &Mask, predicted: &Change, live: Option<Value>) -> (usize, usize) {
    let live = Comparison::new(predicted.key.clone(), Side::Absent, dry_run::side(live));
    let actual = Plan::new(mask, [live]);
    let difference = Change {
        before: predicted.after.clone(),
        after: actual
            .changes
            .first()
            .and_then(|change| change.after.clone()),
        ..predicted.clone()
    };
    plan::size(&difference.diff())
}
