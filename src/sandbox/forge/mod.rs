//! A GitHub-shaped forge over real bare git repositories, in process.
//!
//! Laid out as GitHub Enterprise Server is: REST at `/api/v3`, GraphQL at
//! `/api/graphql`, clone URLs and pages at the root. It is strict: an unknown
//! request field, a missing permission or a stale SHA fails as on GitHub, with
//! GitHub's words. It is written from GitHub's documents and imports nothing of
//! windlass outside `sandbox`; what it does that neither a schema nor a cited
//! source supports is listed in [`ASSUMPTIONS`].
//!
//! - [`state`]: what there is; [`git`]: the repositories
//! - [`auth`]: who asks; [`rest`] and [`graphql`]: what is answered; [`json`]: in which shape
//! - [`webhooks`]: deliveries, with knobs to lose, duplicate, delay and reorder them
//! - [`pages`]: what a person sees in a browser

pub mod auth;
pub mod git;
pub mod graphql;
pub mod json;
pub mod pages;
pub mod rest;
pub mod state;
pub mod webhooks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extract};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use state::State;

/// What the forge does that no schema or cited source settles.
pub const ASSUMPTIONS: &[&str] = &[
    "commits made by createCommitOnBranch, by merging, and by the App's git/commits without author, committer and signature, are reported as verified; nothing is really signed",
    "a `signature` given to git/commits is not kept",
    "the words in which git/trees refuses a mode, a type or a path, and git/commits a parent that there is not",
    "the base64 of git/blobs comes in lines of sixty characters",
    "git/trees wants a tree as base_tree, not a commit, and tells the tree's own SHA whatever name it was asked by",
    "a deployment never merges the default branch into its ref: auto_merge is passed over",
    "a deployment's contexts are the statuses and the check runs of its commit; of their states and conclusions only `success` passes",
    "a deployment without payload has an empty object as its payload",
    "deployments and their statuses send no webhooks",
    "an installation's first token has the classic form, the second the stateless one, and so on in turn",
    "the first GET of a pull request after its head or base moved answers `mergeable: null`, the next one the result",
    "an empty `permissions` object in a request for an installation token asks for all, as PyGithub relies on",
    "ids are small and ascending over all kinds of objects",
    "a REST request with an unknown top-level body field answers 422; GitHub passes over many of them",
    "webhook deliveries are tried once, at once; a lost one is logged with status code 500",
    "updateRefs needs beforeOid to match when it is given, and answers STALE_DATA in createCommitOnBranch's words",
];

/// A running forge; it ends with its runtime or when dropped.
pub struct Forge {
    inner: Arc<Inner>,
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
    postman: tokio::task::JoinHandle<()>,
}

pub struct Inner {
    state: Mutex<State>,
    root: PathBuf,
    origin: String,
    wire: Mutex<Wire>,
}

/// Called with every exchange.
pub type Observer = dyn Fn(&Exchange) + Send + Sync;

/// What listens on the wire: for tests.
#[derive(Default, Clone)]
pub struct Wire {
    /// Sees every API exchange after it was handled.
    pub observer: Option<Arc<Observer>>,
    /// Stands before and after each write of the App's.
    pub writes: Option<Arc<dyn WriteGate>>,
}

/// Stands round writes; may end the writer at any of them.
pub trait WriteGate: Send + Sync {
    /// Before a write is done: its number. None: it is not done, and the connection is cut.
    fn begin(&self, what: &str) -> Option<u64>;
    /// After it was done, before it is answered; false: the connection is cut.
    fn end(&self, number: u64) -> bool;
}

/// One request and its answer.
pub struct Exchange {
    pub method: String,
    /// Below `/api/v3`, or `/graphql`; of a webhook (method `WEBHOOK`) its event and action: `issue-comment-created`.
    pub path: String,
    pub query: String,
    pub request: Option<Value>,
    pub status: u16,
    pub response: Option<Value>,
    /// Whether the App or one of its installations asked.
    pub by_app: bool,
}

/// A request taken apart.
pub struct Call {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An answer before it is put on the wire.
pub struct Reply {
    pub status: u16,
    pub body: ReplyBody,
    pub headers: Vec<(&'static str, String)>,
}

pub enum ReplyBody {
    Json(Value),
    Text(&'static str, String),
    Bytes(String, Vec<u8>),
    Empty,
}

impl Reply {
    pub fn json(status: u16, value: Value) -> Self {
        Self {
            status,
            body: ReplyBody::Json(value),
            headers: Vec::new(),
        }
    }

    pub fn empty(status: u16) -> Self {
        Self {
            status,
            body: ReplyBody::Empty,
            headers: Vec::new(),
        }
    }

