//! The verdict of a reconcile and the status to report: pure, from what was observed.

use std::time::Duration;

use super::{Observation, inventory};
use crate::cluster::store::{self, ApplicationStatus, LastSync};
use crate::controller::revision::CurrentInputs;
use crate::domain::CommitSha;
use crate::domain::approved::{self, ApprovedPlan};
use crate::domain::health::{Health, SyncState};
use crate::domain::history::{HealthyRevision, is_irreversible, note_healthy};
use crate::domain::plan;
use crate::domain::pull_request::note_failure;
use crate::domain::sync::{self, Reason, Step};
use crate::view;

/// Superseded revisions that are kept, so that each commit's status says so.
const SUPERSEDED: usize = 5;
/// Objects of a sync that are listed in its record.
const MOST_OUTCOMES: usize = 300;

/// The step to take, with the deadline applied.
pub struct TimedStep {
    pub step: Step,
    /// Since when the revision waits for the cluster.
    pub waiting: Option<store::Waiting>,
    /// It waits for longer than the application's health timeout.
    pub is_overdue: bool,
}

pub fn verdict(observation: &Observation, now: jiff::Timestamp) -> TimedStep {
    let step = sync::decide(&observation.facts);
    let waiting = waiting(observation, &step, now);
    let decided = step.clone();
    let step = overdue(observation, step, waiting.as_ref(), now);
    TimedStep {
        is_overdue: step != decided,
        step,
        waiting,
    }
}

impl Observation {
    pub fn revision(&self) -> &CommitSha {
        &self.declared.change.revision
    }
}

impl TimedStep {
    pub fn reason(&self, observation: &Observation) -> Reason {
        match &self.step {
            Step::Blocked(reason) | Step::Report(reason) | Step::Propose(reason) => reason.clone(),
            Step::Wait { reason, .. } | Step::InSync { reason, .. } => reason.clone(),
            Step::Apply => Reason::Applies {
                writes: sync::writes(&observation.facts.plan),
                of: observation.desired.manifests.len(),
            },
        }
    }

    /// Blocked by something other than the deadline.
    pub fn is_blocked(&self) -> bool {
        matches!(self.step, Step::Blocked(_)) && !self.is_overdue
    }
}

/// The status to report at `now`, with the step's reason.
pub fn next(
    observation: &Observation,
    verdict: &TimedStep,
    now: jiff::Timestamp,
) -> ApplicationStatus {
    let mut status = observed(observation, verdict, now);
    let revision = observation.revision();
    // If the revision was healthy once, a later failure is not the revision's.
    let finished = status
        .last_sync
        .as_ref()
        .is_some_and(|sync| sync.revision == *revision && sync.finished.is_some());
    let reason = verdict.reason(observation);
    let words = Some(view::reason(&reason)).filter(|words| !words.is_empty());
    match &verdict.step {
        Step::Blocked(_) => {
            if verdict.is_overdue && status.health == Health::Progressing {
                status.health = Health::Degraded;
            }
            status.sync = SyncState::OutOfSync;
            status.blocked = true;
            // Waiting for a decision is no failure.
            if !matches!(
                reason,
                Reason::AdoptionRequired(_) | Reason::NotAsApproved(_)
            ) {
                let failed = words.as_deref().filter(|_| !finished);
                note_failure(&mut status.failures, revision, failed);
            }
        }
        Step::InSync { health, .. } => {
            status.health = *health;
            let failed = words
                .as_deref()
                .filter(|_| *health == Health::Degraded && !finished);
            note_failure(&mut status.failures, revision, failed);
            status.synced_revision = Some(revision.clone());
            status.behind = 0;
        }
        Step::Wait { .. } | Step::Apply | Step::Report(_) | Step::Propose(_) => {}
    }
    status.reason = Some(reason.code().into());
    status.message = words;
    if matches!(verdict.step, Step::InSync { .. }) && status.is_ready() {
        remember(&mut status, &observation.declared.change, now);
    }
    status
}

