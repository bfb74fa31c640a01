//! Carries out the decision: writes to the cluster, and to the `Application` object.

use std::time::Duration;

use tokio::time::Instant;

use super::declare::spec_of;
use super::status::{self, TimedStep};
use super::{Decision, Observation, drift_pull_request, external, retire};
use crate::cluster::store::{self, Application, ApplicationStatus};
use crate::controller::cache::locked;
use crate::controller::{Error, Event, Reader, Requeue, Result, Writer};
use crate::domain::activity::{State, What};
use crate::domain::health::{Health, SyncState};
use crate::domain::sync::{APPLYING, CLUSTER_UNREACHABLE, ERROR, Proposal, REFUSED, Reason, Step};
use crate::domain::{CommitKey, TargetKey};
use crate::{cluster, view};

/// If a cluster cannot be reached for this long, the known sync state is stale.
const STALE_AFTER: Duration = Duration::from_secs(10);

pub async fn act(ctx: &Writer, key: &TargetKey, decision: Decision) -> Result<Requeue> {
    locked(&ctx.cache.applications.unreachable).remove(key);
    match decision {
        Decision::Nothing => Ok(Requeue::Idle),
        Decision::Retire(retired, decision) => retire::act(ctx, key, &retired, *decision).await,
        Decision::Follow(external) => external::act(ctx, key, *external).await,
        Decision::Sync(observation, verdict) => sync(ctx, key, &observation, verdict).await,
    }
}

async fn sync(
    ctx: &Writer,
    key: &TargetKey,
    observation: &Observation,
    verdict: TimedStep,
) -> Result<Requeue> {
    let (declared, before) = (&observation.declared, &observation.declared.status);
    if before.blocked && !verdict.is_blocked() {
        // Somebody may have granted a missing right, for example to watch a kind.
        ctx.cluster(&declared.target.destination.cluster)?
            .index
            .retry_refused();
    }
    let plan = &observation.facts.plan;
    ctx.cache.applications.note_differences(key, plan);
    let mut status = status::next(observation, &verdict, ctx.now());
    if let Step::Propose(Reason::Drift { objects, .. }) = &verdict.step {
        let (base, plan) = (&declared.base, &observation.facts.plan);
        let number = drift_pull_request::propose(ctx, key, base, &declared.target, plan).await?;
        let proposal = number.map_or(Proposal::None, |number| Proposal::Open { number });
        let objects = objects.clone();
        status.message = Some(view::reason(&Reason::Drift { objects, proposal }));
    }
    let spec = spec_of(key, &declared.base, &declared.target);
    let object = ctx
        .to_store()
        .declare_application(key, spec, declared.known.clone())
        .await?;
    // The inventory grows before the first write. If somebody else changed the object meanwhile,
    // this write fails.
    let object = ctx
        .to_store()
        .report_application(&object, status, ctx.now())
        .await?;
    if matches!(verdict.step, Step::Apply) {
        emit_status(ctx, key, &object, Some(before));
        return super::apply::apply(ctx, key, observation, object).await;
    }
    if matches!(verdict.step, Step::InSync { .. }) {
        let pending = super::health::pending(&observation.facts.plan);
        let last_applied = observation
            .objects
            .all
            .iter()
            .filter_map(|(object, state)| {
                Some((
                    object.clone(),
                    state.last_applied(pending.contains(object))?,
                ))
            });
        locked(&ctx.cache.applications.last_applied).insert(key.clone(), last_applied.collect());
        if declared.requests.adopt {
            // The adoption was for this cluster and its objects: another cluster needs a new one.
            ctx.to_store()
                .annotate(&object, &[(store::ADOPT, None)])
                .await?;
        }
    }
    let version = object.metadata.resource_version.clone();
    let changed = locked(&ctx.cache.applications.last_reported)
        .insert(key.clone(), version.clone())
        != Some(version);
    if changed {
        // Also when the application is no longer healthy: pull requests for later stages wait for
        // it.
        emit_status(ctx, key, &object, Some(before));
    }
    // A hook that is deleted after success is deleted by the next reconcile.
    Ok(match observation.health.hooks_done == before.hooks {
        true => requeue(ctx, observation, &verdict.step),
        false => Requeue::After(Duration::from_millis(100)),
    })
}

