//! The rollout of a merged pull request in an application.

use super::FailedSync;
use crate::domain::health::{Health, SyncState};
use crate::domain::image::ImageRef;
use crate::domain::manifest::ResourceKey;
use crate::domain::{CommitSha, TargetKey, sync};

/// The rollout of a merged pull request in one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    pub key: TargetKey,
    pub state: RolloutState,
    pub message: String,
    /// The commit is recorded as one that failed.
    pub failed: bool,
    /// Temporary details: shown in the commit status, not in the comment.
    pub detail: String,
}

/// How the objects of a merged pull request are, compared with what its preview said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Score {
    /// How many are as predicted.
    pub held: usize,
    /// Those that are not.
    pub differing: Vec<ResourceKey>,
}

impl Score {
    /// How many were compared.
    pub fn all(&self) -> usize {
        self.held + self.differing.len()
    }

    pub fn count(&mut self, object: &ResourceKey, is_as_predicted: bool) {
        match is_as_predicted {
            true => self.held += 1,
            false => self.differing.push(object.clone()),
        }
    }
}

/// The state of a commit's rollout in an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutState {
    /// Not reconciled yet.
    Waiting,
    Syncing,
    Progressing,
    Healthy,
    Failed,
    /// Nothing is applied until a person decides: to adopt, or to apply what was not approved.
    Undecided,
    /// Healthy, but it is not verified that the running images are the announced ones.
    Unproven,
    /// The cluster cannot be reached: the state is unknown.
    Stale,
    /// A newer commit changed the same application.
    Superseded,
    /// It had failed before a newer commit changed the same application.
    FailedBefore,
    /// The commit removed the application from Git: its objects are still to be deleted.
    Leaving,
    /// All objects of the removed application are deleted.
    Deleted,
}

impl RolloutState {
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Healthy | Self::Superseded | Self::FailedBefore | Self::Deleted
        )
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Syncing => "syncing",
            Self::Progressing => "synced, progressing",
            Self::Healthy => "synced, healthy",
            Self::Failed => "failed",
            Self::Undecided => "waits for a decision",
            Self::Unproven => "healthy, unproven",
            Self::Stale => "not known",
            Self::Superseded => "superseded",
            Self::FailedBefore => "failed, then superseded",
            Self::Leaving => "left Git",
            Self::Deleted => "gone",
        }
    }
}

/// How an application's current revision relates to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionOrder {
    /// The application's revision is older than the commit.
    Before,
    At,
    /// A newer commit changed the application again.
    After,
}

/// The part of an application's status that other loops need.
#[derive(Debug, Clone)]
pub struct ApplicationSummary {
    pub revision: Option<CommitSha>,
    /// Digest of what that revision renders from.
    pub inputs: Option<String>,
    pub sync: SyncState,
    pub health: Health,
    pub blocked: bool,
    pub message: Option<String>,
    /// A code of [`crate::domain::sync::Reason`].
    pub reason: Option<String>,
    /// Deletions wait for a confirmation.
    pub confirm: bool,
    pub unproven: Option<String>,
    pub images: Vec<ImageRef>,
    /// Revisions whose sync failed, each with the first reason.
    pub failures: Vec<FailedSync>,
    /// Who holds the stage and why.
    pub held: Option<String>,
    /// How many commits changed it since the one that was synced last.
    pub behind: u32,
    /// Revisions that were synced and healthy.
    pub healthy: Vec<CommitSha>,
}

impl ApplicationSummary {
    /// Whether it waits for a person's decision, which is no failure.
    pub fn is_undecided(&self) -> bool {
        self.reason.as_deref().is_some_and(sync::is_undecided)
    }
}

impl Default for ApplicationSummary {
    fn default() -> Self {
        Self {
            revision: None,
            inputs: None,
            sync: SyncState::Unknown,
            health: Health::Unknown,
            blocked: false,
            message: None,
            reason: None,
            confirm: false,
            unproven: None,
            images: Vec::new(),
            failures: Vec::new(),
            held: None,
            behind: 0,
            healthy: Vec::new(),
        }
    }
}

/// The state of a commit's rollout, from the status of an application.
pub fn progress(order: RevisionOrder, summary: &ApplicationSummary) -> RolloutState {
    match order {
        // While the cluster cannot be reached, the application cannot get to the commit.
        RevisionOrder::Before
            if summary.revision.is_some() && summary.sync == SyncState::Unknown =>
        {
            RolloutState::Stale
        }
        RevisionOrder::Before => RolloutState::Waiting,
        RevisionOrder::After => RolloutState::Superseded,
        RevisionOrder::At if summary.blocked && summary.is_undecided() => RolloutState::Undecided,
        RevisionOrder::At if summary.blocked => RolloutState::Failed,
        RevisionOrder::At => match (summary.sync, summary.health) {
            // Git and the cluster agree, except for deletions that wait for a confirmation.
            (SyncState::Synced, Health::Healthy | Health::Suspended) if summary.confirm => {
                RolloutState::Progressing
            }
            (SyncState::Synced, Health::Healthy | Health::Suspended)
                if summary.unproven.is_some() =>
            {
                RolloutState::Unproven
            }
            (SyncState::Synced, Health::Healthy | Health::Suspended) => RolloutState::Healthy,
            (SyncState::Synced, Health::Degraded) => RolloutState::Failed,
            (SyncState::Synced, _) => RolloutState::Progressing,
            (SyncState::Unknown, _) => RolloutState::Stale,
            _ => RolloutState::Syncing,
        },
    }
}
