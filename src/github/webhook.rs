//! Webhook deliveries: their signature is verified first, then only keys are read.

use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use sha2::Sha256;

use crate::domain::{CommitSha, Hint, MergeGroup, PullFact, PullRequestKey, RepoName};

/// GitHub sends at most 25 MB.
pub const MOST_BYTES: usize = 25 << 20;

/// The signature in a header: `sha256=` and 64 hexadecimal digits.
pub fn signature(header: Option<&str>) -> Option<Vec<u8>> {
    header?
        .strip_prefix("sha256=")
        .filter(|text| text.len() == 64)
        .and_then(|text| hex::decode(text).ok())
}

/// Whether one of the secrets signed the body, compared in constant time. Several secrets allow
/// rotation.
pub fn verified(secrets: &[SecretString], body: &[u8], signature: &[u8]) -> bool {
    secrets.iter().any(|secret| {
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).is_ok_and(|mut mac| {
            mac.update(body);
            mac.verify_slice(signature).is_ok()
        })
    })
}

/// The part of a payload that is read; the rest, up to 25 MB, is skipped.
#[derive(Debug, Default, Deserialize)]
pub struct Payload {
    #[serde(default, deserialize_with = "text")]
    action: Option<String>,
    repository: Option<Repository>,
    sender: Option<Sender>,
    pull_request: Option<Pull>,
    issue: Option<Issue>,
    comment: Option<Comment>,
    review: Option<Identified>,
    #[serde(rename = "ref", default, deserialize_with = "text")]
    reference: Option<String>,
    #[serde(default, deserialize_with = "text")]
    after: Option<String>,
    /// Of a commit status.
    #[serde(default, deserialize_with = "text")]
    sha: Option<String>,
    check_run: Option<Checked>,
    check_suite: Option<Checked>,
    merge_group: Option<Group>,
}

