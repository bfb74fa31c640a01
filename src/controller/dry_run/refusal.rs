//! Objects that the server refuses: why, and what can be done about it.

use serde_json::Value;

use super::adoption::is_abandoned;
use super::new_kinds::{checked, definition};
use super::others::without_right;
use super::overlay::{merge_patch, overlay};
use super::recreate::{changes, recreated};
use super::scope::AppScope;
use super::{ClusterResult, Prediction, Request, scrubbed};
use crate::cluster::{Applied, Refusal};
use crate::domain::Live;
use crate::domain::applying::Applying;
use crate::domain::manifest::Manifest;
use crate::domain::ownership;
use crate::domain::plan::{self, Confidence, Side};

/// The hint for whoever reads that windlass lacks a right.
pub const NO_RIGHT: &str = "windlass needs a ClusterRole with the label windlass.dev/aggregate-to-windlass for this kind; `windlass rbac` prints what the settings need";

/// The note on an object whose definition is changed by the same change.
pub const NEW_DEFINITION: &str = "its definition changes with it: checked against the new one";

const SECRET_OF_OTHERS: &str = "a Secret of this name exists, was not made by this application, and cannot be updated to this one: delete it, or give this one another name";

/// If a webhook does not support dry-run, the manifest is merged onto the live object here.
pub async fn without_dry_run(
    scope: &AppScope<'_>,
    request: Request,
    refusal: &Refusal,
) -> ClusterResult<Prediction> {
    let mut request = request.with_whole_live(scope).await?;
    let mut object = match &request.live {
        Some(live) => ownership::without_dropped(
            live,
            &request.write.payload,
            &scope.manager_of(&request.manifest),
        ),
        None => Live::new(Value::Null),
    };
    overlay(&mut object, &request.write.payload);
    request.notes.unverified = Some(format!(
        "a webhook does not support dry-run (give it `sideEffects: None`): {}",
        refusal.message
    ));
    Ok(request.predicts(Side::Object(object, Confidence::Static)))
}

/// The server refuses the object: because of its content, or because of the live object.
pub async fn refused(
    scope: &AppScope<'_>,
    mut request: Request,
    set: &[Manifest],
    refusal: Refusal,
) -> ClusterResult<Prediction> {
    let manifest = &request.manifest;
    // If the definition changes with the object, the new one counts. A field that the old one lacks
    // makes server-side apply refuse the request (structured-merge-diff), not the object.
    if (refusal.invalid || refusal.message.contains("not declared in schema"))
        && let Some(definition) = definition(set, &manifest.key)
        && !manifest.key.group.is_empty()
        && changes(scope, definition).await?
        && !compares_first(scope, &request).await?
        && let Ok(value) = checked(scope, definition, manifest, request.live.as_ref()).await
    {
        request.notes.unverified = Some(NEW_DEFINITION.into());
        return Ok(request.predicts(Side::Object(value, Confidence::Simulated)));
    }
    let message = refusal.message;
    // The same text for every guess at the content of a Secret that this application has not made.
    let is_theirs = |live: &Live| {
        !live.is_owned_by(scope.owner)
            && !ownership::managed_by(live)
                .is_some_and(|manager| scope.is_managed_by_its_reconciler(&manager))
    };
    if manifest.key.is_core("Secret") && request.live.as_ref().is_some_and(is_theirs) {
        return Ok(request.refused(SECRET_OF_OTHERS));
    }
    if refusal.no_right && !scope.applies() {
        let Request { manifest, live, .. } = request;
        return without_right(scope, &manifest, live, set).await;
    }
    if refusal.no_right {
        return Ok(request.refused(format!("{message} ({NO_RIGHT})")));
    }
    if !refusal.invalid || request.live.is_none() {
        return Ok(request.refused(message));
    }
    // If the object could be created under another name, the live object is the reason for the
    // refusal.
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

/// Whether Argo CD compares the live object by the definition that the cluster has, before it syncs:
/// it then syncs nothing (argo-cd's structured merge diff).
async fn compares_first(scope: &AppScope<'_>, request: &Request) -> ClusterResult<bool> {
    let applying = scope.applying_of(&request.manifest).await?;
    Ok(request.live.is_some() && applying.is_some_and(Applying::compares_by_schema))
}

/// Server defaults stay live though Git has chosen what excludes them (a Deployment's
/// `rollingUpdate` with `Recreate`: kubernetes/kubernetes#24198), since an apply removes only what
/// its manager owns. The sync makes them ours first. None: there are none, or without them the
/// object is refused too. `fresh`: the object as it would be created.
async fn without_outdated_defaults(
    scope: &AppScope<'_>,
    request: &Request,
    fresh: &Value,
) -> ClusterResult<Option<Prediction>> {
    let Some(live) = request.live.as_ref().filter(|_| scope.applies()) else {
        return Ok(None);
    };
    let manager = scope.manager();
    // Fields of tools that no longer manage the object are taken over with it, as in any other
    // apply.
    let mut leftovers =
        ownership::leftovers(live, &manager, is_abandoned(scope, live).await?).unwrap_or_default();
    let outdated = ownership::outdated_defaults(live, fresh, &leftovers.managers);
    if outdated.is_empty() {
        return Ok(None);
    }
    leftovers.fields = leftovers.fields.union(&outdated);
    let mut object = ownership::without_dropped(live, &request.write.payload, &manager);
    leftovers
        .fields
        .union(&leftovers.added)
        .without_shared(&ownership::of_others(live, &manager, &leftovers))
        .remove_from(&mut object);
    overlay(&mut object, &request.write.payload);
    let known = [Confidence::Simulated, Confidence::Static];
    let after = dry_run_update(scope, request, live, &object, known).await?;
    if matches!(after, Side::Refused(_)) {
        return Ok(None);
    }
    let names: Vec<_> = outdated.leaves().iter().map(ToString::to_string).collect();
    let mut request = request.clone();
    request.notes.unverified = Some(format!(
        "old defaults of the server are removed first: {}",
        names.join(", ")
    ));
    request.notes.adopted = leftovers.managers.clone();
    request.write.managed_fields = Some(ownership::adopted(live, &leftovers, &manager));
    Ok(Some(request.predicts(after)))
}

/// Dry-runs a computed object as an update. `known`: the confidence if the server answers, and if
/// it does not.
pub async fn dry_run_update(
    scope: &AppScope<'_>,
    request: &Request,
    live: &Live,
    object: &Value,
    known: [Confidence; 2],
) -> ClusterResult<Side> {
    Ok(
        match dry_run_merge(scope, &request.manifest, live, object).await? {
            Applied::Object(object) => Side::Object(object, known[0]),
            Applied::Refused(refusal) => Side::Refused(refusal.message),
            _ => Side::Object(Live::new(object.clone()), known[1]),
        },
    )
}

/// The server's answer to that.
pub async fn dry_run_merge(
    scope: &AppScope<'_>,
    manifest: &Manifest,
    live: &Live,
    object: &Value,
) -> ClusterResult<Applied> {
    let bare = |value: &Value| {
        let mut value = value.clone();
        value["metadata"]
            .as_object_mut()
            .map(|metadata| metadata.remove("managedFields"));
        value
    };
    let patch = merge_patch(&bare(live), &bare(object));
    let (key, version) = (&manifest.key, &manifest.version);
    let answer = scope
        .cluster
        .dry_run_merge(key, version, &patch, &scope.manager())
        .await?;
    Ok(scrubbed(answer, manifest))
}
