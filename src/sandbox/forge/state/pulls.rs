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
    /// When its description was last edited.
    pub edited_at: Option<Timestamp>,
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
    /// When its text was last edited.
    pub edited_at: Option<Timestamp>,
}

#[derive(Clone)]
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

/// A comment on a line of the diff, or on a file of it.
pub struct LineComment {
    pub comment: Comment,
    /// The review that it belongs to.
    pub review: u64,
    pub in_reply_to: Option<u64>,
    pub place: Place,
}

/// Where in a diff a comment stands.
#[derive(Clone)]
pub struct Place {
    pub commit: String,
    pub path: String,
    /// None: on the file as a whole.
    pub line: Option<u64>,
    /// Counted from the first `@@` of the file's diff.
    pub position: u64,
    /// On the side of the head, not of the base.
    pub is_right: bool,
    /// The hunk up to the line.
    pub hunk: String,
}

#[derive(Clone)]
pub struct Reaction {
    pub id: u64,
    pub user: String,
    pub content: String,
    pub created_at: Timestamp,
}
