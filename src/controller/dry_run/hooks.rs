//! Hooks: recreated for each run, and never in place of an object that is no hook.

use super::{AppScope, ClusterResult, Prediction, Request};
use crate::domain::hook;
use crate::domain::manifest::ResourceKey;
use crate::domain::mask::Mask;
use crate::domain::plan::{Confidence, Side};

/// The next run of a hook whose object of another run exists: it is recreated. `rerun_failed`: also
/// one of this very run. None: it is no hook, or there is nothing to replace.
pub(super) async fn next_run(
    scope: &AppScope<'_>,
    request: &Request,
    rerun_failed: bool,
) -> ClusterResult<Option<Prediction>> {
    let manifest = &request.manifest;
    let (Some(run), Some(live)) = (hook::run(&manifest.value), &request.live) else {
        return Ok(None);
    };
    if hook::run(live) == Some(run) && !rerun_failed {
        return Ok(None);
    }
    if !hook::may_replace(live, scope.owner) {
        let why = not_a_hook(&manifest.key);
        return Ok(Some(request.clone().refused_unseen(why)));
    }
    let after = match scope
        .cluster
        .probe(&manifest.key, &manifest.version, &manifest.value)
        .await?
    {
        Err(refusal) => Side::Refused(Mask::scrub(&refusal.message, &manifest.value)),
        Ok(_) => Side::Object(manifest.as_live(), Confidence::Server),
    };
    let mut request = request.clone();
    request.write.recreate = true;
    request.notes.recreate = Some("a hook runs again for each change".into());
    Ok(Some(request.predicts(after)))
}

/// A hook is recreated for each run: it must not delete an object that is no hook.
pub fn not_a_hook(key: &ResourceKey) -> String {
    format!(
        "{key} already exists and is not a hook of this application: give the hook another name"
    )
}
