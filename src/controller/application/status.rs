//! What a look comes to, and what is kept of it: pure, from what was observed.

use std::time::Duration;

use super::{Observation, inventory};
use crate::cluster::store::{self, ApplicationStatus, LastSync};
use crate::domain::CommitSha;
use crate::domain::health::{Health, SyncState};
use crate::domain::plan;
use crate::domain::pull_request::note_failure;
use crate::domain::sync::{self, Reason, Step};
use crate::view;

/// Superseded revisions that are remembered, so that each is told so.
const SUPERSEDED: usize = 5;
/// Objects of a sync that are listed in its record.
const MOST_OUTCOMES: usize = 300;

/// The step to take, once its deadline is looked at.
pub struct Verdict {
    pub step: Step,
    /// Since when the revision waits for something of the cluster.
    pub waiting: Option<store::Waiting>,
    /// It waits for longer than the application allows.
    pub is_overdue: bool,
}

pub fn verdict(seen: &Observation, now: jiff::Timestamp) -> Verdict {
    let step = sync::decide(&seen.facts);
    let waiting = waiting(seen, &step, now);
    let decided = step.clone();
    let step = overdue(seen, step, waiting.as_ref(), now);
    Verdict {
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

impl Verdict {
    pub fn reason(&self, seen: &Observation) -> Reason {
        match &self.step {
            Step::Blocked(reason) | Step::Report(reason) | Step::Propose(reason) => reason.clone(),
            Step::Wait { reason, .. } | Step::InSync { reason, .. } => reason.clone(),
            Step::Apply => Reason::Applies {
                writes: sync::writes(&seen.facts.plan),
                of: seen.desired.manifests.len(),
            },
        }
    }

    /// Something stands in the way that a deadline did not make.
    pub fn is_blocked(&self) -> bool {
        matches!(self.step, Step::Blocked(_)) && !self.is_overdue
    }
}

/// The status after a look at `now`, with what the step says.
pub fn next(seen: &Observation, verdict: &Verdict, now: jiff::Timestamp) -> ApplicationStatus {
    let mut status = observed(seen, verdict, now);
    let revision = seen.revision();
    // What was healthy once and fails later is no failure of the revision.
    let finished = status
        .last_sync
        .as_ref()
        .is_some_and(|sync| sync.revision == *revision && sync.finished.is_some());
    let reason = verdict.reason(seen);
    let words = Some(view::reason(&reason)).filter(|words| !words.is_empty());
    match &verdict.step {
        Step::Blocked(_) => {
            if verdict.is_overdue && status.health == Health::Progressing {
                status.health = Health::Degraded;
            }
            status.sync = SyncState::OutOfSync;
            status.blocked = true;
            // What waits for a person's word has not failed.
            if seen.facts.adoption.is_none() {
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
        }
        Step::Wait { .. } | Step::Apply | Step::Report(_) | Step::Propose(_) => {}
    }
    status.reason = Some(reason.code().into());
    status.message = words;
    status
}

/// What was observed, whatever is to be done about it.
fn observed(seen: &Observation, verdict: &Verdict, now: jiff::Timestamp) -> ApplicationStatus {
    let (before, blockers) = (seen.declared.status.clone(), &seen.blockers);
    let mut superseded = before.superseded.clone();
    supersede(&mut superseded, before.revision.as_ref(), seen.revision());
    // An older identity stays until the new one is adopted.
    let cluster_uid = before
        .cluster_uid
        .clone()
        .filter(|_| seen.facts.adoption.is_some());
    let sync_request = match blockers.runs_again {
        // A hook that failed is still to be deleted for it: not followed yet.
        true => before.sync_request.clone(),
        false => seen.declared.requests.sync.clone(),
    };
    ApplicationStatus {
        revision: Some(seen.revision().clone()),
        superseded,
        inputs: Some(seen.declared.change.hash.clone()),
        images: seen.desired.images.clone(),
        sync: sync::state(&seen.facts.plan),
        health: seen.facts.health.0,
        blocked: false,
        message: None,
        sync_request,
        confirm: seen.prune.confirm.clone(),
        to_confirm: seen.prune.to_confirm.clone(),
        confirmed: seen.prune.confirmed.clone(),
        pause: blockers.pause.clone(),
        hooks: seen.health.hooks_done.clone(),
        first_run: seen.desired.hooks.first_run(),
        drift_loop: blockers.fight.clone(),
        served: seen.desired.served.clone(),
        unruled: seen.health.unruled.clone(),
        adoption: to_adopt(seen),
        proven: blockers.verification.proven.clone(),
        unproven: blockers.verification.unproven.clone(),
        last_sync: last_sync(seen, &verdict.step, now),
        cluster_uid: cluster_uid.or_else(|| Some(blockers.cluster_uid.clone())),
        inventory: inventory::next(seen),
        waiting: verdict.waiting.clone(),
        ..before
    }
}

/// Since when the revision waits for something of the cluster.
fn waiting(seen: &Observation, step: &Step, now: jiff::Timestamp) -> Option<store::Waiting> {
    let waits = match step {
        Step::Wait { until: None, .. } => seen.facts.waits_for.is_empty(),
        Step::InSync { health, .. } => *health == Health::Progressing,
        Step::Apply => true,
        _ => false,
    };
    let since = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    let new = || store::Waiting {
        revision: seen.revision().clone(),
        since,
    };
    waits.then(|| {
        let known = seen.declared.status.waiting.clone();
        known
            .filter(|known| known.revision == *seen.revision())
            .unwrap_or_else(new)
    })
}

/// What waits for longer than the application allows has failed.
fn overdue(
    seen: &Observation,
    step: Step,
    waiting: Option<&store::Waiting>,
    now: jiff::Timestamp,
) -> Step {
    let limit = seen.declared.target.health_timeout;
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
        } if late && seen.facts.waits_for.is_empty() => Step::Blocked(overdue(reason)),
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

/// What waits until somebody adopts it.
fn to_adopt(seen: &Observation) -> Vec<String> {
    let waits = |change: &&plan::Change| {
        change.notes.to_adopt || seen.facts.adoption.is_some() && change.before.is_some()
    };
    let names = seen
        .facts
        .plan
        .effective()
        .filter(waits)
        .map(|change| change.key.to_string());
    names.take(MOST_OUTCOMES).collect()
}

/// Puts the revision before this one to those that it supersedes.
pub fn supersede(superseded: &mut Vec<CommitSha>, was: Option<&CommitSha>, revision: &CommitSha) {
    if let Some(was) = was.filter(|was| *was != revision) {
        superseded.retain(|other| other != was && other != revision);
        superseded.push(was.clone());
        superseded.drain(..superseded.len().saturating_sub(SUPERSEDED));
    }
}

/// The record of what the sync of a revision does and did.
fn last_sync(seen: &Observation, step: &Step, now: jiff::Timestamp) -> Option<LastSync> {
    let before = &seen.declared.status;
    let now = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    let known = before
        .last_sync
        .clone()
        .filter(|sync| sync.revision == *seen.revision());
    match step {
        // What is set back later is no part of it.
        Step::Apply if before.synced_revision.as_ref() != Some(seen.revision()) => {
            let mut sync = known.unwrap_or_else(|| LastSync {
                revision: seen.revision().clone(),
                plan: plan::digest([(
                    seen.declared.target.destination.cluster.as_str(),
                    &seen.facts.plan,
                )]),
                started: now,
                finished: None,
                objects: Vec::new(),
            });
            for change in seen.facts.plan.effective().take(MOST_OUTCOMES) {
                let (action, object) = (change.action.word(), change.key.to_string());
                let told = sync.objects.iter().any(|known| {
                    known
                        .split_once(' ')
                        .is_some_and(|(_, known)| known == object)
                });
                if sync.objects.len() < MOST_OUTCOMES && !told {
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
