//! Objects that are there already: whose they are, and what of them is taken over.

use std::collections::BTreeSet;

use serde_json::Value;

use super::overlay::overlay;
use super::refusal::as_an_update;
use super::scope::AppScope;
use super::{Asked, Prediction, Request};
use crate::cluster::{Applied, Keeps};
use crate::domain::OWNER_LABEL;
use crate::domain::manifest::Manifest;
use crate::domain::ownership;
use crate::domain::plan::{Confidence, Side};

/// An object that is not the application's to touch, nor to be shown.
pub async fn of_others(scope: &AppScope<'_>, request: &Request) -> Asked<Option<Prediction>> {
    let live = request.live.as_ref();
    let Some((why, to_adopt)) = refused_to_us(scope, &request.manifest, live).await? else {
        return Ok(None);
    };
    let mut request = request.clone();
    request.notes.to_adopt = to_adopt;
    Ok(Some(request.refused_unseen(why)))
}

/// Why an object is not the application's to touch, or to be shown; and whether somebody's word changes that.
async fn refused_to_us(
    scope: &AppScope<'_>,
    manifest: &Manifest,
    live: Option<&Value>,
) -> Asked<Option<(String, bool)>> {
    let (key, own) = (&manifest.key, &scope.target.destination.namespace);
    let Some(live) = live else { return Ok(None) };
    let label = &live["metadata"]["labels"][OWNER_LABEL];
    let keeper = ownership::managed_by(live);
    if label == scope.owner
        || keeper
            .as_ref()
            .is_some_and(|keeper| scope.is_kept_by_its_own(keeper))
    {
        return Ok(None);
    }
    let inside =
        key.namespace.as_ref() == Some(own) || (key.kind == "Namespace" && key.name == *own);
    if !inside && label.is_string() {
        let owner = scope.owner;
        return Ok(Some((
            format!(
                "{key} is an object of another application: label it `{OWNER_LABEL}={owner}` to hand it over"
            ),
            false,
        )));
    }
    let Some(keeper) = keeper else {
        return Ok(None);
    };
    Ok(match scope.cluster.keeps(&keeper).await? {
        Keeps::NoMore => None,
        Keeps::Unknown if scope.adopts => None,
        Keeps::Still => Some((
            format!(
                "{key} is kept by {keeper}: have that let go of it first, or the two would undo each other's work"
            ),
            false,
        )),
        Keeps::Unknown => {
            let title = scope.key.title();
            let why = "and whether that is still there cannot be seen from here";
            Some((
                format!(
                    "{key} is marked as kept by {keeper}, {why}: once it is gone, `windlass adopt {title}` takes over what it left"
                ),
                true,
            ))
        }
    })
}

/// Whether Helm, Argo CD or Flux made the object and does not come back to it.
pub async fn is_let_go(scope: &AppScope<'_>, live: &Value) -> Asked<bool> {
    if !ownership::was_reconciled(live) {
        return Ok(false);
    }
    Ok(match ownership::managed_by(live) {
        None => true,
        Some(keeper) => match scope.cluster.keeps(&keeper).await? {
            Keeps::NoMore => true,
            Keeps::Still => false,
            // What is ours by now, or is being taken over, somebody has decided.
            Keeps::Unknown => {
                scope.adopts || live["metadata"]["labels"][OWNER_LABEL] == scope.owner
            }
        },
    })
}

/// Takes over what tools that do not come back left in the object, and what people added to our lists by hand: what
/// Git does not have of it goes.
pub async fn adopt(scope: &AppScope<'_>, mut request: Request, object: Value) -> Asked<Prediction> {
    let as_it_is = |object| Side::Object(object, Confidence::Server);
    let Some(live) = &request.live else {
        return Ok(request.predicts(as_it_is(object)));
    };
    let manager = scope.manager();
    let left = match scope.applies() {
        true => ownership::leftovers(live, &manager, is_let_go(scope, live).await?),
        false => ownership::updated_by(live, &manager),
    };
    let Some(left) = left else {
        return Ok(request.predicts(as_it_is(object)));
    };
    let mut others = crate::domain::fieldset::FieldSet::default();
    for entry in ownership::entries(&object) {
        if !left.managers.contains(&entry.manager) || entry.manager == manager && entry.applies {
            others = others.union(&entry.fields.difference(&left.added));
        }
    }
    if scope.applies() {
        request.write.managed_fields = Some(ownership::adopted(live, &left, &manager));
        request.notes.adopted = left.managers.clone();
    }
    let gone = left.fields.union(&left.added).without_shared(&others);
    if gone.is_empty() {
        return Ok(request.predicts(as_it_is(object)));
    }
    let mut without = object;
    gone.remove_from(&mut without);
    // The server fills in what is left out by that, as it will.
    let known = [Confidence::Server, Confidence::Simulated];
    let after = as_an_update(scope, &request, live, &without, known).await?;
    Ok(request.predicts(after))
}

/// Who owns what is recorded under an API version that is served no more: the API server takes no server-side apply until
/// that is mended, which the sync does first. What then comes out is worked out, and checked by the server as an update.
pub async fn carried_over(
    scope: &AppScope<'_>,
    request: &Request,
    answer: &Applied,
) -> Asked<Option<Prediction>> {
    // The words are the API server's: apiextensions, converting a custom resource.
    let refused = |message: &str| message.contains("to an invalid group/version");
    if !matches!(answer, Applied::Refused(refusal) if refused(&refusal.message)) {
        return Ok(None);
    }
    let manifest = &request.manifest;
    let Some(live) = scope.cluster.live(&manifest.key, &manifest.version).await? else {
        return Ok(None);
    };
    let mut gone = BTreeSet::new();
    for recorded in ownership::recorded_versions(&live) {
        let version = recorded.rsplit('/').next().unwrap_or_default();
        if !scope
            .cluster
            .serves(&manifest.key.group, version, &manifest.key.kind)
            .await?
        {
            gone.insert(recorded);
        }
    }
    if gone.is_empty() || !scope.applies() {
        return Ok(None);
    }
    let manager = scope.manager();
    let mut object = ownership::without_dropped(&live, &request.write.payload, &manager);
    overlay(&mut object, &request.write.payload);
    let names: Vec<_> = gone.iter().map(String::as_str).collect();
    let mut request = request.clone();
    request.notes.unverified = Some(format!(
        "who owns what is recorded under {}, which is served no more: it is carried over first",
        names.join(", ")
    ));
    request.write.managed_fields = Some(ownership::migrated_managed_fields(&live, &gone));
    let known = [Confidence::Simulated, Confidence::Static];
    let after = as_an_update(scope, &request, &live, &object, known).await?;
    request.live = Some(live);
    Ok(Some(request.predicts(after)))
}
