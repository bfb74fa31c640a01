//! Updates the decisions on candidates by what Git has now.

use super::candidates::{announcement_index, tag_of};
use super::decision::{Decision, How, record};
use super::observed::{CandidateState, InBase, LastMerged};
use super::{PullRequest, PullRequestState};
use crate::domain::CommitSha;
use crate::domain::image::{Candidate, Digest, same_image};

/// The decisions that hold now, from the remembered ones (`before`). `announced`: in the order of
/// their first announcement.
pub fn refresh_decisions(
    before: &[Decision],
    states: &[CandidateState],
    announced: &[Candidate],
    base: &CommitSha,
    pull: Option<&PullRequest>,
) -> Vec<Decision> {
    let mut decided = with_pull_request(before, pull);
    // Decisions that hold only while their cause lasts.
    let mut temporary = Vec::new();
    for state in states {
        if state.in_base == InBase::Same {
            decided.retain(|decision| {
                decision.how == How::Merged || !decision.is_about(&state.candidate)
            });
        }
        let new = merged(state, base, pull).or_else(|| reverted(&decided, state, announced, base));
        if let Some(new) = new {
            record(&mut decided, new);
        }
        temporary.extend(kept_back(state, &decided));
    }
    let has_candidate = |decision: &Decision| {
        states
            .iter()
            .any(|state| same_image(&state.candidate.image, &decision.image))
    };
    decided.retain(|decision| match decision.how {
        How::Failed => temporary.contains(decision),
        How::Dropped => temporary.contains(decision) || !has_candidate(decision),
        _ => true,
    });
    temporary
        .into_iter()
        .for_each(|decision| record(&mut decided, decision));
    decided
}

/// The remembered decisions, updated by whether a person closed or reopened the pull request.
fn with_pull_request(before: &[Decision], pull: Option<&PullRequest>) -> Vec<Decision> {
    let how = |decision: &Decision| match pull {
        Some(pull) if decision.number == Some(pull.number) => match (pull.state, decision.how) {
            (PullRequestState::Closed, How::Proposed) => How::Rejected,
            (PullRequestState::Open, How::Rejected) => How::Proposed,
            (_, how) => how,
        },
        _ => decision.how,
    };
    let updated = |decision: &Decision| Decision {
        how: how(decision),
        ..decision.clone()
    };
    before.iter().map(updated).collect()
}

/// `Merged`, if the base has the candidate and that was not known.
fn merged(
    state: &CandidateState,
    base: &CommitSha,
    pull: Option<&PullRequest>,
) -> Option<Decision> {
    let known = state
        .last_merged
        .as_ref()
        .is_some_and(|last| last.in_history && last.digest == state.candidate.digest);
    if known || !matches!(state.in_base, InBase::Same | InBase::Retagged) {
        return None;
    }
    let number = pull
        .filter(|pull| pull.state == PullRequestState::Merged)
        .map(|pull| pull.number);
    Some(Decision {
        commit: Some(base.clone()),
        number,
        ..Decision::of(&state.candidate, How::Merged)
    })
}

/// The base no longer has the digest that was merged last: `Reverted`, or `Merged` for a newer
/// digest that replaced it.
fn reverted(
    decided: &[Decision],
    state: &CandidateState,
    announced: &[Candidate],
    base: &CommitSha,
) -> Option<Decision> {
    let last = state
        .last_merged
        .as_ref()
        .filter(|last| state.lacks() && last.in_history)?;
    let commit = last.reverted_by.as_ref()?;
    let candidate = Candidate {
        digest: last.digest.clone(),
        tag: last.tag.clone(),
        ..state.candidate.clone()
    };
    let Some(digest) = successor(decided, state, last, announced) else {
        return Some(Decision {
            commit: Some(commit.clone()),
            ..Decision::of(&candidate, How::Reverted)
        });
    };
    let tag = tag_of(announced, digest).unwrap_or_else(|| candidate.tag.clone());
    let candidate = Candidate {
        digest: digest.clone(),
        tag,
        ..candidate
    };
    Some(Decision {
        commit: Some(base.clone()),
        ..Decision::of(&candidate, How::Merged)
    })
}

/// The digest that replaced the one merged last: a newer one, or one that we proposed.
fn successor<'a>(
    decided: &[Decision],
    state: &'a CandidateState,
    last: &LastMerged,
    announced: &[Candidate],
) -> Option<&'a Digest> {
    let at = announcement_index(announced, &last.digest);
    let is_newer = |digest: &Digest| {
        last.digest != state.candidate.digest
            && at.is_some()
            && announcement_index(announced, digest) > at
    };
    // Our pull request was merged, and the next candidate announced, before this reconcile.
    let is_ours = |digest: &Digest| {
        decided.iter().any(|decision| {
            decision.how == How::Proposed
                && decision.digest == *digest
                && same_image(&decision.image, &state.candidate.image)
        })
    };
    state
        .base_digests
        .iter()
        .flatten()
        .find(|digest| is_newer(digest) || is_ours(digest))
}

/// Why the candidate cannot be proposed: its image is no longer configured, or the files cannot be
/// edited.
fn kept_back(state: &CandidateState, decided: &[Decision]) -> Option<Decision> {
    let candidate = &state.candidate;
    match &state.in_base {
        InBase::NotConfigured => Some(Decision::of(candidate, How::Dropped)),
        InBase::CannotEdit { why, .. } if !state.is_dropped(decided) => Some(Decision {
            why: Some(why.clone()),
            ..Decision::of(candidate, How::Failed)
        }),
        _ => None,
    }
}
