//! What the cluster says about an application's manifests: the reading half
//! that previews and syncs share.
//!
//! [`predict`] asks the API server, by server-side dry-run under the
//! application's own field manager, what a sync would make of one object, and
//! what a sync has to send for that. An object is only asked about when its
//! manifest or its live state is not as it was left ([`is_as_left`]).

mod adoption;
mod conflicts;
mod new_kinds;
mod others;
mod overlay;
mod recreate;
mod refusal;
mod scope;
mod unasked;

use std::collections::BTreeMap;

use adoption::{adopt, carried_over, is_let_go, refused_to_us};
pub use conflicts::fields;
use conflicts::{decide, ignore, undecided};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
pub use new_kinds::makes_possible;
use new_kinds::{by_its_definition, in_another_namespace};
use others::{as_the_reconciler_applies, leave_replicas};
use refusal::{IMMUTABLE_SECRET, NO_RIGHT, refused, without_dry_run};
pub use scope::{Asking, Outside, refusals, settle};
use serde_json::Value;
pub use unasked::{fingerprint, is_as_left, is_untouched, read, side, stub};

use crate::cluster::{self, Applied, Refusal, with_warnings};
use crate::controller::Result;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::mask::Mask;
use crate::domain::ownership;
use crate::domain::plan::{self, Notes, Proof, Side};
use crate::domain::{OWNER_LABEL, contracts, health, hook};

/// Objects that are asked about at the same time; the cluster's own pace bounds the requests. What is to be asked about one
/// takes tens of kilobytes while it is asked: it is boxed when its turn comes, not when it is put into the line.
pub const AT_ONCE: usize = 64;

