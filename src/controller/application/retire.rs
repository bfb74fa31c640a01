//! An application that Git no longer has: its directory, its stage or its name was removed. Its
//! objects are only deleted once somebody confirms exactly that.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;

use super::act::changed_state;
use super::apply::delete;
use super::prune::{self, Prunable};
use crate::cluster::store::{Application, ApplicationStatus, CONFIRM_PRUNE};
use crate::controller::cache::locked;
use crate::controller::{Base, Event, Reader, Requeue, Result, Writer, resource_owners};
use crate::domain::TargetKey;
use crate::domain::activity::What;
use crate::domain::calendar::Calendar;
use crate::domain::catalog::{
    Destination, HEALTH_TIMEOUT, HelmOptions, MergePolicy, OneOf, Reconciler, Stage, Target,
};
use crate::domain::health::{Health, SyncState};
use crate::domain::ownership::FieldRules;
use crate::domain::sync::{self, DriftMode};

/// What was observed of an application that Git no longer has.
pub struct Retired {
    object: Box<Application>,
    /// `acme/config no longer declares shop/staging`.
    title: String,
    name: String,
    owner: String,
    /// The destination's cluster is another one than before.
    is_elsewhere: bool,
    prunable: Prunable,
    prune_decision: sync::PruneDecision,
}

/// What to do with it.
pub struct Decision {
    /// None: nothing is left, and its `Application` object is deleted too.
    status: Option<ApplicationStatus>,
    deletes: bool,
    requeue: Requeue,
}

pub async fn observe(
    ctx: &Arc<Reader>,
    key: &TargetKey,
    base: &Base,
    object: Box<Application>,
) -> Result<Retired> {
    let before = object.status.clone().unwrap_or_default();
    let target = target_of(&object);
    let destination = &target.destination.cluster;
    let owner = key.owner_label(base.repo.id);
    // After a restart Git does not name it: events of its objects still have to wake it.
    locked(&ctx.cache.repositories.owners).insert(owner.clone(), key.clone());
    let scope = ctx.environment.scope(key, &target, &owner)?;
    let known = before
        .cluster_uid
        .as_ref()
        .filter(|known| !known.is_empty());
    let is_elsewhere = match known {
        Some(known) => *known != scope.cluster.uid().await?,
        None => false,
    };
    let mut prunable = Prunable::default();
    if !is_elsewhere {
        prunable = prune::prunable(&scope, before.inventory.clone()).await?;
    }
    if !prunable.prune.is_empty() {
        // Objects that another application has by now are not deleted.
        let claimed = resource_owners::on_cluster(ctx, base, destination).await?;
        prunable.prune.retain(|object, _| !claimed.contains(object));
    }
    let digest = object.annotations().get(CONFIRM_PRUNE).map(String::as_str);
    let confirmed = sync::Confirmed {
        digest,
        lines: &before.confirmed,
    };
    let prune_decision = prunable.decide_retired(confirmed, &key.title());
    drop(scope);
    Ok(Retired {
        title: format!("{} no longer declares {}", key.repo, key.title()),
        name: key.title(),
        object,
        owner,
        is_elsewhere,
        prunable,
        prune_decision,
    })
}

pub fn decide(retired: &Retired) -> Decision {
    let before = retired.object.status.clone().unwrap_or_default();
    let (title, name, prune_decision) = (&retired.title, &retired.name, &retired.prune_decision);
    if retired.is_elsewhere {
        let message = format!(
            "{title}, and its destination now points to another cluster: nothing is deleted"
        );
        let status = ApplicationStatus {
            sync: SyncState::Unknown,
            ..before
        };
        return Decision::keeps(status, message, Requeue::Idle);
    }
    let status = ApplicationStatus {
        sync: SyncState::Unknown,
        // Some objects are still to be deleted.
        health: Health::Progressing,
        confirm: prune_decision.confirm.clone(),
        to_confirm: prune_decision.to_confirm(),
        confirmed: prune_decision.confirmed.clone(),
        blocked: false,
        ..before
    };
    if !prune_decision.withheld.is_empty() {
        let withheld = prune_decision.withheld.iter();
        let names: Vec<_> = withheld.map(|(key, _)| key.to_string()).collect();
        let message = format!(
            "{title}: its objects stay until `/confirm-prune` or `windlass confirm-prune {name}` deletes {}",
            names.join("; ")
        );
        return Decision::keeps(status, message, Requeue::Idle);
    }
    if !prune_decision.prune.is_empty() {
        let count = prune_decision.prune.len();
        let message = format!("{title}: deletes the objects that were confirmed ({count})");
        // Until all of them are observed to be gone.
        let again = Requeue::After(Duration::from_secs(1));
        return Decision {
            deletes: true,
            ..Decision::keeps(status, message, again)
        };
    }
    let remaining = remaining(&retired.prunable);
    if remaining.is_empty() {
        return Decision::forgets();
    }
    keep_what_stays(
        &retired.prunable,
        status,
        format!("{title}: {}", remaining.join("; ")),
    )
}

impl Decision {
    fn forgets() -> Self {
        Self {
            status: None,
            deletes: false,
            requeue: Requeue::Idle,
        }
    }

