//! What a sync does next for one application.
//!
//! A plan is carried out only when nothing speaks against it: what Git has
//! must render, every object must be one that the server accepts, nobody may
//! have paused it, what it depends on must be healthy. What would be lost is
//! lost only by a change that somebody approved, or confirmed ([`judge`]).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

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
pub use drift::{FIGHT_WINDOW, MOST_HEALS, truce};
pub use duration::{duration, duration_words};
pub use prune::{Confirmed, Gone, Mark, PruneDecision, decide_retired, judge, mark, protected};
pub use reason::{
    APPLYING, Adoption, CLUSTER_UNREACHABLE, Drift, ERROR, LEFT_GIT, RECONCILER_FAILED, REFUSED,
    Reason,
};
pub use waves::Waves;

/// Facts about one application, all of one look.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How many objects Git has, or why it cannot be rendered.
    pub rendered: Result<usize, String>,
    /// Live → what a sync would leave.
    pub plan: Plan,
    /// The health of what is live.
    pub health: Assessment,
    /// Objects that we own, that Git has no more, and that stay; each with the reason.
    pub withheld: Vec<(ResourceKey, String)>,
    /// Objects that are being deleted and are not gone, each with what it waits for.
    pub ending: Vec<(ResourceKey, String)>,
    /// Until when somebody paused it.
    pub paused: Option<Timestamp>,
    /// What it depends on and is not healthy.
    pub waits_for: Vec<String>,
    /// Objects that others changed while their manifest stayed.
    pub drifted: BTreeSet<ResourceKey>,
    pub drift: DriftMode,
    /// Where the pull request about just this drift stands.
    pub proposal: Proposal,
    /// Deletions of the plan that wait: for all else to be healthy ([`Late::Healthy`]), or for something of their own.
    pub late: BTreeMap<ResourceKey, Late>,
    /// Objects that are set back again and again, with who changes them.
    pub fights: Vec<(ResourceKey, String)>,
    /// The waves of the application's objects, each with its health.
    pub waves: Waves,
    /// Why the plan may only be looked at until somebody adopts it.
    pub adoption: Option<Adoption>,
}

/// What a deletion waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Late {
    /// What takes its place has to serve first.
    Healthy,
    /// Pods that run, or come to run, need it.
    Used { by: String },
    /// What it keeps in order goes first: custom resources before their controllers and definitions.
    After { what: String },
}

/// What is done when others change live objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriftMode {
    /// It is set back.
    #[default]
    Heal,
    /// It is told, and left.
    Report,
    /// A pull request asks whether Git shall have it; closed without a merge, it is set back.
    Propose,
}

/// The pull request that asks whether Git shall have what somebody changed in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Proposal {
    /// There is none, or nobody wants one.
    #[default]
    None,
    /// It waits for somebody to merge or close it.
    Open { number: u64 },
    /// Somebody closed it: what was changed is set back.
    Refused,
    /// None can be made, for this reason.
    Impossible { why: String },
}

/// What to do, and why.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing may be done until somebody changes something.
    Blocked(Reason),
    /// Nothing is to be done for now: it goes on by itself.
    Wait {
        reason: Reason,
        until: Option<Timestamp>,
    },
    /// Carry the plan out.
    Apply,
    /// The cluster differs from Git, and that is left so.
    Report(Reason),
    /// A pull request shall ask whether Git wants what somebody changed.
    Propose(Reason),
    /// The cluster has what Git has.
    InSync { health: Health, reason: Reason },
}

