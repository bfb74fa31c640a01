//! The commands that people give on a pull request.
//!
//! A command is a visible line that begins with `/`: see [`visible`]. Its words are read by
//! [`parse`]. `/windlass sync` is always the same as `/sync`, for repositories where another bot has
//! the same words. The help text and the documentation are generated from [`COMMANDS`].

mod answer;
mod arguments;
mod parse;
mod visible;

pub use answer::{
    Answer, Done, FreezeAnswer, NotDone, NotTaken, OverrideAnswer, Past, Row, Sought,
};
pub use arguments::{Arguments, Selector, Takes, freeze_end};
pub use parse::{Given, Line, ParseError, parse};

/// A command. The enum is closed: a new one is a compile error wherever it has to be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    AcceptUnseen,
    Adopt,
    Apply,
    Cancel,
    ConfirmPrune,
    Freeze,
    Help,
    History,
    Hold,
    Merge,
    Override,
    Preview,
    Promote,
    Reject,
    Resume,
    Rollback,
    Status,
    Sync,
    Take,
    Unfreeze,
    Why,
}

/// A person's permission on the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    None,
    Read,
    Write,
    Admin,
}

impl Permission {
    /// Parses GitHub's field `permission` (`maintain` is reported as `write`, `triage` as `read`).
    pub fn parse(text: &str) -> Self {
        match text {
            "admin" => Self::Admin,
            "write" | "maintain" => Self::Write,
            "read" | "triage" => Self::Read,
            _ => Self::None,
        }
    }
}

/// A row of the table of commands, from which help, documentation and parser are made.
#[derive(Debug)]
pub struct Spec {
    pub command: Command,
    pub word: &'static str,
    pub takes: Takes,
    pub power: Power,
    /// The effect, in one line.
    pub summary: &'static str,
}

