//! GitHub, by octocrab: typed reads and writes, each one request.
//!
//! octocrab is the transport. Its own retries are off (they re-send POSTs), its
//! token cache is not used (it has no single flight), and answers are read into
//! small structs of ours, so that a field we do not need cannot fail us.
//!
//! - [`auth`]: App JWT, installation tokens
//! - [`webhook`]: a delivery → hints
//! - [`deployments`], [`notes`]: where a commit stands, and its receipt
//! - here: one function per request; GETs are tried again, writes never are:
//!   the loops look at the world and decide anew

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use octocrab::Octocrab;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

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
        "{what}: GitHub has no such thing (404): is the App installed on the repository, with the permissions of its manifest?"
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

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        repo: &RepoName,
        path: &str,
        what: &str,
    ) -> Result<T> {
        let route = format!("/repos/{repo}/{path}");
        let session = self.session_for(repo).await?;
        match self.read(&session, &route, what).await {
            Err(Error::Unauthorized { .. }) => {
                self.forget_session(repo).await;
                self.read(&self.session_for(repo).await?, &route, what)
                    .await
            }
            other => other,
        }
    }

    /// Every page of a list.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        repo: &RepoName,
        path: String,
        what: &str,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let join = if path.contains('?') { '&' } else { '?' };
        for page in 1.. {
            let items: Vec<T> = self
                .get(repo, &format!("{path}{join}per_page=100&page={page}"), what)
                .await?;
            let last = items.len() < 100;
            all.extend(items);
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// A GET, tried again while GitHub is unavailable: it changes nothing.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        session: &Session,
        route: &str,
        what: &str,
    ) -> Result<T> {
        let mut pause = Duration::from_millis(250);
        for _ in 0..3 {
            match session
                .client
                .get::<T, _, ()>(route, None)
                .await
                .map_err(|error| classified(error, what))
            {
                // A fresh token may be refused for some seconds (octokit/auth-app.js#168).
                Err(Error::Unavailable { .. } | Error::Unauthorized { .. }) => {
                    tokio::time::sleep(pause).await
                }
                other => return other,
            }
            pause *= 3;
        }
        session
            .client
            .get::<T, _, ()>(route, None)
            .await
            .map_err(|error| classified(error, what))
    }

    /// Keeps the least time between two writes.
    pub(super) async fn pace(&self) {
        let mut last = self.budget.lock().await;
        if let Some(last) = *last {
            tokio::time::sleep_until(last + self.write_interval).await;
        }
        *last = Some(tokio::time::Instant::now());
    }
}

impl Writer<'_> {
    pub(super) async fn write(
        &self,
        repo: &RepoName,
        method: &str,
        path: &str,
        body: &Value,
        what: &str,
    ) -> Result<Value> {
        self.pace().await;
        let session = self.session_for(repo).await?;
        let route = format!("/repos/{repo}/{path}");
        let answer = match method {
            "POST" => session.client.post::<_, Value>(&route, Some(body)).await,
            "PATCH" => {
                session
                    .client
                    .patch::<Value, _, _>(&route, Some(body))
                    .await
            }
            _ => session.client.put::<Value, _, _>(&route, Some(body)).await,
        };
        let answer = answer.map_err(|error| classified(error, what));
        if let Err(Error::Unauthorized { .. }) = answer {
            self.forget_session(repo).await;
        }
        answer
    }

    pub(super) async fn mutate(
        &self,
        repo: &RepoName,
        document: &str,
        input: Value,
        what: &str,
    ) -> Result<Value> {
        self.pace().await;
        let session = self.session_for(repo).await?;
        let body = json!({"query": document, "variables": {"input": input}});
        let answer: Value = session
            .graphql
            .post("/graphql", Some(&body))
            .await
            .map_err(|error| classified(error, what))?;
        let Some(error) = answer["errors"]
            .as_array()
            .and_then(|errors| errors.first())
        else {
            return Ok(answer["data"].clone());
        };
        let (what, message) = (
            what.to_string(),
            error["message"].as_str().unwrap_or_default().to_string(),
        );
        Err(match error["type"].as_str().unwrap_or_default() {
            "STALE_DATA" => Error::Stale { what, message },
            "NOT_FOUND" => Error::Stale { what, message },
            "RATE_LIMITED" => Error::RateLimited {
                what,
                until: Timestamp::now() + jiff::SignedDuration::from_secs(60),
            },
            _ => Error::Refused {
                what,
                status: 200,
                message,
            },
        })
    }
}

fn found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A transport error in our terms. Messages come without the request, so no token is in them.
fn classified(error: octocrab::Error, what: &str) -> Error {
    let what = what.to_string();
    let octocrab::Error::GitHub { source, .. } = error else {
        let message = match &error {
            octocrab::Error::Serde { source, .. } => {
                return Error::Unexpected {
                    what,
                    message: source.to_string(),
                };
            }
            octocrab::Error::Json { source, .. } => {
                return Error::Unexpected {
                    what,
                    message: source.to_string(),
                };
            }
            octocrab::Error::Service { source, .. } => source.to_string(),
            octocrab::Error::Hyper { source, .. } => source.to_string(),
            octocrab::Error::Reqwest { source, .. } => source.to_string(),
            _ => "the request could not be made".into(),
        };
        return Error::Unavailable { what, message };
    };
    let header = |name: &str| {
        source
            .headers
            .as_ref()
            .and_then(|headers| headers.get(name)?.to_str().ok()?.parse::<i64>().ok())
    };
    let (status, mut message) = (source.status_code.as_u16(), source.message.clone());
    for detail in source.errors.iter().flatten() {
        message = format!(
            "{message}: {}",
            detail["message"]
                .as_str()
                .map_or_else(|| detail.to_string(), str::to_string)
        );
    }
    let limited = status == 429
        || (status == 403
            && (header("retry-after").is_some()
                || header("x-ratelimit-remaining") == Some(0)
                || message.contains("secondary rate limit")));
    match status {
        _ if limited => {
            let now = Timestamp::now();
            let until = match (
                header("retry-after"),
                header("x-ratelimit-remaining"),
                header("x-ratelimit-reset"),
            ) {
                (Some(seconds), _, _) => now + jiff::SignedDuration::from_secs(seconds),
                (None, Some(0), Some(reset)) => Timestamp::from_second(reset).unwrap_or(now),
                _ => now + jiff::SignedDuration::from_secs(60),
            };
            Error::RateLimited { what, until }
        }
        404 => Error::NotFound { what },
        401 => Error::Unauthorized { what, message },
        500..=599 => Error::Unavailable {
            what,
            message: format!("{status}: {message}"),
        },
        _ => Error::Refused {
            what,
            status,
            message,
        },
    }
}
