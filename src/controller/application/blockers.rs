//! What blocks a plan, or a part of it: pauses, dependencies, objects that existed before windlass,
//! drift loops, images that are not proven.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::declare::Declared;
use super::desired::Desired;
use super::drift_loop::drift_loops;
use super::health::Assessed;
use super::objects::Objects;
use super::{approved, drift_pull_request, image_verification};
use crate::cluster::store::{self, Application, ApplicationStatus, DriftLoop, Pause};
use crate::controller::cache::locked;
use crate::controller::dry_run::AppScope;
use crate::controller::revision::change;
use crate::controller::{Reader, Result};
use crate::domain::approved::{ApprovedPlan, Deviations};
use crate::domain::catalog::Target;
use crate::domain::health::{Health, SyncState};
use crate::domain::manifest::ResourceKey;
use crate::domain::ownership::FieldRule;
use crate::domain::plan::Plan;
use crate::domain::sync::Adoption;
use crate::domain::{Invalid, TargetKey, hook, sync};

pub struct Blockers {
    pub pause: Option<Pause>,
    pub waits_for: Vec<String>,
    /// Why nothing is applied until somebody adopts the existing objects.
    pub adoption: Option<Adoption>,
    /// What merged pull requests were approved for, and what the plan does beyond that.
    pub approved: Vec<ApprovedPlan>,
    pub deviations: Option<Deviations>,
    /// Objects whose drift is reverted again and again, with who changes them.
    pub drift_loops: Vec<(ResourceKey, String)>,
    pub drift_backoff: Option<DriftLoop>,
    /// The state of the pull request about exactly this drift.
    pub proposal: sync::Proposal,
    pub verification: image_verification::Verification,
    /// A failed hook is to run once more, since somebody requested a sync.
    pub reruns_hook: bool,
    /// Identifies the cluster.
    pub cluster_uid: String,
}

#[expect(
    clippy::too_many_arguments,
    reason = "each is the outcome of a stage before"
)]
pub async fn read(
    ctx: &Arc<Reader>,
    declared: &Declared,
    scope: &AppScope<'_>,
    desired: &Desired,
    objects: &Objects,
    plan: &Plan,
    drifted: &BTreeSet<ResourceKey>,
    health: &Assessed,
) -> Result<Blockers> {
    let (key, base, target) = (scope.key, &declared.base, &declared.target);
    let (status, requests) = (&declared.status, &declared.requests);
    let pause = pause(requests.pause.clone(), status.pause.clone(), ctx.now())?;
    let cluster_uid = scope.cluster.uid().await?;
    let approved = approved::plans(ctx, key, declared).await?;
    let deviations = approved::deviations(declared, &approved, plan);
    let adoption = adoption(status, plan, &cluster_uid, requests.adopt, key);
    if requests.hard_refresh {
        locked(&ctx.cache.applications.heals).retain(|(of, _), _| of != key);
    }
    let known = status.drift_loop.clone().filter(|_| !requests.hard_refresh);
    let (drift_loops, drift_backoff) =
        drift_loops(ctx, key, plan, drifted, known, &declared.change.revision);
    let reruns_hook = requests.hard_refresh
        && objects.predicted().any(|predicted| {
            predicted.write.recreate && hook::run(&predicted.manifest.value).is_some()
        });
    let (manifests, images) = (&desired.manifests, &desired.images);
    let verification = match plan.is_empty() && health.total.0 == Health::Healthy {
        true => {
            let recheck = requests.hard_refresh;
            image_verification::check(ctx, key, &scope.cluster, manifests, images, status, recheck)
                .await?
        }
        false => image_verification::known(status, images),
    };
    let only_drift =
        !plan.is_empty() && plan.effective().all(|change| drifted.contains(&change.key));
    let proposal = match target.drift {
        sync::DriftMode::Propose if only_drift => {
            drift_pull_request::observe(ctx, key, base, plan).await?
        }
        _ => sync::Proposal::None,
    };
    Ok(Blockers {
        pause,
        waits_for: waits_for(ctx, key, declared).await?,
        adoption,
        approved,
        deviations,
        drift_loops,
        drift_backoff,
        proposal,
        verification,
        reruns_hook,
        cluster_uid,
    })
}

