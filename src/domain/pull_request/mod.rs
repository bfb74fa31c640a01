//! What windlass does next on a pull request.
//!
//! The loop reads one snapshot, decides the steps, takes them, and looks again
//! until there is nothing left to do. Known races: a push between the preview
//! and the merge (the permit carries the head), two loops posting a comment
//! (one key is worked on by one task), an answer lost on the way (the marker in
//! our own comments is looked up before anything is posted).
//!
//! Rooms: `preview` (what it would do to the live clusters), `images` (what it
//! does to images), `progress` (how far it has come once it is merged),
//! `failures` (revisions whose sync failed).

use super::command::{Line, Permission};
use super::gate::{MergePermit, Standing, Verdict};

mod failures;
mod images;
mod preview;
mod progress;

pub use failures::{FailedSync, note_failure};
pub use images::{ImageChange, image_changes, source_of};
pub use preview::{ApplicationPreview, Failure, Preview};
pub use progress::{ApplicationSummary, RevisionOrder, Rollout, RolloutState, progress};

/// The check run on heads that holds the preview.
pub const CHECK: &str = "windlass/preview";
/// The check run on heads that tells the verdict: only an App can make one, so nobody else can say that it is green.
pub const GATE_CONTEXT: &str = "windlass/gate";
/// The commit status on merged commits: one per commit, over all its applications.
pub const SYNC_CONTEXT: &str = "windlass/sync";

/// A comment with commands that has no answer of ours.
#[derive(Debug, Clone)]
pub struct CommandComment {
    pub comment: u64,
    pub author: String,
    pub permission: Permission,
    pub lines: Vec<Line>,
    /// Our reaction is there.
    pub acknowledged: bool,
    /// The text was edited after it was posted: GitHub does not tell by whom.
    pub edited: bool,
    /// It was seen long ago, or answered, and the answer is not there: whether it was carried out is not known.
    pub interrupted: bool,
}

/// A comment of ours as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Without its marker.
    pub text: String,
    /// A digest of what the text says, less times.
    pub fingerprint: String,
    /// It tells the end of the story.
    pub last: bool,
}

/// The sticky comment as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    pub id: u64,
    pub fingerprint: String,
    /// Nobody edited it but us.
    pub intact: bool,
}

#[derive(Debug, Clone)]
pub struct Seen {
    /// The head has a green verdict, and the pull request is not open any more.
    pub retire: bool,
    pub asks: Vec<CommandComment>,
    /// Somebody edited our comment, and the thread does not say so yet.
    pub tampered: bool,
    /// The sticky comment as it should be; None when it should be left as it is.
    pub wanted: Option<Wanted>,
    pub sticky: Option<Sticky>,
    /// The identity of the preview as it is now, and as the head's check run has it.
    pub preview: Option<String>,
    pub published: Option<String>,
    pub verdict: Option<Verdict>,
    pub permit: Option<MergePermit>,
    /// State and title of the head's check run `windlass/gate`.
    pub gate: Option<(String, String)>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Says that somebody edited our comment.
    TellTampered,
    /// Takes the verdict of a head back that no open pull request has.
    RetireGate,
    PostSticky(Wanted),
    EditSticky {
        id: u64,
        wanted: Wanted,
    },
    PublishCheck,
    SetGate {
        state: &'static str,
        description: String,
    },
    /// Carries out the commands of this comment and answers it.
    Answer {
        comment: u64,
    },
    Merge(MergePermit),
}

pub fn decide(seen: &Seen) -> Vec<Step> {
    let mut steps = Vec::new();
    // First: once it is written anew nothing tells of the edit any more.
    if seen.tampered {
        steps.push(Step::TellTampered);
    }
    if seen.retire {
        steps.push(Step::RetireGate);
    }
    if let Some(wanted) = &seen.wanted {
        match &seen.sticky {
            None => steps.push(Step::PostSticky(wanted.clone())),
            Some(sticky) if sticky.fingerprint != wanted.fingerprint || !sticky.intact => {
                steps.push(Step::EditSticky {
                    id: sticky.id,
                    wanted: wanted.clone(),
                });
            }
            Some(_) => {}
        }
    }
    let unpublished = seen.preview.is_some() && seen.preview != seen.published;
    if unpublished {
        steps.push(Step::PublishCheck);
    }
    // The verdict counts approvals from the preview's completion on: it is decided on the next look.
    if let Some(verdict) = &seen.verdict
        && !unpublished
    {
        let (state, description) = gate_status(verdict);
        if seen
            .gate
            .as_ref()
            .is_none_or(|(was, text)| was != state || *text != description)
        {
            steps.push(Step::SetGate { state, description });
        }
    }
    // A merge does not wait for answers, nor for an answer that GitHub does not take.
    steps.extend(seen.asks.iter().map(|ask| Step::Answer {
        comment: ask.comment,
    }));
    if let Some(permit) = &seen.permit
        && !unpublished
    {
        steps.push(Step::Merge(permit.clone()));
    }
    steps
}

/// The check run of a verdict, in three words, and its title.
pub fn gate_status(verdict: &Verdict) -> (&'static str, String) {
    let state = match verdict.standing {
        Standing::Passed => "success",
        Standing::Pending => "pending",
        Standing::Failed => "failure",
    };
    (state, shortened(&verdict.reason, 140))
}

/// At most `most` characters, with an ellipsis where some were cut.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
