//! Carries a plan out: each write is conditional on the observed object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use serde_json::Value;
use tokio::time::Instant;

use super::Observation;
use super::objects::LastApplied;
use super::prune::is_custom;
use crate::cluster::store::{Application, InventoryEntry};
use crate::cluster::{self, Applied, Writer as ClusterWriter};
use crate::controller::cache::locked;
use crate::controller::dry_run::{self, Prediction};
use crate::controller::{Reader, Requeue, Result, Writer};
use crate::domain::activity::{LiveObject, Reverted, What};
use crate::domain::manifest::{ApplyPhase, Manifest, ResourceKey, apply_phase};
use crate::domain::mask::Mask;
use crate::domain::plan::{Action, Change};
use crate::domain::{Live, TargetKey, ownership, sync};

/// Carries the plan out: stage by stage, then the prunes.
pub async fn apply(
    ctx: &Writer,
    key: &TargetKey,
    observation: &Observation,
    object: Application,
) -> Result<Requeue> {
    let fence = ctx
        .environment
        .fence(&key.repo, &observation.declared.target.destination);
    let cluster = ctx
        .cluster(&observation.declared.target.destination.cluster)?
        .writing_as(fence.service_account());
    let cluster = &ctx.to_cluster(&cluster);
    let stages = stages(observation);
    let definitions_first = sync::waits_for_definitions(&observation.facts.plan)
        && stages.contains_key(&ApplyPhase::Definitions);
    for (stage, all) in stages {
        if stage != ApplyPhase::Definitions && definitions_first {
            // Objects whose namespace or kind was missing are planned again once it exists.
            cluster.forget_kinds();
            return Ok(Requeue::After(Duration::from_millis(300)));
        }
        let written = write_all(ctx, key, cluster, observation, &all).await?;
        record_applied(ctx, key, observation, &all, &written);
        // Each API server learns of a new definition by itself: try again soon.
        if written
            .iter()
            .any(|outcome| matches!(outcome, Written::NotYet))
        {
            cluster.forget_kinds();
            return Ok(Requeue::After(Duration::from_secs(1)));
        }
        let refused: Vec<_> = written.into_iter().filter_map(Written::refusal).collect();
        if !refused.is_empty() {
            // Later apply stages need what this one failed to write.
            return report_refused(ctx, key, &object, &refused).await;
        }
    }
    let pruned = allowed(observation).filter(|change| change.action == Action::Prune);
    let prunable = pruned.filter_map(|change| observation.prune.deleted.get(&change.key));
    delete(ctx, key, cluster, prunable.collect()).await?;
    Ok(Requeue::After(Duration::ZERO))
}

/// Tells what was written of Git's changes; drift that was reverted is told object by object.
fn record_applied(
    ctx: &Reader,
    key: &TargetKey,
    observation: &Observation,
    all: &[&Prediction],
    written: &[Written],
) {
    let facts = &observation.facts;
    let written = all.iter().zip(written).filter(|(predicted, written)| {
        matches!(written, Written::Done) && !facts.drifted.contains(&predicted.manifest.key)
    });
    let objects: Vec<_> = written
        .filter_map(|(predicted, _)| facts.plan.of(&predicted.manifest.key))
        .map(|change| (change.action.clone(), change.key.clone()))
        .collect();
    if !objects.is_empty() {
        let revision = observation.revision().clone();
        ctx.record_application(key, What::Applied { revision, objects });
    }
}

/// The changes of the plan that are carried out now.
fn allowed(observation: &Observation) -> impl Iterator<Item = &Change> {
    let all = observation.facts.plan.effective();
    all.filter(|change| observation.facts.allows(&change.key))
}

/// What is written now, by apply stage.
fn stages(observation: &Observation) -> BTreeMap<ApplyPhase, Vec<&Prediction>> {
    let changed: BTreeSet<_> = allowed(observation).map(|change| &change.key).collect();
    let mut stages: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let predicted = observation.objects.predicted();
    for predicted in predicted.filter(|predicted| changed.contains(&predicted.manifest.key)) {
        stages
            .entry(apply_phase(&predicted.manifest.key))
            .or_default()
            .push(predicted);
    }
    stages
}

/// Writes the objects of one stage, many at once.
async fn write_all(
    ctx: &Writer,
    key: &TargetKey,
    cluster: &ClusterWriter<'_>,
    observation: &Observation,
    all: &[&Prediction],
) -> Result<Vec<Written>> {
    let is_created_too = |of: &ResourceKey| {
        let mut manifests = observation.desired.manifests.iter();
        manifests.any(|other| dry_run::makes_possible(other, of))
    };
    let writes = all.iter().map(async |predicted| {
        let object = &predicted.manifest.key;
        let drifted = observation.facts.drifted.contains(object);
        let drift = observation.facts.plan.of(object).filter(|_| drifted);
        match write(ctx, key, cluster, predicted, drift).boxed().await? {
            Written::NotYet if !is_created_too(object) => Ok(Written::Refused(format!(
                "{object}: its namespace or kind is gone"
            ))),
            other => Ok(other),
        }
    });
    let answers: Vec<_> = futures::stream::iter(writes.collect::<Vec<_>>())
        .buffered(32)
        .collect()
        .await;
    ctx.metrics.applied(answers.len());
    answers.into_iter().collect()
}

/// Writes the server's refusals into the status, where kubectl shows them.
async fn report_refused(
    ctx: &Writer,
    key: &TargetKey,
    object: &Application,
    refused: &[String],
) -> Result<Requeue> {
    let before = object.status.clone();
    let mut status = before.clone().unwrap_or_default();
    status.blocked = true;
    status.reason = Some(sync::REFUSED.into());
    status.message = Some(refused.join("\n"));
    let object = ctx
        .to_store()
        .report_application(object, status, ctx.now())
        .await?;
    super::act::emit_status(ctx, key, &object, before.as_ref());
    Ok(Requeue::After(Duration::from_secs(10)))
}

