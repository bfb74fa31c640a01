//! What came of a command, as data: the words are made in `view`.

use super::Command;
use crate::domain::gate::Verdict;
use crate::domain::{ApplicationKey, CommitSha};

/// Why a command is not taken at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// Its comment was edited after it was posted.
    Edited,
    /// It was seen long ago, and whether it was carried out is not known.
    Interrupted,
    /// The pull request is not merged.
    OnlyMerged,
    Draft,
}

/// The answer to a command.
#[derive(Debug, Clone)]
pub enum Answer {
    Help,
    Verdict(Verdict),
    /// There is no verdict any more: it is merged, or was closed without that.
    Merged,
    Closed,
    Previewed {
        head: CommitSha,
        title: String,
    },
    NothingToPreview,
    Accepted {
        author: String,
        head: CommitSha,
    },
    NotAccepted(String),
    NothingUnseen,
    /// What came of it in each application.
    Applications(Command, Vec<Row>),
}

#[derive(Debug, Clone)]
pub struct Row {
    pub application: ApplicationKey,
    pub outcome: Result<Done, NotDone>,
}

/// What an application does now.
#[derive(Debug, Clone)]
pub enum Done {
    Adopts(Vec<String>),
    Deletes(Vec<String>),
    SyncsTo(CommitSha),
    /// Field paths.
    Takes(Vec<String>),
    /// Nothing is known of it yet.
    NeverSynced,
}

/// Why an application does not do it.
#[derive(Debug, Clone)]
pub enum NotDone {
    /// It was done when the comment was seen first.
    Before,
    /// The configuration cannot be read, and so not who may decide.
    NoConfiguration,
    /// Who gave it may not decide about the stage.
    MayNot { author: String, why: String },
    /// So many people have to give it, which can only be kept once the application was looked at.
    NothingKept { needed: usize },
    /// Not enough people have given it.
    TooFew { given: usize, needed: usize },
}
