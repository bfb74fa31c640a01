//! Our own comments in a pull request's thread.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::controller::{Reader, Result};
use crate::domain::pull_request::Sticky;
use crate::github::PullSnapshot;
use crate::view;

/// The most notices in a thread that our comment was edited.
const MOST_NOTICES: usize = 5;

pub struct Thread {
    pub sticky: Option<Sticky>,
    /// Further comments of the kind: a write that GitHub answered by an error was made all the same.
    pub duplicates: Vec<u64>,
    /// The sticky comment reports the final state.
    pub ended: bool,
    /// The applications whose failure a comment told of.
    pub failures: BTreeSet<String>,
    /// Somebody edited the sticky comment, and the thread has no notice of it yet.
    pub tampered: bool,
}

impl Thread {
    /// `place`: the pull request that our comments are sealed for.
    pub async fn read(ctx: &Arc<Reader>, place: &str, snapshot: &PullSnapshot) -> Result<Self> {
        let app = ctx.github.identity().await?;
        let comments = snapshot.comments.iter();
        let own: Vec<_> = comments.filter(|comment| comment.is_ours(app)).collect();
        let mut stickies = own.iter().filter_map(|comment| {
            let found = view::sticky_of(comment.text(), &ctx.seal, place)?;
            Some((*comment, found))
        });
        let found = stickies.next();
        // One that somebody edited is evidence: it stays.
        let duplicates = stickies.filter(|(_, found)| found.sealed && found.intact);
        let duplicates = duplicates.map(|(comment, _)| comment.id).collect();
        let notices: Vec<_> = own
            .iter()
            .filter_map(|comment| view::tampered_of(comment.text()))
            .collect();
        let tampered = found.as_ref().is_some_and(|(comment, found)| {
            // A comment without a seal is from an older windlass.
            found.sealed
                && !found.intact
                && notices.len() < MOST_NOTICES
                && !notices.contains(&(comment.id, comment.updated_at))
        });
        let failures = own
            .iter()
            .flat_map(|comment| view::failed_of(comment.text()));
        Ok(Self {
            tampered,
            duplicates,
            failures: failures.collect(),
            ended: found.as_ref().is_some_and(|(_, found)| found.last),
            sticky: found.map(|(comment, found)| Sticky {
                id: comment.id,
                fingerprint: found.fingerprint,
                intact: found.intact,
            }),
        })
    }
}
