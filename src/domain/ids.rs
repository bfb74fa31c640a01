//! The identifiers: repositories, names of applications and stages, commits; and what a webhook
//! names.

use std::fmt;
use std::str::FromStr;

use super::Invalid;
use super::keys::PullRequestKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What every message about a repository with other object ids than SHA-1 has in it.
pub const FOREIGN_IDS: &str = "SHA-256 object ids, which windlass does not support";

/// A GitHub repository as `owner/name`.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RepoName {
    pub owner: String,
    pub name: String,
}

impl RepoName {
    /// The repository of a URL: `https://HOST/OWNER/NAME.git`, `git@HOST:OWNER/NAME`.
    pub fn of_url(url: &str) -> Option<Self> {
        let url = url.trim_end_matches('/');
        let mut parts = url.strip_suffix(".git").unwrap_or(url).rsplit(['/', ':']);
        let (name, owner) = (parts.next()?, parts.next()?);
        format!("{owner}/{name}").parse().ok()
    }

    /// Whether a URL names another repository at a host. One at another host may be a mirror of this
    /// one.
    pub fn is_other_at(&self, host: &str, url: &str) -> bool {
        is_at(host, url) && !self.has_url(url)
    }

    /// Whether this is the repository of a URL at this host. None: at any.
    pub fn has_url_at(&self, host: Option<&str>, url: &str) -> bool {
        self.has_url(url) && host.is_none_or(|host| is_at(host, url))
    }

    /// Whether this is the repository of a URL. GitHub's names have no case.
    pub fn has_url(&self, url: &str) -> bool {
        Self::of_url(url).is_some_and(|of| of.to_string().eq_ignore_ascii_case(&self.to_string()))
    }
}

/// Whether a URL is one of a host; GitHub's is also reached as `ssh.github.com`.
fn is_at(host: &str, url: &str) -> bool {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split('/').next().unwrap_or(rest);
    let (_, of_url) = rest.rsplit_once('@').unwrap_or(("", rest));
    let of_url = of_url.split(':').next().unwrap_or(of_url).to_lowercase();
    let of_url = of_url.strip_prefix("ssh.").unwrap_or(&of_url);
    of_url.strip_prefix("www.").unwrap_or(of_url) == host.to_lowercase()
}

impl FromStr for RepoName {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let legal = |part: &str| {
            !part.is_empty()
                && part.len() <= 100
                && part != "."
                && part != ".."
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        match text.split_once('/') {
            Some((owner, name)) if legal(owner) && legal(name) => Ok(Self {
                owner: owner.into(),
                name: name.into(),
            }),
            _ => Err(Invalid(format!(
                "`{text}` is not a repository: write it as owner/name"
            ))),
        }
    }
}

impl TryFrom<String> for RepoName {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<RepoName> for String {
    fn from(repo: RepoName) -> Self {
        repo.to_string()
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// A type that is a checked text: read by `FromStr`, and written as it is.
macro_rules! text_type {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = $crate::domain::Invalid;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(checked: $name) -> Self {
                checked.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(super) use text_type;

/// The name of an application or a stage: `[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?`.
/// It becomes part of branch names, field managers and object names.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Name(String);

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bytes = text.as_bytes();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if bytes.len() <= 40 && bytes.iter().all(inner) && edge(bytes.first()) && edge(bytes.last())
        {
            Ok(Self(text.into()))
        } else {
            Err(Invalid(format!(
                "`{text}` is not a name: use at most 40 lower-case letters, digits and inner dashes"
            )))
        }
    }
}

text_type!(Name);

/// A resolved commit: 40 hexadecimal digits, never a branch name.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct CommitSha(String);

impl CommitSha {
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl FromStr for CommitSha {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.len() == 40
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            Ok(Self(text.into()))
        } else if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Err(Invalid(format!("`{text}` is one of the {FOREIGN_IDS}")))
        } else {
            Err(Invalid(format!(
                "`{text}` is not a commit: write 40 lower-case hexadecimal digits"
            )))
        }
    }
}

text_type!(CommitSha);

/// What a webhook is used for: which objects to reconcile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// A pull request changed. `fact`: what a read of it must show, since reads lag behind webhooks.
    PullRequest {
        key: PullRequestKey,
        fact: Option<PullFact>,
    },
    /// A branch moved. `at_least`: the commit that it moved to, or a later one is to be read; None:
    /// it was deleted.
    Branch {
        repo: RepoName,
        branch: String,
        at_least: Option<CommitSha>,
    },
    /// Others reported a check or a status on a commit.
    Checks { repo: RepoName, commit: CommitSha },
    /// Somebody wants our check on a commit to be made again.
    Rerequested { repo: RepoName, commit: CommitSha },
    /// A merge queue asks for the checks of a group.
    MergeGroup(MergeGroup),
    /// The repositories that we are installed on, their names, or our permissions may have changed.
    Installations,
}

