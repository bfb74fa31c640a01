//! An earlier stage that somebody passed over for one image.

use serde::{Deserialize, Serialize};

use crate::domain::Name;
use crate::domain::hold::bounded;
use crate::domain::image::{Candidate, Digest};

/// An earlier stage that an image need not be healthy in, as the annotation `windlass.dev/skip`
/// keeps it in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedStage {
    pub stage: Name,
    pub digest: Digest,
    pub by: String,
    pub reason: String,
}

impl SkippedStage {
    pub fn new(stage: &Name, digest: &Digest, by: &str, reason: &str) -> Self {
        Self {
            stage: stage.clone(),
            digest: digest.clone(),
            by: by.into(),
            reason: bounded(reason),
        }
    }

    pub fn read(annotation: &str) -> Option<Self> {
        serde_json::from_str(annotation).ok()
    }

    /// The annotation's value.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it is about a stage, and about all that is promoted.
    pub fn covers(&self, stage: &Name, wanted: &[Candidate]) -> bool {
        self.stage == *stage
            && !wanted.is_empty()
            && wanted
                .iter()
                .all(|candidate| candidate.digest == self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_about_one_stage_and_one_digest() {
        let candidate = |digit: &str| Candidate {
            image: "ghcr.io/acme/shop".into(),
            digest: format!("sha256:{}", digit.repeat(64)).parse().unwrap(),
            tag: "1.2".parse().unwrap(),
            commit: "d".repeat(40).parse().unwrap(),
            source: "acme/shop".parse().unwrap(),
        };
        let (staging, test): (Name, Name) = ("staging".parse().unwrap(), "test".parse().unwrap());
        let skip = SkippedStage::new(&staging, &candidate("a").digest, "ada", "it is down");
        assert_eq!(SkippedStage::read(&skip.to_text()).as_ref(), Some(&skip));
        assert!(skip.covers(&staging, &[candidate("a")]));
        assert!(!skip.covers(&test, &[candidate("a")]));
        assert!(!skip.covers(&staging, &[candidate("a"), candidate("b")]));
        assert!(!skip.covers(&staging, &[]));
    }
}
