//! An application that Git has no more: its directory, its stage or its name
//! went away. Nothing of it is deleted until somebody confirms just that.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;

use super::application::prune;
use super::{Base, Ctx, Requeue, Result, claims, guards, locked};
use crate::cluster::home::{Application, ApplicationStatus, CONFIRM_PRUNE};
use crate::domain::ApplicationKey;
use crate::domain::catalog::{Destination, HEALTH_TIMEOUT, MergePolicy, Reconciler, Stage, Target};
use crate::domain::health::{Health, SyncState};
use crate::domain::ownership::FieldRules;
use crate::domain::sync::{self, DriftMode};

/// None: there is nothing of it.
pub async fn retired(
    ctx: &Arc<Ctx>,
    key: &ApplicationKey,
    base: &Base,
    known: Option<Application>,
) -> Result<Option<Requeue>> {
    ctx.observer
        .waits_nowhere(&key.owner_label(base.repo.id), None);
    // A configuration that cannot be read retires nothing.
    let (Some(object), Some(Ok(_))) = (known, &base.catalog) else {
        return Ok(None);
    };
    let before = object.status.clone().unwrap_or_default();
    let target = target_of(&object);
    let cluster = ctx.cluster(&target.destination.cluster)?;
    let owner = key.owner_label(base.repo.id);
    // After a restart Git does not name it: what becomes of its objects is still its news.
    locked(&ctx.memory.owners).insert(owner.clone(), key.clone());
    let asking = ctx.observer.asking(key, &target, &owner)?;
    if before
        .cluster_uid
        .as_ref()
        .is_some_and(|known| !known.is_empty())
        && before.cluster_uid.as_deref() != Some(&cluster.uid().await?)
    {
        let message = format!(
            "{} declares {} no more, and the cluster behind its destination is not the one that it was: nothing is deleted",
            key.repo,
            key.title()
        );
        let status = ApplicationStatus {
            sync: SyncState::Unknown,
            message: Some(message),
            ..before
        };
        report(ctx, key, &object, status).await?;
        return Ok(Some(Requeue::Idle));
    }
    let mut leavers = guards::leavers(&asking, before.inventory.clone()).await?;
    if !leavers.prune.is_empty() {
        // What another application has by now is not this one's to delete.
        let claimed = claims::on_cluster(ctx, base, &target.destination.cluster).await?;
        leavers.prune.retain(|object, _| !claimed.contains(object));
    }
    let confirmed = object.annotations().get(CONFIRM_PRUNE).map(String::as_str);
    let words = sync::Confirmed {
        digest: confirmed,
        lines: &before.confirmed,
    };
    let judgement = leavers.judge_retired(words, &key.title());
    let title = format!("{} declares {} no more", key.repo, key.title());
    let mut status = ApplicationStatus {
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
        let names: Vec<_> = judgement
            .withheld
            .iter()
            .map(|(key, _)| key.to_string())
            .collect();
        status.message = Some(format!(
            "{title}: what it had is left as it is until `/confirm-prune` or `windlass confirm-prune {}` deletes {}",
            key.title(),
            names.join("; ")
        ));
        report(ctx, key, &object, status).await?;
        return Ok(Some(Requeue::Idle));
    }
    if judgement.prune.is_empty() {
        let stays = leavers
            .protected
            .iter()
            .map(|(key, why)| format!("{key} stays: {why}"));
        let stays: Vec<_> = stays
            .chain(
                leavers
                    .ending
                    .iter()
                    .map(|(key, why)| format!("{key}: {why}")),
            )
            .collect();
        if stays.is_empty() {
            // Nothing is left: the last trace of it goes too.
            ctx.home.forget_application(&object).await?;
            ctx.tell_commits(&key.repo);
            return Ok(Some(Requeue::Idle));
        }
        if leavers.ending.is_empty() && !leavers.unknown {
            status.health = Health::Healthy;
        }
        status.message = Some(format!("{title}: {}", stays.join("; ")));
        report(ctx, key, &object, status).await?;
        // The end of what is being deleted may be nobody's news: a kind that Git has no more need not be watched.
        return Ok(Some(match () {
            () if !leavers.ending.is_empty() => Requeue::After(Duration::from_secs(10)),
            () if leavers.unknown => Requeue::After(Duration::from_secs(60)),
            () => Requeue::Idle,
        }));
    }
    status.message = Some(format!(
        "{title}: deletes {} objects, as confirmed",
        judgement.prune.len()
    ));
    report(ctx, key, &object, status).await?;
    prune(
        &asking.cluster,
        judgement
            .prune
            .iter()
            .filter_map(|key| leavers.prune.get(key))
            .collect(),
    )
    .await?;
    // Looked at until all of it is seen gone.
    Ok(Some(Requeue::After(Duration::from_secs(1))))
}

/// Keeps it with the object, and has the commits told that wait for it.
async fn report(
    ctx: &Arc<Ctx>,
    key: &ApplicationKey,
    object: &Application,
    status: ApplicationStatus,
) -> Result<()> {
    let news = object
        .status
        .as_ref()
        .and_then(|before| before.message.as_ref())
        != status.message.as_ref();
    ctx.home
        .report_application(object, status, ctx.now())
        .await?;
    if news {
        ctx.tell_commits(&key.repo);
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