pub fn decide(seen: &Seen) -> Step {
    match &seen.rendered {
        Err(why) => return Step::Blocked(Reason::RenderFailed { why: why.clone() }),
        Ok(0) => return Step::Blocked(Reason::RendersToNothing),
        Ok(_) => {}
    }
    if let Some(until) = seen.paused {
        return Step::Wait {
            reason: Reason::Paused { until },
            until: Some(until),
        };
    }
    // A validation error applies nothing of the application: no Deployment rolls with the ConfigMap of yesterday.
    let problem = |change: &Change| Some((change.key.clone(), change.problem.clone()?));
    let problems: Vec<_> = seen.plan.problems().filter_map(problem).collect();
    if !problems.is_empty() {
        return Step::Blocked(Reason::Refused(problems));
    }
    if seen.plan.is_empty() {
        return in_sync(seen);
    }
    if let Some(adoption) = &seen.adoption {
        return Step::Blocked(Reason::AdoptionRequired(adoption.clone()));
    }
    if !seen.waits_for.is_empty() {
        return wait(Reason::WaitsForApplications(seen.waits_for.clone()));
    }
    of_drift(seen)
        .or_else(|| of_late_deletions(seen))
        .or_else(|| of_waves(seen))
        .unwrap_or(Step::Apply)
}

fn wait(reason: Reason) -> Step {
    Step::Wait {
        reason,
        until: None,
    }
}

/// What is told where the plan is empty.
fn in_sync(seen: &Seen) -> Step {
    // What is not gone yet is not done yet.
    let health = match seen.ending.is_empty() {
        true => seen.health.0,
        false => seen.health.0.max(Health::Progressing),
    };
    let reason = Reason::Health {
        health,
        objects: seen.health.clone(),
        ending: seen.ending.clone(),
        withheld: seen.withheld.clone(),
    };
    Step::InSync { health, reason }
}

/// What becomes of a plan that only sets back what others changed; None: it is carried out.
fn of_drift(seen: &Seen) -> Option<Step> {
    let mut all = seen.plan.effective();
    if !all.all(|change| seen.drifted.contains(&change.key)) {
        return None;
    }
    let objects = || seen.plan.effective().map(Drift::of).collect();
    let reason = || Reason::Drift {
        objects: objects(),
        proposal: seen.proposal.clone(),
    };
    let mut all = seen.plan.effective();
    match seen.drift {
        DriftMode::Report => return Some(Step::Report(reason())),
        DriftMode::Propose if all.all(|change| change.action == Action::Configure) => {
            match &seen.proposal {
                Proposal::None => return Some(Step::Propose(reason())),
                Proposal::Open { .. } | Proposal::Impossible { .. } => {
                    return Some(Step::Report(reason()));
                }
                Proposal::Refused => {}
            }
        }
        DriftMode::Heal | DriftMode::Propose => {}
    }
    let fights = || Reason::DriftLoop(seen.fights.clone());
    (!seen.fights.is_empty()).then(|| Step::Blocked(fights()))
}

/// What becomes of a plan that has nothing but deletions that wait; None: it has something else.
fn of_late_deletions(seen: &Seen) -> Option<Step> {
    let late = |change: &Change| seen.late_because(&change.key).cloned();
    if !seen.plan.effective().all(|change| late(change).is_some()) {
        return None;
    }
    let deletions = seen.plan.effective();
    let deletions = deletions.filter_map(|change| Some((change.key.clone(), late(change)?)));
    let reason = Reason::DeletionsWait {
        health: seen.health.clone(),
        deletions: deletions.collect(),
    };
    // What failed is the commit's failure, and the reason that the deletions wait.
    Some(match seen.health.0 {
        Health::Degraded => Step::Blocked(reason),
        _ => wait(reason),
    })
}

/// What becomes of a plan of which nothing may be done before a wave is healthy; None: something may.
fn of_waves(seen: &Seen) -> Option<Step> {
    if seen.plan.effective().any(|change| seen.allows(&change.key)) {
        return None;
    }
    let (wave, health, why) = seen.waves.current().unwrap_or((0, Health::Unknown, ""));
    let failed = health == Health::Degraded;
    let why = why.to_string();
    let reason = Reason::Wave { wave, failed, why };
    // What failed stops the later waves, and is a failure of the commit.
    Some(if failed {
        Step::Blocked(reason)
    } else {
        wait(reason)
    })
}

impl Seen {
    /// Whether a change may be made now.
    pub fn allows(&self, key: &ResourceKey) -> bool {
        self.waves.allows(key) && self.late_because(key).is_none()
    }

    /// What a deletion waits for; None: nothing.
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

/// Whether the server could not be asked about some object yet, because its namespace or kind comes first.
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
