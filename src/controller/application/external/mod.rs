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
use crate::controller::{Reader, Requeue, Result, Writer, revision};
use crate::domain::catalog::{Reconciler, images_of};
use crate::domain::external::{self, Applied, ExternalStatus, Failure, Waits, argocd, flux};
use crate::domain::health::{Health, SyncState};
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::sync::{RECONCILER_FAILED, REQUEST_REFUSED};
use crate::domain::{CommitSha, Live, RepoName, TargetKey};
use crate::view;

mod health;
mod requests;

pub use requests::Requested;
use requests::Requests;

/// Where their objects cannot be watched they are polled: at this interval while a change is
/// awaited, and otherwise.
const WHILE_AWAITED: Duration = Duration::from_secs(3);
const OTHERWISE: Duration = Duration::from_secs(60);
/// Where they are watched: for what a watch misses.
const WHERE_WATCHED: Duration = Duration::from_secs(600);
/// After a request: it is carried out in moments.
const AFTER_A_REQUEST: Duration = Duration::from_millis(500);

/// What was observed of such a stage.
pub struct External {
    pub declared: Declared,
    pub followed: Followed,
}

pub struct Followed {
    /// The status to report.
    status: ApplicationStatus,
    requests: Requests,
    /// All that the status is made of is watched.
    is_watched: bool,
}

/// Their object as it was found.
struct Found {
    object: ResourceKey,
    version: &'static str,
    live: Live,
    status: ExternalStatus,
    /// Whether it is still what Git declared before.
    is_outdated: bool,
    /// Whether what they applied last includes the wanted revision.
    has_revision: bool,
    /// Why they failed at the wanted revision, in a sentence.
    failed: Option<String>,
}

impl Found {
    fn is_synced(&self) -> bool {
        self.has_revision && self.status.synced
    }

    fn leaves_health_to_objects(&self) -> bool {
        self.is_synced() && !self.status.assesses_objects
    }
}

pub async fn observe(
    ctx: &Arc<Reader>,
    scope: &AppScope<'_>,
    declared: &Declared,
    rendering: &Rendering,
) -> Result<Followed> {
    let manifests = match &rendering.manifests {
        Ok(manifests) => Ok(dry_run::normalize(scope, manifests).await?.manifests),
        Err(why) => Err(why),
    };
    let mut status = without_theirs(ctx, declared);
    match &manifests {
        Ok(manifests) => {
            let references: Vec<_> = manifests.iter().flat_map(Manifest::images).collect();
            status.images = images_of(scope.target, &references);
        }
        Err(why) => status.message = Some((*why).clone()),
    }
    let Some((object, version)) = scope.target.stage.reconcile.object() else {
        return Ok(Followed::from(status));
    };
    let name = view::reconciler_object(&object, scope.target.stage.reconcile.name());
    let Some(live) = scope.hub.live(&object, version).await? else {
        let application = scope.key.title();
        let message = view::waits(&name, &Waits::Missing { application });
        return Ok(not_followed(status, declared, Health::Missing, message));
    };
    if !scope.is_ours(&live).await? {
        let message = view::waits(&name, &Waits::OtherSource);
        return Ok(not_followed(status, declared, Health::Unknown, message));
    }
    let mut found = found(ctx, scope, declared, &name, (object, version), live).await?;
    let all = manifests.as_deref().unwrap_or_default();
    let counting = if found.leaves_health_to_objects() {
        all
    } else {
        &[]
    };
    let of_objects = health::of_objects(ctx, scope, counting).await?;
    if found.status.health.0 == Health::Healthy {
        found.status.health = of_objects;
    }
    let watched = scope.hub.watch_reconciler(&found.object, found.version);
    let is_watched = watched.await? && counting.is_empty();
    let requests = requests::observe(ctx, scope, declared, &found).await?;
    let mut status = with_external(status, &name, &found, &requests);
    status.behind = declared.change.behind;
    if status.sync == SyncState::Synced {
        status.synced_revision = Some(declared.change.revision.clone());
        status.behind = 0;
    }
    if status.is_ready() {
        super::status::remember(&mut status, &declared.change, ctx.now());
    }
    Ok(Followed {
        status,
        requests,
        is_watched,
    })
}

/// Where nothing of their object counts. A request of a person is done with: it fails.
fn not_followed(
    status: ApplicationStatus,
    declared: &Declared,
    health: Health,
    message: String,
) -> Followed {
    let (requests, before) = (&declared.requests, &declared.status);
    // For as long as the commit that was wanted then is.
    let was_refused = before.reason.as_deref() == Some(REQUEST_REFUSED)
        && before.sync_request == requests.sync
        && before.revision.as_ref() == Some(&declared.change.revision);
    let blocked = requests.hard_refresh || was_refused;
    let status = ApplicationStatus {
        sync: SyncState::Unknown,
        health,
        blocked,
        reason: blocked.then(|| REQUEST_REFUSED.into()),
        message: Some(message),
        sync_request: requests.sync.clone().or(status.sync_request),
        ..status
    };
    Followed::from(status)
}

impl From<ApplicationStatus> for Followed {
    /// Where nothing is requested.
    fn from(status: ApplicationStatus) -> Self {
        Self {
            status,
            requests: Requests::default(),
            is_watched: false,
        }
    }
}

