//! From a candidate to an open pull request: the next step, decided from what
//! is there.
//!
//! The loop observes, takes one step and observes again, until [`Step::Settled`].
//! Each step is conditional on what it was decided from, so it may be cut off
//! anywhere. Two races are known: the base moves under an open pull request
//! (then the branch is rebuilt beside it and swapped in, since GitHub closes a
//! pull request whose branch equals its base), and somebody pushes to our
//! branch (their commits are never thrown away).
//!
//! What a person decides in Git is decided: [`judge`] takes what is remembered
//! of each candidate, and what Git has of it now, to what holds from now on. A
//! digest that was merged, and that a later commit took back, is not proposed
//! there again, like one whose pull request was closed.
//!
//! Rooms: `decision` (what became of each candidate, as it is remembered),
//! `observed` (what Git has of each now), `judge` (from the one and the other to
//! what holds), `offer` (what is proposed, and its words), `candidates` (where a
//! stage's candidates come from).

use super::CommitSha;
use super::edit::FileEdit;
use super::image::Candidate;

mod candidates;
mod decision;
mod judge;
mod observed;
mod offer;

pub use candidates::{EarlierStage, promoted};
pub use decision::{Decision, How, is_refused, last_merged, record, standing, summary, wanted};
pub use judge::judge;
pub use observed::{Past, Sight, There};
pub use offer::{Offer, commit_message, title};

/// Facts about one (application, stage).
#[derive(Debug, Clone)]
pub struct Seen {
    pub base: CommitSha,
    /// What the base lacks of the candidates that are wanted; empty where it has them.
    pub edits: Vec<FileEdit>,
    /// The images that the edits bring.
    pub offers: Vec<Offer>,
    pub branch: Option<Branch>,
    /// The pull request from our branch that is open, or else the newest.
    pub pull_request: Option<PullRequest>,
    /// Title and body that the pull request should have.
    pub title: String,
    pub body: String,
    /// The candidates, without those that are dropped.
    pub candidates: Vec<Candidate>,
    /// What Git or `windlass.yaml` know no more.
    pub dropped: Vec<Candidate>,
    /// What [`judge`] came to.
    pub decided: Vec<Decision>,
}

/// Our branch.
#[derive(Debug, Clone)]
pub struct Branch {
    pub head: CommitSha,
    pub content: BranchContent,
}

/// How the branch relates to its base and to the edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BranchContent {
    /// No commit that the base lacks.
    Nothing,
    /// Merged into the base it is exactly base plus edits.
    Wanted,
    /// It has commits, and needs these edits on top.
    Outdated(Vec<FileEdit>),
    /// It does not merge cleanly into the base, and all its commits are ours.
    Conflicting,
    /// It brings more than what is wanted by now, and all its commits are ours.
    Surplus,
    /// It carries what the candidates want and something of somebody else's besides.
    Foreign,
}

#[derive(Debug, Clone)]
pub struct PullRequest {
    pub number: u64,
    pub state: PullRequestState,
    pub head: CommitSha,
    pub title: String,
    pub body: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullRequestState {
    Open,
    Closed,
    Merged,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    CreateBranch {
        at: CommitSha,
    },
    /// A branch without a pull request goes back to the base.
    ResetBranch {
        from: CommitSha,
        to: CommitSha,
    },
    Commit {
        parent: CommitSha,
        edits: Vec<FileEdit>,
    },
    /// Builds base plus edits on a scratch branch and swaps it in.
    Rebuild {
        from: CommitSha,
        base: CommitSha,
        edits: Vec<FileEdit>,
    },
    Open,
    Retitle {
        number: u64,
    },
    /// The base has it already.
    Close {
        number: u64,
    },
    DeleteBranch {
        head: CommitSha,
    },
    Settled(Outcome),
}

/// Where a promotion rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The base has the candidates; the pull request that brought them, if it is known.
    Done {
        number: Option<u64>,
    },
    Open {
        number: u64,
    },
    /// A person closed the pull request for these digests: not proposed again.
    Rejected {
        number: u64,
    },
    /// A person took back what was merged: not proposed again.
    Reverted {
        commit: Option<CommitSha>,
    },
    /// A candidate cannot be put in.
    Failed,
    /// Nothing is left that could be proposed.
    Dropped,
}

impl Outcome {
    /// The state that the `Promotion` tells.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done { .. } => "Merged",
            Self::Open { .. } => "Proposed",
            Self::Rejected { .. } => "Rejected",
            Self::Reverted { .. } => "Reverted",
            Self::Failed => "Failed",
            Self::Dropped => "Dropped",
        }
    }
}

