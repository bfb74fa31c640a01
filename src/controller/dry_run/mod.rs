//! The server-side dry-run of an application's manifests, which previews and
//! syncs share. It writes nothing.
//!
//! [`predict`] dry-runs one object under the application's own field manager:
//! what a sync would make of it, and what a sync has to send for that. An
//! object is only dry-run if its manifest or its live state changed since it
//! was applied ([`is_as_applied`]).
//!
//! A [`Request`] becomes a [`Prediction`] by the first case that fits, each in
//! a file: what is encrypted (`encrypted`), who manages the object and what is taken over (`adoption`), a
//! hook's next run (`hooks`), Secrets of others (`secrets`), fields that others
//! hold (`conflicts`, `others`), namespaces and kinds of the same change
//! (`new_kinds`), an application of the same change (`new_application`), what
//! the server refuses (`refusal`) or cannot change (`recreate`). `review`
//! completes the prediction of an object that the server accepts. `scope` says
//! whose rights are used; `live` reads live objects.

mod adoption;
mod conflicts;
mod encrypted;
mod hooks;
mod live;
mod new_application;
mod new_kinds;
mod others;
mod overlay;
mod recreate;
mod refusal;
mod request;
mod review;
mod scope;
mod secrets;

use std::collections::BTreeMap;

use adoption::{adopt, carried_over, is_abandoned, refuse_others};
pub use conflicts::fields;
use conflicts::{decide, ignore, undecided};
use encrypted::encrypted;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use hooks::next_run;
pub use hooks::not_a_hook;
pub use live::{is_as_applied, is_live_unchanged, manifest_hash, placeholder, read, side};
use new_application::as_if_new;
pub use new_kinds::makes_possible;
use new_kinds::{by_its_definition, in_another_namespace};
use others::{as_the_reconciler_applies, client_side, leave_replicas, left_alone, without_right};
pub use others::{pinned, unfilled};
use refusal::{NO_RIGHT, refused, without_dry_run};
use request::Request;
use review::review;
pub use scope::{AppScope, Outside, normalize, normalize_by, refusals};
use serde_json::Value;

use crate::cluster::{self, Applied, Refusal, with_warnings};
use crate::controller::Result;
use crate::domain::Live;
use crate::domain::health;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::mask::Mask;
use crate::domain::plan::{Confidence, Notes, Side};

/// Objects that are dry-run at the same time; the cluster's rate limit bounds the requests. The
/// future of one takes tens of kilobytes: it is boxed when it is polled first, not when it is put
/// into the list.
pub const AT_ONCE: usize = 64;

/// What a sync would make of one object.
#[derive(Debug, Clone)]
pub struct Prediction {
    pub manifest: Manifest,
    pub live: Option<Live>,
    pub after: Side,
    pub notes: Notes,
    pub write: Write,
}

/// What a sync sends for one object.
#[derive(Debug, Clone, Default)]
pub struct Write {
    pub payload: Value,
    /// Takes fields from others; the payload then names the live object's resourceVersion.
    pub force: bool,
    /// The managed fields to set first.
    pub managed_fields: Option<Value>,
    /// The live object is deleted first.
    pub recreate: bool,
    /// The deletion leaves its pods, which the new object takes over.
    pub alone: bool,
}

/// What a sync would make of objects. `set`: all manifests of the application, since one may make
/// another possible.
/// `applied`: each object as we applied it last, if we did. `rerun_failed`: failed hooks are to run once more.
pub async fn predict_all(
    scope: &AppScope<'_>,
    wanted: Vec<(Manifest, Option<Live>)>,
    set: &[Manifest],
    applied: &BTreeMap<ResourceKey, Value>,
    rerun_failed: bool,
) -> Result<Vec<Prediction>> {
    let predictions = wanted.into_iter().map(|(manifest, live)| async move {
        // A failed hook runs once more if somebody requests a sync.
        let rerun_failed = rerun_failed
            && live
                .as_ref()
                .is_some_and(|live| health::assess(live).0 == health::Health::Degraded);
        predict_one(
            scope,
            &manifest,
            live,
            set,
            applied.get(&manifest.key),
            rerun_failed,
        )
        .boxed()
        .await
    });
    Ok(futures::stream::iter(predictions.collect::<Vec<_>>())
        .buffered(AT_ONCE)
        .try_collect()
        .await?)
}

/// What a sync would make of one object, with the server's warnings.
pub async fn predict_one(
    scope: &AppScope<'_>,
    manifest: &Manifest,
    live: Option<Live>,
    set: &[Manifest],
    applied: Option<&Value>,
    rerun_failed: bool,
) -> ClusterResult<Prediction> {
    let (outcome, warnings) = with_warnings(predict(
        scope,
        manifest,
        live.clone(),
        set,
        applied,
        rerun_failed,
    ))
    .await;
    let mut predicted = match outcome {
        // Whether windlass may write it says nothing about what others will do.
        Err(cluster::Error::Forbidden { .. }) if !scope.applies() => {
            without_right(scope, manifest, live, set).await?
        }
        // A missing right refuses this object, not the others.
        Err(cluster::Error::Forbidden { message, .. }) => {
            let why = format!("{message} ({NO_RIGHT})");
            Prediction {
                live,
                after: Side::Refused(why),
                notes: Notes::default(),
                write: Write::default(),
                manifest: manifest.clone(),
            }
        }
        other => other?,
    };
    predicted.notes.warnings.extend(warnings);
    Ok(predicted)
}

