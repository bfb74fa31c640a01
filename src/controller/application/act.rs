//! Writes what was decided: to the cluster, and to the `Application` object.

use std::time::Duration;

use tokio::time::Instant;

use super::declare::spec_of;
use super::status::{self, Verdict};
use super::{Decision, Observation, drift_pull_request, external, retire};
use crate::cluster::store::{self, Application, ApplicationStatus};
use crate::controller::cache::locked;
use crate::controller::{Error, Event, Reader, Requeue, Result, Writer};
use crate::domain::health::{Health, SyncState};
use crate::domain::sync::{CLUSTER_UNREACHABLE, ERROR, Proposal, Reason, Step};
use crate::domain::{ApplicationKey, CommitKey};
use crate::{cluster, view};

/// A cluster that cannot be reached for so long makes what is known of it stale.
const STALE_AFTER: Duration = Duration::from_secs(10);

pub async fn act(ctx: &Writer, key: &ApplicationKey, decision: Decision) -> Result<Requeue> {
    locked(&ctx.cache.applications.unreachable).remove(key);
    match decision {
        Decision::Nothing => Ok(Requeue::Idle),
        Decision::Retire(seen, decision) => retire::act(ctx, key, &seen, *decision).await,
        Decision::Follow(seen) => external::act(ctx, key, *seen).await,
        Decision::Sync(seen, verdict) => sync(ctx, key, &seen, verdict).await,
    }
}

async fn sync(
    ctx: &Writer,
    key: &ApplicationKey,
    seen: &Observation,
    verdict: Verdict,
) -> Result<Requeue> {
    let (declared, before) = (&seen.declared, &seen.declared.status);
    if before.blocked && !verdict.is_blocked() {
        // A right may have been granted, also to watch.
        ctx.cluster(&declared.target.destination.cluster)?
            .index
            .retry_refused();
    }
    let mut status = status::next(seen, &verdict, ctx.now());
    if let Step::Propose(Reason::Drift { objects, .. }) = &verdict.step {
        let (base, plan) = (&declared.base, &seen.facts.plan);
        let asks = drift_pull_request::propose(ctx, key, base, &declared.target, plan).await?;
        let proposal = asks.map_or(Proposal::None, |number| Proposal::Open { number });
        let objects = objects.clone();
        status.message = Some(view::reason(&Reason::Drift { objects, proposal }));
    }
    let spec = spec_of(key, &declared.base, &declared.target);
    let object = ctx
        .to_store()
        .declare_application(key, spec, declared.known.clone())
        .await?;
    // Grown before the first write; whoever wrote in between wins.
    let object = ctx
        .to_store()
        .report_application(&object, status, ctx.now())
        .await?;
    if matches!(verdict.step, Step::Apply) {
        tell(ctx, key, &object, before.is_ready());
        return super::apply::apply(ctx, key, seen, object).await;
    }
    if matches!(verdict.step, Step::InSync { .. }) {
        let pending = super::health::pending(&seen.facts.plan);
        let left = seen.objects.all.iter().filter_map(|(object, state)| {
            Some((
                object.clone(),
                state.last_applied(pending.contains(object))?,
            ))
        });
        locked(&ctx.cache.applications.last_applied).insert(key.clone(), left.collect());
        if declared.requests.adopt {
            // It was said of this cluster and what was in it: of another one it has to be said again.
            ctx.to_store().annotate(key, store::ADOPT, None).await?;
        }
    }
    let version = object.metadata.resource_version.clone();
    let news = locked(&ctx.cache.applications.last_reported).insert(key.clone(), version.clone())
        != Some(version);
    if news {
        // Also what is healthy no more: what was proposed later waits for it.
        tell(ctx, key, &object, before.is_ready());
    }
    // What of a hook is to go once it came out well goes on the next look.
    Ok(match seen.health.hooks_done == before.hooks {
        true => again(ctx, seen, &verdict.step),
        false => Requeue::After(Duration::from_millis(100)),
    })
}

/// When it is looked at again, where no event tells.
fn again(ctx: &Reader, seen: &Observation, step: &Step) -> Requeue {
    let seconds = |seconds| Requeue::After(Duration::from_secs(seconds));
    match step {
        // What stands in the way may be in the cluster, where no event tells of its end.
        Step::Blocked(_) | Step::Propose(_) => seconds(60),
        Step::Wait {
            until: Some(until), ..
        } if let Ok(pause) = Duration::try_from(until.duration_since(ctx.now())) => {
            Requeue::After(pause)
        }
        // That the last pod which uses something is gone no event tells.
        Step::Wait { .. } => seconds(if seen.facts.late.is_empty() { 30 } else { 2 }),
        // That a pull request about it is closed, no event of the cluster tells.
        Step::Report(_) => match seen.facts.proposal {
            Proposal::Open { .. } => seconds(60),
            _ => Requeue::Idle,
        },
        Step::Apply => Requeue::After(Duration::ZERO),
        Step::InSync {
            health: Health::Healthy | Health::Suspended,
            ..
        } => {
            let again = [seen.blockers.verification.again, seen.prune.ask_again];
            match again.into_iter().flatten().min() {
                // That it can be looked at again no event tells.
                _ if seen.prune.unknown => seconds(60),
                Some(again) => Requeue::After(again.saturating_duration_since(Instant::now())),
                None => Requeue::Idle,
            }
        }
        // Events tell of what comes on; this is for what they miss.
        Step::InSync { .. } => seconds(10),
    }
}

/// Tells whoever waits for an application how it stands. `stood`: it was what later stages wait for.
pub fn tell(ctx: &Reader, key: &ApplicationKey, object: &Application, stood: bool) {
    let status = object.status.as_ref();
    let commits = status.map(|status| status.superseded.iter().chain(&status.revision));
    ctx.emit(&Event::Status {
        key: key.clone(),
        commits: commits.into_iter().flatten().cloned().collect(),
        stands: stood || status.is_some_and(ApplicationStatus::is_ready),
    });
}

/// Keeps an error where kubectl shows it.
pub async fn report_error(ctx: &Writer, key: &ApplicationKey, error: &Error) -> Result<()> {
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
        // What nobody could look at for a while is neither synced nor not: it is not known.
        if since.elapsed() >= STALE_AFTER {
            status.sync = SyncState::Unknown;
        }
    }
    let object = ctx
        .to_store()
        .report_application(&object, status, ctx.now())
        .await?;
    let stood = before.as_ref().is_some_and(ApplicationStatus::is_ready);
    tell(ctx, key, &object, stood);
    // A commit that nobody could look at yet is told so too.
    ctx.emit(&Event::Commit(CommitKey {
        repo: key.repo.clone(),
        commit: base.commit.clone(),
    }));
    Ok(())
}
