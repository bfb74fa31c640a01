//! Compares the predictions of a preview with the live objects after the sync.

use std::sync::Arc;

use crate::controller::{Base, Reader, Result, dry_run};
use crate::domain::Live;
use crate::domain::PullRequestKey;
use crate::domain::mask::Mask;
use crate::domain::plan::{self, Change, Comparison, Plan, Side};
use crate::domain::pull_request::{Preview, Rollout, Score};

/// Compares the predictions of a preview with the live objects, once. None: nothing that was
/// predicted is known. Nothing depends on it.
pub async fn score(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Base,
    touched: &[Rollout],
) -> Result<Option<Score>> {
    let score = match ctx.cache.pulls.previews.remove(key) {
        Some(shown) => of_preview(ctx, key, base, &shown.preview).await?,
        None => of_record(ctx, key, base, touched).await?,
    };
    ctx.metrics.predicted(score.held, score.differing.len());
    Ok(Some(score).filter(|score| score.all() > 0))
}

/// By the preview that this process made: each object as a whole.
async fn of_preview(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Base,
    preview: &Preview,
) -> Result<Score> {
    let mut score = Score::default();
    for app in &preview.applications {
        let Some(target) = base.target(&app.key) else {
            continue;
        };
        let cluster = ctx.cluster(&target.destination.cluster)?;
        let predicted = app.plan.effective();
        for change in predicted.filter(|change| change.problem.is_none()) {
            let live = cluster.live(&change.key, &change.version).await?;
            let is_matched = plan::matches_prediction(&ctx.environment.mask, change, live.as_ref());
            score.count(&change.key, is_matched);
            if !is_matched {
                // Live objects do not belong into logs: the size of the difference is enough.
                let (added, removed) = differs(&ctx.environment.mask, change, live);
                tracing::info!(pr = %key, object = %change.key, action = change.action.word(), added, removed, "the live object differs from its prediction");
            }
        }
    }
    Ok(score)
}

/// By what the applications' objects keep of a preview of an earlier process: the fields that were
/// to change.
async fn of_record(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Base,
    touched: &[Rollout],
) -> Result<Score> {
    let mut score = Score::default();
    for rollout in touched {
        let Some(target) = base.target(&rollout.key) else {
            continue;
        };
        let object = ctx.store.application(&rollout.key).await?;
        let predicted = object.and_then(|object| object.status?.predicted);
        let predicted = predicted.filter(|plan| plan.pull_request == key.number);
        let cluster = ctx.cluster(&target.destination.cluster)?;
        for change in predicted.into_iter().flat_map(|plan| plan.changes) {
            let live = cluster.live(&change.key, &change.version).await?;
            let is_met = change.is_met(&ctx.environment.mask, live.as_ref());
            is_met
                .into_iter()
                .for_each(|is_met| score.count(&change.key, is_met));
        }
    }
    Ok(score)
}

/// How many lines differ from the prediction: added, removed.
fn differs(mask: &Mask, predicted: &Change, live: Option<Live>) -> (usize, usize) {
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
