//! What a reconcile may fail with, and who has to do something about it.

use jiff::Timestamp;

use crate::cluster;
use crate::domain::Invalid;
use crate::git::ForeignIds;
use crate::github;

/// What a reconcile may fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    GitHub(#[from] github::Error),
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("{0:#}")]
    Git(anyhow::Error),
    /// It could not be rendered just now.
    #[error("{0}")]
    Render(String),
}

/// Who has to do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something changed meanwhile: reconcile again at once.
    Stale,
    /// It may pass by itself: retry with a backoff.
    Transient,
    /// Retry after this time.
    RateLimited(Timestamp),
    /// GitHub refuses it: it may pass, and is tried ever more seldom.
    Refused,
    /// Somebody has to change something: reconcile again at the next event or resync.
    User,
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::GitHub(github::Error::Stale { .. })
            | Self::Cluster(cluster::Error::Stale { .. }) => Kind::Stale,
            Self::GitHub(github::Error::RateLimited { until, .. }) => Kind::RateLimited(*until),
            // GitHub answers 422 for a while after something was created.
            Self::GitHub(github::Error::Refused { .. }) => Kind::Refused,
            // Nothing changes that but another repository.
            Self::GitHub(github::Error::ForeignIds { .. }) => Kind::User,
            Self::Git(error) if error.is::<ForeignIds>() => Kind::User,
            // No event says that an administrator granted a right.
            Self::GitHub(_) | Self::Cluster(_) | Self::Git(_) | Self::Render(_) => Kind::Transient,
            Self::Invalid(_) => Kind::User,
        }
    }
}

pub type Result<T> = std::result::Result<T, Error>;