/// Records that the revision is synced and healthy.
pub fn remember(status: &mut ApplicationStatus, change: &CurrentInputs, now: jiff::Timestamp) {
    let sync = status.last_sync.iter();
    let sync = sync.filter(|sync| sync.revision == change.revision);
    let done = sync.flat_map(|sync| &sync.objects).cloned();
    let run = status.hooks.iter().map(|hook| format!("run {}", hook.key));
    let healthy = HealthyRevision {
        revision: change.revision.clone(),
        inputs: change.hash.clone(),
        at: jiff::Timestamp::from_second(now.as_second()).unwrap_or(now),
        images: status.images.clone(),
        irreversible: done
            .filter(|done| is_irreversible(done))
            .chain(run)
            .collect(),
    };
    note_healthy(&mut status.history, healthy);
}

/// The status of what was observed, whatever the step is.
fn observed(
    observation: &Observation,
    verdict: &TimedStep,
    now: jiff::Timestamp,
) -> ApplicationStatus {
    let (before, blockers) = (observation.declared.status.clone(), &observation.blockers);
    let inputs = &observation.declared.change.hash;
    let mut superseded = before.superseded.clone();
    let (was_at, is_at) = (before.revision.as_ref(), observation.revision());
    supersede(&mut superseded, was_at, is_at);
    // The old cluster's UID stays until the new cluster is adopted.
    let cluster_uid = before
        .cluster_uid
        .clone()
        .filter(|_| observation.facts.adoption.is_some());
    let sync_request = match blockers.reruns_hook {
        // The failed hook is still to be deleted for it: the request is not done yet.
        true => before.sync_request.clone(),
        false => observation.declared.requests.sync.clone(),
    };
    ApplicationStatus {
        revision: Some(observation.revision().clone()),
        behind: observation.declared.change.behind,
        superseded,
        inputs: Some(inputs.clone()),
        images: observation.desired.images.clone(),
        sync: sync::state(&observation.facts.plan),
        health: observation.facts.health.0,
        blocked: false,
        message: None,
        sync_request,
        confirm: observation.prune.confirm.clone(),
        to_confirm: observation.prune.to_confirm.clone(),
        confirmed: observation.prune.confirmed.clone(),
        pause: blockers.pause.clone(),
        held: observation.declared.held(now),
        hooks: observation.health.hooks_done.clone(),
        first_run: observation.desired.hooks.first_run(),
        drift_loop: blockers.drift_backoff.clone(),
        served: observation.desired.served.clone(),
        unruled: observation.health.unruled.clone(),
        unmanaged: observation.health.unmanaged.clone(),
        adoption: to_adopt(observation),
        approved: match verdict.step {
            Step::InSync { .. } => approved::after_sync(&blockers.approved, inputs),
            _ => blockers.approved.clone(),
        },
        predicted: predicted(observation),
        unapproved: unapproved(observation),
        proven: blockers.verification.proven.clone(),
        unproven: blockers.verification.unproven.clone(),
        last_sync: last_sync(observation, &verdict.step, now),
        cluster_uid: cluster_uid.or_else(|| Some(blockers.cluster_uid.clone())),
        inventory: inventory::next(observation),
        waiting: verdict.waiting.clone(),
        ..before
    }
}

/// What the pull request that led to the inputs was shown to do.
fn predicted(observation: &Observation) -> Option<ApprovedPlan> {
    let inputs = &observation.declared.change.hash;
    let known = observation.declared.status.predicted.as_ref();
    let new = approved::synced(&observation.blockers.approved, inputs);
    new.or(known.filter(|plan| plan.to == *inputs)).cloned()
}

