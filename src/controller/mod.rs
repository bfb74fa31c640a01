//! The imperative shell: the only place that sequences effects.
//!
//! Each loop reconciles keys in three steps: observe (only reads), decide
//! (pure), act (only writes, each conditional on what was observed). A webhook,
//! a watch or a timer only puts a key into a [`Queue`].
//!
//! - [`base_branch`]: push → everything that depends on the base branch
//! - [`promotion`]: candidate → branch → pull request
//! - [`pull_request`]: preview, commands, verdict, merge, progress
//! - [`application`]: revision → plan → apply → health
//! - [`commit`]: the progress of its applications → commit status
//!
//! [`activity`] tells what they do: to the log, to Kubernetes Events and to the page; [`notify`]
//! notifies people of it.

pub mod activity;
pub mod application;
pub mod authority;
pub mod base_branch;
pub mod branch_rules;
mod cache;
pub mod commit;
mod config_repo;
pub mod dry_run;
mod environment;
mod error;
pub mod examine;
pub mod heads;
pub mod notify;
pub mod preview;
pub mod promotion;
pub mod pull_request;
pub mod queue;
pub mod resource_owners;
mod resync;
pub mod revision;
pub mod wake;

pub use cache::Caches;
pub use config_repo::{Base, Configured, configuration, drafted, targets_in};
pub use environment::{APPLICATIONS_AT_ONCE, Environment, side_by_side};
pub use error::{Error, Kind, Result};
pub use queue::{Queue, Requeue};
pub use wake::Event;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::cluster::store::Store;
use crate::cluster::{self, Cluster};
use crate::domain::fence::ServiceAccount;
use crate::domain::permit::WritePermit;
use crate::domain::seal::Seal;
use crate::domain::{CommitKey, MergeGroup, PullRequestKey, RepoName, StageKey, TargetKey};
use crate::git::Mirrors;
use crate::github::{self, GitHub};
use crate::registry::Registry;
use crate::telemetry::Metrics;
use heads::Heads;

/// What the loops read with, and the state that they share. All of it is rebuilt after a restart.
pub struct Reader {
    pub github: GitHub,
    pub mirrors: Mirrors,
    pub environment: Environment,
    pub registry: Registry,
    pub store: Store,
    pub metrics: Arc<Metrics>,
    pub repositories: Arc<Queue<RepoName>>,
    pub groups: Arc<Queue<MergeGroup>>,
    pub promotions: Arc<Queue<StageKey>>,
    pub pulls: Arc<Queue<PullRequestKey>>,
    pub applications: Arc<Queue<TargetKey>>,
    pub commits: Arc<Queue<CommitKey>>,
    pub cache: Caches,
    pub activities: activity::Activities,
    pub heads: Heads,
    /// Limits the previews that are made at the same time.
    pub previewing: tokio::sync::Semaphore,
    /// The service account of previews; None: windlass's own.
    pub preview_account: Option<ServiceAccount>,
    /// Pull requests are previewed, and nothing else is done.
    pub preview_only: bool,
    /// Seals comments, which others can edit.
    pub seal: Seal,
}

/// A reader with the permit to write.
pub struct Writer {
    reader: Arc<Reader>,
    permit: WritePermit,
}

impl std::ops::Deref for Writer {
    type Target = Arc<Reader>;

    fn deref(&self) -> &Arc<Reader> {
        &self.reader
    }
}

impl Writer {
    pub fn new(reader: Reader, permit: WritePermit) -> Self {
        Self {
            reader: Arc::new(reader),
            permit,
        }
    }

    pub fn to_github(&self) -> github::Writer<'_> {
        self.github.writer(&self.permit)
    }

    pub fn to_store(&self) -> cluster::store::Writer<'_> {
        self.store.writer(&self.permit)
    }

    pub fn to_cluster<'a>(&'a self, cluster: &'a Cluster) -> cluster::Writer<'a> {
        cluster.writer(&self.permit)
    }
}

impl Reader {
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    pub fn cluster(&self, name: &str) -> Result<&Cluster> {
        self.environment.cluster(name)
    }
}

/// How long a key waits before it is reconciled, so that a burst of events is one reconcile.
pub const DEBOUNCE: Duration = Duration::from_millis(150);
