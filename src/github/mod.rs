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
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use octocrab::Octocrab;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::domain::command::Permission;
use crate::domain::edit::FileEdit;
use crate::domain::fence::Projects;
use crate::domain::gate::MergePermit;
use crate::domain::pull_request::{CHECK, GATE_CONTEXT};
use crate::domain::{CommitSha, PullRequestKey, RepoName};

pub mod auth;
pub mod deployments;
pub mod notes;
pub mod webhook;

pub use auth::AppCredentials;
use auth::Scope;

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

/// A repository that the App is installed on.
#[derive(Debug, Clone, Deserialize)]
pub struct Repository {
    pub id: u64,
    pub node_id: String,
    #[serde(rename = "full_name")]
    pub name: RepoName,
    pub default_branch: String,
    pub clone_url: String,
    pub html_url: String,
    #[serde(skip)]
    pub installation: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct User {
    pub login: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// A pull request as far as we read it.
#[derive(Debug, Clone, Deserialize)]
pub struct Pull {
    pub number: u64,
    pub title: String,
    #[serde(default)]
    pub body: Option<String>,
    pub state: String,
    #[serde(default)]
    pub draft: bool,
    pub merged_at: Option<Timestamp>,
    #[serde(default)]
    pub merge_commit_sha: Option<String>,
    pub user: Option<User>,
    pub head: PullSide,
    pub base: PullSide,
}

impl Pull {
    pub fn is_open(&self) -> bool {
        self.state == "open"
    }
    pub fn author(&self) -> &str {
        self.user
            .as_ref()
            .map_or("ghost", |user| user.login.as_str())
    }
    /// Whether the head is in another repository than the one that has this id.
    pub fn is_fork(&self, repository_id: u64) -> bool {
        self.head
            .repo
            .as_ref()
            .is_none_or(|repo| repo.id != repository_id)
    }
    /// The commit that it was merged as; None: it is not merged.
    pub fn merged_as(&self) -> Option<CommitSha> {
        self.merged_at
            .and(self.merge_commit_sha.as_ref())?
            .parse()
            .ok()
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct PullSide {
    #[serde(rename = "ref")]
    pub branch: String,
    pub sha: CommitSha,
    /// None where a fork was deleted.
    pub repo: Option<SideRepo>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct SideRepo {
    pub id: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Comment {
    pub id: u64,
    #[serde(default)]
    pub body: Option<String>,
    pub user: Option<User>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub html_url: String,
    #[serde(default)]
    pub performed_via_github_app: Option<App>,
    #[serde(default)]
    pub reactions: Option<Reactions>,
}

impl Comment {
    pub fn text(&self) -> &str {
        self.body.as_deref().unwrap_or_default()
    }
    /// Whether our App wrote it: the only comments whose markers are trusted.
    pub fn is_ours(&self, app: &AppIdentity) -> bool {
        self.performed_via_github_app
            .as_ref()
            .is_some_and(|by| by.id == app.id)
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct App {
    pub id: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Reactions {
    #[serde(default)]
    pub eyes: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Review {
    pub user: Option<User>,
    pub state: String,
    pub commit_id: Option<CommitSha>,
    #[serde(default)]
    pub submitted_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    pub context: String,
    pub state: String,
    #[serde(default)]
    pub description: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct CheckRun {
    pub id: u64,
    pub name: String,
    #[serde(default)]
    pub external_id: Option<String>,
    pub conclusion: Option<String>,
    pub completed_at: Option<Timestamp>,
    pub app: Option<App>,
    pub output: CheckOutput,
}

#[derive(Debug, Clone, Deserialize)]
pub struct CheckOutput {
    pub title: Option<String>,
    pub text: Option<String>,
}

/// Everything that one look at a pull request reads.
#[derive(Debug, Clone)]
pub struct PullSnapshot {
    pub pull: Pull,
    pub comments: Vec<Comment>,
    pub reviews: Vec<Review>,
    /// Ours on the head: the preview, and the verdict.
    pub check: Option<CheckRun>,
    pub gate: Option<CheckRun>,
}

/// A commit of a pull request. Accounts are None where GitHub knows nobody by the address.
#[derive(Debug, Clone, Deserialize)]
pub struct PullCommit {
    pub sha: CommitSha,
    pub author: Option<Account>,
    pub committer: Option<Account>,
    pub commit: CommitPeople,
}

/// Where GitHub knows nobody, it tells null or an empty object.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    #[serde(default)]
    pub login: Option<String>,
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct CommitPeople {
    pub author: Option<Person>,
    pub committer: Option<Person>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Person {
    #[serde(default)]
    pub email: String,
}

/// A move of a branch, and who made it.
#[derive(Debug, Clone, Deserialize)]
pub struct Push {
    pub after: String,
    pub actor: Option<Account>,
}

/// A check run to be made.
#[derive(Debug, Clone)]
pub struct NewCheck {
    pub name: String,
    pub head: CommitSha,
    pub external_id: String,
    /// None: it is not complete yet. When it is, is GitHub's to tell: approvals are compared with it by one clock.
    pub conclusion: Option<&'static str>,
    pub title: String,
    pub summary: String,
    pub text: Option<String>,
}

/// A ref to move: (full name, where it must be now, where it goes); None stands for no such ref.
pub type RefMove = (String, Option<CommitSha>, Option<CommitSha>);

impl GitHub {
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

    /// Finds all repositories anew.
    pub async fn discover(&self) -> Result<Vec<Repository>> {
        #[derive(Deserialize)]
        struct Installation {
            id: u64,
            suspended_at: Option<Timestamp>,
        }
        let mut found = Vec::new();
        let installations: Vec<Installation> = self
            .as_app("/app/installations?per_page=100", "list installations")
            .await?;
        for installation in installations
            .iter()
            .filter(|installation| installation.suspended_at.is_none())
        {
            #[derive(Deserialize)]
            struct Page {
                repositories: Vec<Repository>,
            }
            for page in 1.. {
                let session = self.session(installation.id, Scope::Listing).await?;
                let route = format!("/installation/repositories?per_page=100&page={page}");
                let Page { repositories } =
                    self.read(&session, &route, "list repositories").await?;
                let last = repositories.len() < 100;
                found.extend(repositories.into_iter().map(|repo| Repository {
                    installation: installation.id,
                    ..repo
                }));
                if last {
                    break;
                }
            }
        }
        let by_name = found
            .iter()
            .map(|repo| (repo.name.clone(), repo.clone()))
            .collect();
        *self
            .repositories
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = by_name;
        Ok(found)
    }

    pub fn repository(&self, name: &RepoName) -> Result<Repository> {
        let known = self
            .repositories
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known
            .get(name)
            .cloned()
            .ok_or_else(|| Error::NotInstalled { repo: name.clone() })
    }

    /// The session for a repository, by what it is to us.
    pub async fn session_for(&self, repo: &RepoName) -> Result<Session> {
        let Repository {
            installation, id, ..
        } = self.repository(repo)?;
        let scope = if self.projects.names(repo) {
            Scope::Config(id)
        } else {
            Scope::Source(id)
        };
        self.session(installation, scope).await
    }

    /// The session for git's transport.
    pub async fn session_to_fetch(&self, repo: &RepoName) -> Result<Session> {
        let Repository {
            installation, id, ..
        } = self.repository(repo)?;
        self.session(installation, Scope::Fetch(id)).await
    }

    /// Has new tokens made for a repository at the next request: GitHub does not take those that there are.
    pub async fn forget_session(&self, repo: &RepoName) {
        if let Ok(Repository {
            installation, id, ..
        }) = self.repository(repo)
        {
            for scope in [Scope::Config(id), Scope::Fetch(id), Scope::Source(id)] {
                self.sessions.invalidate(&(installation, scope)).await;
            }
        }
    }

    // ---- reads

    /// Where a branch is.
    pub async fn branch_head(&self, repo: &RepoName, branch: &str) -> Result<Option<CommitSha>> {
        #[derive(Deserialize)]
        struct Answer {
            object: Object,
        }
        #[derive(Deserialize)]
        struct Object {
            sha: CommitSha,
        }
        let answer = self
            .get::<Answer>(repo, &format!("git/ref/heads/{branch}"), "read a branch")
            .await;
        found(answer.map(|answer| answer.object.sha))
    }

    /// One look at a pull request.
    pub async fn snapshot(&self, key: &PullRequestKey) -> Result<PullSnapshot> {
        let app = self.identity().await?.id;
        let (repo, number) = (&key.repo, key.number);
        let pull: Pull = self
            .get(repo, &format!("pulls/{number}"), "read a pull request")
            .await?;
        let head = pull.head.sha.clone();
        let (comments, reviews, checks) = futures::try_join!(
            self.pages(repo, format!("issues/{number}/comments"), "list comments"),
            self.pages(repo, format!("pulls/{number}/reviews"), "list reviews"),
            self.check_runs(repo, &head, app),
        )?;
        let named = |name: &str| checks.iter().find(|check| check.name == name).cloned();
        Ok(PullSnapshot {
            pull,
            comments,
            reviews,
            check: named(CHECK),
            gate: named(GATE_CONTEXT),
        })
    }

    /// The newest status of each context.
    pub async fn statuses(&self, repo: &RepoName, commit: &CommitSha) -> Result<Vec<Status>> {
        #[derive(Deserialize)]
        struct Answer {
            statuses: Vec<Status>,
        }
        let answer: Answer = self
            .get(
                repo,
                &format!("commits/{commit}/status?per_page=100"),
                "read commit statuses",
            )
            .await?;
        Ok(answer.statuses)
    }

    /// The newest check runs of our App on a commit, one of each name.
    async fn check_runs(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        app: u64,
    ) -> Result<Vec<CheckRun>> {
        #[derive(Deserialize)]
        struct Answer {
            check_runs: Vec<CheckRun>,
        }
        let answer: Answer = self
            .get(
                repo,
                &format!("commits/{commit}/check-runs?app_id={app}&per_page=100"),
                "read check runs",
            )
            .await?;
        Ok(answer
            .check_runs
            .into_iter()
            .filter(|check| check.app.as_ref().is_some_and(|by| by.id == app))
            .collect())
    }

    /// All pull requests from one of our branches, the newest first.
    pub async fn pulls_from(&self, repo: &RepoName, branch: &str) -> Result<Vec<Pull>> {
        let route = format!("pulls?state=all&head={}:{branch}&per_page=30", repo.owner);
        self.get(repo, &route, "list pull requests").await
    }

    /// Open pull requests, and others that changed lately.
    pub async fn recent_pulls(&self, repo: &RepoName) -> Result<Vec<Pull>> {
        let open: Vec<Pull> = self
            .pages(repo, "pulls?state=open".into(), "list pull requests")
            .await?;
        let closed: Vec<Pull> = self
            .get(
                repo,
                "pulls?state=closed&sort=updated&direction=desc&per_page=30",
                "list pull requests",
            )
            .await?;
        Ok(open.into_iter().chain(closed).collect())
    }

    pub async fn open_pulls(&self, repo: &RepoName) -> Result<Vec<Pull>> {
        self.pages(repo, "pulls?state=open".into(), "list pull requests")
            .await
    }

    /// The pull requests that brought a commit.
    pub async fn pulls_with(&self, repo: &RepoName, commit: &CommitSha) -> Result<Vec<Pull>> {
        self.get(
            repo,
            &format!("commits/{commit}/pulls"),
            "find a commit's pull request",
        )
        .await
    }

    /// The commits that a pull request brings, 250 at most.
    pub async fn commits_of(&self, key: &PullRequestKey) -> Result<Vec<PullCommit>> {
        self.pages(
            &key.repo,
            format!("pulls/{}/commits", key.number),
            "list a pull request's commits",
        )
        .await
    }

    /// The last moves of a branch, newest first.
    pub async fn pushes(&self, repo: &RepoName, branch: &str) -> Result<Vec<Push>> {
        let name = format!("refs/heads/{branch}")
            .replace('%', "%25")
            .replace('&', "%26")
            .replace('+', "%2B")
            .replace('#', "%23");
        self.get(
            repo,
            &format!("activity?ref={name}&per_page=100"),
            "read who pushed to a branch",
        )
        .await
    }

    /// Whether a user is in a team of an organisation that the App is installed on.
    pub async fn is_member(
        &self,
        repo: &RepoName,
        organisation: &str,
        team: &str,
        user: &str,
    ) -> Result<bool> {
        #[derive(Deserialize)]
        struct Answer {
            state: String,
        }
        let route = format!("/orgs/{organisation}/teams/{team}/memberships/{user}");
        let answer = self
            .read::<Answer>(
                &self.session_for(repo).await?,
                &route,
                "read who is in a team",
            )
            .await;
        Ok(found(answer)?.is_some_and(|answer| answer.state == "active"))
    }

    /// The status checks that rules require for a branch, each with the App that it has to come from, if one is named.
    pub async fn required_checks(
        &self,
        repo: &RepoName,
        branch: &str,
    ) -> Result<Vec<(String, Option<u64>)>> {
        #[derive(Deserialize)]
        struct Rule {
            #[serde(rename = "type")]
            kind: String,
            #[serde(default)]
            parameters: Value,
        }
        let rules: Vec<Rule> = self
            .get(
                repo,
                &format!("rules/branches/{branch}"),
                "read the rules of a branch",
            )
            .await?;
        let checks = rules
            .iter()
            .filter(|rule| rule.kind == "required_status_checks");
        let checks = checks.flat_map(|rule| {
            rule.parameters["required_status_checks"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        });
        Ok(checks
            .filter_map(|check| {
                Some((
                    check["context"].as_str()?.to_string(),
                    check["integration_id"].as_u64(),
                ))
            })
            .collect())
    }

    /// What a user may do; none for who is no user (an App, say).
    pub async fn permission(&self, repo: &RepoName, user: &str) -> Result<Permission> {
        #[derive(Deserialize)]
        struct Answer {
            permission: String,
        }
        let legal = !user.is_empty()
            && user
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !legal {
            return Ok(Permission::None);
        }
        let answer = self
            .get::<Answer>(
                repo,
                &format!("collaborators/{user}/permission"),
                "read a user's permission",
            )
            .await;
        Ok(found(answer)?.map_or(Permission::None, |answer| {
            Permission::parse(&answer.permission)
        }))
    }

    /// Hints from deliveries that failed since a time.
    pub async fn failed_deliveries(&self, since: Timestamp) -> Result<Vec<crate::domain::Hint>> {
        #[derive(Deserialize)]
        struct Item {
            id: u64,
            guid: String,
            delivered_at: Timestamp,
            status_code: u16,
        }
        #[derive(Deserialize)]
        struct Delivery {
            event: String,
            request: DeliveryRequest,
        }
        #[derive(Deserialize)]
        struct DeliveryRequest {
            payload: Option<webhook::Payload>,
        }
        let items: Vec<Item> = self
            .as_app(
                "/app/hook/deliveries?per_page=100",
                "list webhook deliveries",
            )
            .await?;
        let recent: Vec<_> = items
            .into_iter()
            .filter(|item| item.delivered_at >= since)
            .collect();
        let delivered: std::collections::HashSet<_> = recent
            .iter()
            .filter(|item| item.status_code < 400)
            .map(|item| item.guid.clone())
            .collect();
        let mut hints = Vec::new();
        for item in recent.iter().filter(|item| !delivered.contains(&item.guid)) {
            let delivery: Delivery = self
                .as_app(
                    &format!("/app/hook/deliveries/{}", item.id),
                    "read a webhook delivery",
                )
                .await?;
            hints.extend(webhook::hints(
                &delivery.event,
                &delivery.request.payload.unwrap_or_default(),
            ));
        }
        Ok(hints)
    }

    // ---- writes; each names the state that it was decided from

    pub async fn create_branch(&self, repo: &RepoName, branch: &str, at: &CommitSha) -> Result<()> {
        let body = json!({"ref": format!("refs/heads/{branch}"), "sha": at});
        match self
            .write(repo, "POST", "git/refs", &body, "create a branch")
            .await
        {
            Err(Error::Refused { what, message, .. }) if message.contains("already exists") => {
                Err(Error::Stale { what, message })
            }
            other => other.map(drop),
        }
    }

    /// Appends a commit, if the branch is where it is expected to be. Signed by GitHub, authored by the App.
    pub async fn commit(
        &self,
        repo: &RepoName,
        branch: &str,
        parent: &CommitSha,
        message: (&str, &str),
        edits: &[FileEdit],
    ) -> Result<CommitSha> {
        const DOCUMENT: &str = "mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid } } }";
        let additions: Vec<_> = edits
            .iter()
            .map(|edit| json!({"path": edit.path, "contents": BASE64.encode(&edit.text)}))
            .collect();
        let input = json!({
            "branch": {"repositoryNameWithOwner": repo.to_string(), "branchName": branch},
            "expectedHeadOid": parent,
            "message": {"headline": message.0, "body": message.1},
            "fileChanges": {"additions": additions},
        });
        let answer = self
            .mutate(repo, DOCUMENT, input, "commit to a branch")
            .await?;
        let oid = answer["createCommitOnBranch"]["commit"]["oid"]
            .as_str()
            .unwrap_or_default();
        oid.parse().map_err(|_| Error::Unexpected {
            what: "commit to a branch".into(),
            message: answer.to_string(),
        })
    }

    /// Moves refs, all or none.
    pub async fn move_refs(&self, repo: &RepoName, moves: &[RefMove]) -> Result<()> {
        const DOCUMENT: &str =
            "mutation($input: UpdateRefsInput!) { updateRefs(input: $input) { clientMutationId } }";
        const NONE: &str = "0000000000000000000000000000000000000000";
        let oid =
            |sha: &Option<CommitSha>| sha.as_ref().map_or(NONE.to_string(), ToString::to_string);
        let updates: Vec<_> = moves
            .iter()
            .map(|(name, before, after)| json!({"name": name, "beforeOid": oid(before), "afterOid": oid(after), "force": true}))
            .collect();
        let input = json!({"repositoryId": self.repository(repo)?.node_id, "refUpdates": updates});
        self.mutate(repo, DOCUMENT, input, "move branches")
            .await
            .map(drop)
    }

    /// Puts one commit upon `base` in the place of what a branch has, if it is where it is expected to be: built on a scratch
    /// branch first, so that the branch is never equal to its base (GitHub would close its pull request).
    pub async fn rebuild_branch(
        &self,
        repo: &RepoName,
        branch: &str,
        (head, base): (CommitSha, &CommitSha),
        message: (&str, &str),
        edits: &[FileEdit],
    ) -> Result<()> {
        let scratch = format!("{branch}.rebuild");
        let full = |branch: &str| format!("refs/heads/{branch}");
        let left = self.branch_head(repo, &scratch).await?;
        self.move_refs(repo, &[(full(&scratch), left, Some(base.clone()))])
            .await?;
        let built = self.commit(repo, &scratch, base, message, edits).await?;
        self.move_refs(
            repo,
            &[
                (full(branch), Some(head), Some(built.clone())),
                (full(&scratch), Some(built), None),
            ],
        )
        .await
    }

    pub async fn open_pull(
        &self,
        repo: &RepoName,
        branch: &str,
        base: &str,
        title: &str,
        body: &str,
    ) -> Result<()> {
        let body = json!({"title": title, "head": branch, "base": base, "body": body});
        match self
            .write(repo, "POST", "pulls", &body, "open a pull request")
            .await
        {
            // Somebody was faster (we, before an answer was lost): the next look finds it.
            Err(Error::Refused { what, message, .. }) if message.contains("already exists") => {
                Err(Error::Stale { what, message })
            }
            other => other.map(drop),
        }
    }

    pub async fn retitle_pull(&self, key: &PullRequestKey, title: &str, body: &str) -> Result<()> {
        self.write(
            &key.repo,
            "PATCH",
            &format!("pulls/{}", key.number),
            &json!({"title": title, "body": body}),
            "update a pull request",
        )
        .await
        .map(drop)
    }

    pub async fn close_pull(&self, key: &PullRequestKey) -> Result<()> {
        self.write(
            &key.repo,
            "PATCH",
            &format!("pulls/{}", key.number),
            &json!({"state": "closed"}),
            "close a pull request",
        )
        .await
        .map(drop)
    }

    /// Merges exactly the head that the permit is for.
    pub async fn merge(&self, key: &PullRequestKey, permit: &MergePermit) -> Result<()> {
        let body = json!({"sha": permit.head(), "merge_method": "merge"});
        match self
            .write(
                &key.repo,
                "PUT",
                &format!("pulls/{}/merge", key.number),
                &body,
                "merge",
            )
            .await
        {
            Err(Error::Refused {
                what,
                status,
                message,
            }) if status == 409 || message.contains("was modified") => {
                Err(Error::Stale { what, message })
            }
            other => other.map(drop),
        }
    }

    pub async fn post_comment(&self, key: &PullRequestKey, body: &str) -> Result<()> {
        self.write(
            &key.repo,
            "POST",
            &format!("issues/{}/comments", key.number),
            &json!({"body": body}),
            "post a comment",
        )
        .await
        .map(drop)
    }

    pub async fn edit_comment(&self, repo: &RepoName, id: u64, body: &str) -> Result<()> {
        self.write(
            repo,
            "PATCH",
            &format!("issues/comments/{id}"),
            &json!({"body": body}),
            "edit a comment",
        )
        .await
        .map(drop)
    }

    /// Says "seen" to a comment.
    pub async fn acknowledge(&self, repo: &RepoName, comment: u64) -> Result<()> {
        self.write(
            repo,
            "POST",
            &format!("issues/comments/{comment}/reactions"),
            &json!({"content": "eyes"}),
            "react to a comment",
        )
        .await
        .map(drop)
    }

    pub async fn set_status(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        context: &str,
        state: &str,
        description: &str,
    ) -> Result<()> {
        let body = json!({"state": state, "context": context, "description": description});
        self.write(
            repo,
            "POST",
            &format!("statuses/{commit}"),
            &body,
            "set a commit status",
        )
        .await
        .map(drop)
    }

    /// Makes a check run, or changes the one that has this id.
    pub async fn publish_check(
        &self,
        repo: &RepoName,
        check: &NewCheck,
        there: Option<u64>,
    ) -> Result<()> {
        let mut body =
            json!({"name": check.name, "output": {"title": check.title, "summary": check.summary}});
        if let Some(text) = &check.text {
            body["output"]["text"] = text.clone().into();
        }
        if !check.external_id.is_empty() {
            body["external_id"] = check.external_id.clone().into();
        }
        match check.conclusion {
            Some(conclusion) => {
                (body["status"], body["conclusion"]) = ("completed".into(), conclusion.into())
            }
            None => body["status"] = "in_progress".into(),
        }
        match there {
            Some(id) => self
                .write(
                    repo,
                    "PATCH",
                    &format!("check-runs/{id}"),
                    &body,
                    "update a check run",
                )
                .await
                .map(drop),
            None => {
                body["head_sha"] = check.head.to_string().into();
                self.write(repo, "POST", "check-runs", &body, "publish a check run")
                    .await
                    .map(drop)
            }
        }
    }

    // ---- transport

    async fn get<T: DeserializeOwned>(&self, repo: &RepoName, path: &str, what: &str) -> Result<T> {
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
    async fn pages<T: DeserializeOwned>(
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
    async fn read<T: DeserializeOwned>(
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

    async fn write(
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

    async fn mutate(
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

    /// Keeps the least time between two writes.
    async fn pace(&self) {
        let mut last = self.budget.lock().await;
        if let Some(last) = *last {
            tokio::time::sleep_until(last + self.write_interval).await;
        }
        *last = Some(tokio::time::Instant::now());
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
