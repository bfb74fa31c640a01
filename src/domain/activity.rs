//! What windlass did, or decided not to do: told to the log, to Kubernetes Events, to
//! notifications and to the page. It is told as it happens and kept nowhere: what counts is in Git,
//! on GitHub and in the `Application` objects.

use jiff::Timestamp;
use serde_json::Value;

use super::fieldset::{FieldPath, lookup};
use super::health::{Health, SyncState};
use super::manifest::ResourceKey;
use super::plan::{Action, Change};
use super::{CommitSha, PullRequestKey, TargetKey, canonical_json};

/// Something that happened to an application or a pull request.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    pub at: Timestamp,
    pub subject: Subject,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Application(TargetKey),
    PullRequest(PullRequestKey),
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Objects were written to the cluster.
    Applied {
        revision: CommitSha,
        objects: Vec<(Action, ResourceKey)>,
    },
    /// An object is again as Git has it.
    DriftReverted(Reverted),
    /// An object that Git does not have any more was deleted.
    Pruned(LiveObject),
    /// An application is in another state than before.
    State(State),
    /// Nothing is left of an application that Git does not have any more.
    Retired,
    /// A pull request for new images, or for a rollback, was opened or got another commit.
    Proposed { title: String },
    /// A pull request that is not needed any more was closed.
    Closed { number: u64 },
    /// A preview was published.
    Previewed { title: String },
    /// The verdict on a pull request is another one than before.
    Gate { state: String, why: String },
    /// windlass merged a pull request.
    Merged { commit: CommitSha },
    /// A command was answered.
    Command { line: String, author: String },
}

/// A live object, as Kubernetes Events refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveObject {
    pub key: ResourceKey,
    /// The API version, without the group.
    pub version: String,
    pub uid: String,
    pub cluster: String,
}

/// Drift of one object that was reverted.
#[derive(Debug, Clone, PartialEq)]
pub struct Reverted {
    pub object: LiveObject,
    /// Somebody had deleted it.
    pub was_deleted: bool,
    pub fields: Vec<RevertedField>,
}

/// A field that has its old value again. Values are masked and short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevertedField {
    pub path: String,
    /// The field manager that changed it.
    pub by: String,
    /// None: it was removed.
    pub from: Option<String>,
    /// None: Git does not have it.
    pub to: Option<String>,
}

/// The state of an application, as its status has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub sync: SyncState,
    pub health: Health,
    /// The reason's code: see [`super::sync::CODES`].
    pub reason: String,
    pub message: Option<String>,
    pub revision: Option<CommitSha>,
    /// Nothing is applied until somebody acts.
    pub is_blocked: bool,
    /// The state before was a warning: see [`State::is_warning`].
    pub was_warning: bool,
}

/// Characters of a value.
const MOST_VALUE: usize = 60;
/// Fields that are named of one object.
const MOST_FIELDS: usize = 8;

impl Reverted {
    /// What the revert of `change` sets back, with who had changed it.
    pub fn new(object: LiveObject, change: &Change) -> Self {
        let value = |side: Option<&Value>, path: &str| {
            let value = lookup(side?, &FieldPath::parse(path)?)?;
            let text = match value {
                Value::String(text) => text.clone(),
                value => canonical_json(value),
            };
            Some(super::pull_request::shortened(&text, MOST_VALUE))
        };
        let fields = change.notes.reverted.iter().flat_map(|(by, paths)| {
            paths.iter().map(|path| RevertedField {
                path: path.clone(),
                by: by.clone(),
                from: value(change.before.as_deref(), path),
                to: value(change.after.as_deref(), path),
            })
        });
        Self {
            was_deleted: change.action == Action::Create,
            fields: fields.take(MOST_FIELDS).collect(),
            object,
        }
    }
}

impl State {
    /// Whether it is the same, but for its message.
    pub fn is_as(&self, other: &Self) -> bool {
        fn what(state: &State) -> impl PartialEq + '_ {
            let State {
                sync,
                health,
                reason,
                revision,
                is_blocked,
                ..
            } = state;
            (sync, health, reason, revision, is_blocked)
        }
        what(self) == what(other)
    }

    /// Whether somebody has to act, or something failed.
    pub fn is_warning(&self) -> bool {
        let lost = [super::sync::CLUSTER_UNREACHABLE, super::sync::ERROR];
        // A plan that is being carried out changes what was.
        let is_under_way = self.reason == super::sync::APPLYING;
        self.is_blocked
            || lost.contains(&self.reason.as_str())
            || self.health == Health::Degraded && !is_under_way
            || self.sync == SyncState::Synced && self.health == Health::Missing
    }
}

impl What {
    /// The Event's reason.
    pub fn reason(&self) -> &str {
        match self {
            Self::Applied { .. } => "Applied",
            Self::DriftReverted(_) => "DriftReverted",
            Self::Pruned(_) => "Pruned",
            Self::State(state) => &state.reason,
            Self::Retired => "Retired",
            Self::Proposed { .. } => "Proposed",
            Self::Closed { .. } => "Closed",
            Self::Previewed { .. } => "Previewed",
            Self::Gate { .. } => "Gate",
            Self::Merged { .. } => "Merged",
            Self::Command { .. } => "Command",
        }
    }

    pub fn is_warning(&self) -> bool {
        match self {
            Self::State(state) => state.is_warning(),
            Self::DriftReverted(_) => true,
            _ => false,
        }
    }

    /// The live object that it is about.
    pub fn object(&self) -> Option<&LiveObject> {
        match self {
            Self::DriftReverted(reverted) => Some(&reverted.object),
            Self::Pruned(object) => Some(object),
            _ => None,
        }
    }
}
