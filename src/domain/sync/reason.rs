//! Why an application has its state, as data: `view` makes text of it, and the conditions of the
//! `Application` carry its code.

use std::time::Duration;

use jiff::Timestamp;

use super::{Late, Proposal};
use crate::domain::approved::Deviations;
use crate::domain::health::{Assessment, Health};
use crate::domain::manifest::ResourceKey;
use crate::domain::plan::{Action, Change};

/// Codes that are also used without a [`Reason`].
pub const APPLYING: &str = "Applying";
pub const REFUSED: &str = "Refused";
/// Somebody has to adopt what was there before.
pub const ADOPTION_REQUIRED: &str = "AdoptionRequired";
/// The sync would not be what was approved.
pub const NOT_AS_APPROVED: &str = "NotAsApproved";
/// The application was removed from Git.
pub const LEFT_GIT: &str = "LeftGit";
/// The Argo CD or Flux object that deploys it failed.
pub const RECONCILER_FAILED: &str = "ReconcilerFailed";
/// Argo CD or Flux takes no request of windlass.
pub const REQUEST_REFUSED: &str = "RequestRefused";
pub const CLUSTER_UNREACHABLE: &str = "ClusterUnreachable";
/// It could not be reconciled.
pub const ERROR: &str = "Error";

/// Whether what has this code waits for a person's decision, which is no failure.
pub fn is_undecided(code: &str) -> bool {
    [ADOPTION_REQUIRED, NOT_AS_APPROVED].contains(&code)
}

#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    RenderFailed {
        why: String,
    },
    RendersToNothing,
    Paused {
        until: Timestamp,
    },
    /// Objects that the server would refuse, or that the project does not allow.
    Refused(Vec<(ResourceKey, String)>),
    AdoptionRequired(Adoption),
    /// The sync would not be what was approved.
    NotAsApproved(Deviations),
    /// Applications that it depends on and that are not healthy.
    WaitsForApplications(Vec<String>),
    /// Drift that is reported and left as it is.
    Drift {
        objects: Vec<Drift>,
        proposal: Proposal,
    },
    /// Objects whose drift is reverted again and again, each with who changes it.
    DriftLoop(Vec<(ResourceKey, String)>),
    /// Only deletions are left, and they wait.
    DeletionsWait {
        health: Assessment,
        deletions: Vec<(ResourceKey, Late)>,
    },
    Wave {
        wave: i64,
        failed: bool,
        why: String,
    },
    /// A plan is being applied.
    Applies {
        writes: usize,
        of: usize,
    },
    /// The cluster agrees with Git.
    Health {
        health: Health,
        /// The aggregated health of all objects.
        objects: Assessment,
        /// Objects that are being deleted, each with what its deletion waits for.
        terminating: Vec<(ResourceKey, String)>,
        /// Objects that are no longer in Git and are not pruned, each with the reason.
        withheld: Vec<(ResourceKey, String)>,
    },
    /// It waited longer than the application's time limit.
    Overdue {
        limit: Duration,
        reason: Box<Reason>,
    },
}

/// Why the application has to be adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// The destination is another cluster than before.
    OtherCluster { application: String },
    /// The first sync would change objects that existed before.
    Existing {
        application: String,
        objects: Vec<ResourceKey>,
    },
}

/// The drift of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    pub key: ResourceKey,
    pub deleted: bool,
    /// Who changed which fields.
    pub by: Vec<(String, Vec<String>)>,
}

impl Drift {
    pub fn of(change: &Change) -> Self {
        Self {
            key: change.key.clone(),
            deleted: change.action == Action::Create,
            by: change.notes.reverted.clone(),
        }
    }
}

impl Reason {
    /// The conditions' reason, for alerts. Codes are stable: none is renamed or removed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RenderFailed { .. } => "RenderFailed",
            Self::RendersToNothing => "RendersToNothing",
            Self::Paused { .. } => "Paused",
            Self::Refused(_) => REFUSED,
            Self::AdoptionRequired(_) => ADOPTION_REQUIRED,
            Self::NotAsApproved(_) => NOT_AS_APPROVED,
            Self::WaitsForApplications(_) => "WaitingForDependencies",
            Self::Drift { .. } => "DriftReported",
            Self::DriftLoop(_) => "DriftLoop",
            Self::DeletionsWait { .. } => "DeletionsPending",
            Self::Wave { failed: true, .. } => "WaveFailed",
            Self::Wave { failed: false, .. } => "WaitingForWave",
            Self::Applies { .. } => APPLYING,
            Self::Overdue { .. } => "HealthTimeout",
            Self::Health { terminating, .. } if !terminating.is_empty() => "DeletionsPending",
            Self::Health { health, .. } => match health {
                Health::Healthy => "Healthy",
                Health::Suspended => "Suspended",
                Health::Progressing => "Progressing",
                Health::Missing => "Missing",
                Health::Degraded => "Degraded",
                Health::Unknown => "Unknown",
            },
        }
    }
}
