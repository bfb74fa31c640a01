//! Carries a plan out: each write is conditional on what it was planned from.

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
use crate::domain::manifest::{ApplyStage, Manifest, ResourceKey, apply_stage};
use crate::domain::mask::Mask;
use crate::domain::plan::{Action, Change};
use crate::domain::{ApplicationKey, ownership, sync};

/// Carries the plan out: stage by stage, then the prunes.
pub async fn apply(
    ctx: &Writer,
    key: &ApplicationKey,
    seen: &Observation,
    object: Application,
) -> Result<Requeue> {
    let fence = ctx
        .environment
        .fence(&key.repo, &seen.declared.target.destination);
    let cluster = ctx
        .cluster(&seen.declared.target.destination.cluster)?
        .writing_as(fence.service_account());
    let cluster = &ctx.to_cluster(&cluster);
    let stages = stages(seen);
    let definitions_first = sync::waits_for_definitions(&seen.facts.plan)
        && stages.contains_key(&ApplyStage::Definitions);
    for (stage, all) in stages {
        if stage != ApplyStage::Definitions && definitions_first {
            // What the server could not be asked about is planned again once its namespace or kind is there.
            cluster.forget_kinds();
            return Ok(Requeue::After(Duration::from_millis(300)));
        }
        let written = write_all(ctx, key, cluster, seen, all).await?;
        // What an API server has not heard of yet it has heard of soon: each learns of a definition by itself.
        if written.iter().any(|one| matches!(one, Written::NotYet)) {
            cluster.forget_kinds();
            return Ok(Requeue::After(Duration::from_secs(1)));
        }
        let refused: Vec<_> = written.into_iter().filter_map(Written::refusal).collect();
        if !refused.is_empty() {
            // Later stages do not go on what this one left out.
            return report_refused(ctx, key, &object, &refused).await;
        }
    }
    let pruned = allowed(seen).filter(|change| change.action == Action::Prune);
    let prunable = pruned.filter_map(|change| seen.prune.deleted.get(&change.key));
    delete(cluster, prunable.collect()).await?;
    Ok(Requeue::After(Duration::ZERO))
}

/// What of the plan is carried out now.
fn allowed(seen: &Observation) -> impl Iterator<Item = &Change> {
    let all = seen.facts.plan.effective();
    all.filter(|change| seen.facts.allows(&change.key))
}

/// What is written now, in the order of the stages.
fn stages(seen: &Observation) -> BTreeMap<ApplyStage, Vec<&Prediction>> {
    let changed: BTreeSet<_> = allowed(seen).map(|change| &change.key).collect();
    let mut stages: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let predicted = seen.objects.predicted();
    for predicted in predicted.filter(|predicted| changed.contains(&predicted.manifest.key)) {
        stages
            .entry(apply_stage(&predicted.manifest.key))
            .or_default()
            .push(predicted);
    }
    stages
}