/// When to reconcile again without an event.
fn requeue(ctx: &Reader, observation: &Observation, step: &Step) -> Requeue {
    let seconds = |seconds| Requeue::After(Duration::from_secs(seconds));
    match step {
        // The obstacle may be in the cluster, and no event says when it is gone.
        Step::Blocked(_) | Step::Propose(_) => seconds(60),
        Step::Wait {
            until: Some(until), ..
        } if let Ok(pause) = Duration::try_from(until.duration_since(ctx.now())) => {
            Requeue::After(pause)
        }
        // No event says that the last pod which uses an object is gone.
        Step::Wait { .. } => seconds(if observation.facts.late.is_empty() {
            30
        } else {
            2
        }),
        // No event of the cluster says that the drift pull request was closed.
        Step::Report(_) => match observation.facts.proposal {
            Proposal::Open { .. } => seconds(60),
            _ => Requeue::Idle,
        },
        Step::Apply => Requeue::After(Duration::ZERO),
        Step::InSync {
            health: Health::Healthy | Health::Suspended,
            ..
        } => {
            let next_check = [
                observation.blockers.verification.next_check,
                observation.prune.next_check,
            ];
            match next_check.into_iter().flatten().min() {
                // No event says that an unreadable object is readable again.
                _ if observation.prune.unknown => seconds(60),
                Some(at) => Requeue::After(at.saturating_duration_since(Instant::now())),
                None => Requeue::Idle,
            }
        }
        // Events report progress; this is for the ones that are missed.
        Step::InSync { .. } => seconds(10),
    }
}

/// Wakes whoever waits for the application's status, and tells how it changed. `before`: the status
/// that it had.
pub fn emit_status(
    ctx: &Reader,
    key: &TargetKey,
    object: &Application,
    before: Option<&ApplicationStatus>,
) {
    let status = object.status.as_ref();
    if let Some(state) = status.and_then(|status| changed_state(before, status)) {
        ctx.record_application(key, What::State(state));
    }
    let was_ready = before.is_some_and(ApplicationStatus::is_ready);
    let commits = status.map(|status| status.superseded.iter().chain(&status.revision));
    ctx.emit(&Event::Status {
        key: key.clone(),
        commits: commits.into_iter().flatten().cloned().collect(),
        later_stages: was_ready || status.is_some_and(ApplicationStatus::is_ready),
    });
}

/// The state, if it is another one than before; a message that only counts on is no other state.
pub fn changed_state(
    before: Option<&ApplicationStatus>,
    status: &ApplicationStatus,
) -> Option<State> {
    let before = before.map(|before| state_of(before, false));
    let was_warning = before.as_ref().is_some_and(State::is_warning);
    let now = state_of(status, was_warning);
    // What the server refused is tried again and again, with the same end.
    let is_retry = before.as_ref().is_some_and(|before| {
        before.reason == REFUSED && now.reason == APPLYING && before.revision == now.revision
    });
    (!is_retry && before.is_none_or(|before| !before.is_as(&now))).then_some(now)
}

fn state_of(status: &ApplicationStatus, was_warning: bool) -> State {
    let reason = status.reason.clone().unwrap_or_else(|| match status.sync {
        SyncState::Synced => format!("{:?}", status.health),
        other => format!("{other:?}"),
    });
    State {
        sync: status.sync,
        health: status.health,
        reason,
        message: status.message.clone(),
        revision: status.revision.clone(),
        is_blocked: status.blocked,
        was_warning,
    }
}

/// Writes an error into the status, where kubectl shows it.
pub async fn report_error(ctx: &Writer, key: &TargetKey, error: &Error) -> Result<()> {
    let base = ctx.known_base(&key.repo).await?;
    let known = ctx.store.application(key).await?;
    let object = match (known, base.target(key)) {
        (Some(object), _) => object,
        (None, Some(target)) => {
            let spec = spec_of(key, &base, target);
            ctx.to_store().declare_application(key, spec, None).await?
        }
        (None, None) => return Ok(()),
    };
    let before = object.status.clone();
    let mut status = ApplicationStatus {
        message: Some(error.to_string()),
        ..before.clone().unwrap_or_default()
    };
    status.reason = Some(ERROR.into());
    if matches!(error, Error::Cluster(cluster::Error::Unavailable { .. })) {
        status.reason = Some(CLUSTER_UNREACHABLE.into());
        let mut unreachable = locked(&ctx.cache.applications.unreachable);
        let since = *unreachable.entry(key.clone()).or_insert_with(Instant::now);
        // If the cluster was unreachable for a while, the sync state is unknown.
        if since.elapsed() >= STALE_AFTER {
            status.sync = SyncState::Unknown;
        }
    }
    let object = ctx
        .to_store()
        .report_application(&object, status, ctx.now())
        .await?;
    emit_status(ctx, key, &object, before.as_ref());
    // The commit's status shows the error too.
    ctx.emit(&Event::Commit(CommitKey {
        repo: key.repo.clone(),
        commit: base.commit.clone(),
    }));
    Ok(())
}