/// All commands, by their words.
pub const COMMANDS: [Spec; 21] = [
    Spec {
        command: Command::AcceptUnseen,
        word: "accept-unseen",
        takes: Takes::Nothing,
        power: Power::PullRequest,
        summary: "accepts the changes that do not fit into the preview of this commit; only somebody who may approve can do this",
    },
    Spec {
        command: Command::Adopt,
        word: "adopt",
        takes: Takes::Applications,
        power: Power::Live,
        summary: "lets the first sync change objects that existed before windlass, in the applications that this pull request touches",
    },
    Spec {
        command: Command::Apply,
        word: "apply",
        takes: Takes::Applications,
        power: Power::Live,
        summary: "applies a merged change although the cluster changed since the approval, so that the sync does something else; as many people as approve have to give this",
    },
    Spec {
        command: Command::Cancel,
        word: "cancel",
        takes: Takes::Nothing,
        power: Power::PullRequest,
        summary: "takes back an earlier `/merge` that has not happened yet",
    },
    Spec {
        command: Command::ConfirmPrune,
        word: "confirm-prune",
        takes: Takes::Applications,
        power: Power::Live,
        summary: "confirms the pending deletions in the applications that this pull request touches",
    },
    Spec {
        command: Command::Freeze,
        word: "freeze",
        takes: Takes::Freeze,
        power: Power::Stage,
        summary: "keeps everything from being merged into a stage until then, for all its applications; TIME is `2h`, `2026-12-01`, `2026-12-01T08:00:00Z` or `2026-12-01T08:00[Europe/Berlin]`",
    },
    Spec {
        command: Command::Help,
        word: "help",
        takes: Takes::Nothing,
        power: Power::PullRequest,
        summary: "lists these commands",
    },
    Spec {
        command: Command::History,
        word: "history",
        takes: Takes::Applications,
        power: Power::PullRequest,
        summary: "lists the commits that were synced and healthy, and those that failed, newest first",
    },
    Spec {
        command: Command::Hold,
        word: "hold",
        takes: Takes::Hold,
        power: Power::PullRequest,
        summary: "keeps windlass from merging anything by itself into these stages until `/resume`, or until the time is over; what Git has is synced all the same",
    },
    Spec {
        command: Command::Merge,
        word: "merge",
        takes: Takes::Commit,
        power: Power::PullRequest,
        summary: "merges this commit as soon as every gate has passed, also a pull request that windlass did not open",
    },
    Spec {
        command: Command::Override,
        word: "override",
        takes: Takes::Gate,
        power: Power::PullRequest,
        summary: "breaks glass: passes a gate of this commit (approvals, earlier-stages, soak, windows or holds) once two people have given it whom every stage names under `breakGlass`",
    },
    Spec {
        command: Command::Preview,
        word: "preview",
        takes: Takes::Commit,
        power: Power::PullRequest,
        summary: "asks the cluster again what this pull request would change, and updates the preview; the head of a fork is previewed once its commit is named",
    },
    Spec {
        command: Command::Promote,
        word: "promote",
        takes: Takes::Promotion,
        power: Power::Stage,
        summary: "proposes an image (by its tag or digest) that was announced before for a stage, also one that was rejected or reverted there; `--skip` passes over an earlier stage, and the pull request says who wanted that",
    },
    Spec {
        command: Command::Reject,
        word: "reject",
        takes: Takes::Image,
        power: Power::PullRequest,
        summary: "takes an image (by its tag or digest) out of the proposals for these stages; a newer one is proposed as always",
    },
    Spec {
        command: Command::Resume,
        word: "resume",
        takes: Takes::Applications,
        power: Power::Stage,
        summary: "ends a hold",
    },
    Spec {
        command: Command::Rollback,
        word: "rollback",
        takes: Takes::Rollback,
        power: Power::PullRequest,
        summary: "opens a pull request that takes these stages back to the last other commit that was healthy, or to a commit or image that is named, and holds them",
    },
    Spec {
        command: Command::Status,
        word: "status",
        takes: Takes::Applications,
        power: Power::PullRequest,
        summary: "shows for each application whether it is synced and healthy, its commit, and what it waits for",
    },
    Spec {
        command: Command::Sync,
        word: "sync",
        takes: Takes::Applications,
        power: Power::Stage,
        summary: "syncs the applications that this pull request touches to the base branch as it is now (not to this pull request)",
    },
    Spec {
        command: Command::Take,
        word: "take",
        takes: Takes::Applications,
        power: Power::Stage,
        summary: "overwrites the conflicting fields that the preview lists with Git's values",
    },
    Spec {
        command: Command::Unfreeze,
        word: "unfreeze",
        takes: Takes::Stage,
        power: Power::Stage,
        summary: "ends the freezes of a stage that were given by `/freeze` or with kubectl",
    },
    Spec {
        command: Command::Why,
        word: "why",
        takes: Takes::Applications,
        power: Power::PullRequest,
        summary: "explains, gate by gate, why this pull request is or is not merged",
    },
];

impl Command {
    /// Its row. A test checks that each command has one.
    pub fn spec(self) -> &'static Spec {
        COMMANDS
            .iter()
            .find(|spec| spec.command == self)
            .expect("each command has its row")
    }

    pub fn word(self) -> &'static str {
        self.spec().word
    }

    /// Whether nothing is merged before the command is carried out.
    pub fn stops(self) -> bool {
        matches!(
            self,
            Self::Freeze | Self::Hold | Self::Reject | Self::Rollback
        )
    }

    /// Whether the gates read it from the thread at each reconcile, and from nowhere else.
    pub fn stands_in_thread(self) -> bool {
        matches!(
            self,
            Self::AcceptUnseen | Self::Cancel | Self::Merge | Self::Override
        )
    }

    pub fn takes(self) -> Takes {
        self.spec().takes
    }

    pub fn power(self) -> Power {
        self.spec().power
    }
}

impl Power {
    /// Who may give such a command, as text.
    pub fn who(self) -> &'static str {
        match self {
            Self::PullRequest => "write",
            Self::Stage => "write; where the stage needs approvals, somebody who may approve",
            Self::Live => {
                "write; where the stage needs approvals, somebody who may approve; only once the pull request is merged"
            }
        }
    }
}

/// The scope of a command, which determines who may give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Only the pull request.
    PullRequest,
    /// A stage.
    Stage,
    /// Live objects of a stage that windlass adopts or deletes.
    Live,
}
