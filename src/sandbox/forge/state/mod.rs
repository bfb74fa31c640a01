//! What there is on the forge, less the git objects.
//!
//! - here: users, tokens, the App, and the deliveries of its webhooks
//! - [`repository`]: repositories and roles; [`pulls`]: pull requests and their threads
//! - [`commits`]: what is said of commits; [`rules`]: what is demanded of branches
//! - [`installations`]: where the App is installed; [`events`]: what it may hear; [`quota`]: its limits; [`faults`], [`lag`]: what goes wrong

mod commits;
mod events;
mod faults;
mod installations;
mod lag;
mod pulls;
mod quota;
mod repository;
mod rules;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Read as _;
use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::Value;

pub use commits::{CheckRun, Deployment, DeploymentStatus, Status};
pub use faults::{Failure, Faults, SETTLED};
pub use installations::Installation;
pub use lag::{Kind, Lag, StaleRef, Unseen};
pub use pulls::{Comment, LineComment, Merged, Place, Pull, Reaction, Review, Side};
pub use quota::{Caller, Cost, Counted, Limit, Limits, Over, Quota, Rate, Used};
pub use repository::{Activity, Repository, Role};
pub use rules::{MergeGroup, MergeMethod, QueueEntry, RequiredCheck, Rule};

pub struct State {
    pub users: BTreeMap<String, User>,
    /// Secrets that authenticate, and whom.
    pub tokens: HashMap<String, Token>,
    pub app: App,
    /// Where the App is installed; from the start on every repository there is.
    pub installations: Vec<Installation>,
    pub repositories: Vec<Repository>,
    /// Logins by organisation and team.
    pub teams: BTreeMap<(String, String), Vec<String>>,
    pub deliveries: Vec<Delivery>,
    /// Webhooks not yet sent.
    pub outbox: VecDeque<Outgoing>,
    pub faults: Faults,
    /// By how much its clock is ahead of this machine's.
    pub ahead: SignedDuration,
    /// It is an Enterprise Server of this version.
    pub enterprise: Option<String>,
    /// The API's limits, and what was asked of it.
    pub quota: Quota,
    /// What readers do not see yet.
    pub unseen: Unseen,
    /// Names that repositories had, and their ids; the newest last.
    pub moved: Vec<(String, u64)>,
    /// Tells the postman that there is something to send.
    pub wake: std::sync::Arc<tokio::sync::Notify>,
    next_id: u64,
    tokens_made: u64,
    /// All requests, by anybody, that were not answered 304.
    pub requests: u64,
    /// What the App has fetched by git, and how often.
    pub fetched: BTreeMap<String, usize>,
}

#[derive(Clone)]
pub struct User {
    pub id: u64,
    pub login: String,
    pub kind: UserKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum UserKind {
    User,
    Bot,
    Organization,
}

#[derive(Clone)]
pub enum Token {
    User(String),
    Installation {
        installation: u64,
        minted: Timestamp,
        expires: Timestamp,
        permissions: BTreeMap<String, String>,
        repositories: Option<Vec<u64>>,
        /// So many requests by it are still refused.
        unsettled: u32,
    },
}

/// The one GitHub App that is registered.
pub struct App {
    pub id: u64,
    pub slug: String,
    /// The installation that there is from the start.
    pub installation: u64,
    pub private_key: String,
    pub public_key: String,
    pub webhook_secret: String,
    /// What its credentials are handed out for, once.
    pub code: Option<String>,
    /// None until the App's service runs.
    pub webhook_url: Option<String>,
    pub permissions: BTreeMap<String, String>,
    pub events: Vec<String>,
    /// What proves that a request for somebody's token is the App's.
    pub client_secret: String,
    /// Where people may be sent back to after they signed in.
    pub callback_urls: Vec<String>,
    /// Who signed in, by the code that says so, once.
    pub signed_in: BTreeMap<String, SignedIn>,
}

/// Somebody who signed in to the App's pages.
pub struct SignedIn {
    pub login: String,
    /// Where they were sent back to.
    pub back: String,
}

impl App {
    /// By which people sign in to it.
    pub fn client_id(&self) -> String {
        format!("Iv1.{}", self.id)
    }

    pub fn bot(&self) -> String {
        format!("{}[bot]", self.slug)
    }
}

/// A webhook that was tried.
pub struct Delivery {
    pub id: u64,
    pub guid: String,
    pub event: String,
    pub action: Option<String>,
    pub installation: Option<u64>,
    pub repository: Option<u64>,
    pub payload: Value,
    pub delivered_at: Timestamp,
    pub redelivery: bool,
    /// Milliseconds.
    pub duration: u64,
    /// None: lost on the way.
    pub status_code: Option<u16>,
}

/// A webhook to be sent.
#[derive(Clone)]
pub struct Outgoing {
    pub guid: String,
    pub event: String,
    pub action: Option<String>,
    pub installation: Option<u64>,
    pub repository: Option<u64>,
    pub payload: Value,
    pub redelivery: bool,
}

/// The App's key pair, as PEM. One for all the forges of a process: making one takes a while.
fn app_key() -> anyhow::Result<(String, String)> {
    static KEY: OnceLock<(String, String)> = OnceLock::new();
    if let Some(known) = KEY.get() {
        return Ok(known.clone());
    }
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let pair = (key.serialize_pem(), key.public_key_pem());
    Ok(KEY.get_or_init(|| pair).clone())
}

impl State {
    pub fn new() -> anyhow::Result<Self> {
        let (private_key, public_key) = app_key()?;
        // Different on every forge, as the numbers of different GitHub servers' objects are.
        let start = 1000 + u64::from_str_radix(&random_hex(6), 16)? % 100_000_000;
        let mut state = Self {
            users: BTreeMap::new(),
            tokens: HashMap::new(),
            app: App {
                id: start,
                slug: "windlass".into(),
                installation: start + 1,
                private_key,
                public_key,
                webhook_secret: random_hex(32),
                code: None,
                webhook_url: None,
                client_secret: random_hex(40),
                callback_urls: Vec::new(),
                signed_in: BTreeMap::new(),
                permissions: BTreeMap::new(),
                events: Vec::new(),
            },
            installations: vec![Installation::new(start + 1, None)],
            repositories: Vec::new(),
            teams: BTreeMap::new(),
            deliveries: Vec::new(),
            outbox: VecDeque::new(),
            faults: Faults::default(),
            enterprise: None,
            ahead: SignedDuration::ZERO,
            quota: Quota::default(),
            unseen: Unseen::default(),
            moved: Vec::new(),
            wake: std::sync::Arc::default(),
            next_id: start + 2,
            tokens_made: 0,
            requests: 0,
            fetched: BTreeMap::new(),
        };
        let bot = state.app.bot();
        state.add_user(&bot, UserKind::Bot);
        Ok(state)
    }

