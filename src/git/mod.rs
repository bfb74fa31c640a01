//! Read-only mirrors of config repositories, by gix: fetch, resolve, read a
//! tree at a commit, merge two commits in memory.
//!
//! Everything here blocks; callers run it by `spawn_blocking`. Each job opens the
//! mirror again, which is cheap and never runs out of pack slots. Fetches of one
//! repository wait for each other. Credentials are never stored in a mirror.
//!
//! - [`mirrors`]: the folder that holds them; [`fetch`]: what fills them
//! - [`commits`], [`tree`]: reading a mirror
//! - [`pinned`]: single commits of repositories of others
//! - [`notes`]: our notes, and what a push of them consists of
//! - [`working_copy`]: a person's repository, with its uncommitted changes

use std::path::Path;

use gix::ObjectId;
use gix::remote::Direction;
use secrecy::SecretString;

mod commits;
mod fetch;
mod mirrors;
mod notes;
mod pinned;
mod tree;
mod working_copy;

pub use commits::Merged;
pub use fetch::{ForeignIds, Way};
pub use mirrors::{HeadTooLarge, Mirrors};
pub use notes::NOTES;
pub use pinned::Pinned;
pub use tree::{EntryMode, Listing, TooLarge, is_lfs_pointer};
use tree::{Listings, listings};

/// The open mirror of one repository. Objects that windlass creates, such as merged trees, stay in
/// memory.
pub struct Mirror {
    repo: gix::Repository,
    listings: Listings,
}

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
            listings: listings(),
        })
    }

    /// The URL of the remote `origin`.
    pub fn origin(&self) -> Option<String> {
        let remote = self.repo.find_remote("origin").ok()?;
        Some(remote.url(Direction::Fetch)?.to_bstring().to_string())
    }
}
