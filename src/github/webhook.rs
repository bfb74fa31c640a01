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
    head_sha: Option<CommitSha>,
}

#[derive(Debug, Deserialize)]
struct Group {
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
        let moved = matches!(self.action(), "opened" | "synchronize" | "reopened");
        let fact = match self.action() {
            "dequeued" => Some(PullFact::Dequeued),
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
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_right_signature_passes() {
        let secrets = [
            SecretString::from("new"),
            SecretString::from("It's a Secret to Everybody"),
        ];
        // GitHub's own example: "Validating webhook deliveries", testing the validation.
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let known = super::signature(Some(signature)).unwrap();
        assert!(verified(&secrets, b"Hello, World!", &known));
        assert!(!verified(&secrets, b"Hello, World", &known));
        assert!(!verified(&secrets[..1], b"Hello, World!", &known));
        for bad in [
            None,
            Some(""),
            Some("sha256="),
            Some("sha1=00"),
            Some("sha256=zz"),
        ] {
            assert!(super::signature(bad).is_none(), "{bad:?}");
        }
    }

    const LINE: &str = "pull_request_review_comment";

    /// Each row: an event, its payload (of `acme/config`), and what it hints at.
    #[test]
    fn a_payload_says_where_to_look_and_no_more() {
        let repo: RepoName = "acme/config".parse().unwrap();
        let (sha, zero) = ("a".repeat(40), "0".repeat(40));
        let commit: CommitSha = sha.parse().unwrap();
        let pull = |fact| {
            let key = PullRequestKey {
                repo: repo.clone(),
                number: 7,
            };
            Some(Hint::PullRequest { key, fact })
        };
        let branch = |at_least| {
            Some(Hint::Branch {
                repo: repo.clone(),
                branch: "a/b".into(),
                at_least,
            })
        };
        let checks = Some(Hint::Checks {
            repo: repo.clone(),
            commit: commit.clone(),
        });
        let rerequested = Some(Hint::Rerequested {
            repo: repo.clone(),
            commit: commit.clone(),
        });
        let group = Some(Hint::MergeGroup(MergeGroup {
            repo: repo.clone(),
            branch: "main".into(),
            head: commit.clone(),
            head_ref: "refs/heads/gh-readonly-queue/main/pr-1".into(),
        }));
        let own = json!({"login": "windlass[bot]"});
        let of = |action: &str| json!({"action": action, "pull_request": {"number": 7, "head": {"sha": sha}}});
        let comment = |action: &str, body: &str| json!({"action": action, "issue": {"number": 7, "pull_request": {}}, "comment": {"id": 3, "body": body}});
        let on_line = |action: &str, body: &str| json!({"action": action, "pull_request": {"number": 7}, "comment": {"id": 4, "body": body}});
        let by_us = |mut payload: Value| {
            payload["sender"] = own.clone();
            payload
        };
        let run = |action: &str| json!({"action": action, "check_run": {"head_sha": sha}});
        let table = [
            (
                "pull_request",
                of("opened"),
                pull(Some(PullFact::Head(commit.clone()))),
            ),
            (
                "pull_request",
                by_us(of("opened")),
                pull(Some(PullFact::Head(commit.clone()))),
            ),
            ("pull_request", of("closed"), pull(None)),
            ("pull_request", of("edited"), pull(None)),
            ("pull_request", by_us(of("edited")), None),
            ("pull_request", of("labeled"), None),
            (
                "issue_comment",
                comment("created", "thanks\n  /sync"),
                pull(Some(PullFact::Comment(3))),
            ),
            (
                "issue_comment",
                comment("created", "thanks\r/sync"),
                pull(Some(PullFact::Comment(3))),
            ),
            ("issue_comment", comment("created", "thanks"), None),
            ("issue_comment", comment("edited", "thanks"), pull(None)),
            ("issue_comment", by_us(comment("created", "/sync")), None),
            (
                "issue_comment",
                json!({"action": "created", "issue": {"number": 7}}),
                None,
            ),
            (LINE, on_line("created", "  /sync"), pull(None)),
            (LINE, on_line("created", "a/b"), None),
            (LINE, on_line("edited", "thanks"), pull(None)),
            (LINE, by_us(on_line("created", "/sync")), None),
            (
                "pull_request_review",
                json!({"action": "submitted", "review": {"id": 5}, "pull_request": {"number": 7}}),
                pull(Some(PullFact::Review(5))),
            ),
            (
                "push",
                json!({"ref": "refs/heads/a/b", "after": sha}),
                branch(Some(commit.clone())),
            ),
            (
                "push",
                json!({"ref": "refs/heads/a/b", "after": zero}),
                branch(None),
            ),
            ("push", json!({"ref": "refs/tags/v1"}), None),
            ("check_run", run("completed"), checks.clone()),
            ("check_run", by_us(run("completed")), None),
            ("check_run", run("created"), None),
            ("check_run", run("rerequested"), rerequested),
            ("status", json!({"sha": sha}), checks),
            (
                "merge_group",
                json!({"action": "checks_requested", "merge_group": {"head_sha": sha, "head_ref": "refs/heads/gh-readonly-queue/main/pr-1", "base_ref": "refs/heads/main"}}),
                group,
            ),
            ("installation", json!({}), Some(Hint::Installations)),
            ("installation_target", json!({}), Some(Hint::Installations)),
            ("unheard_of", json!({"ref": {"a": 1}, "action": 7}), None),
        ];
        for (event, mut payload, expected) in table {
            payload["repository"] = json!({"full_name": "acme/config"});
            let parsed = serde_json::from_value(payload.clone()).unwrap();
            let found = hint(event, &parsed, Some("windlass[bot]"));
            assert_eq!(found, expected, "{event} {payload}");
            assert!(found.is_none() || is_relevant(event), "{event}");
        }
    }
}