/// The status, before their object is read.
fn without_theirs(ctx: &Reader, declared: &Declared) -> ApplicationStatus {
    let (before, change) = (declared.status.clone(), &declared.change);
    let mut superseded = before.superseded.clone();
    super::status::supersede(&mut superseded, before.revision.as_ref(), &change.revision);
    ApplicationStatus {
        revision: Some(change.revision.clone()),
        superseded,
        inputs: Some(change.hash.clone()),
        blocked: false,
        message: None,
        reason: None,
        held: declared.held(ctx.now()),
        ..before
    }
}

/// Their object, in terms of this repository. `name`: for people.
async fn found(
    ctx: &Arc<Reader>,
    scope: &AppScope<'_>,
    declared: &Declared,
    name: &str,
    (object, version): (ResourceKey, &'static str),
    live: Live,
) -> Result<Found> {
    let (repo, change) = (&scope.key.repo, &declared.change);
    let status = match &scope.target.stage.reconcile {
        Reconciler::ArgoCd(_) => argocd::status(&live, repo),
        _ => flux::status(&live),
    };
    let now = revision::declared(&change.inputs);
    let is_outdated = now.as_ref().is_some_and(|now| {
        let mut before = change.declared_before.iter();
        before.any(|before| external::is_outdated(&live["spec"], &before["spec"], &now["spec"]))
    });
    let is_in = match &status.applied {
        Some(Applied::Commit(commit)) => includes(ctx, repo, commit, &change.revision).await?,
        // There is only its object to be compared.
        Some(Applied::Elsewhere) => now.is_some(),
        None => false,
    };
    let fails = match &status.failed {
        Some(Failure { at: Some(at), .. }) => includes(ctx, repo, at, &change.revision).await?,
        Some(_) => !is_outdated,
        None => false,
    };
    let failed = match &status.failed {
        Some(Failure { why, .. }) => fails.then(|| format!("{name}: {why}")),
        None if is_in && status.synced => None,
        None => failed_before(declared, &status),
    };
    Ok(Found {
        object,
        version,
        live,
        status,
        is_outdated,
        has_revision: is_in && !is_outdated,
        failed,
    })
}

/// The failure that was reported of the wanted revision: Flux tries again and again, and says while it
/// does that it is building.
fn failed_before(declared: &Declared, status: &ExternalStatus) -> Option<String> {
    let before = &declared.status;
    let is_same = before.reason.as_deref() == Some(RECONCILER_FAILED)
        && before.revision.as_ref() == Some(&declared.change.revision)
        && status.health.0 == Health::Progressing
        && status.waits.is_none();
    is_same.then(|| before.message.clone().unwrap_or_default())
}

/// Whether a commit is known and has another one.
async fn includes(
    ctx: &Arc<Reader>,
    repo: &RepoName,
    commit: &CommitSha,
    wanted: &CommitSha,
) -> Result<bool> {
    let (commit, wanted) = (commit.clone(), wanted.clone());
    ctx.mirror(repo, move |mirror| {
        Ok(mirror.knows(&commit)? && mirror.is_ancestor(&wanted, &commit)?)
    })
    .await
}

/// The status after their object was read.
fn with_external(
    status: ApplicationStatus,
    name: &str,
    found: &Found,
    requests: &Requests,
) -> ApplicationStatus {
    let sync = match found.is_synced() {
        true => SyncState::Synced,
        false => SyncState::OutOfSync,
    };
    let (health, why) = found.status.health.clone();
    let refused = requests.refused.as_ref();
    let message = status
        .message
        .or_else(|| found.failed.clone())
        .or_else(|| match sync {
            SyncState::Synced => Some(why).filter(|why| !why.is_empty()),
            _ => Some(view::waits(name, &waits(found))),
        });
    let refusal = refused.map(|(why, _)| view::refused_request(name, why));
    let message: Vec<_> = message.into_iter().chain(refusal).collect();
    let reason = match (&found.failed, refused) {
        (Some(_), _) => Some(RECONCILER_FAILED),
        (None, Some((_, true))) if sync != SyncState::Synced => Some(REQUEST_REFUSED),
        _ => None,
    };
    ApplicationStatus {
        sync,
        health,
        blocked: reason.is_some(),
        reason: reason.map(Into::into),
        message: Some(message.join(". ")).filter(|text| !text.is_empty()),
        sync_request: requests.handled.clone().or(status.sync_request),
        ..status
    }
}

fn waits(found: &Found) -> Waits {
    match (&found.status.applied, &found.status.waits) {
        _ if found.is_outdated => Waits::OldObject,
        (_, Some(says)) => Waits::Says(says.clone()),
        (Some(Applied::Commit(commit)), None) if !found.has_revision => Waits::At(commit.clone()),
        _ => Waits::NothingApplied,
    }
}

pub async fn act(ctx: &Writer, key: &TargetKey, external: External) -> Result<Requeue> {
    let External { declared, followed } = external;
    let Followed {
        status,
        requests,
        is_watched,
    } = followed;
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
    let scope = declared.scope(ctx, key)?;
    let commit = &declared.change.revision;
    let requested = requests::send(ctx, &scope, commit, requests).await?;
    if is_watched && !requested && !changed {
        return Ok(Requeue::After(WHERE_WATCHED));
    }
    // The longer nothing changes, the less often it is polled.
    let mut polls = locked(&ctx.cache.applications.polls);
    let pause = polls.entry(key.clone()).or_insert(WHILE_AWAITED);
    *pause = match () {
        () if requested => AFTER_A_REQUEST,
        () if settled => OTHERWISE,
        () if changed => WHILE_AWAITED.min(*pause * 2),
        () => (*pause * 2).min(OTHERWISE),
    };
    Ok(Requeue::After(*pause))
}

#[cfg(test)]
mod tests;
