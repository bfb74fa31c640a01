//! GitHub, by octocrab: typed reads and writes, each one request.
//!
//! octocrab is the transport. Its own retries are off (they re-send POSTs), its
//! token cache is not used (it has no single flight), and answers are read into
//! small structs of ours, so that a field we do not need cannot fail us.
//!
//! - [`auth`]: App JWT, installation tokens
//! - [`webhook`]: a delivery → hints
//! - [`deployments`], [`notes`]: where a commit stands, and its receipt
//! - [`transport`]: GETs are tried again, writes never are: the loops look at
//!   the world and decide anew
//! - the others: one function per request

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use octocrab::Octocrab;
use serde::Deserialize;

use crate::domain::RepoName;
use crate::domain::fence::Projects;
use crate::domain::permit::WritePermit;

pub mod auth;

pub mod deployments;

pub mod notes;

pub mod webhook;

mod branches;
mod checks;
mod comments;
mod installations;
mod models;
mod people;
mod pulls;
mod transport;

pub use auth::AppCredentials;
use auth::Scope;
pub use models::{
    Account, CheckRun, Comment, NewCheck, Pull, PullCommit, PullSnapshot, Push, RefMove,
    Repository, Review, Status,
};

/// What a request came to, in terms of what the caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{what}: GitHub answers 404: is the App installed on the repository, with the permissions of its manifest?"
    )]
    NotFound { what: String },
    /// The world moved: look again.
    #[error("{what}: {message}")]
    Stale { what: String, message: String },
    /// GitHub will not do it as things stand.
    #[error("{what}: GitHub refuses ({status}): {message}")]
    Refused {
        what: String,
        status: u16,
        message: String,
    },
    #[error("{what}: GitHub's rate limit is reached until {until}")]
    RateLimited { what: String, until: Timestamp },
    #[error(
        "{what}: GitHub does not accept our credentials: check the App id and its private key ({message})"
    )]
    Unauthorized { what: String, message: String },
    #[error("{what}: GitHub cannot be reached: {message}")]
    Unavailable { what: String, message: String },
    #[error("{what}: GitHub's answer was not understood: {message}")]
    Unexpected { what: String, message: String },
    #[error("{repo} is not a repository that this App is installed on")]
    NotInstalled { repo: RepoName },
}

type Result<T> = std::result::Result<T, Error>;

/// GitHub as one App sees it.
pub struct GitHub {
    http: reqwest::Client,
    /// `https://api.github.com`, or `https://host/api/v3`.
    api_url: String,
    credentials: AppCredentials,
    sessions: moka::future::Cache<(u64, Scope), Session>,
    /// Which repositories steer clusters.
    projects: Projects,
    identity: tokio::sync::OnceCell<AppIdentity>,
    repositories: Mutex<HashMap<RepoName, Repository>>,
    budget: tokio::sync::Mutex<Option<tokio::time::Instant>>,
    write_interval: Duration,
}

/// A token and the client that uses it.
#[derive(Clone)]
pub struct Session {
    client: Octocrab,
    graphql: Octocrab,
    token: secrecy::SecretString,
}

impl Session {
    /// For git's transport.
    pub fn token(&self) -> &secrecy::SecretString {
        &self.token
    }
}

/// Who we are.
#[derive(Debug, Clone)]
pub struct AppIdentity {
    pub id: u64,
    /// `slug[bot]`: the login that our writes carry.
    pub login: String,
}

/// What writes to GitHub.
pub struct Writer<'a>(&'a GitHub);

impl std::ops::Deref for Writer<'_> {
    type Target = GitHub;

    fn deref(&self) -> &GitHub {
        self.0
    }
}

impl GitHub {
    pub fn writer<'a>(&'a self, _: &'a WritePermit) -> Writer<'a> {
        Writer(self)
    }

    /// `write_interval`: the least time between two writes. GitHub advises one second; a sandbox needs none.
    pub fn new(
        api_url: &str,
        credentials: AppCredentials,
        write_interval: Duration,
        projects: Projects,
    ) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self {
            http,
            api_url: api_url.trim_end_matches('/').to_string(),
            credentials,
            // Tokens are good for an hour; ours are given up five minutes before.
            sessions: moka::future::Cache::builder()
                .max_capacity(1000)
                .time_to_live(Duration::from_secs(55 * 60))
                .build(),
            projects,
            identity: tokio::sync::OnceCell::new(),
            repositories: Mutex::default(),
            budget: tokio::sync::Mutex::new(None),
            write_interval,
        })
    }

    // ---- who we are, and where we are installed

    pub async fn identity(&self) -> Result<&AppIdentity> {
        let fetch = async || {
            #[derive(Deserialize)]
            struct Answer {
                id: u64,
                slug: Option<String>,
            }
            let answer: Answer = self.as_app("/app", "read the App").await?;
            let slug = answer.slug.unwrap_or_default();
            Ok(AppIdentity {
                id: answer.id,
                login: format!("{slug}[bot]"),
            })
        };
        self.identity.get_or_try_init(fetch).await
    }
}
