//! A stage that Argo CD or Flux keeps: windlass previews, promotes and gates,
//! and reads from their objects how far they are. It applies nothing.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::application::tell;
use super::live::{self, Asking};
use super::revision::Change;
use super::{Base, Ctx, Requeue, Result, locked};
use crate::cluster::home::{Application, ApplicationStatus};
use crate::domain::catalog::{Reconciler, images_of};
use crate::domain::external::{self, Elsewhere};
use crate::domain::health::{Health, SyncState};
use crate::domain::manifest::Manifest;

/// Nothing tells us when their objects change: they are asked for so often while something is awaited, and otherwise.
const WHILE_AWAITED: Duration = Duration::from_secs(3);
const OTHERWISE: Duration = Duration::from_secs(60);

pub async fn look(
    ctx: &Arc<Ctx>,
    asking: &Asking<'_>,
    base: &Base,
    object: &Application,
    change: &Change,
    rendered: std::result::Result<&[Manifest], &String>,
) -> Result<Requeue> {
    let before = object.status.clone().unwrap_or_default();
    let settles = |status: &ApplicationStatus| {
        status.sync == SyncState::Synced
            && matches!(status.health, Health::Healthy | Health::Suspended)
    };
    let was_settled = settles(&before);
    let mut superseded = before.superseded.clone();
    super::application::supersede(&mut superseded, before.revision.as_ref(), &change.revision);
    let mut status = ApplicationStatus {
        revision: Some(change.revision.clone()),
        superseded,
        inputs: Some(change.hash.clone()),
        blocked: false,
        message: None,
        ..before
    };
    match rendered {
        Ok(manifests) => {
            let references: Vec<_> = live::settle(asking, manifests)
                .await?
                .manifests
                .iter()
                .flat_map(Manifest::images)
                .collect();
            status.images = images_of(asking.target, &references);
        }
        Err(why) => status.message = Some(why.clone()),
    }
    let (name, found) = read(asking).await?;
    match found {
        None => {
            (status.sync, status.health) = (SyncState::Unknown, Health::Missing);
            status.message = Some(format!(
                "{name} is not there, which windlass.yaml says reconciles {}",
                asking.key.title()
            ));
        }
        Some(found) => {
            let has = match &found.revision {
                Some(revision) => {
                    let (wanted, theirs) = (change.revision.clone(), revision.clone());
                    ctx.mirror(&asking.key.repo, move |mirror| {
                        Ok(mirror.has(&theirs) && mirror.is_ancestor(&wanted, &theirs)?)
                    })
                    .await?
                }
                None => false,
            };
            status.sync = if has && found.synced {
                SyncState::Synced
            } else {
                SyncState::OutOfSync
            };
            status.health = found.health.0;
            status.blocked = found.failed.is_some();
            let waits = || match &found.revision {
                Some(revision) if !has => format!("{name} is at {}", revision.short()),
                _ => format!("{name} has not synced yet"),
            };
            status.message = status
                .message
                .or_else(|| found.failed.as_ref().map(|why| format!("{name}: {why}")))
                .or_else(|| {
                    (status.sync != SyncState::Synced)
                        .then(waits)
                        .or_else(|| Some(found.health.1.clone()).filter(|why| !why.is_empty()))
                });
            if status.sync == SyncState::Synced {
                status.synced_revision = Some(change.revision.clone());
            }
        }
    }
    let settled = settles(&status);
    let object = ctx
        .home
        .report_application(object, status, ctx.now())
        .await?;
    let told = object.metadata.resource_version.clone();
    let news = locked(&ctx.memory.told).insert(asking.key.clone(), told.clone()) != Some(told);
    if news {
        tell(ctx, asking.key, &object);
        if settled || was_settled {
            ctx.wake_later_stages(base, asking.key);
        }
    }
    // The longer nothing changes, the less often it is asked about.
    let mut polls = locked(&ctx.memory.polls);
    let pause = polls.entry(asking.key.clone()).or_insert(WHILE_AWAITED);
    *pause = if settled {
        OTHERWISE
    } else if news {
        WHILE_AWAITED
    } else {
        (*pause * 2).min(OTHERWISE)
    };
    Ok(Requeue::After(*pause))
}

/// The object of the stage's reconciler: its name for people, and what it says.
async fn read(asking: &Asking<'_>) -> Result<(String, Option<Elsewhere>)> {
    let Some((key, version)) = asking.target.stage.reconcile.object() else {
        return Ok((String::new(), None));
    };
    let (by, read): (_, fn(&Value) -> Elsewhere) = match &asking.target.stage.reconcile {
        Reconciler::ArgoCd(_) => ("Argo CD", external::argo_cd),
        _ => ("Flux", external::flux),
    };
    let found = asking.cluster.live(&key, version).await?;
    Ok((format!("the {key} of {by}"), found.as_ref().map(read)))
}