    /// GitHub's shape of an error.
    pub fn error(status: u16, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self::json(
            status,
            serde_json::json!({"message": message, "documentation_url": "https://docs.github.com/rest", "status": status.to_string()}),
        )
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Forge {
    /// Starts one on `port` (0: any) that keeps its repositories under `root`.
    pub async fn start(root: &Path, port: u16) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let root = root.join("repositories");
        std::fs::create_dir_all(&root)?;
        let inner = Arc::new(Inner {
            state: Mutex::new(State::new()?),
            root,
            origin: format!("http://{address}"),
            wire: Mutex::default(),
        });
        let app = Router::new().fallback(serve).with_state(inner.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        let postman = tokio::spawn(webhooks::deliver(inner.clone()));
        Ok(Self {
            inner,
            address,
            server,
            postman,
        })
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> &str {
        &self.inner.origin
    }

    /// The REST base, as windlass's `--github-api-url` takes it.
    pub fn api_url(&self) -> String {
        format!("{}/api/v3", self.inner.origin)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What there is, locked.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state()
    }

    pub fn repository_path(&self, owner: &str, name: &str) -> PathBuf {
        self.inner.repository_path(owner, name)
    }

    /// A note on a commit, as `git notes --ref` shows it.
    pub fn note(&self, full_name: &str, reference: &str, commit: &str) -> Option<String> {
        let (owner, name) = full_name.split_once('/')?;
        git::git(
            &self.repository_path(owner, name),
            &["notes", "--ref", reference, "show", commit],
        )
        .ok()
    }

    pub fn set_wire(&self, wire: Wire) {
        *self
            .inner
            .wire
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = wire;
    }

    /// Makes a repository whose default branch `main` holds `files`.
    pub fn create_repository(
        &self,
        full_name: &str,
        files: &[(String, String)],
    ) -> anyhow::Result<()> {
        self.inner.create_repository(full_name, files)
    }

    /// Acts as a user would through the API; for stories.
    pub fn as_user(
        &self,
        login: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        let token = self.state().token_of(login);
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse()?);
        headers.insert("user-agent", "story".parse()?);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body = if body.is_null() {
            Bytes::new()
        } else {
            Bytes::from(body.to_string())
        };
        let call = Call {
            method,
            path: format!("/api/v3{path}"),
            query: query.into(),
            headers,
            body,
        };
        let reply = self.inner.api(&call);
        match reply.body {
            ReplyBody::Json(value) if reply.status < 300 => Ok(value),
            ReplyBody::Json(value) => {
                anyhow::bail!("{} {path}: {} {value}", call.method, reply.status)
            }
            _ => Ok(Value::Null),
        }
    }

    /// A fork under a user's name; its full name.
    pub fn fork(&self, full_name: &str, login: &str) -> anyhow::Result<String> {
        self.inner.fork(full_name, login)
    }

    /// Commits files to a branch as a user who pushes would; None removes a file. The new commit.
    pub fn push(
        &self,
        full_name: &str,
        branch: &str,
        login: &str,
        message: &str,
        files: &[(&str, Option<&str>)],
    ) -> anyhow::Result<String> {
        self.push_as(full_name, branch, login, login, message, files)
    }

    /// Pushes a commit that bears another's name: git asks nobody whose it is.
    pub fn push_as(
        &self,
        full_name: &str,
        branch: &str,
        login: &str,
        author: &str,
        message: &str,
        files: &[(&str, Option<&str>)],
    ) -> anyhow::Result<String> {
        self.inner
            .push(full_name, branch, login, author, message, files)
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.server.abort();
        self.postman.abort();
    }
}

impl Inner {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    fn wire(&self) -> Wire {
        self.wire
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn repository_path(&self, owner: &str, name: &str) -> PathBuf {
        self.root
            .join(owner.to_lowercase())
            .join(format!("{}.git", name.to_lowercase()))
    }
}

/// Where the App's writes are told from reads: any method that is not safe, and GraphQL mutations.
fn is_write(call: &Call) -> bool {
    let graphql = call.path.ends_with("/graphql");
    let token = call.path.ends_with("/access_tokens");
    !token
        && !matches!(call.method, Method::GET | Method::HEAD)
        && (!graphql || String::from_utf8_lossy(&call.body).contains("mutation"))
}

async fn serve(Extract(inner): Extract<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 64 << 20).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let call = Call {
        method: parts.method,
        path: parts.uri.path().to_string(),
        query: parts.uri.query().unwrap_or_default().to_string(),
        headers: parts.headers,
        body,
    };
    let outcome = tokio::task::spawn_blocking(move || inner.dispatch(&call)).await;
    match outcome {
        Ok(Some(reply)) => put_on_wire(reply),
        // A cut connection: the body fails before it has begun.
        Ok(None) => Response::new(Body::from_stream(futures::stream::once(async {
            Err::<Bytes, _>(std::io::Error::other("cut"))
        }))),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn put_on_wire(reply: Reply) -> Response {
    let mut builder = Response::builder()
        .status(reply.status)
        .header("x-github-request-id", "0000:0000:0000");
    for (name, value) in reply.headers {
        builder = builder.header(name, value);
    }
    let (kind, body) = match reply.body {
        ReplyBody::Json(value) => (
            Some("application/json; charset=utf-8".to_string()),
            Body::from(value.to_string()),
        ),
        ReplyBody::Text(kind, text) => (Some(kind.to_string()), Body::from(text)),
        ReplyBody::Bytes(kind, bytes) => (Some(kind), Body::from(bytes)),
        ReplyBody::Empty => (None, Body::empty()),
    };
    if let Some(kind) = kind {
        builder = builder.header("content-type", kind);
    }
    builder
        .body(body)
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

impl Inner {
    /// None: the connection is to be cut.
    fn dispatch(&self, call: &Call) -> Option<Reply> {
        if !call.path.starts_with("/api/") {
            return Some(if call.path.contains(".git/") {
                self.smart_http(call)
            } else {
                self.page(call)
            });
        }
        let gate = (is_write(call) && self.asked_by_app(call))
            .then(|| self.wire().writes)
            .flatten();
        let what = format!("{} {}", call.method, call.path);
        let Some(gate) = gate else {
            return Some(self.api(call));
        };
        let number = gate.begin(&what)?;
        let reply = self.api(call);
        gate.end(number).then_some(reply)
    }

    /// REST and GraphQL, with what is common to all answers; each exchange is shown to the observer.
    fn api(&self, call: &Call) -> Reply {
        let mut reply = self.answer(call);
        let by_app = self.asked_by_app(call);
        if let Some(observer) = self.wire().observer {
            let response = if let ReplyBody::Json(value) = &reply.body {
                Some(value.clone())
            } else {
                None
            };
            observer(&Exchange {
                method: call.method.to_string(),
                path: call
                    .path
                    .strip_prefix("/api/v3")
                    .or_else(|| call.path.strip_prefix("/api"))
                    .unwrap_or(&call.path)
                    .to_string(),
                query: call.query.clone(),
                request: serde_json::from_slice(&call.body).ok(),
                status: reply.status,
                response,
                by_app,
            });
        }
        // The ETag depends on the token (github/docs#34689), so it dies with it.
        if call.method == Method::GET
            && reply.status == 200
            && let ReplyBody::Json(value) = &reply.body
        {
            use sha2::Digest as _;
            let mut hash = sha2::Sha256::new();
            hash.update(
                call.headers
                    .get("authorization")
                    .map(|v| v.as_bytes())
                    .unwrap_or_default(),
            );
            hash.update(value.to_string());
            let etag = format!("\"{}\"", hex::encode(hash.finalize()));
            if call
                .headers
                .get("if-none-match")
                .is_some_and(|known| known.as_bytes() == etag.as_bytes())
            {
                return Reply::empty(304).with("etag", etag);
            }
            reply = reply.with("etag", etag);
        }
        let (limit, remaining, reset) = self.state().spend_rate(
            call.headers
                .get("authorization")
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default(),
        );
        reply
            .with("x-ratelimit-limit", limit.to_string())
            .with("x-ratelimit-remaining", remaining.to_string())
            .with("x-ratelimit-used", (limit - remaining).to_string())
            .with("x-ratelimit-reset", reset.to_string())
            .with(
                "x-ratelimit-resource",
                if call.path.ends_with("/graphql") {
                    "graphql"
                } else {
                    "core"
                },
            )
            .with("x-github-api-version-selected", "2022-11-28")
    }

    fn answer(&self, call: &Call) -> Reply {
        if !call.headers.contains_key("user-agent") {
            return Reply::error(
                403,
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.",
            );
        }
        if let Some(version) = call.headers.get("x-github-api-version")
            && !["2022-11-28", "2026-03-10"].contains(&version.to_str().unwrap_or_default())
        {
            return Reply::error(
                410,
                format!(
                    "API version {} is no longer supported",
                    version.to_str().unwrap_or_default()
                ),
            );
        }
        let auth = match self.authenticate(call) {
            Ok(auth) => auth,
            Err(reply) => return reply,
        };
        if call.path == "/api/graphql" {
            return self.graphql(call, &auth);
        }
        match call.path.strip_prefix("/api/v3") {
            Some(path) => self.rest(call, path, &auth).unwrap_or_else(|reply| reply),
            None => Reply::error(404, "Not Found"),
        }
    }
}
