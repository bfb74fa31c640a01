//! Why an application is where it is: facts, which become words in `view/` and a code in the
//! conditions of its object.

use std::time::Duration;

use jiff::Timestamp;

use super::{Late, Proposal};
use crate::domain::health::{Assessment, Health};
use crate::domain::manifest::ResourceKey;
use crate::domain::plan::{Action, Change};

/// Codes that are not only a [`Reason`]'s.
pub const APPLYING: &str = "Applying";
pub const REFUSED: &str = "Refused";
/// The application left Git.
pub const LEFT_GIT: &str = "LeftGit";
/// Argo CD or Flux failed.
pub const RECONCILER_FAILED: &str = "ReconcilerFailed";
pub const CLUSTER_UNREACHABLE: &str = "ClusterUnreachable";
/// It could not be looked at.
pub const ERROR: &str = "Error";

#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    RenderFailed {
        why: String,
    },
    RendersToNothing,
    Paused {
        until: Timestamp,
    },
    /// Objects that the server would refuse, or that are not the application's to have.
    Refused(Vec<(ResourceKey, String)>),
    AdoptionRequired(Adoption),
    /// What it depends on and is not healthy.
    WaitsForApplications(Vec<String>),
    /// Others changed live objects, and that is left so.
    Drift {
        objects: Vec<Drift>,
        proposal: Proposal,
    },
    /// Objects that are set back again and again, with who changes them.
    DriftLoop(Vec<(ResourceKey, String)>),
    /// Only deletions are left to be done, and they wait.
    DeletionsWait {
        health: Assessment,
        deletions: Vec<(ResourceKey, Late)>,
    },
    Wave {
        wave: i64,
        failed: bool,
        why: String,
    },
    /// A plan is carried out.
    Applies {
        writes: usize,
        of: usize,
    },
    /// The cluster has what Git has.
    Health {
        health: Health,
        /// Of all objects together.
        objects: Assessment,
        /// What is being deleted, with what it waits for.
        ending: Vec<(ResourceKey, String)>,
        /// What Git has no more and stays, with the reason.
        withheld: Vec<(ResourceKey, String)>,
    },
    /// It waited for longer than the application allows.
    Overdue {
        limit: Duration,
        reason: Box<Reason>,
    },
}

/// Why somebody has to adopt what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// The cluster behind the destination is not the one that it was.
    OtherCluster { application: String },
    /// The first sync would change what is there already.
    Existing {
        application: String,
        objects: Vec<ResourceKey>,
    },
}

/// What others did to one object.
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
    /// The reason of the conditions, for alerts; the list is closed and stays as it is.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RenderFailed { .. } => "RenderFailed",
            Self::RendersToNothing => "RendersToNothing",
            Self::Paused { .. } => "Paused",
            Self::Refused(_) => REFUSED,
            Self::AdoptionRequired(_) => "AdoptionRequired",
            Self::WaitsForApplications(_) => "WaitingForDependencies",
            Self::Drift { .. } => "DriftReported",
            Self::DriftLoop(_) => "DriftLoop",
            Self::DeletionsWait { .. } => "DeletionsPending",
            Self::Wave { failed: true, .. } => "WaveFailed",
            Self::Wave { failed: false, .. } => "WaitingForWave",
            Self::Applies { .. } => APPLYING,
            Self::Overdue { .. } => "HealthTimeout",
            Self::Health { ending, .. } if !ending.is_empty() => "DeletionsPending",
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
