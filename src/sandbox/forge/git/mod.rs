//! The repositories: real git, by its own program.
//!
//! - [`program`]: git run in a repository, and what never changes remembered
//! - [`objects`]: blobs and trees; [`commits`]: commits, made, merged and compared; [`rebase`]: put elsewhere
//! - [`repositories`]: repositories made, forked and pushed to
//! - [`smart_http`]: what stands behind the clone URLs; [`refused_push`]: where rules do

mod commits;
mod objects;
mod program;
mod rebase;
mod refused_push;
mod repositories;
mod smart_http;

use jiff::Timestamp;

pub(super) use commits::{commit, commit_tree, commit_tree_at, is_ancestor, merge_tree, resolve};
pub(super) use objects::{kind_of, list_tree, read_blob};
pub use objects::{write_blob, write_tree};
pub use program::git;
pub(super) use program::{is_id, settled};
pub(super) use rebase::{landed, rebase};

/// Who is told as a commit's author and committer.
#[derive(Clone)]
pub struct Identity {
    pub name: String,
    pub email: String,
}

/// What GitHub's own commits are committed by.
pub fn web_flow() -> Identity {
    Identity {
        name: "GitHub".into(),
        email: "noreply@github.com".into(),
    }
}

/// One file of a commit to be made.
pub struct FileChange<'a> {
    pub path: &'a str,
    /// None: removed.
    pub content: Option<&'a [u8]>,
}

/// What stands at one path of a tree.
#[derive(Clone)]
pub struct Node {
    pub mode: String,
    /// `blob`, `tree`, or `commit`: a submodule's.
    pub kind: String,
    pub sha: String,
}

/// What becomes of one path of a tree to be made.
pub struct NodeChange<'a> {
    pub path: &'a str,
    /// None: removed.
    pub node: Option<Node>,
}

/// One line of a tree's listing.
pub struct Listed {
    pub path: String,
    pub node: Node,
    /// Of blobs.
    pub size: Option<u64>,
}

/// Who did something, and when. None: now.
pub type Stamp<'a> = (&'a Identity, Option<Timestamp>);
