//! What Git and the configuration have of one candidate now.

use super::decision::{Decision, How};
use crate::domain::CommitSha;
use crate::domain::image::{Candidate, Digest, Tag};

/// What Git and the configuration have of one candidate.
#[derive(Debug, Clone)]
pub struct Sight {
    pub candidate: Candidate,
    pub there: There,
    /// The digest at each place where the base sets the image.
    pub now: Vec<Option<Digest>>,
    pub past: Option<Past>,
}

/// What the base has in a candidate's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum There {
    /// `windlass.yaml` names the image no more.
    Unnamed,
    /// It cannot be put in, in words. `gone`: no file sets the image.
    Impossible { why: String, gone: bool },
    /// Just the candidate.
    Same,
    /// Its digest, under another tag.
    Retagged,
    /// Something else, in one place at least.
    Other,
}

/// What was merged last of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    pub digest: Digest,
    pub tag: Tag,
    /// The base comes from where it was seen. Where that is not so, it says nothing that the base lacks it: it may be an older
    /// view, or a branch that was set back.
    pub in_history: bool,
    /// The commit that took it back, from one place at least where it was seen.
    pub taken: Option<CommitSha>,
}

impl Sight {
    pub(super) fn lacks(&self) -> bool {
        matches!(
            self.there,
            There::Other | There::Impossible { gone: true, .. }
        )
    }

    /// It was in a commit that the base does not come from: worth a second look.
    pub fn is_doubtful(&self) -> bool {
        self.there == There::Unnamed
            || self.lacks() && self.past.as_ref().is_some_and(|past| !past.in_history)
    }

    /// Git or the configuration know the image no more.
    pub fn is_dropped(&self, decided: &[Decision]) -> bool {
        match self.there {
            There::Unnamed => true,
            There::Impossible { gone, .. } => {
                gone && decided
                    .iter()
                    .any(|one| one.how == How::Reverted && one.is_about(&self.candidate))
            }
            _ => false,
        }
    }
}
