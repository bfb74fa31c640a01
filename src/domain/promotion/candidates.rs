//! The candidates that a stage gets from earlier stages, and the order in which
//! candidates were announced.

use jiff::Timestamp;

use crate::domain::Name;
use crate::domain::image::{Candidate, Digest, Tag, same_image};

/// The candidates of a later stage: images that every earlier stage runs, healthy, and that an
/// event announced for the first of them.
pub fn promoted(earlier: &[EarlierStage]) -> Vec<Candidate> {
    let Some((first, rest)) = earlier.split_first() else {
        return Vec::new();
    };
    if earlier.iter().any(|stage| !stage.healthy) {
        return Vec::new();
    }
    first
        .candidates
        .iter()
        .filter(|candidate| first.runs(candidate) && rest.iter().all(|stage| stage.runs(candidate)))
        .cloned()
        .collect()
}

/// The state of an earlier stage.
#[derive(Debug, Clone)]
pub struct EarlierStage {
    pub stage: Name,
    /// Synced to Git, healthy, and its images verified.
    pub healthy: bool,
    /// Since when, as far as that is known.
    pub since: Option<Timestamp>,
    /// Why it is not healthy, if that is known.
    pub why: String,
    /// (image, digest) pairs.
    pub running: Vec<(String, Digest)>,
    pub candidates: Vec<Candidate>,
}

impl EarlierStage {
    /// Whether the candidate is not there, and nothing brings it there: another one of its image was
    /// announced since.
    pub fn passed_by(&self, candidate: &Candidate) -> bool {
        let mut named = self.candidates.iter();
        !self.runs(candidate) && !named.any(|known| known.digest == candidate.digest)
    }

    fn runs(&self, candidate: &Candidate) -> bool {
        self.running.iter().any(|(image, digest)| {
            *digest == candidate.digest && same_image(image, &candidate.image)
        })
    }

    /// Why these candidates may not be promoted from it yet.
    pub fn lacks(&self, candidates: &[Candidate]) -> Option<String> {
        if !self.healthy {
            let why = if self.why.is_empty() {
                String::new()
            } else {
                format!(" ({})", self.why)
            };
            return Some(format!("is not synced and healthy{why}"));
        }
        let missing = candidates.iter().filter(|candidate| !self.runs(candidate));
        let missing: Vec<_> = missing
            .map(|candidate| format!("{} ({})", candidate.tag, candidate.digest.short()))
            .collect();
        (!missing.is_empty()).then(|| format!("does not run {}", missing.join(", ")))
    }
}

/// The position of a digest in the order of first announcements.
pub(super) fn announcement_index(announced: &[Candidate], digest: &Digest) -> Option<usize> {
    announced
        .iter()
        .position(|candidate| candidate.digest == *digest)
}

/// The tag of the latest announcement of a digest.
pub(super) fn tag_of(announced: &[Candidate], digest: &Digest) -> Option<Tag> {
    announced
        .iter()
        .rfind(|candidate| candidate.digest == *digest)
        .map(|candidate| candidate.tag.clone())
}
