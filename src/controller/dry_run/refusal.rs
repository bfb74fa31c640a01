//! What the server would not have: why, and what can be done about it.

use serde_json::Value;

use super::adoption::is_let_go;
use super::new_kinds::{checked, definition};
use super::overlay::{merge_patch, overlay};
use super::recreate::{changes, recreated};
use super::scope::AppScope;
use super::{Asked, Prediction, Request};
use crate::cluster::{Applied, Refusal};
use crate::domain::OWNER_LABEL;
use crate::domain::manifest::Manifest;
use crate::domain::mask::Mask;
use crate::domain::ownership;
use crate::domain::plan::{self, Confidence, Side};

/// What helps whoever reads that windlass lacks a right.
pub const NO_RIGHT: &str = "windlass needs a ClusterRole with the label windlass.dev/aggregate-to-windlass for this kind; `windlass rbac` prints what the settings need";

const SECRET_OF_OTHERS: &str = "a Secret of this name exists, was not made by this application, and cannot be updated to this one: delete it, or give this one another name";

/// A webhook has no way to be asked without effect: what Git says is laid over what is live.
pub async fn without_dry_run(
    scope: &AppScope<'_>,
    request: Request,
    refusal: &Refusal,
) -> Asked<Prediction> {
    let mut request = request.with_whole_live(scope).await?;
    let mut object = match &request.live {
        Some(live) => ownership::without_dropped(live, &request.write.payload, &scope.manager()),
        None => Value::Null,
    };
    overlay(&mut object, &request.write.payload);
    request.notes.unverified = Some(format!(
        "a webhook does not support dry-run (give it `sideEffects: None`): {}",
        refusal.message
    ));
    Ok(request.predicts(Side::Object(object, Confidence::Static)))
}

/// The server would not have the object: because of what it is, or because of what is there.
pub async fn refused(
    scope: &AppScope<'_>,
    mut request: Request,
    set: &[Manifest],
    refusal: Refusal,
) -> Asked<Prediction> {
    let manifest = &request.manifest;
    // The definition changes with the object: the new one counts. A field that the old one lacks is a fault of the request
    // to server-side apply (structured-merge-diff), not of the object.
    if (refusal.invalid || refusal.message.contains("not declared in schema"))
        && let Some(definition) = definition(set, &manifest.key)
        && !manifest.key.group.is_empty()
        && changes(scope, definition).await?
        && let Ok(value) = checked(scope, definition, manifest, request.live.as_ref()).await
    {
        request.notes.unverified =
            Some("its definition changes with it: checked against the new one".into());
        return Ok(request.predicts(Side::Object(value, Confidence::Simulated)));
    }
    let message = refusal.message;
    // One text whatever was guessed of a Secret that this application has not made.
    let is_secret = manifest.key.is_core("Secret");
    if is_secret
        && request
            .live
            .as_ref()
            .is_some_and(|live| live["metadata"]["labels"][OWNER_LABEL] != scope.owner)
    {
        return Ok(request.refused(SECRET_OF_OTHERS));
    }
    if refusal.no_right {
        return Ok(request.refused(format!("{message} ({NO_RIGHT})")));
    }
    if !refusal.invalid || request.live.is_none() {
        return Ok(request.refused(message));
    }
    // Only what could be created under another name is kept back by what is there.
    let Ok(mut after) = scope
        .cluster
        .probe(&manifest.key, &manifest.version, &manifest.value)
        .await?
    else {
        return Ok(request.refused(message));
    };
    let request = request.with_whole_live(scope).await?;
    if let Some(predicted) = without_outdated_defaults(scope, &request, &after).await? {
        return Ok(predicted);
    }
    plan::without_allocated(&mut after, &request.manifest.value);
    recreated(scope, request, message, after).await
}

/// Defaults of the server stay where Git has chosen what rules them out (a Deployment's `rollingUpdate` beside `Recreate`:
/// kubernetes/kubernetes#24198), since an apply takes out only what its manager owns. The sync makes them ours first.
/// None: there are none, or without them the object is refused too. `fresh`: the object as it would be created.
async fn without_outdated_defaults(
    scope: &AppScope<'_>,
    request: &Request,
    fresh: &Value,
) -> Asked<Option<Prediction>> {
    let Some(live) = request.live.as_ref().filter(|_| scope.applies()) else {
        return Ok(None);
    };
    let manager = scope.manager();
    // What tools that do not come back left is taken over with it, as in any other apply.
    let mut taken_over =
        ownership::leftovers(live, &manager, is_let_go(scope, live).await?).unwrap_or_default();
    let outdated = ownership::outdated_defaults(live, fresh, &taken_over.managers);
    if outdated.is_empty() {
        return Ok(None);
    }
    taken_over.fields = taken_over.fields.union(&outdated);
    let mut object = ownership::without_dropped(live, &request.write.payload, &manager);
    taken_over
        .fields
        .union(&taken_over.added)
        .without_shared(&ownership::of_others(live, &manager, &taken_over))
        .remove_from(&mut object);
    overlay(&mut object, &request.write.payload);
    let known = [Confidence::Simulated, Confidence::Static];
    let after = as_an_update(scope, request, live, &object, known).await?;
    if matches!(after, Side::Refused(_)) {
        return Ok(None);
    }
    let names: Vec<_> = outdated.leaves().iter().map(ToString::to_string).collect();
    let mut request = request.clone();
    request.notes.unverified = Some(format!(
        "old defaults of the server are removed first: {}",
        names.join(", ")
    ));
    request.notes.adopted = taken_over.managers.clone();
    request.write.managed_fields = Some(ownership::adopted(live, &taken_over, &manager));
    Ok(Some(request.predicts(after)))
}

/// What comes out was worked out here; the server checks it as an update. How well it is known then, and where the server
/// does not say.
pub async fn as_an_update(
    scope: &AppScope<'_>,
    request: &Request,
    live: &Value,
    object: &Value,
    known: [Confidence; 2],
) -> Asked<Side> {
    let bare = |value: &Value| {
        let mut value = value.clone();
        value["metadata"]
            .as_object_mut()
            .map(|metadata| metadata.remove("managedFields"));
        value
    };
    let (manifest, patch) = (&request.manifest, merge_patch(&bare(live), &bare(object)));
    Ok(
        match scope
            .cluster
            .dry_run_merge(&manifest.key, &manifest.version, &patch, &scope.manager())
            .await?
        {
            Applied::Object(object) => Side::Object(object, known[0]),
            Applied::Refused(refusal) => {
                Side::Refused(Mask::scrub(&refusal.message, &manifest.value))
            }
            _ => Side::Object(object.clone(), known[1]),
        },
    )
}
