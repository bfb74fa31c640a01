//! Our own comments in a pull request's thread.

use std::sync::Arc;

use crate::controller::{Reader, Result};
use crate::domain::pull_request::Sticky;
use crate::github::PullSnapshot;
use crate::view;

/// The thread says so often that our comment was edited.
const MOST_NOTICES: usize = 5;

pub struct Thread {
    pub sticky: Option<Sticky>,
    /// The sticky comment tells the end of the story.
    pub ended: bool,
    /// Somebody edited the sticky comment, which the thread does not say yet.
    pub tampered: bool,
}

impl Thread {
    /// `place`: where a comment of ours was sealed for.
    pub async fn read(ctx: &Arc<Reader>, place: &str, snapshot: &PullSnapshot) -> Result<Self> {
        let app = ctx.github.identity().await?;
        let comments = snapshot.comments.iter();
        let own: Vec<_> = comments.filter(|comment| comment.is_ours(app)).collect();
        let found = own.iter().find_map(|comment| {
            let found = view::sticky_of(comment.text(), &ctx.seal, place)?;
            Some((*comment, found))
        });
        let notices: Vec<_> = own
            .iter()
            .filter_map(|comment| view::tampered_of(comment.text()))
            .collect();
        let tampered = found.as_ref().is_some_and(|(comment, found)| {
            // One that has no seal yet is an older windlass's.
            found.sealed
                && !found.intact
                && notices.len() < MOST_NOTICES
                && !notices.contains(&(comment.id, comment.updated_at))
        });
        Ok(Self {
            tampered,
            ended: found.as_ref().is_some_and(|(_, found)| found.last),
            sticky: found.map(|(comment, found)| Sticky {
                id: comment.id,
                fingerprint: found.fingerprint,
                intact: found.intact,
            }),
        })
    }
}