/// Since when the revision waits for the cluster.
fn waiting(observation: &Observation, step: &Step, now: jiff::Timestamp) -> Option<store::Waiting> {
    let waits = match step {
        Step::Wait { until: None, .. } => observation.facts.waits_for.is_empty(),
        Step::InSync { health, .. } => *health == Health::Progressing,
        Step::Apply => true,
        _ => false,
    };
    let since = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    let new = || store::Waiting {
        revision: observation.revision().clone(),
        since,
    };
    waits.then(|| {
        let known = observation.declared.status.waiting.clone();
        known
            .filter(|known| known.revision == *observation.revision())
            .unwrap_or_else(new)
    })
}

/// A step that waits for longer than the application's health timeout has failed.
fn overdue(
    observation: &Observation,
    step: Step,
    waiting: Option<&store::Waiting>,
    now: jiff::Timestamp,
) -> Step {
    let limit = observation.declared.target.health_timeout;
    let late = waiting.is_some_and(|waiting| {
        Duration::try_from(now.duration_since(waiting.since)).is_ok_and(|waited| waited > limit)
    });
    let overdue = |reason: Reason| Reason::Overdue {
        limit,
        reason: Box::new(reason),
    };
    match step {
        Step::Wait {
            reason,
            until: None,
        } if late && observation.facts.waits_for.is_empty() => Step::Blocked(overdue(reason)),
        Step::InSync {
            health: Health::Progressing,
            reason,
        } if late => Step::InSync {
            health: Health::Degraded,
            reason: overdue(reason),
        },
        other => other,
    }
}

/// Names what the sync would do that was not approved.
fn unapproved(observation: &Observation) -> Option<String> {
    let deviations = observation.facts.deviations.as_ref()?;
    Some(deviations.ids(&observation.declared.change.hash))
}

/// The objects that wait until somebody adopts them.
fn to_adopt(observation: &Observation) -> Vec<String> {
    let waits = |change: &&plan::Change| {
        change.notes.to_adopt || observation.facts.adoption.is_some() && change.before.is_some()
    };
    let names = observation
        .facts
        .plan
        .effective()
        .filter(waits)
        .map(|change| change.key.to_string());
    names.take(MOST_OUTCOMES).collect()
}

/// Adds the previous revision to those that this one supersedes.
pub fn supersede(
    superseded: &mut Vec<CommitSha>,
    previous: Option<&CommitSha>,
    revision: &CommitSha,
) {
    if let Some(previous) = previous.filter(|previous| *previous != revision) {
        superseded.retain(|other| other != previous && other != revision);
        superseded.push(previous.clone());
        superseded.drain(..superseded.len().saturating_sub(SUPERSEDED));
    }
}

/// The record of the sync of a revision.
fn last_sync(observation: &Observation, step: &Step, now: jiff::Timestamp) -> Option<LastSync> {
    let before = &observation.declared.status;
    let now = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    let known = before
        .last_sync
        .clone()
        .filter(|sync| sync.revision == *observation.revision());
    match step {
        // Drift that is reverted later is no part of it.
        Step::Apply if before.synced_revision.as_ref() != Some(observation.revision()) => {
            let mut sync = known.unwrap_or_else(|| LastSync {
                revision: observation.revision().clone(),
                plan: plan::digest([(
                    observation.declared.target.destination.cluster.as_str(),
                    &observation.facts.plan,
                )]),
                started: now,
                finished: None,
                objects: Vec::new(),
            });
            for change in observation.facts.plan.effective().take(MOST_OUTCOMES) {
                let (action, object) = (change.action.word(), change.key.to_string());
                let is_listed = sync.objects.iter().any(|known| {
                    known
                        .split_once(' ')
                        .is_some_and(|(_, known)| known == object)
                });
                if sync.objects.len() < MOST_OUTCOMES && !is_listed {
                    sync.objects.push(format!("{action} {object}"));
                }
            }
            sync.objects.sort();
            Some(sync)
        }
        Step::InSync {
            health: Health::Healthy,
            ..
        } => known.map(|sync| LastSync {
            finished: sync.finished.or(Some(now)),
            ..sync
        }),
        _ => known.or_else(|| before.last_sync.clone()),
    }
}