#[derive(Debug, Deserialize)]
struct Repository {
    full_name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Sender {
    login: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Pull {
    number: Option<u64>,
    head: Option<Head>,
}

#[derive(Debug, Deserialize)]
struct Head {
    #[serde(default, deserialize_with = "commit")]
    sha: Option<CommitSha>,
}

#[derive(Debug, Deserialize)]
struct Identified {
    id: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Comment {
    id: Option<u64>,
    body: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Issue {
    number: Option<u64>,
    /// An issue that is not a pull request has no such field.
    pull_request: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Checked {
    #[serde(default, deserialize_with = "commit")]
    head_sha: Option<CommitSha>,
}

#[derive(Debug, Deserialize)]
struct Group {
    #[serde(default, deserialize_with = "commit")]
    head_sha: Option<CommitSha>,
    head_ref: Option<String>,
    base_ref: Option<String>,
}

/// A string, or None: other events use the name for other types.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Value::deserialize(deserializer)?
        .as_str()
        .map(str::to_string))
}

/// A commit, or None: a delivery of a repository with other ids is none that failed.
fn commit<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<CommitSha>, D::Error> {
    Ok(text(deserializer)?.and_then(|text| text.parse().ok()))
}

/// Whether an event can have a hint at all.
pub fn is_relevant(event: &str) -> bool {
    matches!(
        event,
        "pull_request"
            | "pull_request_review"
            | "pull_request_review_comment"
            | "issue_comment"
            | "push"
            | "check_run"
            | "check_suite"
            | "status"
            | "merge_group"
            | "repository"
            | "installation"
            | "installation_repositories"
            | "installation_target"
    )
}

/// What to reconcile after an event; None for an event that changes nothing for us. `own`: our
/// bot's login. We know what we wrote, so that most events that it caused are passed over.
pub fn hint(event: &str, payload: &Payload, own: Option<&str>) -> Option<Hint> {
    let sender = payload.sender.as_ref().and_then(|by| by.login.as_deref());
    let ours = own.is_some() && sender == own;
    match event {
        "pull_request" => payload.pull_request_hint(ours),
        "pull_request_review" => {
            let review = payload.review.as_ref().and_then(|review| review.id);
            let fact = review.filter(|_| payload.action() == "submitted");
            payload.pull_hint(fact.map(PullFact::Review))
        }
        "pull_request_review_comment" if !ours => payload.line_comment_hint(),
        "issue_comment" if !ours => payload.comment_hint(),
        "push" => payload.push_hint(),
        "check_run" | "check_suite" | "status" => payload.checks_hint(event, ours),
        "merge_group" => payload.group_hint(),
        "installation" | "installation_repositories" | "installation_target" | "repository" => {
            Some(Hint::Installations)
        }
        _ => None,
    }
}

impl Payload {
    fn action(&self) -> &str {
        self.action.as_deref().unwrap_or_default()
    }

    fn repo(&self) -> Option<RepoName> {
        let repository = self.repository.as_ref()?;
        repository.full_name.as_ref()?.parse().ok()
    }

    fn pull_hint(&self, fact: Option<PullFact>) -> Option<Hint> {
        let number = match (&self.pull_request, &self.issue) {
            (Some(pull), _) => pull.number?,
            (None, Some(issue)) => issue.number?,
            (None, None) => return None,
        };
        let key = PullRequestKey {
            repo: self.repo()?,
            number,
        };
        Some(Hint::PullRequest { key, fact })
    }

    fn pull_request_hint(&self, ours: bool) -> Option<Hint> {
        let is_decisive = match self.action() {
            "opened" | "synchronize" | "reopened" | "closed" | "converted_to_draft"
            | "ready_for_review" | "dequeued" => true,
            // Our own edits change nothing that we do.
            "edited" => !ours,
            _ => false,
        };
        let head = self.pull_request.as_ref()?.head.as_ref();
        let head = head.and_then(|head| head.sha.clone());
        let moved = matches!(self.action(), "opened" | "synchronize");
        let fact = match self.action() {
            "dequeued" => Some(PullFact::Dequeued),
            "closed" => Some(PullFact::Open(false)),
            "reopened" => Some(PullFact::Open(true)),
            _ => head.filter(|_| moved).map(PullFact::Head),
        };
        is_decisive.then(|| self.pull_hint(fact)).flatten()
    }

    fn comment_hint(&self) -> Option<Hint> {
        self.issue.as_ref()?.pull_request.as_ref()?;
        let created = self.action() == "created";
        if created && !self.may_command() {
            return None;
        }
        let id = self.comment.as_ref().and_then(|comment| comment.id);
        self.pull_hint(id.filter(|_| created).map(PullFact::Comment))
    }

    fn line_comment_hint(&self) -> Option<Hint> {
        let passed_over = self.action() == "created" && !self.may_command();
        (!passed_over).then(|| self.pull_hint(None)).flatten()
    }

    /// Whether the comment may hold a command: without a slash at the start of a line there is none.
    /// To Markdown a carriage return ends a line as well.
    fn may_command(&self) -> bool {
        let comment = self.comment.as_ref();
        let body = comment.and_then(|comment| comment.body.as_deref());
        let slashes = |line: &str| line.trim_start().starts_with('/');
        body.is_none_or(|body| body.split(['\n', '\r']).any(slashes))
    }

    fn push_hint(&self) -> Option<Hint> {
        let after: Option<CommitSha> = self.after.as_ref().and_then(|after| after.parse().ok());
        // All zeros: it was deleted.
        let is_commit = |after: &CommitSha| after.as_str().bytes().any(|digit| digit != b'0');
        Some(Hint::Branch {
            repo: self.repo()?,
            branch: self.reference.as_ref()?.strip_prefix("refs/heads/")?.into(),
            at_least: after.filter(is_commit),
        })
    }

    fn checks_hint(&self, event: &str, ours: bool) -> Option<Hint> {
        let repo = self.repo()?;
        let commit = if event == "status" {
            self.sha.as_ref()?.parse().ok()?
        } else {
            let checked = self.check_run.as_ref().or(self.check_suite.as_ref())?;
            checked.head_sha.clone()?
        };
        match self.action() {
            "rerequested" => Some(Hint::Rerequested { repo, commit }),
            action if !ours && (event == "status" || action == "completed") => {
                Some(Hint::Checks { repo, commit })
            }
            _ => None,
        }
    }

    fn group_hint(&self) -> Option<Hint> {
        let group = self.merge_group.as_ref()?;
        let branch = group.base_ref.as_ref()?.trim_start_matches("refs/heads/");
        let group = MergeGroup {
            repo: self.repo()?,
            branch: branch.into(),
            head: group.head_sha.clone()?,
            head_ref: group.head_ref.clone()?,
        };
        (self.action() == "checks_requested").then_some(Hint::MergeGroup(group))
    }
}

#[cfg(test)]
mod tests;
