//! Where a commit stands over all the applications that it changed: the one
//! summary that its commit status, GitHub's Deployment and the comment tell.

use super::pull_request::{Rollout, RolloutState};

/// What a roll-out came to, or is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Failed,
    /// A cluster cannot be reached: nothing is known.
    Stale,
    Pending,
    /// A newer commit changed all that this one did, before it came to an end.
    Superseded,
    /// What no newer commit changed is synced and healthy.
    Healthy,
    /// It changed no application.
    Nothing,
}

/// The summary of a roll-out.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary<'a> {
    pub outcome: Outcome,
    /// The application that the outcome is about, where it is about one.
    pub about: Option<&'a Rollout>,
    pub total: usize,
    /// Synced and healthy, and replaced by newer commits.
    pub healthy: usize,
    pub superseded: usize,
}

pub fn summary<'a>(progress: impl IntoIterator<Item = &'a Rollout>) -> Summary<'a> {
    let all: Vec<_> = progress.into_iter().collect();
    let find =
        |wanted: &dyn Fn(RolloutState) -> bool| all.iter().find(|one| wanted(one.state)).copied();
    let count = |state| all.iter().filter(|one| one.state == state).count();
    let (healthy, superseded) = (
        count(RolloutState::Healthy) + count(RolloutState::Gone),
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
                .or_else(|| find(&|state| state == RolloutState::Gone)),
        ),
        // What waits for a person's word is told when nothing else is waited for.
        _ => {
            let moves = find(&|state| !state.is_final() && state != RolloutState::Leaving);
            (
                Outcome::Pending,
                moves.or_else(|| find(&|state| !state.is_final())),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ApplicationKey;

    #[test]
    fn the_worst_is_told_and_a_failure_stays_one() {
        use RolloutState::*;
        let one = |state| Rollout {
            key: ApplicationKey {
                repo: "a/b".parse().unwrap(),
                application: "shop".parse().unwrap(),
                stage: "staging".parse().unwrap(),
            },
            state,
            message: String::new(),
            detail: String::new(),
        };
        let of = |states: &[RolloutState]| {
            let all: Vec<_> = states.iter().map(|state| one(*state)).collect();
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
            (&[Gone, Healthy], Outcome::Healthy),
        ] {
            assert_eq!(of(states), outcome, "{states:?}");
        }
    }
}
