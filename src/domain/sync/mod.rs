//! What a sync does next for one application.
//!
//! A plan is applied only if nothing blocks it: Git renders, the server accepts
//! every object, nobody paused the application, and its dependencies are
//! healthy. Objects whose deletion may lose something are deleted only by a
//! change that somebody approved or confirmed ([`decide_prune`]).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::approved::Deviations;
use super::health::{Assessment, Health, SyncState};
use super::manifest::ResourceKey;
use super::plan::{Action, Change, Confidence, Plan};

mod codes;
mod drift;
mod duration;
mod prune;
mod reason;
mod waves;

pub use codes::CODES;
pub use drift::{DRIFT_LOOP_WINDOW, MOST_HEALS, drift_loop_backoff};
pub use duration::{duration, duration_words};
pub use prune::{
    Confirmed, Mark, PruneCandidate, PruneDecision, decide_prune, decide_retired, mark, protected,
};
pub use reason::{
    ADOPTION_REQUIRED, APPLYING, Adoption, CLUSTER_UNREACHABLE, Drift, ERROR, LEFT_GIT,
    NOT_AS_APPROVED, RECONCILER_FAILED, REFUSED, REQUEST_REFUSED, Reason, is_undecided,
};
pub use waves::Waves;

/// The facts about one application that a reconcile decides from.
#[derive(Debug, Clone)]
pub struct SyncFacts {
    /// How many objects the application renders to, or why it cannot be rendered.
    pub rendered: Result<usize, String>,
    /// Whether the application has no objects yet.
    pub owns_nothing: bool,
    /// From the live objects to what a sync would make of them.
    pub plan: Plan,
    /// The health of the live objects.
    pub health: Assessment,
    /// Owned objects that are no longer in Git and are not pruned, each with the reason.
    pub withheld: Vec<(ResourceKey, String)>,
    /// Objects that are being deleted, each with what its deletion waits for.
    pub terminating: Vec<(ResourceKey, String)>,
    /// Until when the application is paused.
    pub paused: Option<Timestamp>,
    /// Applications that it depends on and that are not healthy.
    pub waits_for: Vec<String>,
    /// Objects that somebody changed in the cluster, with an unchanged manifest.
    pub drifted: BTreeSet<ResourceKey>,
    pub drift: DriftMode,
    /// The state of the pull request about this drift.
    pub proposal: Proposal,
    /// Deletions of the plan that wait for something: see [`Late`].
    pub late: BTreeMap<ResourceKey, Late>,
    /// Objects whose drift is reverted again and again, each with who changes it.
    pub drift_loops: Vec<(ResourceKey, String)>,
    /// The waves of the application's objects, each with its health.
    pub waves: Waves,
    /// Why nothing is applied until somebody adopts the application.
    pub adoption: Option<Adoption>,
    /// What the plan does beyond what was approved, and nobody accepted.
    pub deviations: Option<Deviations>,
}

/// What a deletion waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Late {
    /// The objects that replace it have to be healthy first.
    Healthy,
    /// Pods that run, or will run, use it.
    Used { by: String },
    /// Objects that it manages are deleted first: custom resources before their controllers and
    /// definitions.
    After { what: String },
}

/// What is done about drift: changes that others made to live objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriftMode {
    /// It is reverted.
    #[default]
    Heal,
    /// It is reported, and left as it is.
    Report,
    /// A pull request proposes it for Git. If that is closed without a merge, the drift is
    /// reverted.
    Propose,
}

/// The pull request that proposes a drift for Git.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Proposal {
    /// There is none, or the drift mode does not ask for one.
    #[default]
    None,
    /// It is open.
    Open { number: u64 },
    /// Somebody closed it: the drift is reverted.
    Refused,
    /// It cannot be created, for this reason.
    Impossible { why: String },
}

/// The next step, with its reason.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing is done until a person changes something.
    Blocked(Reason),
    /// Nothing is done for now; it continues by itself.
    Wait {
        reason: Reason,
        until: Option<Timestamp>,
    },
    /// Apply the plan.
    Apply,
    /// The cluster differs from Git; that is reported and left as it is.
    Report(Reason),
    /// Open a pull request that proposes the drift for Git.
    Propose(Reason),
    /// The cluster agrees with Git.
    InSync { health: Health, reason: Reason },
}

/// The next step of a sync.
pub fn decide(facts: &SyncFacts) -> Step {
    match &facts.rendered {
        Err(why) => return Step::Blocked(Reason::RenderFailed { why: why.clone() }),
        Ok(0) if !facts.owns_nothing => return Step::Blocked(Reason::RendersToNothing),
        Ok(_) => {}
    }
    if let Some(until) = facts.paused {
        return Step::Wait {
            reason: Reason::Paused { until },
            until: Some(until),
        };
    }
    // If one object is refused, nothing is applied: no Deployment rolls out with yesterday's
    // ConfigMap.
    let problem = |change: &Change| Some((change.key.clone(), change.problem.clone()?));
    let problems: Vec<_> = facts.plan.problems().filter_map(problem).collect();
    if !problems.is_empty() {
        return Step::Blocked(Reason::Refused(problems));
    }
    if facts.plan.is_empty() {
        return in_sync(facts);
    }
    if let Some(adoption) = &facts.adoption {
        return Step::Blocked(Reason::AdoptionRequired(adoption.clone()));
    }
    if let Some(deviations) = &facts.deviations {
        return Step::Blocked(Reason::NotAsApproved(deviations.clone()));
    }
    if !facts.waits_for.is_empty() {
        return wait(Reason::WaitsForApplications(facts.waits_for.clone()));
    }
    decide_drift(facts)
        .or_else(|| decide_late_deletions(facts))
        .or_else(|| decide_waves(facts))
        .unwrap_or(Step::Apply)
}

