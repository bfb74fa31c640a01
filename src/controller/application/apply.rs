//! Carries a plan out: each write is conditional on what it was planned from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use serde_json::Value;
use tokio::time::Instant;

use super::Observation;
use super::objects::Left;
use super::prune::is_custom;
use crate::cluster::home::{Application, InventoryEntry};
use crate::cluster::{Applied, Writer as ClusterWriter};
use crate::controller::cache::locked;
use crate::controller::dry_run::{self, Predicted};
use crate::controller::{Reader, Requeue, Result, Writer};
use crate::domain::manifest::{ApplyStage, ResourceKey, apply_stage};
use crate::domain::plan::Action;
use crate::domain::{ApplicationKey, ownership, sync};

/// Carries the plan out: stage by stage, then the prunes.
pub async fn apply(
    ctx: &Writer,
    key: &ApplicationKey,
    seen: &Observation,
    object: Application,
) -> Result<Requeue> {
    let fence = ctx
        .observer
        .fence(&key.repo, &seen.declared.target.destination);
    let cluster = ctx
        .cluster(&seen.declared.target.destination.cluster)?
        .writing_as(fence.service_account());
    let cluster = &ctx.to_cluster(&cluster);
    let now = || {
        seen.facts
            .plan
            .effective()
            .filter(|change| seen.facts.allows(&change.key))
    };
    let changed: BTreeSet<_> = now().map(|change| &change.key).collect();
    let mut stages: BTreeMap<ApplyStage, Vec<&Predicted>> = BTreeMap::new();
    let predicted = seen.objects.predicted();
    for predicted in predicted.filter(|predicted| changed.contains(&predicted.manifest.key)) {
        stages
            .entry(apply_stage(&predicted.manifest.key))
            .or_default()
            .push(predicted);
    }
    let definitions_first = sync::waits_for_definitions(&seen.facts.plan)
        && stages.contains_key(&ApplyStage::Definitions);
    for (stage, all) in stages {
        let definitions = stage == ApplyStage::Definitions;
        if !definitions && definitions_first {
            // What the server could not be asked about is planned again once its namespace or kind is there.
            cluster.forget_kinds();
            return Ok(Requeue::After(Duration::from_millis(300)));
        }
        let drifted = |predicted: &Predicted| seen.facts.drifted.contains(&predicted.manifest.key);
        let comes = |of: &ResourceKey| {
            seen.desired
                .manifests
                .iter()
                .any(|other| dry_run::makes_possible(other, of))
        };
        let writes = all.into_iter().map(async |predicted| {
            let drifted = drifted(predicted);
            match write(ctx, key, cluster, predicted, drifted).boxed().await? {
                Written::NotYet if !comes(&predicted.manifest.key) => Ok(Written::Refused(
                    format!("{}: its namespace or kind is gone", predicted.manifest.key),
                )),
                other => Ok(other),
            }
        });
        let answers: Vec<_> = futures::stream::iter(writes.collect::<Vec<_>>())
            .buffered(32)
            .collect()
            .await;
        ctx.metrics.applied(answers.len());
        let written = answers.into_iter().collect::<Result<Vec<_>>>()?;
        // What an API server has not heard of yet it has heard of soon: each learns of a definition by itself.
        if written.iter().any(|one| matches!(one, Written::NotYet)) {
            cluster.forget_kinds();
            return Ok(Requeue::After(Duration::from_secs(1)));
        }
        let refused = |one| {
            if let Written::Refused(why) = one {
                Some(why)
            } else {
                None
            }
        };
        let failed: Vec<_> = written.into_iter().filter_map(refused).collect();
        if !failed.is_empty() {
            // Later stages do not go on what this one left out.
            let mut status = object.status.clone().unwrap_or_default();
            status.blocked = true;
            status.reason = Some(sync::REFUSED.into());
            status.message = Some(failed.join("\n"));
            let object = ctx
                .to_home()
                .report_application(&object, status, ctx.now())
                .await?;
            super::act::tell(ctx, key, &object, false);
            return Ok(Requeue::After(Duration::from_secs(10)));
        }
    }
    delete(
        cluster,
        now()
            .filter(|change| change.action == Action::Prune)
            .filter_map(|change| seen.prune.deleted.get(&change.key))
            .collect(),
    )
    .await?;
    Ok(Requeue::After(Duration::ZERO))
}

/// Deletes objects in the reverse order of applying, each only if it is the one that was looked at. Custom resources go
/// alone, while what sees to their end is there; the rest goes once they are gone.
pub async fn delete(
    cluster: &ClusterWriter<'_>,
    mut leavers: Vec<&(InventoryEntry, Value)>,
) -> Result<()> {
    if leavers.iter().any(|(entry, _)| is_custom(&entry.key)) {
        leavers.retain(|(entry, _)| is_custom(&entry.key));
    }
    leavers.sort_by_key(|(entry, _)| std::cmp::Reverse(apply_stage(&entry.key)));
    for (entry, live) in leavers {
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

/// Writes one object as it was planned (`drifted`: it is set back).
async fn write(
    ctx: &Arc<Reader>,
    key: &ApplicationKey,
    cluster: &ClusterWriter<'_>,
    predicted: &Predicted,
    drifted: bool,
) -> Result<Written> {
    let (manifest, write) = (&predicted.manifest, &predicted.write);
    let version = |live: &Value| {
        live["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .to_string()
    };
    if write.recreate {
        let uid = predicted
            .live
            .as_ref()
            .and_then(|live| live["metadata"]["uid"].as_str())
            .unwrap_or_default();
        match write.alone {
            true => {
                cluster
                    .delete_alone(&manifest.key, &manifest.version, uid)
                    .await?
            }
            false => {
                cluster
                    .delete(&manifest.key, &manifest.version, uid)
                    .await?
            }
        };
        // It is created by the next look, once it is gone.
        return Ok(Written::Done);
    }
    let mut payload = write.payload.clone();
    if let (Some(fields), Some(live)) = (&write.managed_fields, &predicted.live) {
        let now = cluster
            .set_managed_fields(&manifest.key, &manifest.version, &version(live), fields)
            .await?;
        if write.force {
            payload["metadata"]["resourceVersion"] = now.into();
        }
    }
    let stale = || crate::cluster::Error::Stale {
        what: format!("apply {}", manifest.key),
    };
    Ok(
        match cluster
            .apply(
                &manifest.key,
                &manifest.version,
                &payload,
                &key.field_manager(),
                write.force,
            )
            .await?
        {
            Applied::Object(object) => {
                let left = Left {
                    uid: object["metadata"]["uid"]
                        .as_str()
                        .unwrap_or_default()
                        .into(),
                    as_it_should: Some((
                        dry_run::fingerprint(manifest),
                        ownership::signal(&object),
                    )),
                };
                locked(&ctx.cache.applications.left)
                    .entry(key.clone())
                    .or_default()
                    .insert(manifest.key.clone(), left);
                if drifted {
                    let mut heals = locked(&ctx.cache.applications.heals);
                    let times = heals
                        .entry((key.clone(), manifest.key.clone()))
                        .or_default();
                    times.push_back(Instant::now());
                    while times.len() > sync::MOST_HEALS {
                        times.pop_front();
                    }
                }
                Written::Done
            }
            // Somebody took a field since it was looked at.
            Applied::Conflicts(_) => return Err(stale().into()),
            Applied::Refused(refusal) => Written::Refused(format!(
                "{}: {}",
                manifest.key,
                crate::domain::mask::Mask::scrub(&refusal.message, &manifest.value)
            )),
            Applied::NamespaceMissing | Applied::KindMissing => Written::NotYet,
        },
    )
}
