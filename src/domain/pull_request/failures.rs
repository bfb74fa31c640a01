//! The revisions of an application whose sync failed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shortened;
use crate::domain::CommitSha;

/// A revision that failed and never became healthy.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct FailedSync {
    pub revision: CommitSha,
    /// The first reason: what is said later is less precise.
    pub why: String,
}

/// Failed revisions that an application remembers.
const MOST_FAILURES: usize = 10;

/// Records whether a revision is failing. A failure stays recorded when a newer revision replaces
/// the failed one.
pub fn note_failure(failures: &mut Vec<FailedSync>, revision: &CommitSha, failing: Option<&str>) {
    match failing {
        None => failures.retain(|known| known.revision != *revision),
        Some(_) if failures.iter().any(|known| known.revision == *revision) => {}
        Some(why) => {
            failures.push(FailedSync {
                revision: revision.clone(),
                why: shortened(why, 500),
            });
            failures.drain(..failures.len().saturating_sub(MOST_FAILURES));
        }
    }
}
