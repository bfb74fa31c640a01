//! GitHub, by octocrab: typed reads and writes, each one request.
//!
//! octocrab is the transport. Its own retries are off, since they re-send POSTs.
//! Its token cache is not used, since concurrent callers would each request a
//! token. Answers are read into small structs of ours, so that a field that we do
//! not need cannot cause an error.
//!
//! - [`auth`]: App JWT, installation tokens
//! - [`webhook`]: a delivery → hints
//! - [`deployments`]: a commit's deployments; [`notes`]: a push of its receipt
//! - [`transport`]: GETs are retried, writes never are: the loops read the state
//!   again and decide
//! - [`answers`]: what answers mean that are not what was asked for
//! - [`enterprise`]: what is different on a GitHub Enterprise Server
//! - [`limit`]: what GitHub allows an installation, and how we keep below it; [`lane`]: which writes go first
//! - the others: one function per request

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use octocrab::Octocrab;
use serde::Deserialize;
use tokio::time::Instant;

use crate::domain::fence::Projects;
use crate::domain::permit::WritePermit;
use crate::domain::{FOREIGN_IDS, RepoName};
use crate::outgoing::Outgoing;

pub mod auth;

pub mod deployments;

pub mod webhook;

mod answers;
mod app;
mod branches;
mod checks;
mod comments;
mod enterprise;
mod installations;
mod lane;
mod limit;
mod models;
mod notes;
mod people;
mod pulls;
pub mod registration;
mod rules;
mod sign_in;
mod transport;

pub use auth::AppCredentials;
use auth::Scope;
pub use lane::Lane;
pub use limit::Limiter;
pub use models::{
    Account, CheckRun, Comment, NewAnnotation, NewCheck, Pull, PullCommit, PullSnapshot, Push,
    RefMove, Repository, Review, Status, User,
};
pub use sign_in::{SignIn, web_of};
use transport::{Known, MOST_KNOWN};

/// The errors of a request, by how the caller handles them.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error(
        "{what}: GitHub answers 404: is the App installed on the repository, with the permissions of its manifest?"
    )]
    NotFound { what: String },
    /// The state changed meanwhile: read again and retry.
    #[error("{what}: {message}")]
    Stale { what: String, message: String },
    /// GitHub refuses it in the current state.
    #[error("{what}: GitHub refuses ({status}): {message}{}", lacking(accepted.as_deref()))]
    Refused {
        what: String,
        status: u16,
        message: String,
        /// The permissions that GitHub would accept, if it names them.
        accepted: Option<String>,
    },
    #[error("{what}: the repository was renamed or transferred")]
    Moved {
        what: String,
        /// The address that GitHub names instead.
        to: Option<String>,
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
    #[error("{what}: the repository has {FOREIGN_IDS}")]
    ForeignIds { what: String },
    #[error("{repo} is not a repository that this App is installed on")]
    NotInstalled { repo: RepoName },
}

/// What the App lacks, by GitHub's header.
fn lacking(accepted: Option<&str>) -> String {
    accepted.map_or_else(String::new, |accepted| {
        format!(" (it accepts the permission {accepted}: grant it to the App, and accept it for the installation)")
    })
}

type Result<T> = std::result::Result<T, Error>;

/// GitHub as one App sees it.
pub struct GitHub {
    http: reqwest::Client,
    /// `https://api.github.com`, or `https://host/api/v3`.
    api_url: String,
    credentials: AppCredentials,
    /// An Enterprise Server told its version, and we the log.
    version_told: OnceLock<()>,
    sessions: moka::future::Cache<(u64, Scope), Session>,
    /// The config repositories.
    projects: Projects,
    identity: tokio::sync::OnceCell<AppIdentity>,
    repositories: Mutex<HashMap<RepoName, Repository>>,
    /// The numbers of config repositories: whatever else gets their names is not them.
    pinned: Mutex<HashMap<RepoName, u64>>,
    /// By installation; 0: of the App itself.
    limiters: Mutex<HashMap<u64, Arc<Limiter>>>,
    write_interval: Duration,
    app_session: moka::future::Cache<(), Session>,
    next_session: AtomicU64,
    /// Answers for conditional requests, by session and route.
    known: moka::future::Cache<(u64, String), Known>,
    /// How many answers had which status code.
    answers: Mutex<BTreeMap<(String, u16), u64>>,
    /// By how many seconds this machine's clock was ahead of GitHub's, by its last answer.
    clock_skew: Mutex<Option<i64>>,
    /// When to list the repositories again, since some installation could not be listed; and the
    /// pause before that.
    unlisted: Mutex<Option<(tokio::time::Instant, Duration)>>,
    /// What we know of the repositories may be outdated: their names, or which ones there are.
    pub repositories_changed: tokio::sync::Notify,
}

