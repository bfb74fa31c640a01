//! The rollout of a commit over all applications that it changed: the summary that
//! its commit status, GitHub's Deployment and the comment show.

use super::pull_request::{Rollout, RolloutState};

/// The outcome of a rollout, or its current state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Failed,
    /// A cluster cannot be reached: the state is unknown.
    Stale,
    Pending,
    /// Newer commits changed every application that this one changed.
    Superseded,
    /// The applications that no newer commit changed are synced and healthy.
    Healthy,
    /// It changed no application.
    Nothing,
}

/// The summary of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary<'a> {
    pub outcome: Outcome,
    /// The application that determines the outcome, if one does.
    pub about: Option<&'a Rollout>,
    pub total: usize,
    /// Synced and healthy, and replaced by newer commits.
    pub healthy: usize,
    pub superseded: usize,
}

/// Summarizes the rollouts of all applications.
pub fn summary<'a>(rollouts: impl IntoIterator<Item = &'a Rollout>) -> Summary<'a> {
    let all: Vec<_> = rollouts.into_iter().collect();
    let find = |wanted: &dyn Fn(RolloutState) -> bool| {
        all.iter().find(|rollout| wanted(rollout.state)).copied()
    };
    let count = |state| all.iter().filter(|rollout| rollout.state == state).count();
    let (healthy, superseded) = (
        count(RolloutState::Healthy) + count(RolloutState::Deleted),
        count(RolloutState::Superseded),
    );
    let failed = find(&|state| matches!(state, RolloutState::Failed | RolloutState::FailedBefore));
    let stale = find(&|state| state == RolloutState::Stale);
    let (outcome, about) = match (failed, stale) {
        (Some(failed), _) => (Outcome::Failed, Some(failed)),
        (None, Some(stale)) => (Outcome::Stale, Some(stale)),
        _ if all.is_empty() => (Outcome::Nothing, None),
        _ if superseded == all.len() => (
            Outcome::Superseded,
            find(&|state| state == RolloutState::Superseded),
        ),
        _ if healthy + superseded == all.len() => (
            Outcome::Healthy,
            find(&|state| state == RolloutState::Healthy)
                .or_else(|| find(&|state| state == RolloutState::Deleted)),
        ),
        // An application that waits for a person is reported only if nothing else is
        // in progress.
        _ => {
            let waits = [RolloutState::Leaving, RolloutState::Undecided];
            let in_progress = find(&|state| !state.is_final() && !waits.contains(&state));
            (
                Outcome::Pending,
                in_progress.or_else(|| find(&|state| !state.is_final())),
            )
        }
    };
    Summary {
        outcome,
        about,
        total: all.len(),
        healthy,
        superseded,
    }
}

/// Whether all that is under way needs nobody, so that it may soon be over.
pub fn passes_by_itself(rollouts: &[Rollout]) -> bool {
    use RolloutState::{Progressing, Syncing, Waiting};
    let passes = |one: &Rollout| {
        one.state.is_final()
            || matches!(one.state, Waiting | Syncing | Progressing) && one.message.is_empty()
    };
    summary(rollouts).outcome == Outcome::Pending && rollouts.iter().all(passes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TargetKey;

    #[test]
    fn the_worst_is_told_and_a_failure_stays_one() {
        use RolloutState::*;
        let rollout = |state| Rollout {
            key: TargetKey {
                repo: "a/b".parse().unwrap(),
                application: "shop".parse().unwrap(),
                stage: "staging".parse().unwrap(),
                cluster: None,
            },
            state,
            message: String::new(),
            failed: false,
            detail: String::new(),
        };
        let of = |states: &[RolloutState]| {
            let all: Vec<_> = states.iter().map(|state| rollout(*state)).collect();
            summary(&all).outcome
        };
        for (states, outcome) in [
            (&[][..], Outcome::Nothing),
            (&[Healthy, Healthy], Outcome::Healthy),
            (&[Healthy, Superseded], Outcome::Healthy),
            (&[Superseded, Superseded], Outcome::Superseded),
            (&[Superseded, Syncing], Outcome::Pending),
            (&[Healthy, Stale], Outcome::Stale),
            (&[Stale, Failed, Healthy], Outcome::Failed),
            (&[Superseded, FailedBefore], Outcome::Failed),
            (&[Unproven, Healthy], Outcome::Pending),
            (&[Leaving, Healthy], Outcome::Pending),
            (&[Undecided, Healthy], Outcome::Pending),
            (&[Undecided, Failed], Outcome::Failed),
            (&[Deleted, Healthy], Outcome::Healthy),
        ] {
            assert_eq!(of(states), outcome, "{states:?}");
        }
    }
    #[test]
    fn what_waits_for_a_person_does_not_pass_by_itself() {
        use RolloutState::*;
        let rollout = |state, message: &str| Rollout {
            key: TargetKey {
                repo: "a/b".parse().unwrap(),
                application: "shop".parse().unwrap(),
                stage: "staging".parse().unwrap(),
                cluster: None,
            },
            state,
            message: message.into(),
            failed: false,
            detail: String::new(),
        };
        for (state, message, passes) in [
            (Waiting, "", true),
            (Syncing, "", true),
            (Progressing, "", true),
            (Progressing, "deletions wait for a word", false),
            (Leaving, "", false),
            (Undecided, "", false),
            (Unproven, "", false),
            (Failed, "", false),
            (Healthy, "", false),
        ] {
            let all = [rollout(Healthy, ""), rollout(state, message)];
            assert_eq!(passes_by_itself(&all), passes, "{state:?} {message}");
        }
    }
}
