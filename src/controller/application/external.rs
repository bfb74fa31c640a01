//! A stage that Argo CD or Flux reconciles: windlass previews, promotes and gates, and reads the
//! sync state from their objects. It applies nothing.

use std::sync::Arc;
use std::time::Duration;

use super::act::emit_status;
use super::declare::{Declared, spec_of};
use super::desired::Rendering;
use crate::cluster::store::ApplicationStatus;
use crate::controller::cache::locked;
use crate::controller::dry_run::{self, AppScope};
use crate::controller::{Reader, Requeue, Result, Writer};
use crate::domain::Live;
use crate::domain::TargetKey;
use crate::domain::catalog::{Reconciler, images_of};
use crate::domain::external::{self, ExternalStatus};
use crate::domain::health::{Health, SyncState};
use crate::domain::manifest::Manifest;
use crate::domain::sync::RECONCILER_FAILED;

/// Their objects are not watched but polled: at this interval while a change is awaited, and
/// otherwise.
const WHILE_AWAITED: Duration = Duration::from_secs(3);
const OTHERWISE: Duration = Duration::from_secs(60);

/// What was observed of such a stage.
pub struct External {
    pub declared: Declared,
    /// The status to report.
    pub status: ApplicationStatus,
}

pub async fn observe(
    ctx: &Arc<Reader>,
    scope: &AppScope<'_>,
    declared: &Declared,
    rendering: &Rendering,
) -> Result<ApplicationStatus> {
    let (before, change) = (declared.status.clone(), &declared.change);
    let mut superseded = before.superseded.clone();
    super::status::supersede(&mut superseded, before.revision.as_ref(), &change.revision);
    let mut status = ApplicationStatus {
        revision: Some(change.revision.clone()),
        superseded,
        inputs: Some(change.hash.clone()),
        blocked: false,
        message: None,
        reason: None,
        held: declared.held(ctx.now()),
        ..before
    };
    match &rendering.manifests {
        Ok(manifests) => {
            let settled = dry_run::normalize(scope, manifests).await?.manifests;
            let references: Vec<_> = settled.iter().flat_map(Manifest::images).collect();
            status.images = images_of(scope.target, &references);
        }
        Err(why) => status.message = Some(why.clone()),
    }
    let (name, found) = read(scope).await?;
    let Some(found) = found else {
        (status.sync, status.health) = (SyncState::Unknown, Health::Missing);
        status.message = Some(format!(
            "{name} does not exist, but windlass.yaml says that it reconciles {}",
            scope.key.title()
        ));
        return Ok(status);
    };
    let has_revision = match &found.revision {
        Some(revision) => {
            let (wanted, theirs) = (change.revision.clone(), revision.clone());
            let past = ctx.mirror(&scope.key.repo, move |mirror| {
                Ok(mirror.knows(&theirs)? && mirror.is_ancestor(&wanted, &theirs)?)
            });
            past.await?
        }
        None => false,
    };
    let mut status = with_external(status, &name, found, has_revision);
    status.behind = change.behind;
    if status.sync == SyncState::Synced {
        status.synced_revision = Some(change.revision.clone());
        status.behind = 0;
    }
    if status.is_ready() {
        super::status::remember(&mut status, change, ctx.now());
    }
    Ok(status)
}

/// The status after their object was read. `has_revision`: what they applied last includes the
/// wanted revision.
fn with_external(
    status: ApplicationStatus,
    name: &str,
    found: ExternalStatus,
    has_revision: bool,
) -> ApplicationStatus {
    let sync = match has_revision && found.synced {
        true => SyncState::Synced,
        false => SyncState::OutOfSync,
    };
    let waits = || match &found.revision {
        Some(revision) if !has_revision => format!("{name} is at {}", revision.short()),
        _ => format!("{name} has not synced yet"),
    };
    let (health, why) = found.health;
    let failed = found.failed.as_ref();
    let message = status
        .message
        .or_else(|| failed.map(|why| format!("{name}: {why}")))
        .or_else(|| match sync {
            SyncState::Synced => Some(why).filter(|why| !why.is_empty()),
            _ => Some(waits()),
        });
    ApplicationStatus {
        sync,
        health,
        blocked: failed.is_some(),
        reason: failed.map(|_| RECONCILER_FAILED.into()),
        message,
        ..status
    }
}

pub async fn act(ctx: &Writer, key: &TargetKey, external: External) -> Result<Requeue> {
    let External { declared, status } = external;
    let is_settled = |status: &ApplicationStatus| {
        status.sync == SyncState::Synced
            && matches!(status.health, Health::Healthy | Health::Suspended)
    };
    let settled = is_settled(&status);
    let spec = spec_of(key, &declared.base, &declared.target);
    let object = ctx
        .to_store()
        .declare_application(key, spec, declared.known.clone())
        .await?;
    let object = ctx
        .to_store()
        .report_application(&object, status, ctx.now())
        .await?;
    let version = object.metadata.resource_version.clone();
    let changed = locked(&ctx.cache.applications.last_reported)
        .insert(key.clone(), version.clone())
        != Some(version);
    if changed {
        emit_status(ctx, key, &object, Some(&declared.status));
    }
    // The longer nothing changes, the less often it is polled.
    let mut polls = locked(&ctx.cache.applications.polls);
    let pause = polls.entry(key.clone()).or_insert(WHILE_AWAITED);
    *pause = match () {
        () if settled => OTHERWISE,
        () if changed => WHILE_AWAITED,
        () => (*pause * 2).min(OTHERWISE),
    };
    Ok(Requeue::After(*pause))
}

/// The object of the stage's reconciler: its name for people, and its state.
async fn read(scope: &AppScope<'_>) -> Result<(String, Option<ExternalStatus>)> {
    let Some((key, version)) = scope.target.stage.reconcile.object() else {
        return Ok((String::new(), None));
    };
    let (by, read): (_, fn(&Live) -> ExternalStatus) = match &scope.target.stage.reconcile {
        Reconciler::ArgoCd(_) => ("Argo CD", external::argo_cd),
        _ => ("Flux", external::flux),
    };
    let found = scope.cluster.live(&key, version).await?;
    Ok((format!("the {key} of {by}"), found.as_ref().map(read)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CommitSha;

    #[test]
    fn it_is_synced_once_their_revision_has_ours() {
        let revision = "a".repeat(40).parse().unwrap();
        let found = |synced, failed: Option<&str>| ExternalStatus {
            revision: Some(CommitSha::clone(&revision)),
            synced,
            health: (Health::Progressing, "1 of 2 pods".into()),
            failed: failed.map(Into::into),
        };
        let cases = [
            (found(true, None), true, SyncState::Synced, "1 of 2 pods"),
            (
                found(true, None),
                false,
                SyncState::OutOfSync,
                "it is at aaaaaaaaaaaa",
            ),
            (
                found(false, None),
                true,
                SyncState::OutOfSync,
                "it has not synced yet",
            ),
            (
                found(false, Some("no")),
                false,
                SyncState::OutOfSync,
                "it: no",
            ),
        ];
        for (found, has_revision, sync, message) in cases {
            let failed = found.failed.is_some();
            let status = with_external(ApplicationStatus::default(), "it", found, has_revision);
            assert_eq!(status.sync, sync);
            assert_eq!(status.message.as_deref(), Some(message));
            assert_eq!(status.blocked, failed);
            assert_eq!(status.reason.is_some(), failed);
            assert_eq!(status.health, Health::Progressing);
        }
    }
}