/// Deletes objects in the reverse order of applying, each only if it is the one that was observed.
/// Custom resources are deleted first, while their controller still runs; the rest is deleted once
/// they are gone.
pub async fn delete(
    ctx: &Reader,
    key: &TargetKey,
    cluster: &ClusterWriter<'_>,
    mut prunable: Vec<&(InventoryEntry, Live)>,
) -> Result<()> {
    if prunable.iter().any(|(entry, _)| is_custom(&entry.key)) {
        prunable.retain(|(entry, _)| is_custom(&entry.key));
    }
    prunable.sort_by_key(|(entry, _)| std::cmp::Reverse(apply_phase(&entry.key)));
    for (entry, live) in prunable {
        let object = live_object(cluster, &entry.key, &entry.version, live);
        let deleted = cluster
            .delete(&entry.key, &entry.version, &object.uid)
            .await?;
        if deleted {
            ctx.record_application(key, What::Pruned(object));
        }
    }
    Ok(())
}

fn live_object(
    cluster: &ClusterWriter<'_>,
    key: &ResourceKey,
    version: &str,
    live: &Live,
) -> LiveObject {
    LiveObject {
        key: key.clone(),
        version: version.into(),
        uid: live.uid().unwrap_or_default().into(),
        cluster: cluster.name.clone(),
    }
}

/// The outcome of a write.
enum Written {
    Done,
    /// Its namespace or kind does not exist.
    NotYet,
    /// Why the server refused.
    Refused(String),
}

impl Written {
    fn refusal(self) -> Option<String> {
        match self {
            Self::Refused(why) => Some(why),
            Self::Done | Self::NotYet => None,
        }
    }
}

/// Writes one object as planned. `drift`: its change, if that reverts drift.
async fn write(
    ctx: &Arc<Reader>,
    key: &TargetKey,
    cluster: &ClusterWriter<'_>,
    predicted: &Prediction,
    drift: Option<&Change>,
) -> Result<Written> {
    let (manifest, write) = (&predicted.manifest, &predicted.write);
    if write.recreate {
        delete_first(cluster, predicted).await?;
        // The next reconcile creates it, once it is gone.
        return Ok(Written::Done);
    }
    let payload = with_managed_fields(cluster, predicted).await?;
    let answer = cluster
        .apply(
            &manifest.key,
            &manifest.version,
            &payload,
            &key.field_manager(),
            write.force,
        )
        .await?;
    Ok(match answer {
        Applied::Object(object) => {
            remember(ctx, key, manifest, &object);
            if let Some(change) = drift {
                remember_heal(ctx, key, &manifest.key);
                let object = live_object(cluster, &manifest.key, &manifest.version, &object);
                let reverted = Reverted::new(object, change);
                ctx.record_application(key, What::DriftReverted(reverted));
            }
            Written::Done
        }
        // Somebody took a field since the object was observed.
        Applied::Conflicts(_) => {
            let what = format!("apply {}", manifest.key);
            return Err(cluster::Error::Stale { what }.into());
        }
        Applied::Refused(refusal) => Written::Refused(format!(
            "{}: {}",
            manifest.key,
            Mask::scrub(&refusal.message, &manifest.value)
        )),
        Applied::NamespaceMissing | Applied::KindMissing => Written::NotYet,
    })
}

/// Deletes an object that is to be recreated, if it is the one that was observed.
async fn delete_first(cluster: &ClusterWriter<'_>, predicted: &Prediction) -> Result<()> {
    let (key, version) = (&predicted.manifest.key, &predicted.manifest.version);
    let uid = predicted
        .live
        .as_ref()
        .and_then(Live::uid)
        .unwrap_or_default();
    match predicted.write.alone {
        true => cluster.delete_alone(key, version, uid).await?,
        false => cluster.delete(key, version, uid).await?,
    };
    Ok(())
}

/// Sets the managed fields first, where the prediction changes them. Returns the payload to apply.
async fn with_managed_fields(cluster: &ClusterWriter<'_>, predicted: &Prediction) -> Result<Value> {
    let (manifest, write) = (&predicted.manifest, &predicted.write);
    let mut payload = write.payload.clone();
    if let (Some(fields), Some(live)) = (&write.managed_fields, &predicted.live) {
        let version = live.resource_version().unwrap_or_default();
        let now = cluster
            .set_managed_fields(&manifest.key, &manifest.version, version, fields)
            .await?;
        if write.force {
            payload["metadata"]["resourceVersion"] = now.into();
        }
    }
    Ok(payload)
}

/// Remembers the object as it was applied.
fn remember(ctx: &Reader, key: &TargetKey, manifest: &Manifest, object: &Live) {
    let last_applied = LastApplied {
        uid: object.uid().unwrap_or_default().into(),
        hashes: Some((
            dry_run::manifest_hash(manifest),
            ownership::ownership_hash(object),
        )),
    };
    locked(&ctx.cache.applications.last_applied)
        .entry(key.clone())
        .or_default()
        .insert(manifest.key.clone(), last_applied);
}

/// Remembers when drift of the object was reverted.
fn remember_heal(ctx: &Reader, key: &TargetKey, object: &ResourceKey) {
    let mut heals = locked(&ctx.cache.applications.heals);
    let times = heals.entry((key.clone(), object.clone())).or_default();
    times.push_back(Instant::now());
    while times.len() > sync::MOST_HEALS {
        times.pop_front();
    }
}
