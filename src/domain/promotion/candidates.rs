//! Which candidates a stage gets from those before it, and the order in which
//! candidates were announced.

use crate::domain::Name;
use crate::domain::image::{Candidate, Digest, Tag, same_image};

/// A later stage's candidates: what every stage before it runs healthily, as far as an image event announced it there.
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

/// What is known of a stage that comes before.
#[derive(Debug, Clone)]
pub struct EarlierStage {
    pub stage: Name,
    /// Synced to what Git has, healthy and proven.
    pub healthy: bool,
    /// Why not, if that is known.
    pub why: String,
    /// (image, digest) pairs.
    pub running: Vec<(String, Digest)>,
    pub candidates: Vec<Candidate>,
}

impl EarlierStage {
    fn runs(&self, candidate: &Candidate) -> bool {
        self.running.iter().any(|(image, digest)| {
            *digest == candidate.digest && same_image(image, &candidate.image)
        })
    }

    /// What it lacks of being healthy with just these candidates.
    pub fn lacks(&self, candidates: &[Candidate]) -> Option<String> {
        if !self.healthy {
            let why = if self.why.is_empty() {
                String::new()
            } else {
                format!(" ({})", self.why)
            };
            return Some(format!("is not synced and healthy{why}"));
        }
        let missing = candidates.iter().filter(|one| !self.runs(one));
        let missing: Vec<_> = missing
            .map(|one| format!("{} ({})", one.tag, one.digest.short()))
            .collect();
        (!missing.is_empty()).then(|| format!("does not run {}", missing.join(", ")))
    }
}

/// Where a digest comes in the order in which candidates were announced first.
pub(super) fn place(announced: &[Candidate], digest: &Digest) -> Option<usize> {
    announced.iter().position(|one| one.digest == *digest)
}

/// The tag that a digest was announced with last.
pub(super) fn tag_of(announced: &[Candidate], digest: &Digest) -> Option<Tag> {
    announced
        .iter()
        .rfind(|one| one.digest == *digest)
        .map(|one| one.tag.clone())
}
