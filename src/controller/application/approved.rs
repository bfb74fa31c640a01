//! What the merged pull requests of an application were approved for, and whether its plan is that.

use kube::ResourceExt as _;

use super::declare::Declared;
use crate::cluster::store;
use crate::controller::Reader;
use crate::domain::ApplicationKey;
use crate::domain::approved::{self, ApprovedPlan, Deviations};
use crate::domain::plan::Plan;

/// The approved plans that are kept, with the one that led to what Git has now. Where windlass
/// merged, it stored that before; for a pull request that a person merged, this process has its
/// preview. A stage that is not reviewed has none.
pub fn plans(ctx: &Reader, key: &ApplicationKey, declared: &Declared) -> Vec<ApprovedPlan> {
    let mut plans = declared.status.approved.clone();
    let inputs = &declared.change.hash;
    if !declared.target.stage.is_reviewed() {
        return Vec::new();
    }
    let is_new = declared.status.inputs.as_ref() != Some(inputs);
    if is_new && !plans.iter().any(|plan| plan.to == *inputs) {
        let previews = ctx.cache.pulls.previews.iter();
        let found = previews.filter_map(|(pull, shown)| {
            let mut applications = shown.preview.applications.iter();
            let app = applications.find(|app| app.key == *key && app.inputs.1 == *inputs)?;
            Some(ApprovedPlan::new(
                pull.number,
                app.inputs.clone(),
                &app.plan,
            ))
        });
        if let Some(found) = found.min_by_key(|plan| plan.pull_request) {
            approved::keep(&mut plans, found);
        }
    }
    plans
}

/// What the plan does beyond what was approved, unless somebody accepted it.
pub fn deviations(declared: &Declared, plans: &[ApprovedPlan], plan: &Plan) -> Option<Deviations> {
    let inputs = &declared.change.hash;
    let found = approved::deviations(plans, inputs, plan)?;
    let object = declared.known.as_ref();
    let accepted = object.and_then(|object| object.annotations().get(store::APPLY));
    let is_accepted = accepted.is_some_and(|accepted| found.are_accepted(inputs, accepted));
    (!is_accepted).then_some(found)
}
