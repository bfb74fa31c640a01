//! GitHub's answers, as far as we read them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::AppIdentity;
use crate::domain::pull_request::{CHECK, GATE_CONTEXT};
use crate::domain::rules::MergeMethod;
use crate::domain::{CommitSha, PullFact, RepoName};

/// A repository that the App is installed on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Repository {
    pub id: u64,
    pub node_id: String,
    #[serde(rename = "full_name")]
    pub name: RepoName,
    pub default_branch: String,
    pub clone_url: String,
    pub html_url: String,
    /// Which methods of merging the repository allows. GitHub leaves them out where our token may
    /// not see them.
    #[serde(default)]
    pub allow_merge_commit: Option<bool>,
    #[serde(default)]
    pub allow_squash_merge: Option<bool>,
    #[serde(default)]
    pub allow_rebase_merge: Option<bool>,
    #[serde(default)]
    pub archived: bool,
    /// Not everybody may read it.
    #[serde(default)]
    pub private: bool,
    #[serde(skip)]
    pub installation: u64,
    /// The name on GitHub, if it is not the one that the settings know it by: it was renamed.
    #[serde(skip)]
    pub renamed_to: Option<RepoName>,
}

impl Repository {
    /// Whether it allows a method of merging, as far as it says so.
    pub fn allows(&self, method: MergeMethod) -> bool {
        let allowed = match method {
            MergeMethod::Merge => self.allow_merge_commit,
            MergeMethod::Squash => self.allow_squash_merge,
            MergeMethod::Rebase => self.allow_rebase_merge,
        };
        allowed != Some(false)
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct User {
    pub login: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// A pull request, as far as we read it.
#[derive(Debug, Clone, Deserialize)]
pub struct Pull {
    pub number: u64,
    #[serde(default)]
    pub node_id: String,
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// How many comments there are on lines; lists of pull requests do not say.
    #[serde(default)]
    pub review_comments: u64,
    pub title: String,
    #[serde(default)]
    pub body: Option<String>,
    pub state: String,
    #[serde(default)]
    pub draft: bool,
    pub merged_at: Option<Timestamp>,
    #[serde(default)]
    pub updated_at: Timestamp,
    #[serde(default)]
    pub merge_commit_sha: Option<String>,
    pub user: Option<User>,
    /// Lists of pull requests do not say.
    #[serde(default)]
    pub merged_by: Option<User>,
    pub head: PullSide,
    pub base: PullSide,
}

impl Pull {
    pub fn is_open(&self) -> bool {
        self.state == "open"
    }
    /// Whether everything that commands are decided by is unchanged.
    pub fn is_as(&self, other: &Self) -> bool {
        let decisive = |pull: &Self| {
            let (head, base) = (&pull.head, &pull.base);
            (
                pull.state.clone(),
                pull.draft,
                pull.merged_at,
                head.sha.clone(),
                base.branch.clone(),
            )
        };
        decisive(self) == decisive(other)
    }
    /// Whether a list shows it as it was when it was read by itself.
    pub fn is_as_listed(&self, listed: &Self) -> bool {
        self.is_as(listed) && self.updated_at >= listed.updated_at
    }
    pub fn author(&self) -> &str {
        self.user
            .as_ref()
            .map_or("ghost", |user| user.login.as_str())
    }
    /// It was merged as a commit, by a request of ours.
    pub fn merged(&mut self, sha: &CommitSha, at: Timestamp) {
        self.state = "closed".into();
        self.merged_at = Some(at);
        self.merge_commit_sha = Some(sha.to_string());
    }
    /// Whether the head is in another repository than the one with this id.
    pub fn is_fork(&self, repository_id: u64) -> bool {
        self.head
            .repo
            .as_ref()
            .is_none_or(|repo| repo.id != repository_id)
    }
    /// The merge commit; None: it is not merged.
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
    /// None: the fork was deleted.
    pub repo: Option<SideRepo>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct SideRepo {
    pub id: u64,
}

/// A comment of the thread, or on a line of the diff.
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
    /// Whether our App wrote it. Only markers in such comments are trusted.
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
    pub id: u64,
    pub node_id: String,
    #[serde(default)]
    pub body: Option<String>,
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
    pub summary: Option<String>,
    pub text: Option<String>,
}

/// Everything that a reconcile of a pull request reads from GitHub.
#[derive(Debug, Clone)]
pub struct PullSnapshot {
    /// When the read began.
    pub read: Instant,
    pub pull: Pull,
    pub comments: Vec<Comment>,
    pub reviews: Vec<Review>,
    /// The comments on lines of the diff.
    pub line_comments: Vec<Comment>,
    /// Our check runs on the head: the preview, and the verdict.
    pub check: Option<CheckRun>,
    pub gate: Option<CheckRun>,
}

impl PullSnapshot {
    /// Whether it shows something that a webhook told of. A head that moved on is shown by the head
    /// that it moved to, which has a webhook of its own.
    pub fn shows(&self, fact: &PullFact) -> bool {
        match fact {
            PullFact::Head(head) => self.pull.head.sha == *head || !self.pull.is_open(),
            PullFact::Comment(id) => self.comments.iter().any(|comment| comment.id == *id),
            PullFact::Open(open) => self.pull.is_open() == *open,
            PullFact::Dequeued => true,
            PullFact::Review(id) => self.reviews.iter().any(|review| review.id == *id),
        }
    }

    /// A comment that we posted or edited.
    pub fn put_comment(&mut self, comment: Comment) {
        self.pull.updated_at = self.pull.updated_at.max(comment.updated_at);
        match self
            .comments
            .iter_mut()
            .find(|known| known.id == comment.id)
        {
            Some(known) => *known = comment,
            None => self.comments.push(comment),
        }
    }

    /// A check run of ours that we published.
    pub fn put_check(&mut self, check: CheckRun) {
        match check.name.as_str() {
            CHECK => self.check = Some(check),
            GATE_CONTEXT => self.gate = Some(check),
            _ => {}
        }
    }
}

/// A commit of a pull request. An account is None if GitHub knows none by the commit's address.
#[derive(Debug, Clone, Deserialize)]
pub struct PullCommit {
    pub sha: CommitSha,
    pub author: Option<Account>,
    pub committer: Option<Account>,
    pub commit: CommitPeople,
}

/// If GitHub knows no account, it answers null or an empty object.
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

/// A push to a branch, and who pushed.
#[derive(Debug, Clone, Deserialize)]
pub struct Push {
    #[serde(default)]
    pub before: String,
    pub after: String,
    pub actor: Option<Account>,
    pub timestamp: Timestamp,
}

/// A file that a pull request changes.
#[derive(Debug, Clone, Deserialize)]
pub struct PullFile {
    pub filename: String,
    #[serde(default)]
    pub previous_filename: Option<String>,
}

/// A check run to publish.
#[derive(Debug, Clone)]
pub struct NewCheck {
    pub name: String,
    pub head: CommitSha,
    pub external_id: String,
    /// None: it is in progress. GitHub sets the time of completion, so that approvals are compared
    /// with it by one clock.
    pub conclusion: Option<&'static str>,
    pub title: String,
    pub summary: String,
    pub text: Option<String>,
    /// At most 50.
    pub annotations: Vec<NewAnnotation>,
}

/// What a check run shows at a line of a file.
#[derive(Debug, Clone, Serialize)]
pub struct NewAnnotation {
    pub path: String,
    pub start_line: usize,
    pub end_line: usize,
    /// `notice`, `warning` or `failure`.
    pub annotation_level: &'static str,
    pub title: String,
    pub message: String,
}

/// A ref to move: full name, expected commit, new commit. None: the ref does not exist, or is
/// deleted.
pub type RefMove = (String, Option<CommitSha>, Option<CommitSha>);
