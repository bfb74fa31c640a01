//! Repositories, who may do what in them, and how their branches moved.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    CheckRun, Comment, Deployment, LineComment, MergeMethod, Pull, QueueEntry, Rule, Status,
};

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
    /// Nothing can be written to it.
    pub archived: bool,
    pub roles: BTreeMap<String, Role>,
    pub fork_of: Option<u64>,
    pub pulls: Vec<Pull>,
    pub comments: Vec<Comment>,
    pub line_comments: Vec<LineComment>,
    pub statuses: Vec<Status>,
    pub checks: Vec<CheckRun>,
    pub deployments: Vec<Deployment>,
    /// How pull requests may be merged.
    pub allow_merge_commit: bool,
    pub allow_squash_merge: bool,
    pub allow_rebase_merge: bool,
    pub rules: Vec<Rule>,
    /// The merge queues of its branches, first come first.
    pub queue: Vec<QueueEntry>,
    /// Every move of a branch, oldest first.
    pub activity: Vec<Activity>,
    pub next_number: u64,
    pub created_at: Timestamp,
}

impl Repository {
    /// An empty one that nobody has a role in, and that nothing is demanded of.
    pub fn new(id: u64, owner: &str, name: &str, created_at: Timestamp) -> Self {
        Self {
            id,
            owner: owner.into(),
            name: name.into(),
            default_branch: "main".into(),
            archived: false,
            roles: Default::default(),
            fork_of: None,
            pulls: vec![],
            comments: vec![],
            line_comments: vec![],
            statuses: vec![],
            checks: vec![],
            deployments: vec![],
            allow_merge_commit: true,
            allow_squash_merge: true,
            allow_rebase_merge: true,
            rules: vec![],
            queue: vec![],
            activity: vec![],
            next_number: 1,
            created_at,
        }
    }

    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
    pub fn role(&self, login: &str) -> Role {
        self.roles.get(login).copied().unwrap_or(Role::None)
    }
    pub fn allows(&self, method: MergeMethod) -> bool {
        match method {
            MergeMethod::Merge => self.allow_merge_commit,
            MergeMethod::Squash => self.allow_squash_merge,
            MergeMethod::Rebase => self.allow_rebase_merge,
        }
    }
    /// The rules that hold for a branch.
    pub fn rules_of(&self, branch: &str) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.holds_for(branch))
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
