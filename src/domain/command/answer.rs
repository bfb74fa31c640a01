//! The result of a command, as data: `view` makes text of it.

use super::Selector;
use crate::domain::gate::{OverrideRefusal, Verdict};
use crate::domain::history::HealthyRevision;
use crate::domain::hold::Hold;
use crate::domain::image::Candidate;
use crate::domain::pull_request::{ApplicationSummary, FailedSync, Rollout};
use crate::domain::{CommitSha, Name, TargetKey};
use jiff::Timestamp;

/// Why a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// Its text was edited after it was posted.
    Edited,
    /// It was acknowledged long ago, and whether it was carried out is unknown.
    Interrupted,
    /// It was written long ago outside of the thread, and whether it was carried out is unknown.
    Late,
    /// The command is read from the thread alone.
    OnlyInThread,
    /// The pull request is not merged.
    OnlyMerged,
    Draft,
    /// The server only previews.
    PreviewOnly,
}

/// The answer to a command.
#[derive(Debug, Clone)]
pub enum Answer {
    Help,
    Verdict(Verdict),
    /// What the policy of these applications alone makes of the pull request.
    VerdictOf {
        applications: Vec<TargetKey>,
        verdict: Verdict,
    },
    /// The command names applications that the pull request does not touch; nothing was done.
    NotTouched {
        selectors: Vec<Selector>,
        touched: Vec<TargetKey>,
    },
    /// There is no verdict any more: the pull request is merged, or was closed.
    Merged,
    /// It is merged, and stands so in each application.
    MergedAs {
        commit: CommitSha,
        rollout: Vec<Rollout>,
    },
    Closed,
    Previewed {
        head: CommitSha,
        title: String,
    },
    NothingToPreview,
    /// The state of each application; None: it was never reconciled.
    Status(Vec<(TargetKey, Option<ApplicationSummary>)>),
    History(Vec<Past>),
    /// This head is merged once the gates allow it.
    Merges {
        head: CommitSha,
        verdict: Verdict,
    },
    /// windlass merges the pull request anyway, once the gates allow it.
    MergesByItself(Verdict),
    /// The pull request has another head by now.
    OtherHead {
        head: CommitSha,
    },
    /// The preview of this head was not there yet when the command was written.
    BeforePreview {
        head: CommitSha,
    },
    /// No application of the pull request goes to this stage.
    NotAStage(Name),
    Cancelled,
    /// Nobody gave `/merge`.
    NothingToCancel,
    Accepted {
        author: String,
        head: CommitSha,
    },
    NotAccepted(String),
    NothingUnseen,
    Freeze(FreezeAnswer),
    Override(OverrideAnswer),
    /// The result in each application. `none`: what there was to be found, if there are no rows.
    Applications {
        rows: Vec<Row>,
        none: Sought,
    },
}

/// The answer to `/freeze` or `/unfreeze`.
#[derive(Debug, Clone)]
pub enum FreezeAnswer {
    Frozen {
        stage: String,
        until: Timestamp,
    },
    Unfrozen {
        stage: String,
    },
    /// The pull request touches no application of the stage.
    NotTouched {
        stage: String,
    },
    /// The author may not decide that for this application.
    NotDone {
        application: TargetKey,
        why: NotDone,
    },
    TimeIsOver {
        time: String,
    },
}

/// The answer to `/override`.
#[derive(Debug, Clone)]
pub enum OverrideAnswer {
    /// Who has given it for the gate so that it counts.
    Given {
        gate: String,
        by: Vec<String>,
    },
    Refused(OverrideRefusal),
}

/// What an application was at.
#[derive(Debug, Clone)]
pub struct Past {
    pub application: TargetKey,
    /// Newest last.
    pub healthy: Vec<HealthyRevision>,
    pub failed: Vec<FailedSync>,
}

/// What a command about applications looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// Objects that wait for adoption.
    Adoption,
    /// A sync that is not what was approved.
    Deviation,
    /// Deletions that wait for a confirmation.
    Deletion,
    /// Fields that others own.
    Field,
    /// Any application.
    Application,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub application: TargetKey,
    pub outcome: Result<Done, NotDone>,
}

/// What an application will do.
#[derive(Debug, Clone)]
pub enum Done {
    Adopts(Vec<String>),
    Applies,
    Deletes(Vec<String>),
    SyncsTo(CommitSha),
    /// Argo CD or Flux, which reconciles it, is requested to sync it.
    RequestsSync {
        by: &'static str,
    },
    /// Field paths.
    Takes(Vec<String>),
    /// The application has not been synced yet.
    NeverSynced,
    Holds {
        until: Option<Timestamp>,
        /// What held it before.
        instead_of: Option<Hold>,
    },
    Resumes,
    /// A pull request takes it back. `healthy`: if that commit is known to have been healthy.
    RollsBack {
        to: CommitSha,
        healthy: Option<HealthyRevision>,
        /// Whether its pull request needs an approval; without one windlass merges it by itself.
        reviewed: bool,
    },
    /// The images that are not proposed any more.
    Rejects(Vec<Candidate>),
    Proposes(Candidate),
}

/// Why an application does not carry it out.
#[derive(Debug, Clone)]
pub enum NotDone {
    /// It was carried out before.
    Before,
    NotHeld,
    /// The reason is the name of the application, or of its stage.
    NoReason,
    /// Somebody holds it for longer.
    HeldLonger {
        by: String,
    },
    /// It cannot be taken back there.
    Impossible(String),
    /// It is being rolled back to another commit.
    RollsBack(CommitSha),
    /// No commit before the present one is known to have been healthy.
    NothingGood,
    /// It has no such commit or image.
    NoSuchRevision(String),
    /// No image of it was announced with this tag or digest.
    NotAnnounced(String),
    /// An earlier stage does not run the image, and will not.
    NotInStage {
        image: Box<Candidate>,
        stage: Name,
    },
    /// windlass has not reconciled it yet.
    NoObject,
    /// The configuration is invalid, so it is unknown who may decide.
    NoConfiguration,
    /// The author may not decide about the stage.
    MayNot {
        author: String,
        why: String,
        /// Who may, as the policy names them; empty: everybody else who may write.
        who: Vec<String>,
    },
    /// Several people have to give it, which can only be recorded once the application has been
    /// reconciled.
    NothingKept {
        needed: usize,
    },
    /// Not enough people have given it yet.
    TooFew {
        given: usize,
        needed: usize,
    },
}
