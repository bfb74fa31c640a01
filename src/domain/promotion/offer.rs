//! What is proposed of the candidates, and how a pull request and its commit say it.

use super::candidates::{place, tag_of};
use super::decision::{Decision, How, is_refused};
use super::observed::{Sight, There};
use crate::domain::ApplicationKey;
use crate::domain::image::{Candidate, Digest, Tag};

/// An image that is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub candidate: Candidate,
    /// What the base has, where that was announced later: it would be a step back.
    pub instead_of: Option<Tag>,
    /// The base had it before, and somebody set it back to where it had not.
    pub again: bool,
}

impl Offer {
    /// Why somebody has to want it, also where merging is automatic.
    pub fn doubt(&self) -> Option<String> {
        let tag = &self.candidate.tag;
        match &self.instead_of {
            Some(newer) => Some(format!(
                "this goes back: {tag} was announced before {newer}, which Git has now"
            )),
            None => self
                .again
                .then(|| format!("the stage had {tag} before and does not have it now")),
        }
    }
}

impl Sight {
    /// What is to be proposed of it. `announced`: in the order in which they were announced first.
    pub fn offer(&self, announced: &[Candidate], decided: &[Decision]) -> Option<Offer> {
        if !matches!(self.there, There::Other | There::Retagged)
            || is_refused(decided, &self.candidate)
        {
            return None;
        }
        let candidate = &self.candidate;
        let at = place(announced, &candidate.digest);
        let newer = |digest: &&Digest| at.is_some() && place(announced, digest) > at;
        let newest = self
            .now
            .iter()
            .flatten()
            .filter(newer)
            .max_by_key(|digest| place(announced, digest));
        let was_there = || {
            decided
                .iter()
                .any(|one| one.how == How::Merged && one.is_about(candidate))
        };
        Some(Offer {
            instead_of: newest.and_then(|digest| tag_of(announced, digest)),
            again: !self.now.contains(&Some(candidate.digest.clone())) && was_there(),
            candidate: candidate.clone(),
        })
    }
}

/// The commit message: subject, and trailers that say where the image came from.
pub fn commit_message(key: &ApplicationKey, offers: &[Offer]) -> (String, String) {
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

/// The pull request's title: application, stage, tag and the digest's first twelve digits.
pub fn title(key: &ApplicationKey, offers: &[Offer]) -> String {
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
    format!(
        "{}: {}",
        key.title(),
        offers.iter().map(image).collect::<Vec<_>>().join(", ")
    )
}
