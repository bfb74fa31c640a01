//! What became of each candidate in a stage, as it is remembered: what voids what,
//! and what holds where several are known.

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

/// Remembers one more, in the place of what it makes void.
pub fn record(decided: &mut Vec<Decision>, new: Decision) {
    if decided.contains(&new) {
        return;
    }
    let voids = |old: &Decision| match (new.how, old.how) {
        (new, old) if new == old => true,
        // Who refuses another tag of what is there refuses it also once more of it is there.
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

/// What holds for a candidate.
pub fn standing<'a>(decided: &'a [Decision], candidate: &Candidate) -> Option<&'a Decision> {
    decided
        .iter()
        .filter(|one| one.is_about(candidate))
        .max_by_key(|one| one.how)
}

/// What holds for each image: for its candidate, or for the last one of an image that has none any more. With the tag that
/// the candidate has now.
pub fn summary<'a>(
    candidates: &'a [Candidate],
    decided: &'a [Decision],
) -> Vec<(&'a Decision, &'a Tag)> {
    let mut found: Vec<_> = candidates
        .iter()
        .filter_map(|candidate| Some((standing(decided, candidate)?, &candidate.tag)))
        .collect();
    for (index, one) in decided.iter().enumerate() {
        let is_last = !decided[index + 1..]
            .iter()
            .any(|later| same_image(&later.image, &one.image));
        let gone = !candidates
            .iter()
            .any(|candidate| same_image(&candidate.image, &one.image));
        if is_last && gone && matches!(one.how, How::Dropped | How::Reverted) {
            found.push((one, &one.tag));
        }
    }
    found
}

/// A person decided against it.
pub fn is_refused(decided: &[Decision], candidate: &Candidate) -> bool {
    decided
        .iter()
        .any(|one| one.is_about(candidate) && matches!(one.how, How::Rejected | How::Reverted))
}

/// The candidates that a pull request brings, or will: those that nothing was decided on.
pub fn wanted(candidates: &[Candidate], decided: &[Decision]) -> Vec<Candidate> {
    let is_wanted = |candidate: &&Candidate| {
        standing(decided, candidate).is_none_or(|one| one.how == How::Proposed)
    };
    candidates.iter().filter(is_wanted).cloned().collect()
}

/// What was seen last of an image in the base.
pub fn last_merged<'a>(decided: &'a [Decision], image: &str) -> Option<&'a Decision> {
    decided
        .iter()
        .rfind(|one| one.how == How::Merged && same_image(&one.image, image))
}
