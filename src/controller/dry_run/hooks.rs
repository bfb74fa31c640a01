//! Hooks: created anew for each run, and never in the place of what is none.

use super::{AppScope, Asked, Prediction, Request};
use crate::domain::hook;
use crate::domain::manifest::ResourceKey;
use crate::domain::mask::Mask;
use crate::domain::plan::{Confidence, Side};

/// A hook of which another run is there is to run once more: as a new object. `again`: also one of this very run.
/// None: it is no hook, or has nothing to replace.
pub(super) async fn another_run(
    scope: &AppScope<'_>,
    request: &Request,
    again: bool,
) -> Asked<Option<Prediction>> {
    let manifest = &request.manifest;
    let (Some(run), Some(live)) = (hook::run(&manifest.value), &request.live) else {
        return Ok(None);
    };
    if hook::run(live) == Some(run) && !again {
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
        Ok(_) => Side::Object(manifest.value.clone(), Confidence::Server),
    };
    let mut request = request.clone();
    request.write.recreate = true;
    request.notes.recreate = Some("a hook runs again for each change".into());
    Ok(Some(request.predicts(after)))
}

/// A hook is created anew for each run: it must not take away what is none.
pub fn not_a_hook(key: &ResourceKey) -> String {
    format!(
        "{key} already exists and is not a hook of this application: give the hook another name"
    )
}
