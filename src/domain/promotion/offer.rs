//! The images that a pull request proposes, its title and its commit message.

use super::candidates::{announcement_index, tag_of};
use super::decision::{Decision, How, is_refused};
use super::observed::{CandidateState, InBase};
use crate::domain::StageKey;
use crate::domain::image::{Candidate, Digest, Tag};
use crate::domain::pull_request::shortened;

/// An image that is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub candidate: Candidate,
    /// The base's tag, if that was announced later: the offer would be a step back.
    pub instead_of: Option<Tag>,
    /// The base had this digest before, and somebody removed it.
    pub reintroduced: bool,
}

impl Offer {
    /// Why a person has to merge it, even if merging is automatic.
    pub fn manual_merge_reason(&self) -> Option<String> {
        let tag = &self.candidate.tag;
        match &self.instead_of {
            Some(newer) => Some(format!(
                "this goes back: {tag} was announced before {newer}, which Git has now"
            )),
            None => self
                .reintroduced
                .then(|| format!("the stage had {tag} before and does not have it now")),
        }
    }
}

impl CandidateState {
    /// The offer for this candidate. `announced`: in the order of their first announcement.
    pub fn offer(&self, announced: &[Candidate], decided: &[Decision]) -> Option<Offer> {
        if !matches!(self.in_base, InBase::Different | InBase::Retagged)
            || is_refused(decided, &self.candidate)
        {
            return None;
        }
        let candidate = &self.candidate;
        let at = announcement_index(announced, &candidate.digest);
        let newer = |digest: &&Digest| at.is_some() && announcement_index(announced, digest) > at;
        let newest = self
            .base_digests
            .iter()
            .flatten()
            .filter(newer)
            .max_by_key(|digest| announcement_index(announced, digest));
        let was_there = || {
            decided
                .iter()
                .any(|decision| decision.how == How::Merged && decision.is_about(candidate))
        };
        Some(Offer {
            instead_of: newest.and_then(|digest| tag_of(announced, digest)),
            reintroduced: !self.base_digests.contains(&Some(candidate.digest.clone()))
                && was_there(),
            candidate: candidate.clone(),
        })
    }
}

/// The commit message: the subject, and trailers with the source of each image.
pub fn commit_message(key: &StageKey, offers: &[Offer]) -> (String, String) {
    let trailers: Vec<_> = offers
        .iter()
        .map(|Offer { candidate: c, .. }| {
            format!(
                "Image: {}:{}\nImage-Digest: {}\nSource-Commit: {}@{}",
                c.image, c.tag, c.digest, c.source, c.commit
            )
        })
        .collect();
    (title(key, offers), trailers.join("\n"))
}

/// The title of the pull request: application, stage, tag and the first twelve digits of the
/// digest.
pub fn title(key: &StageKey, offers: &[Offer]) -> String {
    let image = |Offer {
                     candidate,
                     instead_of,
                     ..
                 }: &Offer| {
        format!(
            "{}{} ({})",
            if instead_of.is_some() { "back to " } else { "" },
            candidate.tag,
            candidate.digest.short()
        )
    };
    let images = offers.iter().map(image).collect::<Vec<_>>().join(", ");
    shortened(&format!("{}: {images}", key.title()), LONGEST_TITLE)
}

/// GitHub refuses titles of more than 256 characters (rustsec/rustsec#1445).
const LONGEST_TITLE: usize = 200;
