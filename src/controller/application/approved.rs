//! What the merged pull requests of an application were approved for, and whether its plan is that.

use std::sync::Arc;

use kube::ResourceExt as _;

use super::declare::Declared;
use crate::cluster::store;
use crate::controller::{Reader, Result};
use crate::domain::TargetKey;
use crate::domain::approved::{self, ApprovedPlan, Deviations};
use crate::domain::plan::Plan;

/// The approved plans that are kept, with the one that led to what Git has now. That was stored once
/// the gates passed; for a pull request that a person merged before, this process has its preview.
pub async fn plans(
    ctx: &Arc<Reader>,
    key: &TargetKey,
    declared: &Declared,
) -> Result<Vec<ApprovedPlan>> {
    let mut plans = declared.status.approved.clone();
    let inputs = &declared.change.hash;
    let is_new = declared.status.inputs.as_ref() != Some(inputs);
    if is_new
        && !plans.iter().any(|plan| plan.to == *inputs)
        && let Some(found) = previewed(ctx, key, declared).await?
    {
        approved::keep(&mut plans, found);
    }
    Ok(plans)
}

/// The plan that was shown of the pull request which led to what Git has. Others may have the same
/// content: it is the one whose head the revision has, or the only one.
async fn previewed(
    ctx: &Arc<Reader>,
    key: &TargetKey,
    declared: &Declared,
) -> Result<Option<ApprovedPlan>> {
    let inputs = &declared.change.hash;
    let previews = ctx.cache.pulls.previews.iter();
    let found = previews.filter_map(|(pull, shown)| {
        let mut applications = shown.preview.applications.iter();
        let app = applications.find(|app| app.key == *key && app.inputs.1 == *inputs)?;
        let plan = ApprovedPlan::new(pull.number, app.inputs.clone(), &app.plan);
        Some((shown.preview.head.clone(), plan))
    });
    let mut found: Vec<_> = found.collect();
    let heads: Vec<_> = found.iter().map(|(head, _)| head.clone()).collect();
    let revision = declared.change.revision.clone();
    let merged = ctx.mirror(&key.repo, move |mirror| {
        for (index, head) in heads.iter().enumerate() {
            if mirror.has(head) && mirror.is_ancestor(head, &revision)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    });
    Ok(match merged.await? {
        Some(index) => Some(found.swap_remove(index).1),
        None if found.len() == 1 => found.pop().map(|(_, plan)| plan),
        None => None,
    })
}

/// What the plan does beyond what was approved, unless somebody accepted it. A stage that is not
/// reviewed has nobody who approved it.
pub fn deviations(declared: &Declared, plans: &[ApprovedPlan], plan: &Plan) -> Option<Deviations> {
    if !declared.target.stage.is_reviewed() {
        return None;
    }
    let inputs = &declared.change.hash;
    let stopped = declared.status.unapproved.is_some();
    let found = approved::deviations(plans, inputs, plan, stopped)?;
    let object = declared.known.as_ref();
    let accepted = object.and_then(|object| object.annotations().get(store::APPLY));
    let is_accepted = accepted.is_some_and(|accepted| found.are_accepted(inputs, accepted));
    (!is_accepted).then_some(found)
}
