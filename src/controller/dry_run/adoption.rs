//! Existing objects: who manages them, and which of their fields are taken over.

use std::collections::BTreeSet;

use super::overlay::overlay;
use super::refusal::dry_run_update;
use super::scope::AppScope;
use super::{ClusterResult, Prediction, Request};
use crate::cluster::{Applied, Keeps};
use crate::domain::Live;
use crate::domain::OWNER_LABEL;
use crate::domain::build::release;
use crate::domain::manifest::Manifest;
use crate::domain::ownership;
use crate::domain::plan::{Confidence, Side};

/// The refusal of an object that the application may neither change nor show. None: it may.
pub async fn refuse_others(
    scope: &AppScope<'_>,
    request: &Request,
) -> ClusterResult<Option<Prediction>> {
    let live = request.live.as_ref();
    let Some((why, to_adopt)) = refused(scope, &request.manifest, live).await? else {
        return Ok(None);
    };
    let mut request = request.clone();
    request.notes.to_adopt = to_adopt;
    Ok(Some(request.refused_unseen(why)))
}

/// Whether the HelmRelease that installs an object is the one that did.
fn is_of_its_release(manifest: &Manifest, live: &Live) -> bool {
    let own = &manifest.installed_by;
    own.is_some() && *own == release::release_of_live(live)
}

/// Why the application may neither change nor show an object; and whether `windlass adopt` changes
/// that.
async fn refused(
    scope: &AppScope<'_>,
    manifest: &Manifest,
    live: Option<&Live>,
) -> ClusterResult<Option<(String, bool)>> {
    let (key, own) = (&manifest.key, &scope.target.destination.namespace);
    let Some(live) = live else { return Ok(None) };
    let label = &live["metadata"]["labels"][OWNER_LABEL];
    let manager = ownership::managed_by(live);
    if label == scope.owner
        || manager
            .as_ref()
            .is_some_and(|manager| scope.is_managed_by_its_reconciler(manager))
        || !scope.applies() && is_of_its_release(manifest, live)
    {
        return Ok(None);
    }
    let inside =
        key.namespace.as_ref() == Some(own) || (key.kind == "Namespace" && key.name == *own);
    if !inside && label.is_string() {
        let owner = scope.owner;
        return Ok(Some((
            format!(
                "{key} belongs to another application: label it `{OWNER_LABEL}={owner}` to hand it over"
            ),
            false,
        )));
    }
    // helm-controller takes over whatever it finds.
    if !scope.applies() && manifest.installed_by.is_some() {
        return Ok(None);
    }
    let Some(manager) = manager else {
        return Ok(None);
    };
    Ok(match scope.cluster.keeps(&manager).await? {
        Keeps::NoMore => None,
        _ if scope.is_released(&manager) => None,
        // Argo CD and Flux do not ask who else applies an object.
        Keeps::Unknown if scope.adopts || !scope.applies() && inside => None,
        Keeps::Still => Some((
            format!(
                "{key} is managed by {manager}: release it there first, or the two would undo each other's changes"
            ),
            false,
        )),
        Keeps::Unknown => {
            let title = scope.key.title();
            let why = "and windlass cannot see from here whether that still exists";
            Some((
                format!(
                    "{key} is marked as managed by {manager}, {why}: once that is gone, `windlass adopt {title}` takes the object over"
                ),
                true,
            ))
        }
    })
}

/// Whether Helm, Argo CD or Flux made the object and no longer manages it.
pub async fn is_abandoned(scope: &AppScope<'_>, live: &Live) -> ClusterResult<bool> {
    if !ownership::was_reconciled(live) {
        return Ok(false);
    }
    Ok(match ownership::managed_by(live) {
        None => true,
        Some(manager) => match scope.cluster.keeps(&manager).await? {
            Keeps::NoMore => true,
            _ if scope.is_released(&manager) => true,
            Keeps::Still => false,
            // If it is ours by now, or is being adopted, somebody decided that.
            Keeps::Unknown => scope.adopts || live.is_owned_by(scope.owner),
        },
    })
}

/// Takes over the fields of tools that no longer manage the object, and what people added to our
/// lists by hand: of them, what Git does not have is removed.
pub async fn adopt(
    scope: &AppScope<'_>,
    mut request: Request,
    object: Live,
) -> ClusterResult<Prediction> {
    let as_it_is = |object| Side::Object(object, Confidence::Server);
    let Some(live) = &request.live else {
        return Ok(request.predicts(as_it_is(object)));
    };
    let manager = scope.manager_of(&request.manifest);
    let leftovers = match scope.applies() {
        true => ownership::leftovers(live, &manager, is_abandoned(scope, live).await?),
        false => scope
            .applying_of(&request.manifest)
            .await?
            .and_then(|applying| applying.takes_over(&request.write.payload, live)),
    };
    let Some(leftovers) = leftovers else {
        return Ok(request.predicts(as_it_is(object)));
    };
    let mut others = crate::domain::fieldset::FieldSet::default();
    for entry in ownership::entries(&object) {
        if !leftovers.managers.contains(&entry.manager) || entry.manager == manager && entry.applies
        {
            others = others.union(&entry.fields.difference(&leftovers.added));
        }
    }
    if scope.applies() {
        request.write.managed_fields = Some(ownership::adopted(live, &leftovers, &manager));
        request.notes.adopted = leftovers.managers.clone();
    }
    let dropped = leftovers
        .fields
        .union(&leftovers.added)
        .without_shared(&others);
    if dropped.is_empty() {
        return Ok(request.predicts(as_it_is(object)));
    }
    let mut without = object;
    dropped.remove_from(&mut without);
    // The server fills in defaults for what is removed.
    let known = [Confidence::Server, Confidence::Simulated];
    let after = dry_run_update(scope, &request, live, &without, known).await?;
    Ok(request.predicts(after))
}

/// If managed fields name an API version that is no longer served, the API server refuses any
/// server-side apply. The sync rewrites them first. The result is computed here, and checked by the
/// server as an update.
pub async fn carried_over(
    scope: &AppScope<'_>,
    request: &Request,
    answer: &Applied,
) -> ClusterResult<Option<Prediction>> {
    // The message is the API server's: apiextensions, converting a custom resource.
    let refused = |message: &str| message.contains("to an invalid group/version");
    if !matches!(answer, Applied::Refused(refusal) if refused(&refusal.message)) {
        return Ok(None);
    }
    let manifest = &request.manifest;
    let Some(live) = scope.cluster.live(&manifest.key, &manifest.version).await? else {
        return Ok(None);
    };
    let mut unserved = BTreeSet::new();
    for recorded in ownership::recorded_versions(&live) {
        let version = recorded.rsplit('/').next().unwrap_or_default();
        if !scope
            .cluster
            .serves(&manifest.key.group, version, &manifest.key.kind)
            .await?
        {
            unserved.insert(recorded);
        }
    }
    if unserved.is_empty() || !scope.applies() {
        return Ok(None);
    }
    let manager = scope.manager();
    let mut object = ownership::without_dropped(&live, &request.write.payload, &manager);
    overlay(&mut object, &request.write.payload);
    let names: Vec<_> = unserved.iter().map(String::as_str).collect();
    let mut request = request.clone();
    request.notes.unverified = Some(format!(
        "field ownership is recorded under {}, which is no longer served: it is migrated first",
        names.join(", ")
    ));
    request.write.managed_fields = Some(ownership::migrated_managed_fields(&live, &unserved));
    let known = [Confidence::Simulated, Confidence::Static];
    let after = dry_run_update(scope, &request, &live, &object, known).await?;
    request.live = Some(live);
    Ok(Some(request.predicts(after)))
}
