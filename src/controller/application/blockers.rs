//! What keeps a plan from being carried out, or a part of it: pauses, what it depends on, what was
//! there before windlass, objects that others change again and again, images that are not proven.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::declare::Declared;
use super::desired::Desired;
use super::fights::fights;
use super::health::Assessed;
use super::objects::Objects;
use super::{drift_pull_request, image_verification};
use crate::cluster::store::{self, Application, ApplicationStatus, DriftLoop, Pause};
use crate::controller::cache::locked;
use crate::controller::dry_run::AppScope;
use crate::controller::revision::change;
use crate::controller::{Base, Reader, Result};
use crate::domain::catalog::Target;
use crate::domain::health::{Health, SyncState};
use crate::domain::manifest::ResourceKey;
use crate::domain::ownership::FieldRule;
use crate::domain::plan::Plan;
use crate::domain::sync::Adoption;
use crate::domain::{ApplicationKey, Invalid, hook, sync};

pub struct Blockers {
    pub pause: Option<Pause>,
    pub waits_for: Vec<String>,
    /// Why the plan may only be looked at until somebody adopts it.
    pub adoption: Option<Adoption>,
    /// Objects that are set back again and again, with who changes them.
    pub fights: Vec<(ResourceKey, String)>,
    pub fight: Option<DriftLoop>,
    /// Where the pull request about just this drift stands.
    pub proposal: sync::Proposal,
    pub verification: image_verification::Verification,
    /// A hook that failed is to run once more, since somebody asked for a sync.
    pub runs_again: bool,
    /// What tells the cluster from every other.
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
    let adoption = adoption(status, plan, &cluster_uid, requests.adopt, key);
    if requests.hard_refresh {
        locked(&ctx.cache.applications.heals).retain(|(of, _), _| of != key);
    }
    let known = status.drift_loop.clone().filter(|_| !requests.hard_refresh);
    let (fights, fight) = fights(ctx, key, plan, drifted, known, &declared.change.revision);
    let runs_again = requests.hard_refresh
        && objects.predicted().any(|predicted| {
            predicted.write.recreate && hook::run(&predicted.manifest.value).is_some()
        });
    let (manifests, images) = (&desired.manifests, &desired.images);
    let verification = match plan.is_empty() && health.total.0 == Health::Healthy {
        true => {
            let again = requests.hard_refresh;
            image_verification::check(ctx, key, &scope.cluster, manifests, images, status, again)
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
        waits_for: waits_for(ctx, key, base, target).await?,
        adoption,
        fights,
        fight,
        proposal,
        verification,
        runs_again,
        cluster_uid,
    })
}

impl Blockers {
    pub fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.pause.as_ref().map(|pause| pause.until);
        until.filter(|until| *until > now)
    }
}

/// The fields that somebody had taken from others by `/take`.
pub fn taken(object: Option<&Application>) -> Vec<FieldRule> {
    let text = object.and_then(|object| object.annotations().get(store::TAKE));
    // What a person wrote there by hand and cannot be read decides nothing.
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// The pause that is asked for, with the time that it ends at: counted from when it was first seen.
fn pause(asked: Option<String>, known: Option<Pause>, now: Timestamp) -> Result<Option<Pause>> {
    let Some(asked) = asked else { return Ok(None) };
    if let Some(known) = known.filter(|known| known.request == asked) {
        return Ok(Some(known));
    }
    let text = asked.split(',').next().unwrap_or_default();
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
        request: asked,
        until: Timestamp::from_second(until.as_second()).unwrap_or(until),
    }))
}

/// Why the plan may only be looked at.
fn adoption(
    status: &ApplicationStatus,
    plan: &Plan,
    cluster_uid: &str,
    adopted: bool,
    key: &ApplicationKey,
) -> Option<Adoption> {
    if adopted {
        return None;
    }
    let application = key.title();
    let known = status.cluster_uid.as_deref();
    if known.is_some_and(|known| known != cluster_uid) {
        return Some(Adoption::OtherCluster { application });
    }
    let there = plan.effective().filter(|change| change.before.is_some());
    let objects: Vec<_> = there.map(|change| change.key.clone()).collect();
    (status.inventory.is_empty() && !objects.is_empty()).then_some(Adoption::Existing {
        application,
        objects,
    })
}

/// What the application depends on and is not healthy.
async fn waits_for(
    ctx: &Arc<Reader>,
    key: &ApplicationKey,
    base: &Base,
    target: &Target,
) -> Result<Vec<String>> {
    let mut waits = Vec::new();
    for application in &target.depends_on {
        let needed = ApplicationKey {
            application: application.clone(),
            ..key.clone()
        };
        let status = ctx
            .store
            .application(&needed)
            .await?
            .and_then(|object| object.status)
            .unwrap_or_default();
        // Healthy with what this base has of it, not with what it had before.
        let current = match base.target(&needed) {
            Some(target) => {
                status.inputs.as_deref()
                    == Some(&change(ctx, &needed, base, target, &status).await?.hash)
            }
            None => false,
        };
        if !current
            || status.unproven.is_some()
            || status.sync != SyncState::Synced
            || !matches!(status.health, Health::Healthy | Health::Suspended)
        {
            waits.push(needed.title());
        }
    }
    Ok(waits)
}
