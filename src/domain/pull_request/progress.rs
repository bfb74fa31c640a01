//! How far a merged pull request has come in an application.

use super::FailedSync;
use crate::domain::health::{Health, SyncState};
use crate::domain::image::ImageRef;
use crate::domain::{ApplicationKey, CommitSha};

/// How far a merged pull request has come in one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    pub key: ApplicationKey,
    pub state: RolloutState,
    pub message: String,
    /// What passes by itself: for the commit's status, not for the comment.
    pub detail: String,
}

/// One word for where a commit stands in an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutState {
    /// Not looked at yet.
    Waiting,
    Syncing,
    Progressing,
    Healthy,
    Failed,
    /// Healthy, but it is not proven that what runs is what was announced.
    Unproven,
    /// The cluster cannot be reached: nothing is known.
    Stale,
    /// A newer commit changed the same application.
    Superseded,
    /// It had failed when a newer commit changed the same application.
    FailedBefore,
    /// The commit took the application out of Git: its objects wait to be deleted.
    Leaving,
    /// Nothing of such an application is left.
    Gone,
}

impl RolloutState {
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Healthy | Self::Superseded | Self::FailedBefore | Self::Gone
        )
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Syncing => "syncing",
            Self::Progressing => "synced, progressing",
            Self::Healthy => "synced, healthy",
            Self::Failed => "failed",
            Self::Unproven => "healthy, unproven",
            Self::Stale => "not known",
            Self::Superseded => "superseded",
            Self::FailedBefore => "failed, then superseded",
            Self::Leaving => "left Git",
            Self::Gone => "gone",
        }
    }
}

/// The newest commit that changed an application, as windlass last saw it, seen from another commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionOrder {
    /// Windlass has not come to the commit yet.
    Before,
    At,
    /// A newer commit changed the application again.
    After,
}

/// How an application stands: its status, less what only its own loop needs.
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
        }
    }
}

/// Where an application stands for a commit.
pub fn progress(position: RevisionOrder, stand: &ApplicationSummary) -> RolloutState {
    match position {
        // Windlass cannot come to it while the cluster cannot be looked at.
        RevisionOrder::Before if stand.revision.is_some() && stand.sync == SyncState::Unknown => {
            RolloutState::Stale
        }
        RevisionOrder::Before => RolloutState::Waiting,
        RevisionOrder::After => RolloutState::Superseded,
        RevisionOrder::At if stand.blocked => RolloutState::Failed,
        RevisionOrder::At => match (stand.sync, stand.health) {
            // Git and the cluster agree but for what somebody has to confirm.
            (SyncState::Synced, Health::Healthy | Health::Suspended) if stand.confirm => {
                RolloutState::Progressing
            }
            (SyncState::Synced, Health::Healthy | Health::Suspended)
                if stand.unproven.is_some() =>
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