/// The next step.
pub fn decide(seen: &Seen) -> Step {
    let open = seen
        .pull_request
        .as_ref()
        .filter(|pr| pr.state == PullRequestState::Open);
    if seen.edits.is_empty() {
        return clean_up(seen, open);
    }
    if let Some(number) = closed_as_it_is(seen) {
        return Step::Settled(Outcome::Rejected { number });
    }
    match (&seen.branch, open) {
        (None, _) => Step::CreateBranch {
            at: seen.base.clone(),
        },
        (Some(branch), None) => prepare(seen, branch),
        (Some(branch), Some(pr)) => update(seen, branch, pr),
    }
}

/// Nothing is to be brought: what was proposed is closed, and its branch deleted.
fn clean_up(seen: &Seen, open: Option<&PullRequest>) -> Step {
    let rest = rest(seen);
    match (open, &seen.branch) {
        // What cannot be edited now may be mended: what was proposed of it waits.
        (Some(_), _) if rest == Outcome::Failed => Step::Settled(rest),
        (Some(pr), _) => Step::Close { number: pr.number },
        (None, Some(branch))
            if branch.content != BranchContent::Foreign && !may_reopen(seen, branch) =>
        {
            Step::DeleteBranch {
                head: branch.head.clone(),
            }
        }
        _ => Step::Settled(rest),
    }
}

/// The pull request that proposed exactly this and was closed: the branch that it was closed with still says so.
fn closed_as_it_is(seen: &Seen) -> Option<u64> {
    let pr = seen.pull_request.as_ref()?;
    let branch = seen.branch.as_ref()?;
    let is_same = branch.head == pr.head && branch.content == BranchContent::Wanted;
    (pr.state == PullRequestState::Closed && is_same).then_some(pr.number)
}

/// The branch becomes base plus edits, and then a pull request.
fn prepare(seen: &Seen, branch: &Branch) -> Step {
    let head = branch.head.clone();
    match branch.content {
        BranchContent::Nothing if head == seen.base => Step::Commit {
            parent: head,
            edits: seen.edits.clone(),
        },
        BranchContent::Wanted => Step::Open,
        // What an old pull request left behind.
        _ => Step::ResetBranch {
            from: head,
            to: seen.base.clone(),
        },
    }
}

/// The pull request that is open comes to propose just what is wanted.
fn update(seen: &Seen, branch: &Branch, pr: &PullRequest) -> Step {
    let head = branch.head.clone();
    match &branch.content {
        BranchContent::Nothing => Step::Commit {
            parent: head,
            edits: seen.edits.clone(),
        },
        BranchContent::Outdated(edits) => Step::Commit {
            parent: head,
            edits: edits.clone(),
        },
        BranchContent::Conflicting | BranchContent::Surplus => Step::Rebuild {
            from: head,
            base: seen.base.clone(),
            edits: seen.edits.clone(),
        },
        BranchContent::Wanted | BranchContent::Foreign
            if pr.title != seen.title || pr.body != seen.body =>
        {
            Step::Retitle { number: pr.number }
        }
        BranchContent::Wanted | BranchContent::Foreign => {
            Step::Settled(Outcome::Open { number: pr.number })
        }
    }
}

/// A pull request that was closed can be opened again while its branch is there.
fn may_reopen(seen: &Seen, branch: &Branch) -> bool {
    let closed = seen
        .pull_request
        .as_ref()
        .filter(|pr| pr.state == PullRequestState::Closed && pr.head == branch.head);
    closed.is_some_and(|pr| {
        seen.decided
            .iter()
            .any(|one| one.how == How::Rejected && one.number == Some(pr.number))
    })
}

/// Where it rests when there is nothing to bring: what keeps a candidate back is told before what is done.
fn rest(seen: &Seen) -> Outcome {
    let holds: Vec<_> = match &seen.candidates[..] {
        [] => summary(&[], &seen.decided)
            .into_iter()
            .map(|(one, _)| one)
            .collect(),
        candidates => candidates
            .iter()
            .filter_map(|candidate| standing(&seen.decided, candidate))
            .collect(),
    };
    let first = |how: How| holds.iter().find(|one| one.how == how);
    if first(How::Failed).is_some() {
        Outcome::Failed
    } else if let Some(one) = first(How::Reverted) {
        Outcome::Reverted {
            commit: one.commit.clone(),
        }
    } else if let Some(number) = first(How::Rejected).and_then(|one| one.number) {
        Outcome::Rejected { number }
    } else if seen.candidates.is_empty() {
        Outcome::Dropped
    } else {
        Outcome::Done {
            number: seen.pull_request.as_ref().map(|pr| pr.number),
        }
    }
}

#[cfg(test)]
mod tests;
