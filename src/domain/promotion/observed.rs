//! The state of a candidate in Git and in the configuration.

use super::decision::{Decision, How};
use crate::domain::CommitSha;
use crate::domain::image::{Candidate, Digest, Tag};

/// The state of a candidate in Git and in the configuration.
#[derive(Debug, Clone)]
pub struct CandidateState {
    pub candidate: Candidate,
    pub in_base: InBase,
    /// The digest at each place where the base sets the image.
    pub base_digests: Vec<Option<Digest>>,
    pub last_merged: Option<LastMerged>,
}

/// What the base sets for a candidate's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InBase {
    /// `windlass.yaml` no longer lists the image.
    NotConfigured,
    /// The candidate cannot be written, for this reason. `not_found`: no file sets the image.
    CannotEdit { why: String, not_found: bool },
    /// The candidate.
    Same,
    /// The candidate's digest, under another tag.
    Retagged,
    /// Something else, in at least one place.
    Different,
}

/// The digest of an image that was merged last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastMerged {
    pub digest: Digest,
    pub tag: Tag,
    /// The commit that had it is an ancestor of the base. If it is not, the base may be an older
    /// one or a branch that was reset: a missing digest then means nothing.
    pub in_history: bool,
    /// The commit that removed it from at least one place.
    pub reverted_by: Option<CommitSha>,
}

impl CandidateState {
    pub(super) fn lacks(&self) -> bool {
        matches!(
            self.in_base,
            InBase::Different
                | InBase::CannotEdit {
                    not_found: true,
                    ..
                }
        )
    }

    /// Whether the answer could come from an outdated base: it has to be checked with the newest
    /// one.
    pub fn needs_fresh_base(&self) -> bool {
        self.in_base == InBase::NotConfigured
            || self.lacks()
                && self
                    .last_merged
                    .as_ref()
                    .is_some_and(|past| !past.in_history)
    }

    /// Whether the image is no longer in Git or in the configuration.
    pub fn is_dropped(&self, decided: &[Decision]) -> bool {
        match self.in_base {
            InBase::NotConfigured => true,
            InBase::CannotEdit { not_found, .. } => {
                not_found
                    && decided.iter().any(|decision| {
                        decision.how == How::Reverted && decision.is_about(&self.candidate)
                    })
            }
            _ => false,
        }
    }
}