impl Hint {
    /// With other names of repositories.
    pub fn with_names(self, rename: impl FnOnce(RepoName) -> RepoName) -> Self {
        match self {
            Self::PullRequest { key, fact } => Self::PullRequest {
                key: PullRequestKey {
                    repo: rename(key.repo),
                    ..key
                },
                fact,
            },
            Self::Branch {
                repo,
                branch,
                at_least,
            } => Self::Branch {
                repo: rename(repo),
                branch,
                at_least,
            },
            Self::Checks { repo, commit } => Self::Checks {
                repo: rename(repo),
                commit,
            },
            Self::Rerequested { repo, commit } => Self::Rerequested {
                repo: rename(repo),
                commit,
            },
            Self::MergeGroup(group) => Self::MergeGroup(MergeGroup {
                repo: rename(group.repo),
                ..group
            }),
            Self::Installations => Self::Installations,
        }
    }
}

/// Something that happened to a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullFact {
    Head(CommitSha),
    /// A new comment in the thread, by its id.
    Comment(u64),
    /// A new review, by its id.
    Review(u64),
    /// It is open, or is not.
    Open(bool),
    /// The merge queue took it out.
    Dequeued,
}

/// A merge queue's group: `head` is what the base branch would become.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MergeGroup {
    pub repo: RepoName,
    /// The base branch.
    pub branch: String,
    pub head: CommitSha,
    /// The whole name of the ref that the queue made.
    pub head_ref: String,
}

impl fmt::Display for MergeGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repo, self.head.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_repository_is_one_at_the_same_host() {
        let repo: RepoName = "acme/config".parse().unwrap();
        for (url, other) in [
            ("https://github.com/acme/config.git", false),
            ("https://github.com/acme/other", true),
            ("git@github.com:acme/other.git", true),
            ("ssh://git@github.com/acme/other", true),
            ("https://user:token@GitHub.com/acme/other", true),
            ("https://git.internal/mirrors/acme-config", false),
            ("ssh://git@git.internal:2222/x/y", false),
        ] {
            assert_eq!(repo.is_other_at("github.com", url), other, "{url}");
        }
        for (url, same) in [
            ("https://github.com/Acme/config.git", true),
            ("ssh://git@ssh.github.com:443/acme/config.git", true),
            ("https://gitlab.internal/acme/config", false),
            ("https://github.com/acme/other", false),
        ] {
            assert_eq!(repo.has_url_at(Some("github.com"), url), same, "{url}");
        }
        assert!(repo.has_url_at(None, "https://gitlab.internal/acme/config"));
    }

    #[test]
    fn names_hold_what_they_promise() {
        for good in [
            "a",
            "shop",
            "a-b",
            "0",
            "a23456789-123456789-123456789-123456789x",
        ] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "Shop",
            "a_b",
            "a/b",
            "a.b",
            "a23456789-123456789-123456789-123456789-x",
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        for bad in ["", "a", "a/", "/b", "a/b/c", "a/..", "a b/c"] {
            assert!(bad.parse::<RepoName>().is_err(), "{bad}");
        }
    }
}
