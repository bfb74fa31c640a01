//! Read-only mirrors of config repositories, by gix: fetch, resolve, read a
//! tree at a commit, merge two commits in memory.
//!
//! Everything here blocks; callers run it by `spawn_blocking`. Each job opens the
//! mirror again, which is cheap and never runs out of pack slots. Fetches of one
//! repository wait for each other. Credentials are never stored in a mirror.
//!
//! A mirror has the newest commits only (docs/adr/0009-shallow-mirrors.md). Questions about history
//! fetch what they need of the rest.
//!
//! - [`mirrors`]: the folder that holds them; [`fetch`]: what fills them; [`cuts`]: where history
//!   ends; [`side`]: fetching what no branch of the mirror follows
//! - [`commits`], [`history`], [`tree`], [`listing`]: reading a mirror
//! - [`pinned`]: single commits of repositories of others
//! - [`notes`]: our notes, and what a push of them consists of
//! - [`working_copy`]: a person's repository, with its uncommitted changes

use std::cell::Cell;
use std::path::Path;

use gix::ObjectId;
use gix::remote::Direction;
use secrecy::SecretString;

use crate::domain::CommitSha;

mod commits;
mod cuts;
mod fetch;
mod history;
mod listing;
mod mirrors;
mod notes;
mod pinned;
mod side;
mod tree;
mod working_copy;

pub use commits::Merged;
pub use fetch::{ForeignIds, Way};
use listing::{Directories, directories};
pub use listing::{EntryMode, Listing, TooLarge};
pub use mirrors::{Mirrors, TooMuch};
pub use notes::NOTES;
pub use pinned::Pinned;
pub use tree::is_lfs_pointer;

/// The open mirror of one repository. Objects that windlass creates, such as merged trees, stay in
/// memory.
pub struct Mirror {
    repo: gix::Repository,
    directories: Directories,
    older: Option<Older>,
    /// How often this handle has fetched older commits.
    asked: Cell<u32>,
}

/// Fetches commits that a mirror lacks, the more of their history the more often a question has
/// asked before. False: the remote does not have them.
pub type Older = Box<dyn Fn(&[CommitSha], u32) -> anyhow::Result<bool> + Send>;

/// A question that a shallow clone cannot answer.
#[derive(Debug, thiserror::Error)]
#[error(
    "the clone is shallow: it lacks the commits that this depends on. Fetch them by `git fetch --unshallow`; with actions/checkout, set `fetch-depth: 0`"
)]
pub struct Shallow;

/// A tree's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeId(ObjectId);

impl std::fmt::Display for TreeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Where to fetch from, and as whom.
pub struct Remote<'a> {
    pub url: &'a str,
    pub token: &'a SecretString,
}

impl Mirror {
    /// A person's repository, found from a folder in it. Nothing in it is changed: new objects stay
    /// in memory.
    pub fn discover(folder: &Path) -> anyhow::Result<Self> {
        let repo = gix::discover(folder)?.with_object_memory();
        Ok(Self {
            repo,
            directories: directories(),
            older: None,
            asked: Cell::new(0),
        })
    }

    /// The URL of the remote `origin`.
    pub fn origin(&self) -> Option<String> {
        let remote = self.repo.find_remote("origin").ok()?;
        Some(remote.url(Direction::Fetch)?.to_bstring().to_string())
    }
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
