//! Repositories, who may do what in them, and how their branches moved.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{CheckRun, Comment, Deployment, LineComment, Pull, Status};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    None,
    Read,
    Write,
    Maintain,
    Admin,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }
    /// The legacy word of the `permission` field: `maintain` is told as `write`.
    pub fn permission(self) -> &'static str {
        if self == Self::Maintain {
            "write"
        } else {
            self.name()
        }
    }
}

pub struct Repository {
    pub id: u64,
    pub owner: String,
    pub name: String,
    pub default_branch: String,
    pub roles: BTreeMap<String, Role>,
    pub fork_of: Option<u64>,
    pub pulls: Vec<Pull>,
    pub comments: Vec<Comment>,
    pub line_comments: Vec<LineComment>,
    pub statuses: Vec<Status>,
    pub checks: Vec<CheckRun>,
    pub deployments: Vec<Deployment>,
    pub rules: Vec<Rule>,
    /// Every move of a branch, oldest first.
    pub activity: Vec<Activity>,
    pub next_number: u64,
    pub created_at: Timestamp,
}

impl Repository {
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
    pub fn role(&self, login: &str) -> Role {
        self.roles.get(login).copied().unwrap_or(Role::None)
    }
}

/// A move of a branch.
pub struct Activity {
    pub id: u64,
    pub branch: String,
    pub before: Option<String>,
    pub after: Option<String>,
    pub forced: bool,
    pub actor: String,
    pub at: Timestamp,
}

/// A rule for a branch, as a ruleset would give it.
pub struct Rule {
    pub branch: String,
    pub approvals: usize,
    pub status_checks: Vec<String>,
}
