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
//! - [`server`], [`exchange`]: from the socket to what answers; [`auth`]: who asks; [`limits`]: how much
//! - [`rest`] and [`graphql`]: what is answered; [`json`]: in which shape
//! - [`rules`]: what rulesets say to merges and pushes; [`merging`], [`queue`]: merges themselves
//! - [`webhooks`]: deliveries, with knobs to lose, duplicate, delay and reorder them
//! - [`installs`], [`names`]: what stories do to installations, repositories and branches
//! - [`pages`]: what a person sees in a browser

mod actions;
mod auth;
mod exchange;
pub mod git;
mod graphql;
mod installs;
mod json;
mod limits;
mod merging;
mod names;
pub mod pages;
mod queue;
mod registration;
mod rest;
mod rules;
mod server;
mod sign_in;
pub mod state;
mod webhooks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use exchange::{Call, Reply, ReplyBody};
use state::State;

pub use exchange::{Exchange, Observer, Wire, WriteGate};

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
    "webhook deliveries are tried once, at once; a lost one is logged with status code 500, or, where a story asks for it, as `timed out` with status code 0",
    "content is created by opening pull requests, comments, reviews and merges, which raise notifications, and by statuses and check runs; not by edits, reactions, labels, refs, commits and deployments",
    "an Enterprise Server limits nothing and tells of no limits, not even of secondary ones",
    "an hour and a minute of the limits begin with the first request after the last ones ended; a 304 counts among the points of the minute",
    "a secondary limit is answered with 403 and a retry-after that tells when its window ends, and holds for what it counts only: reads go on while no content may be created",
    "the App itself, by JWT, has limits of its own, like an installation",
    "an installation that is suspended, or that an IP allow list keeps out, has its tokens' requests answered 403, in GraphQL 200 with FORBIDDEN; an IP allow list does not keep tokens from being minted",
    "git over the old path of a renamed repository is redirected at info/refs and served at the others",
    "a renamed branch sends create, push, repository.edited, delete and push in this order, and the pull requests from it are closed",
    "a check suite's head_branch is null, its id is made of commit and App, and it is completed as soon as all its runs are",
    "a commit of a fork that is not yet in the base repository is no commit to statuses and check runs, as to statuses in home-assistant/service-hub#394",
    "titles of pull requests are bounded like those of issues, and refused with the resource Issue",
    "a token is fresh for six seconds",
    "a rule of the list is a ruleset of its own without bypass actors; people's pushes by the story (`Forge::push`) are past all rules",
    "the words for requested changes, a last pusher's approval, a mixed set of checks, a rebase that conflicts, and a branch that may not be moved, forced or deleted; a method that a rule forbids is refused as one that the repository forbids",
    "several violations are told one after the other, parted by an empty line",
    "requested changes stand in the way of a merge where approvals are required, and nowhere else",
    "an approval by an App counts for no rule, and an approval for the last push is one of that head",
    "a code owner without write access is none; a file all of whose owners are such needs no review of theirs",
    "the creation of a branch is asked for no pull request and no checks; a push straight to a branch is, also when its commit is the head of an approved pull request",
    "rules refuse createCommitOnBranch and updateRefs as UNPROCESSABLE, in the words of REST; a git push is refused whole when one of its refs is",
    "a default squash is titled COMMIT_OR_PR_TITLE and tells COMMIT_MESSAGES, by the author of the pull request; a rebase passes merge commits over, and fails when nothing is left",
    "a merge queue tests each pull request as a group of its own; it has no timeout; a pull request whose head moves, or that is closed, leaves it as MANUAL, one that its rules no longer let in as BRANCH_PROTECTIONS",
    "enqueuePullRequest and dequeuePullRequest need Contents and Pull requests write; what GitHub refuses them with, but for a pull request that is queued already (ClickHouse/ClickHouse#109183), and that they need all but the group's checks",
    "the queue acts as github-merge-queue[bot]; a merged pull request is told as closed, then its group as destroyed, then as dequeued with MERGE",
    "mergeable_state is behind where nothing but an update is missing, and blocked where any other demand is; a queue does not block",
    "a comment on a line makes a review of its own, as GitHub's answers show, but only pull_request_review_comment announces it",
    "the words in which pulls/{number}/comments refuses a commit, a path or a line; only the head's commit is taken",
    "a review's text is edited by its author or by who may write; others get 404",
    "lastEditedAt tells of edits of the text alone, not of the title",
    "a document of several mutations is one write, five points, and creates content once where it opens a pull request; a mutation that fails does not keep the next ones from being tried",
    "createPullRequest refuses in the words of REST, as UNPROCESSABLE",
    "updateRefs needs beforeOid to match when it is given, and answers STALE_DATA in createCommitOnBranch's words",
];

/// A running forge; it ends with its runtime or when dropped.
pub struct Forge {
    inner: Arc<Inner>,
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
    postman: tokio::task::JoinHandle<()>,
}

struct Inner {
    state: Mutex<State>,
    /// Held while merge queues are gone through.
    queues: Mutex<()>,
    root: PathBuf,
    origin: String,
    wire: Mutex<Wire>,
}

impl Forge {
    /// Starts one on `port` (0: any) that keeps its repositories under `root`.
    pub async fn start(root: &Path, port: u16) -> anyhow::Result<Self> {
        Self::known_as(root, port, None).await
    }

    /// One that clients know by another origin: something stands before it.
    pub async fn known_as(root: &Path, port: u16, origin: Option<&str>) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let root = root.join("repositories");
        std::fs::create_dir_all(&root)?;
        let inner = Arc::new(Inner {
            state: Mutex::new(State::new()?),
            queues: Mutex::default(),
            root,
            origin: origin.map_or_else(|| format!("http://{address}"), str::to_string),
            wire: Mutex::default(),
        });
        let app = Router::new()
            .fallback(server::serve)
            .with_state(inner.clone());
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

    /// `http://127.0.0.1:port`, or as which it is known.
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

    /// The same, with SHA-256 object ids.
    pub fn create_sha256_repository(
        &self,
        full_name: &str,
        files: &[(String, String)],
    ) -> anyhow::Result<()> {
        self.inner.create_repository_of("sha256", full_name, files)
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
        let reply = self.inner.api(&call, self.inner.authenticate(&call));
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

    /// Commits files to a branch as a user who pushes, and may pass rules by, would; None removes a
    /// file. The new commit.
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