    pub fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub fn add_user(&mut self, login: &str, kind: UserKind) {
        let id = self.new_id();
        self.users.entry(login.into()).or_insert(User {
            id,
            login: login.into(),
            kind,
        });
        if kind == UserKind::User {
            self.tokens
                .insert(format!("ghp_{}", random_hex(36)), Token::User(login.into()));
        }
    }

    /// Registers the App as its manifest says; GitHub refuses events that need a permission that
    /// is not asked for.
    pub fn register_app(&mut self, manifest: &Value) -> anyhow::Result<()> {
        let lacking = events::unsupported(manifest);
        if !lacking.is_empty() {
            anyhow::bail!(
                "Default events are not supported by permissions: {}",
                lacking.join(", ")
            );
        }
        let permissions = manifest["default_permissions"]
            .as_object()
            .into_iter()
            .flatten();
        self.app.permissions = permissions
            .map(|(name, access)| (name.clone(), access.as_str().unwrap_or_default().into()))
            .collect();
        self.app
            .permissions
            .insert("metadata".into(), "read".into());
        let events = manifest["default_events"].as_array().into_iter().flatten();
        self.app.events = events
            .filter_map(|event| event.as_str().map(str::to_string))
            .collect();
        Ok(())
    }

    /// A user's personal token.
    pub fn token_of(&self, login: &str) -> String {
        let found = self
            .tokens
            .iter()
            .find(|(_, token)| matches!(token, Token::User(of) if of == login));
        found.map(|(secret, _)| secret.clone()).unwrap_or_default()
    }

    /// Both forms that are in use: 40 characters, and the stateless one of about 520.
    pub fn mint(
        &mut self,
        installation: u64,
        permissions: BTreeMap<String, String>,
        repositories: Option<Vec<u64>>,
    ) -> (String, Timestamp) {
        self.tokens_made += 1;
        let secret = if self.tokens_made % 2 == 1 {
            format!("ghs_{}", random_hex(36))
        } else {
            format!(
                "ghs_{}_{}.{}.{}",
                self.app.id,
                random_hex(36),
                random_hex(300),
                random_hex(160)
            )
        };
        let minted = Timestamp::now();
        let expires = minted + SignedDuration::from_hours(1);
        self.tokens.insert(
            secret.clone(),
            Token::Installation {
                installation,
                minted,
                expires,
                permissions,
                repositories,
                unsettled: self.faults.token_unsettled,
            },
        );
        (secret, expires)
    }

    pub fn repository(&self, owner: &str, name: &str) -> Option<&Repository> {
        self.repositories.iter().find(|repo| {
            repo.owner.eq_ignore_ascii_case(owner) && repo.name.eq_ignore_ascii_case(name)
        })
    }

    pub fn repository_mut(&mut self, id: u64) -> Option<&mut Repository> {
        self.repositories.iter_mut().find(|repo| repo.id == id)
    }

    pub fn by_id(&self, id: u64) -> Option<&Repository> {
        self.repositories.iter().find(|repo| repo.id == id)
    }

    pub fn by_full_name_mut(&mut self, full_name: &str) -> Option<&mut Repository> {
        let id = self.by_full_name(full_name)?.id;
        self.repository_mut(id)
    }

    /// The repository that had this name.
    pub fn moved_to(&self, owner: &str, name: &str) -> Option<&Repository> {
        let full_name = format!("{owner}/{name}");
        let known = self
            .moved
            .iter()
            .rev()
            .find(|(old, _)| old.eq_ignore_ascii_case(&full_name))?;
        self.by_id(known.1)
    }

    pub fn by_full_name(&self, full_name: &str) -> Option<&Repository> {
        let (owner, name) = full_name.split_once('/')?;
        self.repository(owner, name)
    }
}

/// `digits` hexadecimal digits from the kernel.
pub fn random_hex(digits: usize) -> String {
    let mut bytes = vec![0; digits.div_ceil(2)];
    if let Ok(mut source) = std::fs::File::open("/dev/urandom") {
        let _ = source.read_exact(&mut bytes);
    }
    hex::encode(bytes)[..digits].to_string()
}

impl State {
    /// The time by its own clock, in whole seconds.
    pub fn now(&self) -> Timestamp {
        whole(Timestamp::now() + self.ahead)
    }
}

/// Whole seconds, as GitHub's times are.
pub fn now() -> Timestamp {
    whole(Timestamp::now())
}

/// Without fractions of a second.
pub fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
