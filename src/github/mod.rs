//! GitHub, by octocrab: typed reads and writes, each one request.
//!
//! octocrab is the transport. Its own retries are off, since they re-send POSTs.
//! Its token cache is not used, since concurrent callers would each request a
//! token. Answers are read into small structs of ours, so that a field that we do
//! not need cannot cause an error.
//!
//! - [`auth`]: App JWT, installation tokens
//! - [`webhook`]: a delivery → hints
//! - [`deployments`], [`notes`]: a commit's deployments, and its receipt
//! - [`transport`]: GETs are retried, writes never are: the loops read the state
//!   again and decide
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
    Repository, Review, Status, User,
};

/// The errors of a request, by how the caller handles them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{what}: GitHub answers 404: is the App installed on the repository, with the permissions of its manifest?"
    )]
    NotFound { what: String },
    /// The state changed meanwhile: read again and retry.
    #[error("{what}: {message}")]
    Stale { what: String, message: String },
    /// GitHub refuses it in the current state.
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
    /// The config repositories.
    projects: Projects,
    identity: tokio::sync::OnceCell<AppIdentity>,
    repositories: Mutex<HashMap<RepoName, Repository>>,
    budget: tokio::sync::Mutex<Option<tokio::time::Instant>>,
    write_interval: Duration,
}

/// A token, and the clients that use it.
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

/// The identity of our App.
#[derive(Debug, Clone)]
pub struct AppIdentity {
    pub id: u64,
    /// `slug[bot]`: the author of what we write.
    pub login: String,
}

/// The methods that write to GitHub.
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

    /// `write_interval`: the minimum time between two writes. GitHub advises one second; a sandbox needs none.
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
            // Tokens expire after an hour; ours are replaced five minutes before.
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

    // ---- our identity

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
