//! Pull requests, their reviews and comments.

use jiff::Timestamp;

pub struct Pull {
    pub id: u64,
    pub number: u64,
    pub title: String,
    pub body: Option<String>,
    pub author: String,
    pub draft: bool,
    pub open: bool,
    pub head: Side,
    pub base: Side,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub closed_at: Option<Timestamp>,
    pub merged: Option<Merged>,
    pub reviews: Vec<Review>,
    /// Conversations on code that nobody resolved yet.
    pub unresolved_threads: usize,
    /// False right after a push: the next GET starts the computation.
    pub mergeability_known: bool,
    pub labels: Vec<String>,
}

pub struct Side {
    pub repository: u64,
    pub branch: String,
    /// Where the branch is, or was when the pull request was closed.
    pub sha: String,
}

pub struct Merged {
    pub at: Timestamp,
    pub by: String,
    pub sha: String,
}

pub struct Review {
    pub id: u64,
    pub user: String,
    pub state: String,
    pub body: String,
    pub commit: String,
    pub submitted_at: Timestamp,
}

pub struct Comment {
    pub id: u64,
    pub issue: u64,
    pub user: String,
    pub by_app: bool,
    pub body: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub reactions: Vec<Reaction>,
}

pub struct Reaction {
    pub id: u64,
    pub user: String,
    pub content: String,
    pub created_at: Timestamp,
}