/// Writes the objects of one stage, many at once.
async fn write_all(
    ctx: &Writer,
    key: &ApplicationKey,
    cluster: &ClusterWriter<'_>,
    seen: &Observation,
    all: Vec<&Prediction>,
) -> Result<Vec<Written>> {
    let comes = |of: &ResourceKey| {
        let mut manifests = seen.desired.manifests.iter();
        manifests.any(|other| dry_run::makes_possible(other, of))
    };
    let writes = all.into_iter().map(async |predicted| {
        let object = &predicted.manifest.key;
        let drifted = seen.facts.drifted.contains(object);
        match write(ctx, key, cluster, predicted, drifted).boxed().await? {
            Written::NotYet if !comes(object) => Ok(Written::Refused(format!(
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

/// Keeps why the server refused where kubectl shows it.
async fn report_refused(
    ctx: &Writer,
    key: &ApplicationKey,
    object: &Application,
    refused: &[String],
) -> Result<Requeue> {
    let mut status = object.status.clone().unwrap_or_default();
    status.blocked = true;
    status.reason = Some(sync::REFUSED.into());
    status.message = Some(refused.join("\n"));
    let object = ctx
        .to_store()
        .report_application(object, status, ctx.now())
        .await?;
    super::act::tell(ctx, key, &object, false);
    Ok(Requeue::After(Duration::from_secs(10)))
}

/// Deletes objects in the reverse order of applying, each only if it is the one that was looked at. Custom resources go
/// alone, while what sees to their end is there; the rest goes once they are gone.
pub async fn delete(
    cluster: &ClusterWriter<'_>,
    mut prunable: Vec<&(InventoryEntry, Value)>,
) -> Result<()> {
    if prunable.iter().any(|(entry, _)| is_custom(&entry.key)) {
        prunable.retain(|(entry, _)| is_custom(&entry.key));
    }
    prunable.sort_by_key(|(entry, _)| std::cmp::Reverse(apply_stage(&entry.key)));
    for (entry, live) in prunable {
        cluster
            .delete(
                &entry.key,
                &entry.version,
                live["metadata"]["uid"].as_str().unwrap_or_default(),
            )
            .await?;
    }
    Ok(())
}

/// What came of a write.
enum Written {
    Done,
    /// Its namespace or kind is not there.
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

/// Writes one object as it was planned (`drifted`: it is set back).
async fn write(
    ctx: &Arc<Reader>,
    key: &ApplicationKey,
    cluster: &ClusterWriter<'_>,
    predicted: &Prediction,
    drifted: bool,
) -> Result<Written> {
    let (manifest, write) = (&predicted.manifest, &predicted.write);
    if write.recreate {
        delete_first(cluster, predicted).await?;
        // It is created by the next look, once it is gone.
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
            if drifted {
                remember_heal(ctx, key, &manifest.key);
            }
            Written::Done
        }
        // Somebody took a field since it was looked at.
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

/// Deletes what is to be created anew, if it is the object that was looked at.
async fn delete_first(cluster: &ClusterWriter<'_>, predicted: &Prediction) -> Result<()> {
    let (key, version) = (&predicted.manifest.key, &predicted.manifest.version);
    let uid = predicted
        .live
        .as_ref()
        .and_then(|live| live["metadata"]["uid"].as_str())
        .unwrap_or_default();
    match predicted.write.alone {
        true => cluster.delete_alone(key, version, uid).await?,
        false => cluster.delete(key, version, uid).await?,
    };
    Ok(())
}

/// Says first who owns which field, where that is to be another; what is to be sent then.
async fn with_managed_fields(cluster: &ClusterWriter<'_>, predicted: &Prediction) -> Result<Value> {
    let (manifest, write) = (&predicted.manifest, &predicted.write);
    let mut payload = write.payload.clone();
    if let (Some(fields), Some(live)) = (&write.managed_fields, &predicted.live) {
        let version = live["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default();
        let now = cluster
            .set_managed_fields(&manifest.key, &manifest.version, version, fields)
            .await?;
        if write.force {
            payload["metadata"]["resourceVersion"] = now.into();
        }
    }
    Ok(payload)
}

/// Remembers how the object was left.
fn remember(ctx: &Reader, key: &ApplicationKey, manifest: &Manifest, object: &Value) {
    let left = LastApplied {
        uid: object["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .into(),
        hashes: Some((
            dry_run::manifest_hash(manifest),
            ownership::ownership_hash(object),
        )),
    };
    locked(&ctx.cache.applications.last_applied)
        .entry(key.clone())
        .or_default()
        .insert(manifest.key.clone(), left);
}

/// Remembers when the object was set back.
fn remember_heal(ctx: &Reader, key: &ApplicationKey, object: &ResourceKey) {
    let mut heals = locked(&ctx.cache.applications.heals);
    let times = heals.entry((key.clone(), object.clone())).or_default();
    times.push_back(Instant::now());
    while times.len() > sync::MOST_HEALS {
        times.pop_front();
    }
}