/// What a sync would make of one object.
#[derive(Debug, Clone)]
pub struct Predicted {
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
    asking: &Asking<'_>,
    wanted: Vec<(Manifest, Option<Value>)>,
    set: &[Manifest],
    applied: &BTreeMap<ResourceKey, Value>,
    again: bool,
) -> Result<Vec<Predicted>> {
    let asked = wanted.into_iter().map(|(manifest, live)| async move {
        // A hook that failed runs once more where somebody asks for a sync.
        let again = again
            && live
                .as_ref()
                .is_some_and(|live| health::assess(live).0 == health::Health::Degraded);
        predict_one(
            asking,
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
    asking: &Asking<'_>,
    manifest: &Manifest,
    live: Option<Value>,
    set: &[Manifest],
    applied: Option<&Value>,
    again: bool,
) -> Asked<Predicted> {
    let (outcome, warnings) =
        with_warnings(predict(asking, manifest, live.clone(), set, applied, again)).await;
    let mut predicted = match outcome {
        // What windlass may not ask about is that object's trouble, not the others'.
        Err(cluster::Error::Forbidden { message, .. }) => {
            let why = format!("{message} ({NO_RIGHT})");
            Predicted {
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
    asking: &Asking<'_>,
    manifest: &Manifest,
    live: Option<Value>,
    set: &[Manifest],
    applied: Option<&Value>,
    again: bool,
) -> Asked<Predicted> {
    let mut predicted = Predicted {
        manifest: manifest.clone(),
        after: Side::Absent,
        notes: Notes::default(),
        write: Write {
            payload: manifest.value.clone(),
            ..Write::default()
        },
        live,
    };
    if !asking.in_base {
        predicted.after = as_if_new(asking, &mut predicted, set).await?;
        return Ok(predicted);
    }
    if let Some((why, to_adopt)) = refused_to_us(asking, manifest, predicted.live.as_ref()).await? {
        // Nor is it shown: whoever writes a pull request could read by it what belongs to others.
        predicted.notes.to_adopt = to_adopt;
        return Ok(Predicted {
            live: None,
            after: Side::Refused(why),
            ..predicted
        });
    }
    // On its way out: once it is gone it is created, which the index tells of.
    if let Some(live) = predicted
        .live
        .clone()
        .filter(|live| live["metadata"]["deletionTimestamp"].is_string())
    {
        return Ok(Predicted {
            after: Side::Object(live, Proof::Server),
            ..predicted
        });
    }
    if let Some(run) = hook::run(&manifest.value)
        && let Some(live) = &predicted.live
        && (hook::run(live) != Some(run) || again)
    {
        if !hook::may_replace(live, asking.owner) {
            return Ok(Predicted {
                live: None,
                after: Side::Refused(not_a_hook(&manifest.key)),
                ..predicted
            });
        }
        // It is to run once more: as a new object.
        predicted.write.recreate = true;
        predicted.notes.recreate = Some("a hook runs anew for each change".into());
        predicted.after = match asking
            .cluster
            .probe(&manifest.key, &manifest.version, &manifest.value)
            .await?
        {
            Err(refusal) => Side::Refused(Mask::scrub(&refusal.message, &manifest.value)),
            Ok(_) => Side::Object(manifest.value.clone(), Proof::Server),
        };
        return Ok(predicted);
    }
    ignore(asking, &mut predicted);
    leave_replicas(asking, &mut predicted, set, applied).await?;
    if !asking.applies() {
        as_the_reconciler_applies(asking, &mut predicted).await?;
    }
    let is_secret = manifest.key.is_core("Secret");
    let secret = is_secret && asking.applies();
    if is_secret {
        look_whole(asking, &mut predicted).await?;
        // Whether its data is just what Git has would be told by what the server says of it.
        let theirs = |live: &Value| {
            live["metadata"]["labels"][OWNER_LABEL] != asking.owner
                && !ownership::keeper(live).is_some_and(|keeper| asking.is_kept_by_its_own(&keeper))
        };
        if predicted
            .live
            .as_ref()
            .is_some_and(|live| theirs(live) && live["immutable"] == true)
        {
            return Ok(Predicted {
                live: None,
                after: Side::Refused(IMMUTABLE_SECRET.into()),
                ..predicted
            });
        }
    }
    let claims = match &predicted.live {
        Some(live) if secret => {
            ownership::claims_on_data(live, &predicted.write.payload, &asking.manager())
        }
        _ => Vec::new(),
    };
    // Other reconcilers take what they want.
    let force = !asking.applies();
    let mut answer = match claims.is_empty() {
        true => ask(asking, manifest, &predicted.write.payload, force).await?,
        false => Applied::Conflicts(claims),
    };
    if let Applied::Conflicts(conflicts) = answer {
        look_whole(asking, &mut predicted).await?;
        let let_go = match &predicted.live {
            Some(live) => is_let_go(asking, live).await?,
            None => false,
        };
        answer = match decide(asking, &mut predicted, conflicts, applied, let_go) {
            Some(why) => Applied::Refused(Refusal {
                message: why,
                ..Refusal::default()
            }),
            None => {
                ask(
                    asking,
                    manifest,
                    &predicted.write.payload,
                    predicted.write.force,
                )
                .await?
            }
        };
    }
    // The words are the API server's: apiextensions, converting a custom resource.
    if let Applied::Refused(refusal) = &answer
        && refusal.message.contains("to an invalid group/version")
        && let Some(after) = carried_over(asking, &mut predicted).await?
    {
        predicted.after = after;
        return Ok(predicted);
    }
    predicted.after = match answer {
        Applied::Object(object) => adopt(asking, &mut predicted, object).await?,
        Applied::NamespaceMissing => in_another_namespace(asking, &mut predicted, set).await?,
        Applied::KindMissing => by_its_definition(asking, &mut predicted, set).await?,
        Applied::Conflicts(conflicts) => Side::Refused(undecided(asking, &conflicts)),
        Applied::Refused(refusal) if refusal.no_dry_run => {
            without_dry_run(asking, &mut predicted, &refusal).await?
        }
        Applied::Refused(refusal) => refused(asking, &mut predicted, set, refusal).await?,
    };
    if let Side::Object(after, proof) = &mut predicted.after {
        match &predicted.live {
            None => plan::without_allocated(after, &manifest.value),
            Some(live) if plan::without_newly_allotted(after, &manifest.value, live) => {
                predicted.notes.allotted = true;
            }
            Some(_) => {}
        }
        if let Some(who) = contracts::applies_more(&manifest.key) {
            *proof = (*proof).max(Proof::Simulated);
            predicted.notes.unverified = Some(format!("what {who} makes of it is not known here"));
        }
    }
    if let Some(live) = &predicted.live
        && let Side::Object(after, _) = &predicted.after
    {
        if let Err(why) = asking
            .fence
            .judge_effect(&predicted.manifest.key, live, after)
        {
            return Ok(Predicted {
                after: Side::Refused(why.to_string()),
                ..predicted
            });
        }
        let mut others = ownership::changed_by_others(live, after);
        if !asking.applies() {
            others.remove(&asking.manager());
        }
        predicted.notes.reverted = fields(others, &predicted.manifest);
    }
    Ok(predicted)
}

/// An object of an application that only a pull request has: what the server would make of it if nothing of its name were
/// there. Whether something is, is not told.
async fn as_if_new(
    asking: &Asking<'_>,
    predicted: &mut Predicted,
    set: &[Manifest],
) -> Asked<Side> {
    let manifest = predicted.manifest.clone();
    if asking
        .cluster
        .kind(&manifest.key.group, &manifest.version, &manifest.key.kind)
        .await?
        .is_none()
    {
        return by_its_definition(asking, predicted, set).await;
    }
    let comes_with_it = |namespace: &String| {
        set.iter()
            .any(|other| other.key.kind == "Namespace" && other.key.name == *namespace)
    };
    if manifest.key.namespace.as_ref().is_some_and(comes_with_it) {
        return in_another_namespace(asking, predicted, set).await;
    }
    Ok(
        match asking
            .cluster
            .probe(&manifest.key, &manifest.version, &manifest.value)
            .await?
        {
            Ok(mut object) => {
                plan::without_allocated(&mut object, &manifest.value);
                Side::Object(object, Proof::Server)
            }
            Err(refusal) if refusal.invalid => {
                Side::Refused(Mask::scrub(&refusal.message, &manifest.value))
            }
            Err(refusal) if refusal.no_namespace => {
                in_another_namespace(asking, predicted, set).await?
            }
            Err(_) => {
                predicted.notes.unverified = Some(
                    "it is not known what the cluster makes of it until the application is merged"
                        .into(),
                );
                Side::Object(manifest.value.clone(), Proof::Static)
            }
        },
    )
}

/// Whose fields they are is in the whole object, not in what the index keeps of it.
pub async fn look_whole(asking: &Asking<'_>, predicted: &mut Predicted) -> Asked<()> {
    if predicted
        .live
        .as_ref()
        .is_some_and(|live| live["metadata"]["resourceVersion"].is_null())
    {
        predicted.live = asking
            .cluster
            .live(&predicted.manifest.key, &predicted.manifest.version)
            .await?;
    }
    Ok(())
}

/// A hook is created anew for each run: it must not take away what is none.
pub fn not_a_hook(key: &ResourceKey) -> String {
    format!("{key} exists already and is no hook of this application: give the hook another name")
}

pub async fn ask(
    asking: &Asking<'_>,
    manifest: &Manifest,
    payload: &Value,
    force: bool,
) -> Asked<Applied> {
    let manager = asking.manager();
    let answer = asking
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
