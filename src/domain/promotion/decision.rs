//! The remembered decisions on a stage's candidates: which one replaces which, and
//! which one counts if a candidate has several.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::CommitSha;
use crate::domain::image::{Candidate, Digest, Tag, same_image};

/// What became of a candidate in a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    pub image: String,
    pub digest: Digest,
    /// The tag that it had then.
    pub tag: Tag,
    pub how: How,
    /// Merged: a commit that has it. Reverted: the commit that took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitSha>,
    /// The pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub number: Option<u64>,
    /// Why it cannot be put in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// In the order in which one stands before another where several hold of the same digest.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum How {
    Merged,
    Rejected,
    Reverted,
    Proposed,
    Dropped,
    Failed,
}

/// Decisions that are remembered.
pub(super) const MOST_DECIDED: usize = 20;

impl Decision {
    pub fn of(candidate: &Candidate, how: How) -> Self {
        let Candidate {
            image, digest, tag, ..
        } = candidate.clone();
        Self {
            image,
            digest,
            tag,
            how,
            commit: None,
            number: None,
            why: None,
        }
    }

    pub fn is_about(&self, candidate: &Candidate) -> bool {
        self.digest == candidate.digest && same_image(&self.image, &candidate.image)
    }
}

/// Adds a decision and removes those that it makes void.
pub fn record(decided: &mut Vec<Decision>, new: Decision) {
    if decided.contains(&new) {
        return;
    }
    let voids = |old: &Decision| match (new.how, old.how) {
        (new, old) if new == old => true,
        // If a person rejected another tag of a merged digest, that still holds when the digest is
        // merged elsewhere.
        (How::Merged, How::Rejected) => false,
        (How::Merged | How::Reverted, _) => true,
        (How::Proposed, How::Rejected) | (How::Rejected | How::Dropped, How::Proposed) => true,
        _ => false,
    };
    decided.retain(|old| {
        old.digest != new.digest || !same_image(&old.image, &new.image) || !voids(old)
    });
    decided.push(new);
    decided.drain(..decided.len().saturating_sub(MOST_DECIDED));
}

/// The decision that counts for a candidate.
pub fn decision_for<'a>(decided: &'a [Decision], candidate: &Candidate) -> Option<&'a Decision> {
    decided
        .iter()
        .filter(|decision| decision.is_about(candidate))
        .max_by_key(|decision| decision.how)
}

/// The decision that counts for each image: for its candidate or, if it has none any more, its last
/// decision. With the candidate's current tag.
pub fn summary<'a>(
    candidates: &'a [Candidate],
    decided: &'a [Decision],
) -> Vec<(&'a Decision, &'a Tag)> {
    let mut found: Vec<_> = candidates
        .iter()
        .filter_map(|candidate| Some((decision_for(decided, candidate)?, &candidate.tag)))
        .collect();
    for (index, decision) in decided.iter().enumerate() {
        let is_last = !decided[index + 1..]
            .iter()
            .any(|later| same_image(&later.image, &decision.image));
        let has_candidate = candidates
            .iter()
            .any(|candidate| same_image(&candidate.image, &decision.image));
        if is_last && !has_candidate && matches!(decision.how, How::Dropped | How::Reverted) {
            found.push((decision, &decision.tag));
        }
    }
    found
}

/// Whether a person rejected or reverted it.
pub fn is_refused(decided: &[Decision], candidate: &Candidate) -> bool {
    decided.iter().any(|decision| {
        decision.is_about(candidate) && matches!(decision.how, How::Rejected | How::Reverted)
    })
}

/// Whether a person asked for it with `/promote`, and it is not proposed yet: what became of it
/// before does not count.
pub fn is_asked_for(decided: &[Decision], candidate: &Candidate) -> bool {
    decided.iter().any(|decision| {
        decision.is_about(candidate) && decision.how == How::Proposed && decision.number.is_none()
    })
}

/// The candidates that are proposed or will be: those without a final decision.
pub fn wanted(candidates: &[Candidate], decided: &[Decision]) -> Vec<Candidate> {
    let is_wanted = |candidate: &&Candidate| {
        decision_for(decided, candidate).is_none_or(|decision| decision.how == How::Proposed)
    };
    candidates.iter().filter(is_wanted).cloned().collect()
}

/// The newest `Merged` decision of an image.
pub fn last_merged<'a>(decided: &'a [Decision], image: &str) -> Option<&'a Decision> {
    decided
        .iter()
        .rfind(|decision| decision.how == How::Merged && same_image(&decision.image, image))
}
