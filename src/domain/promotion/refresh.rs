//! From what was remembered of each candidate, and what Git has of it now, to what
//! holds from now on.

use super::candidates::{place, tag_of};
use super::decision::{Decision, How, record};
use super::observed::{Past, Sight, There};
use super::{PullRequest, PullRequestState};
use crate::domain::CommitSha;
use crate::domain::image::{Candidate, Digest, same_image};

/// Goes from what was remembered to what holds now. `announced`: in the order in which they were announced first.
pub fn judge(
    before: &[Decision],
    sights: &[Sight],
    announced: &[Candidate],
    base: &CommitSha,
    pull: Option<&PullRequest>,
) -> Vec<Decision> {
    let mut decided = with_pull_request(before, pull);
    // What holds only as long as it is found.
    let mut passing = Vec::new();
    for sight in sights {
        if sight.there == There::Same {
            decided.retain(|one| one.how == How::Merged || !one.is_about(&sight.candidate));
        }
        let new = merged(sight, base, pull).or_else(|| reverted(&decided, sight, announced, base));
        if let Some(new) = new {
            record(&mut decided, new);
        }
        passing.extend(kept_back(sight, &decided));
    }
    let is_seen = |one: &Decision| {
        sights
            .iter()
            .any(|sight| same_image(&sight.candidate.image, &one.image))
    };
    decided.retain(|one| match one.how {
        How::Failed => passing.contains(one),
        How::Dropped => passing.contains(one) || !is_seen(one),
        _ => true,
    });
    passing
        .into_iter()
        .for_each(|one| record(&mut decided, one));
    decided
}

/// What was remembered, once a person closed the pull request or opened it again.
fn with_pull_request(before: &[Decision], pull: Option<&PullRequest>) -> Vec<Decision> {
    let how = |one: &Decision| match pull {
        Some(pull) if one.number == Some(pull.number) => match (pull.state, one.how) {
            (PullRequestState::Closed, How::Proposed) => How::Rejected,
            (PullRequestState::Open, How::Rejected) => How::Proposed,
            (_, how) => how,
        },
        _ => one.how,
    };
    let with = |one: &Decision| Decision {
        how: how(one),
        ..one.clone()
    };
    before.iter().map(with).collect()
}

/// The base has the candidate, and did not when it was seen last.
fn merged(sight: &Sight, base: &CommitSha, pull: Option<&PullRequest>) -> Option<Decision> {
    let known = sight
        .past
        .as_ref()
        .is_some_and(|past| past.in_history && past.digest == sight.candidate.digest);
    if known || !matches!(sight.there, There::Same | There::Retagged) {
        return None;
    }
    let number = pull
        .filter(|pull| pull.state == PullRequestState::Merged)
        .map(|pull| pull.number);
    Some(Decision {
        commit: Some(base.clone()),
        number,
        ..Decision::of(&sight.candidate, How::Merged)
    })
}

/// What was merged last of an image is not there any more: somebody took it back, unless something newer came in its place.
fn reverted(
    decided: &[Decision],
    sight: &Sight,
    announced: &[Candidate],
    base: &CommitSha,
) -> Option<Decision> {
    let past = sight
        .past
        .as_ref()
        .filter(|past| sight.lacks() && past.in_history)?;
    let commit = past.taken.as_ref()?;
    let candidate = Candidate {
        digest: past.digest.clone(),
        tag: past.tag.clone(),
        ..sight.candidate.clone()
    };
    let Some(digest) = successor(decided, sight, past, announced) else {
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

/// The digest that came in the place of what was merged last: a newer one, or one that was proposed.
fn successor<'a>(
    decided: &[Decision],
    sight: &'a Sight,
    past: &Past,
    announced: &[Candidate],
) -> Option<&'a Digest> {
    let at = place(announced, &past.digest);
    let is_newer = |digest: &Digest| {
        past.digest != sight.candidate.digest && at.is_some() && place(announced, digest) > at
    };
    // Merged, and another one announced, before anybody looked.
    let is_ours = |digest: &Digest| {
        decided.iter().any(|one| {
            one.how == How::Proposed
                && one.digest == *digest
                && same_image(&one.image, &sight.candidate.image)
        })
    };
    sight
        .now
        .iter()
        .flatten()
        .find(|digest| is_newer(digest) || is_ours(digest))
}

/// What keeps the candidate from being proposed: its image is named no more, or it cannot be put in.
fn kept_back(sight: &Sight, decided: &[Decision]) -> Option<Decision> {
    let candidate = &sight.candidate;
    match &sight.there {
        There::Unnamed => Some(Decision::of(candidate, How::Dropped)),
        There::Impossible { why, .. } if !sight.is_dropped(decided) => Some(Decision {
            why: Some(why.clone()),
            ..Decision::of(candidate, How::Failed)
        }),
        _ => None,
    }
}
