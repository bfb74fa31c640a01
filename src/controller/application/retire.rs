//! An application that Git has no more: its directory, its stage or its name went away. Nothing of
//! it is deleted until somebody confirms just that.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;

use super::apply::delete;
use super::prune::{self, Prunable};
use crate::cluster::store::{Application, ApplicationStatus, CONFIRM_PRUNE};
use crate::controller::cache::locked;
use crate::controller::{Base, Event, Reader, Requeue, Result, Writer, resource_owners};
use crate::domain::ApplicationKey;
use crate::domain::catalog::{Destination, HEALTH_TIMEOUT, MergePolicy, Reconciler, Stage, Target};
use crate::domain::health::{Health, SyncState};
use crate::domain::ownership::FieldRules;
use crate::domain::sync::{self, DriftMode};

/// One look at an application that Git has no more.
pub struct Retired {
    object: Box<Application>,
    /// `acme/config no longer declares shop/staging`.
    title: String,
    name: String,
    owner: String,
    /// The cluster behind its destination is not the one that it was.
    is_elsewhere: bool,
    prunable: Prunable,
    judgement: sync::PruneDecision,
}

/// What becomes of it.
pub struct Decision {
    /// None: nothing is left, and the last trace of it goes too.
    status: Option<ApplicationStatus>,
    deletes: bool,
    requeue: Requeue,
}

pub async fn observe(
    ctx: &Arc<Reader>,
    key: &ApplicationKey,
    base: &Base,
    object: Box<Application>,
) -> Result<Retired> {
    let before = object.status.clone().unwrap_or_default();
    let target = target_of(&object);
    let destination = &target.destination.cluster;
    let owner = key.owner_label(base.repo.id);
    // After a restart Git does not name it: what becomes of its objects is still its news.
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
        // What another application has by now is not this one's to delete.
        let claimed = resource_owners::on_cluster(ctx, base, destination).await?;
        prunable.prune.retain(|object, _| !claimed.contains(object));
    }
    let confirmed = object.annotations().get(CONFIRM_PRUNE).map(String::as_str);
    let words = sync::Confirmed {
        digest: confirmed,
        lines: &before.confirmed,
    };
    let judgement = prunable.decide_retired(words, &key.title());
    drop(scope);
    Ok(Retired {
        title: format!("{} no longer declares {}", key.repo, key.title()),
        name: key.title(),
        object,
        owner,
        is_elsewhere,
        prunable,
        judgement,
    })
}

pub fn decide(seen: &Retired) -> Decision {
    let before = seen.object.status.clone().unwrap_or_default();
    let (title, name, judgement) = (&seen.title, &seen.name, &seen.judgement);
    if seen.is_elsewhere {
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
        // Something of it is still to go.
        health: Health::Progressing,
        confirm: judgement.confirm.clone(),
        to_confirm: judgement.to_confirm(),
        confirmed: judgement.confirmed.clone(),
        blocked: false,
        ..before
    };
    if !judgement.withheld.is_empty() {
        let withheld = judgement.withheld.iter();
        let names: Vec<_> = withheld.map(|(key, _)| key.to_string()).collect();
        let message = format!(
            "{title}: its objects stay until `/confirm-prune` or `windlass confirm-prune {name}` deletes {}",
            names.join("; ")
        );
        return Decision::keeps(status, message, Requeue::Idle);
    }
    if !judgement.prune.is_empty() {
        let count = judgement.prune.len();
        let message = format!("{title}: deletes the objects that were confirmed ({count})");
        // Looked at until all of it is seen gone.
        let again = Requeue::After(Duration::from_secs(1));
        return Decision {
            deletes: true,
            ..Decision::keeps(status, message, again)
        };
    }
    let stays = staying(&seen.prunable);
    if stays.is_empty() {
        return Decision::forgets();
    }
    keep_what_stays(
        &seen.prunable,
        status,
        format!("{title}: {}", stays.join("; ")),
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

/// What is not to be deleted, or is being deleted, each with the reason.
fn staying(prunable: &Prunable) -> Vec<String> {
    let protected = prunable.protected.iter();
    let protected = protected.map(|(key, why)| format!("{key} stays: {why}"));
    let ending = prunable.ending.iter();
    let ending = ending.map(|(key, why)| format!("{key}: {why}"));
    protected.chain(ending).collect()
}

/// Nothing of it is to be deleted any more.
fn keep_what_stays(
    prunable: &Prunable,
    mut status: ApplicationStatus,
    message: String,
) -> Decision {
    if prunable.ending.is_empty() && !prunable.unknown {
        status.health = Health::Healthy;
    }
    // The end of what is being deleted may be nobody's news: a kind that Git has no more need not be watched.
    let requeue = match () {
        () if !prunable.ending.is_empty() => Requeue::After(Duration::from_secs(10)),
        () if prunable.unknown => Requeue::After(Duration::from_secs(60)),
        () => Requeue::Idle,
    };
    Decision::keeps(status, message, requeue)
}

pub async fn act(
    ctx: &Writer,
    key: &ApplicationKey,
    seen: &Retired,
    decision: Decision,
) -> Result<Requeue> {
    let Some(status) = decision.status else {
        ctx.to_store().forget_application(&seen.object).await?;
        ctx.cache.applications.forget(key);
        ctx.emit(&Event::Rollouts(key.repo.clone()));
        return Ok(decision.requeue);
    };
    report(ctx, key, &seen.object, status).await?;
    if decision.deletes {
        let target = target_of(&seen.object);
        let scope = ctx.environment.scope(key, &target, &seen.owner)?;
        let prunable = seen
            .judgement
            .prune
            .iter()
            .filter_map(|key| seen.prunable.prune.get(key));
        delete(&ctx.to_cluster(&scope.cluster), prunable.collect()).await?;
    }
    Ok(decision.requeue)
}

/// Keeps it with the object, and has the commits told that wait for it.
async fn report(
    ctx: &Writer,
    key: &ApplicationKey,
    object: &Application,
    status: ApplicationStatus,
) -> Result<()> {
    let news = object
        .status
        .as_ref()
        .and_then(|before| before.message.as_ref())
        != status.message.as_ref();
    ctx.to_store()
        .report_application(object, status, ctx.now())
        .await?;
    if news {
        ctx.emit(&Event::Rollouts(key.repo.clone()));
    }
    Ok(())
}

/// What the object says about where the application was.
pub fn target_of(object: &Application) -> Target {
    let spec = &object.spec;
    Target {
        application: spec.application.clone(),
        stage: Stage {
            name: spec.stage.clone(),
            cluster: spec.cluster.clone(),
            after: vec![],
            merge: MergePolicy::Reviewed,
            approvals: 0,
            approvers: vec![],
            reconcile: Reconciler::Windlass,
        },
        path: spec.path.clone(),
        destination: Destination {
            cluster: spec.cluster.clone(),
            namespace: spec.namespace.clone(),
        },
        images: vec![],
        chart: None,
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