/// A token, and the clients that use it.
#[derive(Clone)]
pub struct Session {
    id: u64,
    minted: Instant,
    limiter: Arc<Limiter>,
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
    /// By which people sign in to it.
    pub client_id: String,
}

/// The methods that write to GitHub.
pub struct Writer<'a>(&'a GitHub);

impl std::ops::Deref for Writer<'_> {
    type Target = GitHub;

    fn deref(&self) -> &GitHub {
        self.0
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GitHub {
    /// By how many seconds this machine's clock is ahead of GitHub's, if that is worth telling.
    pub fn notable_clock_skew(&self) -> Option<i64> {
        let skew = *locked(&self.clock_skew);
        skew.filter(|skew| answers::is_notable(*skew))
    }

    pub fn writer<'a>(&'a self, _: &'a WritePermit) -> Writer<'a> {
        Writer(self)
    }

    /// `write_interval`: the time between two writes, after a burst.
    pub fn new(
        api_url: &str,
        credentials: AppCredentials,
        write_interval: Duration,
        projects: Projects,
        outgoing: &Outgoing,
    ) -> anyhow::Result<Self> {
        let http = outgoing
            .client()?
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(30))
            // A redirected POST would become a GET: see [`Error::Moved`].
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            http,
            api_url: api_url.trim_end_matches('/').to_string(),
            credentials,
            version_told: OnceLock::new(),
            clock_skew: Mutex::default(),
            // Tokens expire after an hour; ours are replaced five minutes before.
            sessions: moka::future::Cache::builder()
                .max_capacity(1000)
                .time_to_live(Duration::from_secs(55 * 60))
                .build(),
            projects,
            identity: tokio::sync::OnceCell::new(),
            repositories: Mutex::default(),
            pinned: Mutex::default(),
            limiters: Mutex::default(),
            write_interval,
            // A JWT of ours is valid for nine minutes.
            app_session: moka::future::Cache::builder()
                .max_capacity(1)
                .time_to_live(Duration::from_secs(5 * 60))
                .build(),
            next_session: AtomicU64::new(1),
            known: moka::future::Cache::builder()
                .weigher(|(_, route): &(u64, String), (_, _, body): &Known| {
                    u32::try_from(route.len() + body.len()).unwrap_or(u32::MAX)
                })
                .max_capacity(MOST_KNOWN)
                // A token expires after an hour, and with it what was read by it.
                .time_to_live(Duration::from_secs(3600))
                .build(),
            answers: Mutex::default(),
            unlisted: Mutex::new(None),
            repositories_changed: tokio::sync::Notify::new(),
        })
    }

    fn limiter(&self, installation: u64) -> Arc<Limiter> {
        let mut limiters = locked(&self.limiters);
        let new = || Arc::new(Limiter::new(self.write_interval));
        limiters.entry(installation).or_insert_with(new).clone()
    }

    /// `what`: of a closed list, as errors name it.
    fn count(&self, what: &str, status: u16) {
        let mut answers = locked(&self.answers);
        *answers.entry((what.into(), status)).or_default() += 1;
    }

    /// How many answers to which requests had which status code, since the start.
    pub fn answers(&self) -> BTreeMap<(String, u16), u64> {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// For each installation: the requests that are left in this hour, and for how long nothing is
    /// sent.
    pub fn limits(&self) -> Vec<(u64, Option<u64>, Duration)> {
        let limiters = locked(&self.limiters);
        let installations = limiters.iter().filter(|(id, _)| **id != 0);
        let limits = installations.map(|(id, limiter)| {
            let (remaining, limited) = limiter.standing();
            (*id, remaining, limited)
        });
        limits.collect()
    }

    /// For how long what only shows waits, where it waits longest: see [`Limiter::paced`].
    pub fn paced(&self) -> Duration {
        let limiters = locked(&self.limiters);
        let waits = limiters.values().map(|limiter| limiter.paced());
        waits.max().unwrap_or_default()
    }

    // ---- our identity

    /// Our bot's login, once it is known.
    pub fn own_login(&self) -> Option<&str> {
        self.identity.get().map(|identity| identity.login.as_str())
    }

    pub async fn identity(&self) -> Result<&AppIdentity> {
        let fetch = async || {
            #[derive(Deserialize)]
            struct Answer {
                id: u64,
                slug: Option<String>,
                #[serde(default)]
                client_id: String,
            }
            let (answer, _): (Answer, _) = self.as_app("/app", "read the App").await?;
            let slug = answer.slug.unwrap_or_default();
            Ok(AppIdentity {
                id: answer.id,
                login: format!("{slug}[bot]"),
                client_id: answer.client_id,
            })
        };
        self.identity.get_or_try_init(fetch).await
    }
}