impl Blockers {
    pub fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.pause.as_ref().map(|pause| pause.until);
        until.filter(|until| *until > now)
    }
}

/// The fields that `/take` lets the application take from other field managers.
pub fn accepted_takes(object: Option<&Application>) -> Vec<FieldRule> {
    let text = object.and_then(|object| object.annotations().get(store::TAKE));
    // A value that somebody wrote by hand and that cannot be parsed is ignored.
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// The requested pause with its end, which is counted from when the request was first observed.
fn pause(request: Option<String>, known: Option<Pause>, now: Timestamp) -> Result<Option<Pause>> {
    let Some(request) = request else {
        return Ok(None);
    };
    if let Some(known) = known.filter(|known| known.request == request) {
        return Ok(Some(known));
    }
    let text = request.split(',').next().unwrap_or_default();
    let Some(duration) = sync::duration(text) else {
        return Err(Invalid(format!(
            "the annotation {}: `{text}` is not a duration: write 30m, 2h or 1d",
            store::PAUSE
        ))
        .into());
    };
    let until = now
        .saturating_add(duration)
        .map_err(|error| Invalid(error.to_string()))?;
    Ok(Some(Pause {
        request,
        until: Timestamp::from_second(until.as_second()).unwrap_or(until),
    }))
}

/// Why nothing is applied until somebody adopts the existing objects.
fn adoption(
    status: &ApplicationStatus,
    plan: &Plan,
    cluster_uid: &str,
    adopted: bool,
    key: &TargetKey,
) -> Option<Adoption> {
    if adopted {
        return None;
    }
    let application = key.title();
    let known = status.cluster_uid.as_deref();
    if known.is_some_and(|known| known != cluster_uid) {
        return Some(Adoption::OtherCluster { application });
    }
    let objects: Vec<_> = plan.existing().map(|change| change.key.clone()).collect();
    (status.inventory.is_empty() && !objects.is_empty()).then_some(Adoption::Existing {
        application,
        objects,
    })
}

/// What the application waits for: its dependencies, and itself in the clusters of the waves before,
/// which is told by the second.
fn needed(key: &TargetKey, declared: &Declared) -> Vec<(TargetKey, bool)> {
    let (base, target) = (&declared.base, &declared.target);
    let dependencies = target.depends_on.iter().map(|application| TargetKey {
        application: application.clone(),
        ..key.clone()
    });
    // What was synced here once is kept so, whatever becomes of the others.
    let is_new = declared.status.synced_revision.as_ref() != Some(&declared.change.revision);
    let wave = target.one_of.as_ref().filter(|_| is_new);
    let wave = wave.map_or(0, |one| one.wave);
    let is_before = |other: &&Target| other.one_of.as_ref().is_some_and(|one| one.wave < wave);
    let others = base.targets_of(&key.of_stage()).into_iter();
    let before = others.filter(is_before);
    let before = before.map(|other| (other.key(&key.repo), true));
    dependencies.map(|key| (key, false)).chain(before).collect()
}

/// Which of them are not healthy with what Git has.
async fn waits_for(ctx: &Arc<Reader>, key: &TargetKey, declared: &Declared) -> Result<Vec<String>> {
    let base = &declared.base;
    let mut waits = Vec::new();
    for (needed, is_wave) in needed(key, declared) {
        let status = ctx
            .store
            .application(&needed)
            .await?
            .and_then(|object| object.status)
            .unwrap_or_default();
        // The dependency has to be healthy with this base's inputs, not with older ones.
        let (current, synced) = match base.target(&needed) {
            Some(target) => {
                let change = change(ctx, &needed, base, target, &status).await?;
                let is_current = status.inputs.as_ref() == Some(&change.hash);
                // Drift that is only reported says nothing about the new revision.
                let has_it = status.synced_revision.as_ref() == Some(&change.revision);
                (
                    is_current,
                    is_wave && has_it || status.sync == SyncState::Synced,
                )
            }
            None => (false, false),
        };
        if !current
            || !synced
            || status.unproven.is_some()
            || !matches!(status.health, Health::Healthy | Health::Suspended)
        {
            waits.push(needed.title());
        }
    }
    Ok(waits)
}
