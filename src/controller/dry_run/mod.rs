//! What the cluster says about an application's manifests: the reading half
//! that previews and syncs share.
//!
//! [`predict`] asks the API server, by server-side dry-run under the
//! application's own field manager, what a sync would make of one object, and
//! what a sync has to send for that. An object is only asked about when its
//! manifest or its live state is not as it was left ([`is_as_left`]).
//!
//! A [`Request`] becomes a [`Prediction`] by the first answer that fits, each in
//! a file: whose the object is and what of it is taken over (`adoption`), a
//! hook's next run (`hooks`), Secrets of others (`secrets`), fields that others
//! hold (`conflicts`, `others`), namespaces and kinds of the same change
//! (`new_kinds`), an application of the same change (`new_application`), what
//! the server refuses (`refusal`) or cannot change (`recreate`). `review` says
//! what is left to say of an object that the server would have. `scope` is
//! whose rights are used; `unasked` is what is known without asking.

mod adoption;
mod conflicts;
mod hooks;
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
mod unasked;

use std::collections::BTreeMap;

use adoption::{adopt, carried_over, is_let_go, of_others};
pub use conflicts::fields;
use conflicts::{decide, ignore, undecided};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use hooks::another_run;
pub use hooks::not_a_hook;
use new_application::as_if_new;
pub use new_kinds::makes_possible;
use new_kinds::{by_its_definition, in_another_namespace};
use others::{as_the_reconciler_applies, leave_replicas};
use refusal::{NO_RIGHT, refused, without_dry_run};
use request::Request;
use review::review;
pub use scope::{AppScope, Outside, normalize, refusals};
use serde_json::Value;
pub use unasked::{is_as_left, is_untouched, manifest_hash, placeholder, read, side};

use crate::cluster::{self, Applied, Refusal, with_warnings};
use crate::controller::Result;
use crate::domain::health;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::mask::Mask;
use crate::domain::plan::{Confidence, Notes, Side};

/// Objects that are asked about at the same time; the cluster's own pace bounds the requests. What is to be asked about one
/// takes tens of kilobytes while it is asked: it is boxed when its turn comes, not when it is put into the line.
pub const AT_ONCE: usize = 64;

/// What a sync would make of one object.
#[derive(Debug, Clone)]
pub struct Prediction {
    pub manifest: Manifest,
    pub live: Option<Value>,
    pub after: Side,
    pub notes: Notes,
    pub write: Write,
}

/// What a sync sends.
#[derive(Debug, Clone, Default)]
pub struct Write {
    pub payload: Value,
    /// Takes fields from others; the payload then names the live object's resourceVersion.
    pub force: bool,
    /// Who owns which field, to be set first.
    pub managed_fields: Option<Value>,
    /// Deleted first.
    pub recreate: bool,
    /// Without its pods, which the new one takes over.
    pub alone: bool,
}

/// What a sync would make of objects. `set`: all manifests of the application, since one may make another possible.
/// `applied`: each object as we applied it last, if we did. `again`: hooks that failed are to run once more.
pub async fn predict_all(
    scope: &AppScope<'_>,
    wanted: Vec<(Manifest, Option<Value>)>,
    set: &[Manifest],
    applied: &BTreeMap<ResourceKey, Value>,
    again: bool,
) -> Result<Vec<Prediction>> {
    let asked = wanted.into_iter().map(|(manifest, live)| async move {
        // A hook that failed runs once more where somebody asks for a sync.
        let again = again
            && live
                .as_ref()
                .is_some_and(|live| health::assess(live).0 == health::Health::Degraded);
        predict_one(
            scope,
            &manifest,
            live,
            set,
            applied.get(&manifest.key),
            again,
        )
        .boxed()
        .await
    });
    Ok(futures::stream::iter(asked.collect::<Vec<_>>())
        .buffered(AT_ONCE)
        .try_collect()
        .await?)
}

/// What a sync would make of one object, with the server's warnings.
pub async fn predict_one(
    scope: &AppScope<'_>,
    manifest: &Manifest,
    live: Option<Value>,
    set: &[Manifest],
    applied: Option<&Value>,
    again: bool,
) -> Asked<Prediction> {
    let (outcome, warnings) =
        with_warnings(predict(scope, manifest, live.clone(), set, applied, again)).await;
    let mut predicted = match outcome {
        // What windlass may not ask about is that object's trouble, not the others'.
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

pub type Asked<T> = std::result::Result<T, cluster::Error>;

async fn predict(
    scope: &AppScope<'_>,
    manifest: &Manifest,
    live: Option<Value>,
    set: &[Manifest],
    applied: Option<&Value>,
    again: bool,
) -> Asked<Prediction> {
    let request = Request::new(manifest, live);
    if !scope.in_base {
        return as_if_new(scope, request, set).await;
    }
    if let Some(predicted) = of_others(scope, &request).await? {
        return Ok(predicted);
    }
    if let Some(predicted) = being_deleted(&request) {
        return Ok(predicted);
    }
    if let Some(predicted) = another_run(scope, &request, again).await? {
        return Ok(predicted);
    }
    let request = ignore(scope, request);
    let request = leave_replicas(scope, request, set, applied).await?;
    let request = as_the_reconciler_applies(scope, request).await?;
    let request = secrets::whole(scope, request).await?;
    if let Some(predicted) = secrets::immutable(scope, &request) {
        return Ok(predicted);
    }
    let (request, answer) = answered(scope, request, applied).await?;
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
    Ok(review(scope, predicted))
}

/// On its way out: once it is gone it is created, which the index tells of.
fn being_deleted(request: &Request) -> Option<Prediction> {
    let live = request.live.as_ref()?;
    let is_deleted = live["metadata"]["deletionTimestamp"].is_string();
    let after = || Side::Object(live.clone(), Confidence::Server);
    is_deleted.then(|| request.clone().predicts(after()))
}

/// What the server says of an object, once its conflicts are settled as far as rules settle them; and what was sent then.
async fn answered(
    scope: &AppScope<'_>,
    request: Request,
    applied: Option<&Value>,
) -> Asked<(Request, Applied)> {
    let claims = secrets::claims(scope, &request);
    // Other reconcilers take what they want.
    let force = !scope.applies();
    let answer = match claims.is_empty() {
        true => ask(scope, &request.manifest, &request.write.payload, force).await?,
        false => Applied::Conflicts(claims),
    };
    let Applied::Conflicts(conflicts) = answer else {
        return Ok((request, answer));
    };
    let request = request.with_whole_live(scope).await?;
    let let_go = match &request.live {
        Some(live) => is_let_go(scope, live).await?,
        None => false,
    };
    let (request, answer) = match decide(scope, request, conflicts, applied, let_go) {
        (request, Some(message)) => {
            let refusal = Refusal {
                message,
                ..Refusal::default()
            };
            (request, Applied::Refused(refusal))
        }
        (request, None) => {
            let write = &request.write;
            let answer = ask(scope, &request.manifest, &write.payload, write.force).await?;
            (request, answer)
        }
    };
    Ok((request, answer))
}

pub async fn ask(
    scope: &AppScope<'_>,
    manifest: &Manifest,
    payload: &Value,
    force: bool,
) -> Asked<Applied> {
    let manager = scope.manager();
    let answer = scope
        .cluster
        .dry_run(&manifest.key, &manifest.version, payload, &manager, force)
        .await?;
    Ok(match answer {
        Applied::Refused(refusal) => Applied::Refused(Refusal {
            message: Mask::scrub(&refusal.message, &manifest.value),
            ..refusal
        }),
        other => other,
    })
}
