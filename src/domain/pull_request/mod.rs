//! What windlass does next on a pull request.
//!
//! The loop reads the facts, decides the steps, takes them, and repeats this
//! until there is nothing left to do. Known races: a push between the preview
//! and the merge (the permit carries the head), two loops posting a comment (one
//! key is reconciled by one task), a response that got lost (before posting, the
//! marker in our own comments is looked up).
//!
//! Rooms: `preview` (what it would do to the live clusters), `images` (which
//! images it changes), `progress` (the rollout after the merge), `failures`
//! (revisions whose sync failed), `source` (where commands are written).

use super::command::{Line, Permission};
use super::gate::{MergePermit, Standing, Verdict};

mod failures;
mod images;
mod preview;
mod progress;
mod source;

pub use failures::{FailedSync, note_failure};
pub use images::{ImageChange, TakenBack, image_changes, source_of, takes_back};
pub use preview::{ApplicationPreview, Failure, Forgotten, Preview};
pub use progress::{ApplicationSummary, RevisionOrder, Rollout, RolloutState, Score, progress};
pub use source::Source;

/// The check run on heads that holds the preview.
pub const CHECK: &str = "windlass/preview";
/// The check run on heads that holds the verdict. Only an App can create one, so people cannot set
/// it.
pub const GATE_CONTEXT: &str = "windlass/gate";
/// The commit status on merged commits: one per commit, over all its applications.
pub const SYNC_CONTEXT: &str = "windlass/sync";

/// How the body of our sticky comment begins.
pub const STICKY_MARK: &str = "<!-- windlass:sticky ";

/// A text with commands that we have not answered yet.
#[derive(Debug, Clone)]
pub struct CommandComment {
    pub source: Source,
    pub author: String,
    pub permission: Permission,
    pub lines: Vec<Line>,
    /// We have reacted to it.
    pub acknowledged: bool,
    /// The text was edited after it was posted. GitHub does not say by whom.
    pub edited: bool,
    /// It was acknowledged long ago, or answered, and the answer is missing: whether it was carried
    /// out is unknown.
    pub interrupted: bool,
    /// It is not in the thread, and was written long ago: whether it was carried out is unknown.
    pub late: bool,
}

impl CommandComment {
    /// Whether it gives a command that has to be carried out before anything is merged.
    fn stops_merge(&self) -> bool {
        let stops = |line: &Line| matches!(&line.command, Ok(given) if given.command.stops());
        !(self.edited || self.interrupted || self.late) && self.lines.iter().any(stops)
    }
}

/// The desired content of our sticky comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Without its marker.
    pub text: String,
    /// A digest of the text without its times.
    pub fingerprint: String,
    /// It is the final state: the rollout is over.
    pub last: bool,
}

/// The sticky comment on GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    pub id: u64,
    pub fingerprint: String,
    /// Only windlass edited it.
    pub intact: bool,
}

/// The facts about a pull request that a reconcile decides from.
#[derive(Debug, Clone, Default)]
pub struct PullRequestFacts {
    /// The head has a green verdict, and the pull request is no longer open.
    pub retire: bool,
    /// windlass put it into the merge queue, and would not do so now.
    pub leaves_queue: bool,
    pub commands: Vec<CommandComment>,
    /// Somebody edited our comment, and the thread does not say so yet.
    pub tampered: bool,
    /// Comments of ours that say what the sticky one says.
    pub duplicates: Vec<u64>,
    /// A comment about applications that fail, which the thread does not have yet.
    pub failure: Option<String>,
    /// What became of requested syncs, which the thread does not say yet.
    pub outcomes: Vec<Outcome>,
    /// The desired sticky comment; None: it is left as it is.
    pub wanted: Option<Wanted>,
    pub sticky: Option<Sticky>,
    /// The identity of the current preview, and of the one in the head's check run.
    pub preview: Option<String>,
    pub published: Option<String>,
    pub verdict: Option<Verdict>,
    pub permit: Option<MergePermit>,
    /// State and title of the head's check run `windlass/gate`.
    pub gate: Option<(String, String)>,
}

/// What became of the `/sync` of a text, as a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub source: Source,
    pub text: String,
}

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Comments that somebody edited our comment.
    ReportTampering,
    /// Takes it out of the merge queue.
    Dequeue,
    /// Withdraws the verdict of a head that no open pull request has.
    RetireGate,
    PostSticky(Wanted),
    EditSticky {
        id: u64,
        wanted: Wanted,
    },
    /// Deletes a comment of ours that another one has replaced.
    DeleteDuplicate {
        id: u64,
    },
    /// Comments that applications fail.
    ReportFailure(String),
    /// Comments what became of a `/sync`.
    ReportOutcome(Outcome),
    PublishCheck,
    SetGate {
        state: &'static str,
        description: String,
    },
    /// Carries out the commands of this text and answers it.
    Answer {
        source: Source,
    },
    Merge(MergePermit),
}

/// The next steps on a pull request.
pub fn decide(facts: &PullRequestFacts) -> Vec<Step> {
    let mut steps = Vec::new();
    // This comes first: after our comment is rewritten nothing shows the edit any more.
    if facts.tampered {
        steps.push(Step::ReportTampering);
    }
    if facts.leaves_queue {
        steps.push(Step::Dequeue);
    }
    if facts.retire {
        steps.push(Step::RetireGate);
    }
    if let Some(wanted) = &facts.wanted {
        match &facts.sticky {
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
    let duplicates = facts.duplicates.iter();
    steps.extend(duplicates.map(|id| Step::DeleteDuplicate { id: *id }));
    steps.extend(facts.failure.clone().map(Step::ReportFailure));
    steps.extend(facts.outcomes.iter().cloned().map(Step::ReportOutcome));
    let unpublished = facts.preview.is_some() && facts.preview != facts.published;
    if unpublished {
        steps.push(Step::PublishCheck);
    }
    // Approvals count only after the preview was published: the verdict is decided in the next
    // reconcile.
    if let Some(verdict) = &facts.verdict
        && !unpublished
    {
        let (state, description) = gate_status(verdict);
        if facts
            .gate
            .as_ref()
            .is_none_or(|(was, text)| was != state || *text != description)
        {
            steps.push(Step::SetGate { state, description });
        }
    }
    // A merge does not wait for answers to commands, not even for one that GitHub refuses.
    steps.extend(facts.commands.iter().map(|command| Step::Answer {
        source: command.source,
    }));
    let stops = |command: &CommandComment| command.stops_merge();
    if let Some(permit) = &facts.permit
        && !unpublished
        && !facts.commands.iter().any(stops)
    {
        steps.push(Step::Merge(permit.clone()));
    }
    steps
}

/// The state and the title of a verdict's check run.
pub fn gate_status(verdict: &Verdict) -> (&'static str, String) {
    let state = match verdict.standing {
        Standing::Passed => "success",
        Standing::Pending => "pending",
        Standing::Failed => "failure",
    };
    (state, shortened(&verdict.reason, 140))
}

/// At most `most` characters, with an ellipsis if the text was cut.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
