//! Push → reconcile: keeps one application in one stage synced.
//!
//! [`observe`] only reads, stage by stage: what is declared, what Git renders to, what is live of
//! it, what the server would make of what moved, what is to be deleted, how healthy it is, and what
//! keeps it back. [`decide`] is pure. [`act`] only writes: the inventory is grown before the first
//! write and shrunk after an object is seen gone, so a crash leaves nothing untracked; definitions
//! come first, and what they make possible is planned on the next look.
//!
//! An application of which nothing moved costs no request: manifests are remembered by what they
//! were rendered from, live objects by the index.

mod act;
mod apply;
mod approval;
mod blockers;
mod cache;
mod declare;
mod desired;
mod drift_pull_request;
mod external;
mod fights;
mod health;
mod hooks;
mod image_verification;
mod inventory;
mod objects;
mod prune;
mod retire;
mod status;

pub use cache::Cache;

pub use blockers::taken;
pub use retire::target_of;

use std::sync::Arc;

use super::{Kind, Reader, Requeue, Result, Writer};
use crate::domain::plan::Plan;
use crate::domain::{ApplicationKey, sync};

pub async fn reconcile(ctx: Arc<Writer>, key: ApplicationKey) -> Result<Requeue> {
    let outcome = look(&ctx, &key).await;
    if let Err(error) = &outcome
        && error.kind() != Kind::Stale
    {
        // Where kubectl shows it; when that fails too, the log has it.
        let _ = act::report_error(&ctx, &key, error).await;
    }
    outcome
}

async fn look(ctx: &Writer, key: &ApplicationKey) -> Result<Requeue> {
    let observed = observe(ctx, key).await?;
    act::act(ctx, key, decide(observed, ctx.now())).await
}

/// What there is to look at.
enum Observed {
    Nothing,
    /// Git has it no more.
    Retired(Box<retire::Retired>),
    /// Argo CD or Flux keeps it.
    External(Box<external::External>),
    Managed(Box<Observation>),
}

/// One look at an application that windlass applies.
struct Observation {
    declared: declare::Declared,
    desired: desired::Desired,
    objects: objects::Objects,
    prune: prune::Candidates,
    health: health::Assessed,
    blockers: blockers::Blockers,
    /// What is decided from.
    facts: sync::Snapshot,
}

/// What is to be done, with what it was decided from.
enum Decision {
    Nothing,
    Retire(Box<retire::Retired>, Box<retire::Decision>),
    Follow(Box<external::External>),
    Sync(Box<Observation>, status::Verdict),
}

async fn observe(ctx: &Arc<Reader>, key: &ApplicationKey) -> Result<Observed> {
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
        let status = external::observe(ctx, &scope, &declared, &rendering).await?;
        drop(scope);
        return Ok(Observed::External(Box::new(external::External {
            declared,
            status,
        })));
    }
    let (desired, inventory) = desired::settle(ctx, &declared, &scope, rendering).await?;
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
    let facts = sync::Snapshot {
        rendered: desired.rendered.clone(),
        plan,
        health: health.total.clone(),
        withheld: prune.withheld.clone(),
        paused: blockers.paused_until(ctx.now()),
        waits_for: blockers.waits_for.clone(),
        drifted,
        drift: declared.target.drift,
        proposal: blockers.proposal.clone(),
        drift_loops: blockers.fights.clone(),
        waves: health.waves.clone(),
        adoption: blockers.adoption.clone(),
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

/// Live → what a sync would leave.
fn plan(
    ctx: &Reader,
    desired: &desired::Desired,
    objects: &objects::Objects,
    prune: &prune::Candidates,
) -> Plan {
    let all = desired.refusals.iter().cloned();
    let all = all.chain(objects.comparisons()).chain(prune.comparisons());
    Plan::new(&ctx.environment.mask, all)
}

fn decide(observed: Observed, now: jiff::Timestamp) -> Decision {
    match observed {
        Observed::Nothing => Decision::Nothing,
        Observed::Retired(seen) => {
            let decision = Box::new(retire::decide(&seen));
            Decision::Retire(seen, decision)
        }
        Observed::External(seen) => Decision::Follow(seen),
        Observed::Managed(seen) => {
            let verdict = status::verdict(&seen, now);
            Decision::Sync(seen, verdict)
        }
    }
}
