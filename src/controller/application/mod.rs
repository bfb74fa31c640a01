//! Push → reconcile: keeps one application in one stage synced.
//!
//! [`observe`] only reads, step by step: the declaration, what Git renders to, the live objects,
//! the server's dry-run of the objects that changed, the deletions, the health, and the blockers.
//! [`decide`] is pure. [`act`] only writes. The inventory grows before the first write and shrinks
//! after an object is observed to be gone, so a crash leaves no object untracked. Definitions are
//! applied first; the next reconcile plans their objects.
//!
//! If nothing changed, a reconcile costs no request: rendered manifests are cached by their inputs,
//! live objects by the index.

mod act;
mod apply;
mod approval;
mod approved;
mod blockers;
mod cache;
mod declare;
mod desired;
mod drift_loop;
mod drift_pull_request;
mod external;
mod health;
mod hooks;
mod image_verification;
mod inventory;
mod objects;
mod prune;
mod retire;
mod status;

pub use cache::Cache;

pub use blockers::accepted_takes;
pub use retire::target_of;

use std::sync::Arc;

use tracing::Instrument as _;

use super::{Kind, Reader, Requeue, Result, Writer};
use crate::domain::TargetKey;
use crate::domain::plan::Plan;
use crate::domain::sync::SyncFacts;
use crate::traces;

pub async fn reconcile(ctx: Arc<Writer>, key: TargetKey) -> Result<Requeue> {
    let outcome = observe_and_act(&ctx, &key).await;
    if let Err(error) = &outcome
        && error.kind() != Kind::Stale
    {
        // Into the status, where kubectl shows it. If that fails too, the log has the error.
        let _ = act::report_error(&ctx, &key, error).await;
    }
    outcome
}

async fn observe_and_act(ctx: &Writer, key: &TargetKey) -> Result<Requeue> {
    let observed = observe(ctx, key).instrument(traces::stage("observe"));
    let decided = decide(observed.await?, ctx.now());
    act::act(ctx, key, decided)
        .instrument(traces::stage("act"))
        .await
}

/// What was observed of a key.
enum Observed {
    Nothing,
    /// Git no longer has it.
    Retired(Box<retire::Retired>),
    /// Argo CD or Flux applies it.
    External(Box<external::External>),
    Managed(Box<Observation>),
}

/// What was observed of an application that windlass applies.
struct Observation {
    declared: declare::Declared,
    desired: desired::Desired,
    objects: objects::Objects,
    prune: prune::Deletions,
    health: health::Assessed,
    blockers: blockers::Blockers,
    /// The facts that the step is decided from.
    facts: SyncFacts,
}

/// What to do, with the observation that it was decided from.
enum Decision {
    Nothing,
    Retire(Box<retire::Retired>, Box<retire::Decision>),
    Follow(Box<external::External>),
    Sync(Box<Observation>, status::TimedStep),
}

async fn observe(ctx: &Arc<Reader>, key: &TargetKey) -> Result<Observed> {
    let declared = match declare::read(ctx, key).await? {
        declare::Declaration::Nothing => return Ok(Observed::Nothing),
        declare::Declaration::Retired { base, object } => {
            let retired = retire::observe(ctx, key, &base, object).await?;
            return Ok(Observed::Retired(Box::new(retired)));
        }
        declare::Declaration::Here(declared) => *declared,
    };
    let scope = declared.scope(ctx, key)?;
    let rendering = desired::render(ctx, &declared, &scope).await?;
    if !scope.applies() {
        let followed = external::observe(ctx, &scope, &declared, &rendering).await?;
        drop(scope);
        return Ok(Observed::External(Box::new(external::External {
            declared,
            followed,
        })));
    }
    let (desired, inventory) = desired::normalized(ctx, &declared, &scope, rendering).await?;
    let objects = objects::classify(&declared, &scope, &desired, inventory).await?;
    let (objects, claims) = objects::predict(ctx, &declared, &scope, &desired, objects).await?;
    let prune = prune::candidates(ctx, &declared, &scope, &desired, &objects, &claims).await?;
    let plan = plan(ctx, &desired, &objects, &prune);
    let health = health::assess(ctx, &declared, &scope, &desired, &objects, &plan).await?;
    let drifted = objects.drifted();
    let blockers = blockers::read(
        ctx, &declared, &scope, &desired, &objects, &plan, &drifted, &health,
    )
    .await?;
    drop(scope);
    let facts = SyncFacts {
        rendered: desired.rendered.clone(),
        owns_nothing: declared.status.inventory.is_empty(),
        plan,
        health: health.total.clone(),
        withheld: prune.withheld.clone(),
        paused: blockers.paused_until(ctx.now()),
        waits_for: blockers.waits_for.clone(),
        drifted,
        drift: declared.target.drift,
        proposal: blockers.proposal.clone(),
        drift_loops: blockers.drift_loops.clone(),
        waves: health.waves.clone(),
        adoption: blockers.adoption.clone(),
        deviations: blockers.deviations.clone(),
        late: prune.late.clone(),
        terminating: prune.ending.clone(),
    };
    Ok(Observed::Managed(Box::new(Observation {
        declared,
        desired,
        objects,
        prune,
        health,
        blockers,
        facts,
    })))
}

/// The difference between the live objects and the result of a sync.
fn plan(
    ctx: &Reader,
    desired: &desired::Desired,
    objects: &objects::Objects,
    prune: &prune::Deletions,
) -> Plan {
    let all = desired.refusals.iter().cloned();
    let all = all.chain(objects.comparisons()).chain(prune.comparisons());
    Plan::new(&ctx.environment.mask, all)
}

fn decide(observed: Observed, now: jiff::Timestamp) -> Decision {
    match observed {
        Observed::Nothing => Decision::Nothing,
        Observed::Retired(retired) => {
            let decision = Box::new(retire::decide(&retired));
            Decision::Retire(retired, decision)
        }
        Observed::External(external) => Decision::Follow(external),
        Observed::Managed(observation) => {
            let verdict = status::verdict(&observation, now);
            Decision::Sync(observation, verdict)
        }
    }
}
