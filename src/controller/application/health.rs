//! The health of an application: of its objects, their pods, and its sync waves.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::declare::Declared;
use super::desired::Desired;
use super::objects::{LiveState, Object, Objects};
use crate::cluster::Cluster;
use crate::cluster::store::{self, HookRun};
use crate::controller::dry_run::AppScope;
use crate::controller::{Reader, Result};
use crate::domain::health::{self, Health};
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::ownership::unmanaged_fields;
use crate::domain::plan::Plan;
use crate::domain::sync;

pub struct Assessed {
    pub total: health::Assessment,
    pub waves: sync::Waves,
    /// Hooks that succeeded.
    pub hooks_done: Vec<HookRun>,
    /// Custom kinds for which no rule says when they are healthy.
    pub unruled: Vec<String>,
    /// What people set on its objects beside Git.
    pub unmanaged: Vec<store::Unmanaged>,
}

/// An object's health, and the workload whose pods may explain it.
type Own = (health::Assessment, Option<Arc<health::Workload>>);

pub async fn assess(
    ctx: &Arc<Reader>,
    declared: &Declared,
    scope: &AppScope<'_>,
    desired: &Desired,
    objects: &Objects,
    plan: &Plan,
) -> Result<Assessed> {
    let cluster = &scope.cluster;
    let pending = pending(plan);
    let mut assessments = Vec::new();
    for manifest in &desired.manifests {
        if let Some(object) = objects.all.get(&manifest.key) {
            let (health, workload) = of_object(ctx, cluster, manifest, object).await?;
            assessments.push((manifest, health, workload));
        }
    }
    let assessed = with_pods(cluster, &declared.owner, assessments, ctx.now());
    let hooks_done = desired.hooks.done_by(&assessed, &pending);
    // An object that has yet to be applied counts as progressing, whatever it is now: later waves
    // wait for it.
    let until_applied = |manifest: &Manifest, (health, why): health::Assessment| match health {
        Health::Healthy | Health::Suspended if pending.contains(&manifest.key) => {
            let why = format!("{} is not applied yet", manifest.key);
            (Health::Progressing, why)
        }
        _ => (health, why),
    };
    let waves = assessed.iter().map(|(manifest, health)| {
        let until_applied = until_applied(manifest, health.clone());
        (&manifest.key, &manifest.value, until_applied)
    });
    let values = desired.manifests.iter().map(|manifest| &manifest.value);
    Ok(Assessed {
        waves: sync::Waves::new(waves),
        total: health::aggregate(assessed.into_iter().map(|(_, health)| health)),
        hooks_done,
        unruled: cluster.index.unruled(&scope.key.repo, values),
        unmanaged: unmanaged(objects),
    })
}

/// The most objects that are named for what people set on them.
const MOST_UNMANAGED: usize = 20;

fn unmanaged(objects: &Objects) -> Vec<store::Unmanaged> {
    let of_object = |(key, object): (&ResourceKey, &Object)| {
        let fields = match &object.live {
            LiveState::RanAndGone => Vec::new(),
            LiveState::OnlyGitChanged(entry) | LiveState::AsApplied(entry) => {
                entry.unmanaged.clone()
            }
            LiveState::Changed => {
                let predicted = object.predicted.as_ref();
                let live = predicted.and_then(|predicted| predicted.live.as_ref());
                live.map(|live| unmanaged_fields(live)).unwrap_or_default()
            }
        };
        let object = key.to_string();
        fields.into_iter().map(move |fields| store::Unmanaged {
            object: object.clone(),
            fields,
        })
    };
    let all = objects.all.iter().flat_map(of_object);
    all.take(MOST_UNMANAGED).collect()
}

/// The objects that the plan still changes.
pub fn pending(plan: &Plan) -> BTreeSet<ResourceKey> {
    plan.effective().map(|change| change.key.clone()).collect()
}

async fn of_object(
    ctx: &Reader,
    cluster: &Cluster,
    manifest: &Manifest,
    object: &Object,
) -> Result<Own> {
    let (health, silent, workload) = match &object.live {
        LiveState::RanAndGone => return Ok(((Health::Healthy, String::new()), None)),
        LiveState::OnlyGitChanged(entry) => {
            return Ok((entry.health.clone(), entry.workload.clone()));
        }
        LiveState::AsApplied(entry) => (
            entry.health.clone(),
            entry.silent_since,
            entry.workload.clone(),
        ),
        LiveState::Changed => {
            let live = object
                .predicted
                .as_ref()
                .and_then(|predicted| predicted.live.as_ref());
            let Some(live) = live else {
                let why = format!("{} is missing", manifest.key);
                return Ok(((Health::Missing, why), None));
            };
            let workload = health::Workload::of(live).map(Arc::new);
            (
                cluster.index.assess(live),
                health::silent_since(live),
                workload,
            )
        }
    };
    let health = unless_silent(ctx, cluster, manifest, health, silent).await?;
    Ok((health, workload))
}

/// If the controller of an object has not written its status yet, the object counts as progressing
/// for a while.
pub async fn unless_silent(
    ctx: &Reader,
    cluster: &Cluster,
    manifest: &Manifest,
    health: health::Assessment,
    silent_since: Option<jiff::Timestamp>,
) -> Result<health::Assessment> {
    let key = &manifest.key;
    let waits =
        silent_since.is_some_and(|since| ctx.now().duration_since(since) < health::STATUS_GRACE);
    Ok(
        match waits
            && health.0 == Health::Healthy
            && cluster
                .has_status(&key.group, &manifest.version, &key.kind)
                .await?
        {
            true => (
                Health::Progressing,
                format!(
                    "{} {}: its controller has not reported on it yet",
                    key.kind, key.name
                ),
            ),
            false => health,
        },
    )
}

/// If a pod cannot run, its workload is degraded, whatever the workload's own status still says.
pub fn with_pods<'a>(
    cluster: &Cluster,
    owner: &str,
    assessments: Vec<(
        &'a Manifest,
        health::Assessment,
        Option<Arc<health::Workload>>,
    )>,
    now: jiff::Timestamp,
) -> Vec<(&'a Manifest, health::Assessment)> {
    // A Deployment whose deadline has passed still has the pods that say why.
    let asks = |health: Health| matches!(health, Health::Progressing | Health::Degraded);
    let waits = |(_, (health, _), _): &&(_, health::Assessment, _)| asks(*health);
    let workloads = assessments
        .iter()
        .filter(waits)
        .filter_map(|(_, _, workload)| workload.clone())
        .collect();
    let mut failures = cluster.pods.wait(owner, workloads, now).into_iter();
    let with_failure =
        |(manifest, health, workload): (&'a Manifest, health::Assessment, Option<_>)| {
            let workload = workload.filter(|_| asks(health.0));
            let failure = workload.and_then(|workload: Arc<health::Workload>| {
                let why = failures.next().flatten()?;
                let serves = workload.serves();
                let serves = serves.map_or(String::new(), |serves| format!("; {serves}"));
                Some(format!(
                    "{} {}: {why}{serves}",
                    manifest.key.kind, manifest.key.name
                ))
            });
            let degraded = failure.map(|why| (Health::Degraded, why));
            (manifest, degraded.unwrap_or(health))
        };
    assessments.into_iter().map(with_failure).collect()
}