fn wait(reason: Reason) -> Step {
    Step::Wait {
        reason,
        until: None,
    }
}

/// The step if the plan is empty.
fn in_sync(facts: &SyncFacts) -> Step {
    // While objects are being deleted the sync is not complete.
    let health = match facts.terminating.is_empty() {
        true => facts.health.0,
        false => facts.health.0.max(Health::Progressing),
    };
    let reason = Reason::Health {
        health,
        objects: facts.health.clone(),
        terminating: facts.terminating.clone(),
        withheld: facts.withheld.clone(),
    };
    Step::InSync { health, reason }
}

/// The step for a plan that only reverts drift. None: the plan has other changes, or the drift is
/// to be reverted.
fn decide_drift(facts: &SyncFacts) -> Option<Step> {
    let mut all = facts.plan.effective();
    if !all.all(|change| facts.drifted.contains(&change.key)) {
        return None;
    }
    let objects = || facts.plan.effective().map(Drift::of).collect();
    let reason = || Reason::Drift {
        objects: objects(),
        proposal: facts.proposal.clone(),
    };
    let mut all = facts.plan.effective();
    match facts.drift {
        DriftMode::Report => return Some(Step::Report(reason())),
        DriftMode::Propose if all.all(|change| change.action == Action::Configure) => {
            match &facts.proposal {
                Proposal::None => return Some(Step::Propose(reason())),
                Proposal::Open { .. } | Proposal::Impossible { .. } => {
                    return Some(Step::Report(reason()));
                }
                Proposal::Refused => {}
            }
        }
        DriftMode::Heal | DriftMode::Propose => {}
    }
    let drift_loop = || Reason::DriftLoop(facts.drift_loops.clone());
    (!facts.drift_loops.is_empty()).then(|| Step::Blocked(drift_loop()))
}

/// The step for a plan in which only deletions are left that wait. None: the plan has other
/// changes.
fn decide_late_deletions(facts: &SyncFacts) -> Option<Step> {
    let late = |change: &Change| facts.late_because(&change.key).cloned();
    if !facts.plan.effective().all(|change| late(change).is_some()) {
        return None;
    }
    let deletions = facts.plan.effective();
    let deletions = deletions.filter_map(|change| Some((change.key.clone(), late(change)?)));
    let reason = Reason::DeletionsWait {
        health: facts.health.clone(),
        deletions: deletions.collect(),
    };
    // If the application is degraded, the deletions wait for that, and the commit has failed.
    Some(match facts.health.0 {
        Health::Degraded => Step::Blocked(reason),
        _ => wait(reason),
    })
}

/// The step if no change may be made before a wave is healthy. None: some change may be made.
fn decide_waves(facts: &SyncFacts) -> Option<Step> {
    if facts
        .plan
        .effective()
        .any(|change| facts.allows(&change.key))
    {
        return None;
    }
    let (wave, health, why) = facts.waves.current().unwrap_or((0, Health::Unknown, ""));
    let failed = health == Health::Degraded;
    let why = why.to_string();
    let reason = Reason::Wave { wave, failed, why };
    // A failed wave stops the later waves, and the commit has failed.
    Some(if failed {
        Step::Blocked(reason)
    } else {
        wait(reason)
    })
}

impl SyncFacts {
    /// Whether a change may be made now.
    pub fn allows(&self, key: &ResourceKey) -> bool {
        self.waves.allows(key) && self.late_because(key).is_none()
    }

    /// What a deletion waits for. None: nothing.
    fn late_because(&self, key: &ResourceKey) -> Option<&Late> {
        let healthy = matches!(self.health.0, Health::Healthy | Health::Suspended);
        let settled = healthy
            && self
                .plan
                .effective()
                .all(|change| self.late.contains_key(&change.key));
        self.late
            .get(key)
            .filter(|late| !(settled && **late == Late::Healthy))
    }
}

/// The sync state of a plan.
pub fn state(plan: &Plan) -> SyncState {
    if plan.is_empty() {
        SyncState::Synced
    } else {
        SyncState::OutOfSync
    }
}

/// Whether some object could not be dry-run yet, because the plan creates its namespace or kind.
pub fn waits_for_definitions(plan: &Plan) -> bool {
    plan.effective()
        .any(|change| change.confidence != Confidence::Server)
}

/// How many objects the plan writes or deletes.
pub fn writes(plan: &Plan) -> usize {
    plan.effective().count()
}

#[cfg(test)]
mod tests;