pub type ClusterResult<T> = std::result::Result<T, cluster::Error>;

async fn predict(
    scope: &AppScope<'_>,
    manifest: &Manifest,
    live: Option<Live>,
    set: &[Manifest],
    applied: Option<&Value>,
    rerun_failed: bool,
) -> ClusterResult<Prediction> {
    let request = Request::new(manifest, live);
    if let Some(predicted) = encrypted(scope, &request) {
        return Ok(predicted);
    }
    if !scope.shows_live {
        return as_if_new(scope, request, set).await;
    }
    if let Some(predicted) = refuse_others(scope, &request).await? {
        return Ok(predicted);
    }
    if let Some(predicted) = being_deleted(&request) {
        return Ok(predicted);
    }
    if let Some(predicted) = next_run(scope, &request, rerun_failed).await? {
        return Ok(predicted);
    }
    let request = ignore(scope, request);
    let request = leave_replicas(scope, request, set, applied).await?;
    let request = as_the_reconciler_applies(scope, request, set).await?;
    let request = secrets::with_whole_live(scope, request).await?;
    if let Some(predicted) = secrets::immutable(scope, &request) {
        return Ok(predicted);
    }
    if let Some(predicted) = left_alone(scope, &request).await? {
        return Ok(predicted);
    }
    if let Some(predicted) = client_side(scope, &request, set).await? {
        return Ok(review(scope, set, predicted));
    }
    let (request, answer) = resolve_and_dry_run(scope, request, applied).await?;
    if let Some(predicted) = carried_over(scope, &request, &answer).await? {
        return Ok(predicted);
    }
    let predicted = match answer {
        Applied::Object(object) => adopt(scope, request, object).await?,
        Applied::NamespaceMissing => in_another_namespace(scope, request, set).await?,
        Applied::KindMissing => by_its_definition(scope, request, set).await?,
        Applied::Conflicts(conflicts) => request.refused(undecided(scope, &conflicts)),
        Applied::Refused(refusal) if refusal.no_dry_run => {
            without_dry_run(scope, request, &refusal).await?
        }
        Applied::Refused(refusal) => refused(scope, request, set, refusal).await?,
    };
    Ok(review(scope, set, predicted))
}

/// An object that is being deleted: it is created once it is gone, which the index reports.
fn being_deleted(request: &Request) -> Option<Prediction> {
    let live = request.live.as_ref()?;
    let after = || Side::Object(live.clone(), Confidence::Server);
    live.is_being_deleted()
        .then(|| request.clone().predicts(after()))
}

/// The dry-run of an object, with its conflicts resolved as far as rules resolve them; and the
/// request as it was sent.
async fn resolve_and_dry_run(
    scope: &AppScope<'_>,
    request: Request,
    applied: Option<&Value>,
) -> ClusterResult<(Request, Applied)> {
    let claims = secrets::claims(scope, &request);
    // Argo CD and Flux take fields by force.
    let force = !scope.applies();
    let answer = match claims.is_empty() {
        true => dry_run_apply(scope, &request.manifest, &request.write.payload, force).await?,
        false => Applied::Conflicts(claims),
    };
    let Applied::Conflicts(conflicts) = answer else {
        return Ok((request, answer));
    };
    let request = request.with_whole_live(scope).await?;
    let abandoned = match &request.live {
        Some(live) => is_abandoned(scope, live).await?,
        None => false,
    };
    let (request, answer) = match decide(scope, request, conflicts, applied, abandoned) {
        (request, Some(message)) => {
            let refusal = Refusal {
                message,
                ..Refusal::default()
            };
            (request, Applied::Refused(refusal))
        }
        (request, None) => {
            let write = &request.write;
            let answer =
                dry_run_apply(scope, &request.manifest, &write.payload, write.force).await?;
            (request, answer)
        }
    };
    Ok((request, answer))
}

pub async fn dry_run_apply(
    scope: &AppScope<'_>,
    manifest: &Manifest,
    payload: &Value,
    force: bool,
) -> ClusterResult<Applied> {
    let manager = scope.manager_of(manifest);
    let answer = scope
        .cluster
        .dry_run(&manifest.key, &manifest.version, payload, &manager, force)
        .await?;
    Ok(scrubbed(answer, manifest))
}

/// The answer, without values of the object in the server's words.
fn scrubbed(answer: Applied, manifest: &Manifest) -> Applied {
    match answer {
        Applied::Refused(refusal) => Applied::Refused(Refusal {
            message: Mask::scrub(&refusal.message, &manifest.value),
            ..refusal
        }),
        other => other,
    }
}