    fn keeps(status: ApplicationStatus, message: String, requeue: Requeue) -> Self {
        Self {
            status: Some(ApplicationStatus {
                message: Some(message),
                reason: Some(sync::LEFT_GIT.into()),
                ..status
            }),
            deletes: false,
            requeue,
        }
    }
}

/// The objects that are protected or being deleted, each with the reason.
fn remaining(prunable: &Prunable) -> Vec<String> {
    let protected = prunable.protected.iter();
    let protected = protected.map(|(key, why)| format!("{key} stays: {why}"));
    let ending = prunable.ending.iter();
    let ending = ending.map(|(key, why)| format!("{key}: {why}"));
    protected.chain(ending).collect()
}

/// Nothing more is to be deleted.
fn keep_what_stays(
    prunable: &Prunable,
    mut status: ApplicationStatus,
    message: String,
) -> Decision {
    if prunable.ending.is_empty() && !prunable.unknown {
        status.health = Health::Healthy;
    }
    // No event may say that a deletion is done: a kind that Git no longer has need not be watched.
    let requeue = match () {
        () if !prunable.ending.is_empty() => Requeue::After(Duration::from_secs(10)),
        () if prunable.unknown => Requeue::After(Duration::from_secs(60)),
        () => Requeue::Idle,
    };
    Decision::keeps(status, message, requeue)
}

pub async fn act(
    ctx: &Writer,
    key: &TargetKey,
    retired: &Retired,
    decision: Decision,
) -> Result<Requeue> {
    let Some(status) = decision.status else {
        ctx.to_store().forget_application(&retired.object).await?;
        ctx.cache.applications.forget(key);
        ctx.record_application(key, What::Retired);
        ctx.emit(&Event::Rollouts(key.repo.clone()));
        return Ok(decision.requeue);
    };
    report(ctx, key, &retired.object, status).await?;
    if decision.deletes {
        let target = target_of(&retired.object);
        let scope = ctx.environment.scope(key, &target, &retired.owner)?;
        let prunable = retired
            .prune_decision
            .prune
            .iter()
            .filter_map(|key| retired.prunable.prune.get(key));
        delete(
            ctx,
            key,
            &ctx.to_cluster(&scope.cluster),
            prunable.collect(),
        )
        .await?;
    }
    Ok(decision.requeue)
}

/// Writes the status, and wakes the commits that wait for it.
async fn report(
    ctx: &Writer,
    key: &TargetKey,
    object: &Application,
    status: ApplicationStatus,
) -> Result<()> {
    let changed = object
        .status
        .as_ref()
        .and_then(|before| before.message.as_ref())
        != status.message.as_ref();
    let before = object.status.as_ref();
    let object = ctx
        .to_store()
        .report_application(object, status, ctx.now())
        .await?;
    let state = object.status.as_ref();
    if let Some(state) = state.and_then(|status| changed_state(before, status)) {
        ctx.record_application(key, What::State(state));
    }
    if changed {
        ctx.emit(&Event::Rollouts(key.repo.clone()));
    }
    Ok(())
}

/// The application's target as its object's spec has it.
pub fn target_of(object: &Application) -> Target {
    let spec = &object.spec;
    Target {
        declared: None,
        application: spec.application.clone(),
        stage: Stage {
            name: spec.stage.clone(),
            cluster: spec.cluster.clone(),
            clusters: vec![],
            rule: None,
            after: vec![],
            merge: MergePolicy::Reviewed,
            approvals: 0,
            approvers: vec![],
            soak: Duration::ZERO,
            calendar: Calendar::default(),
            break_glass: vec![],
            reconcile: Reconciler::Windlass,
            rollback: None,
            notify: vec![],
        },
        one_of: spec
            .stage_cluster
            .clone()
            .map(|cluster| OneOf { cluster, wave: 0 }),
        path: spec.path.clone(),
        destination: Destination {
            cluster: spec.cluster.clone(),
            namespace: spec.namespace.clone(),
        },
        images: vec![],
        chart: None,
        exclude: vec![],
        helm: HelmOptions::default(),
        fields: FieldRules::default(),
        drift: DriftMode::Report,
        depends_on: vec![],
        health_timeout: HEALTH_TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::ResourceKey;

    #[test]
    fn what_stays_is_looked_at_again_where_no_event_tells() {
        let key = ResourceKey {
            group: "apps".into(),
            kind: "Deployment".into(),
            namespace: Some("a".into()),
            name: "web".into(),
        };
        let decide = |ending: bool, unknown: bool| {
            let ending = ending.then(|| (key.clone(), "it is being deleted".into()));
            let prunable = Prunable {
                ending: ending.into_iter().collect(),
                unknown,
                ..Prunable::default()
            };
            let status = ApplicationStatus {
                health: Health::Progressing,
                ..ApplicationStatus::default()
            };
            let decision = keep_what_stays(&prunable, status, "it stays".into());
            (decision.status.unwrap().health, decision.requeue)
        };
        let after = |seconds| Requeue::After(Duration::from_secs(seconds));
        for (ending, unknown, health, requeue) in [
            (true, true, Health::Progressing, after(10)),
            (true, false, Health::Progressing, after(10)),
            (false, true, Health::Progressing, after(60)),
            (false, false, Health::Healthy, Requeue::Idle),
        ] {
            assert_eq!(decide(ending, unknown), (health, requeue));
        }
    }
}
