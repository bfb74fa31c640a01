//! From a candidate to an open pull request: the next step, decided from the
//! current state.
//!
//! The loop observes, takes a step and observes again, until [`Step::Settled`].
//! Each step is conditional on the state that it was decided from, so windlass
//! may be stopped at any point. Two races are known. If the base moves under an
//! open pull request, the branch is rebuilt on a scratch branch and swapped in,
//! since GitHub closes a pull request whose branch equals its base. If somebody
//! pushes to our branch, their commits are never discarded.
//!
//! A person's decision in Git counts: [`refresh_decisions`] updates the decision
//! on each candidate from what Git has now. If a later commit reverted a merged
//! digest, or a person closed its pull request, it is not proposed again there.
//!
//! Rooms: `decision` (the remembered decision on each candidate), `observed`
//! (what Git has of each now), `refresh` (updates the decisions by that),
//! `offer` (what is proposed, with title and commit message), `candidates`
//! (where a stage's candidates come from).

use super::CommitSha;
use super::edit::FileEdit;
use super::image::Candidate;
use super::rollback::Rollback;

mod candidates;
mod decision;
mod observed;
mod offer;
mod refresh;
mod skipped;

pub use candidates::{EarlierStage, promoted};
pub use decision::{
    Decision, How, decision_for, is_asked_for, is_refused, last_merged, record, summary, wanted,
};
pub use observed::{CandidateState, InBase, LastMerged};
pub use offer::{Offer, commit_message, title};
pub use refresh::refresh_decisions;
pub use skipped::SkippedStage;

/// The facts about an application in a stage that a step is decided from.
#[derive(Debug, Clone)]
pub struct PromotionFacts {
    pub base: CommitSha,
    /// The edits that bring the wanted candidates to the base; empty if it has them.
    pub edits: Vec<FileEdit>,
    /// The images that the edits bring.
    pub offers: Vec<Offer>,
    pub branch: Option<Branch>,
    /// The open pull request from our branch, or else the newest one.
    pub pull_request: Option<PullRequest>,
    /// The rollback that is under way: its edits are proposed, and no images.
    pub rollback: Option<Rollback>,
    /// The pull request that was last recorded as a rollback.
    pub rolled_back_by: Option<u64>,
    /// The base has other files than those that a rollback is about: somebody was faster.
    pub is_overtaken: bool,
    /// The desired title and body of the pull request.
    pub title: String,
    pub body: String,
    /// Subject and body of our commits.
    pub message: (String, String),
    /// The candidates, without the dropped ones.
    pub candidates: Vec<Candidate>,
    /// Candidates whose image is no longer in Git or in `windlass.yaml`.
    pub dropped: Vec<Candidate>,
    /// The result of [`refresh_decisions`].
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
    /// It has no commit that the base lacks.
    Nothing,
    /// Merged into the base it is exactly the base plus the edits.
    Wanted,
    /// The same, but it does not contain the tip of the base, which GitHub's rules demand.
    Behind,
    /// It has commits, and needs these edits on top.
    Outdated(Vec<FileEdit>),
    /// It conflicts with the base, and all its commits are ours.
    Conflicting,
    /// It changes more than is wanted now, and all its commits are ours.
    Surplus,
    /// It has the wanted edits, and also changes of somebody else.
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
    /// Creates the branch, its commit and the pull request.
    Propose {
        at: CommitSha,
        edits: Vec<FileEdit>,
    },
    /// Resets a branch without a pull request to the base.
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
    /// Closes a pull request whose candidates the base already has, or that are no longer wanted.
    Close {
        number: u64,
    },
    DeleteBranch {
        head: CommitSha,
    },
    /// The rollback is in the base, somebody was faster, or a person closed its pull request.
    EndRollback {
        /// A person closed it: what failed is not rolled back by itself again.
        is_declined: bool,
        /// The branch of the closed pull request goes too: otherwise the next rollback to the same
        /// commit would look closed already.
        branch: Option<CommitSha>,
    },
    Settled(Outcome),
}

impl Step {
    /// Whether it moves or deletes the branch.
    pub fn moves_branch(&self) -> bool {
        matches!(
            self,
            Self::ResetBranch { .. }
                | Self::Commit { .. }
                | Self::Rebuild { .. }
                | Self::DeleteBranch { .. }
        )
    }
}

/// The final state of a promotion, until something changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The base has the candidates. `number`: the pull request that merged them, if it is known.
    Done {
        number: Option<u64>,
    },
    Open {
        number: u64,
    },
    /// The open pull request takes the stage back.
    RollsBack {
        number: u64,
    },
    /// A person rejected these digests, or closed the pull request for them: they are not proposed
    /// again.
    Rejected {
        number: Option<u64>,
    },
    /// A person reverted the merge: the digests are not proposed again.
    Reverted {
        commit: Option<CommitSha>,
    },
    /// A candidate cannot be written into the files.
    Failed,
    /// No candidate is left.
    Dropped,
}

impl Outcome {
    /// The word of [`Outcome::RollsBack`].
    pub const ROLLING_BACK: &str = "RollingBack";

    /// `status.state` of the `Promotion`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done { .. } => "Merged",
            Self::Open { .. } => "Proposed",
            Self::RollsBack { .. } => Self::ROLLING_BACK,
            Self::Rejected { .. } => "Rejected",
            Self::Reverted { .. } => "Reverted",
            Self::Failed => "Failed",
            Self::Dropped => "Dropped",
        }
    }
}

/// The next step.
pub fn decide(facts: &PromotionFacts) -> Step {
    if facts.rollback.is_none() {
        return next(facts);
    }
    let pr = facts.pull_request.as_ref();
    let is_over = pr.is_some_and(|pr| {
        Some(pr.number) == facts.rolled_back_by && pr.state != PullRequestState::Open
    });
    if facts.edits.is_empty() || is_over || facts.is_overtaken {
        return end_rollback(facts);
    }
    match next(facts) {
        Step::Settled(Outcome::Open { number }) => Step::Settled(Outcome::RollsBack { number }),
        Step::Settled(Outcome::Rejected { .. }) => end_rollback(facts),
        step => step,
    }
}

fn end_rollback(facts: &PromotionFacts) -> Step {
    let closed = facts.pull_request.as_ref().filter(|pr| {
        let is_unchanged = || !facts.edits.is_empty() && closed_unchanged(facts).is_some();
        let is_it = Some(pr.number) == facts.rolled_back_by || is_unchanged();
        pr.state == PullRequestState::Closed && is_it
    });
    let branch = facts.branch.as_ref().map(|branch| &branch.head);
    let branch = branch.filter(|head| closed.is_some_and(|pr| pr.head == **head));
    Step::EndRollback {
        is_declined: closed.is_some(),
        branch: branch.cloned(),
    }
}

fn next(facts: &PromotionFacts) -> Step {
    let open = facts
        .pull_request
        .as_ref()
        .filter(|pr| pr.state == PullRequestState::Open);
    if facts.edits.is_empty() {
        return clean_up(facts, open);
    }
    if let Some(number) = closed_unchanged(facts) {
        let number = Some(number);
        return Step::Settled(Outcome::Rejected { number });
    }
    match (&facts.branch, open) {
        (None, _) => Step::Propose {
            at: facts.base.clone(),
            edits: facts.edits.clone(),
        },
        (Some(branch), None) => prepare(facts, branch),
        (Some(branch), Some(pr)) => update(facts, branch, pr),
    }
}

/// There is nothing to propose: the pull request is closed and its branch deleted.
fn clean_up(facts: &PromotionFacts, open: Option<&PullRequest>) -> Step {
    let outcome = settled_outcome(facts);
    match (open, &facts.branch) {
        // If a candidate cannot be edited now, somebody may fix that: its open pull request stays.
        (Some(_), _) if outcome == Outcome::Failed => Step::Settled(outcome),
        (Some(pr), _) => Step::Close { number: pr.number },
        (None, Some(branch))
            if branch.content != BranchContent::Foreign && !may_reopen(facts, branch) =>
        {
            Step::DeleteBranch {
                head: branch.head.clone(),
            }
        }
        _ => Step::Settled(outcome),
    }
}

/// The closed pull request that proposed exactly these edits: our branch still has its head.
fn closed_unchanged(facts: &PromotionFacts) -> Option<u64> {
    let pr = facts.pull_request.as_ref()?;
    let branch = facts.branch.as_ref()?;
    let asked = |offer: &Offer| is_asked_for(&facts.decided, &offer.candidate);
    if facts.offers.iter().any(asked) {
        return None;
    }
    let is_same = branch.head == pr.head && branch.content == BranchContent::Wanted;
    (pr.state == PullRequestState::Closed && is_same).then_some(pr.number)
}

/// Without an open pull request: makes the branch base plus edits, then opens one.
fn prepare(facts: &PromotionFacts, branch: &Branch) -> Step {
    let head = branch.head.clone();
    match branch.content {
        BranchContent::Nothing if head == facts.base => Step::Commit {
            parent: head,
            edits: facts.edits.clone(),
        },
        BranchContent::Wanted => Step::Open,
        // The branch is left over from an old pull request.
        _ => Step::ResetBranch {
            from: head,
            to: facts.base.clone(),
        },
    }
}

/// With an open pull request: makes it propose exactly the wanted edits.
fn update(facts: &PromotionFacts, branch: &Branch, pr: &PullRequest) -> Step {
    let head = branch.head.clone();
    match &branch.content {
        BranchContent::Nothing => Step::Commit {
            parent: head,
            edits: facts.edits.clone(),
        },
        BranchContent::Outdated(edits) => Step::Commit {
            parent: head,
            edits: edits.clone(),
        },
        BranchContent::Conflicting | BranchContent::Surplus | BranchContent::Behind => {
            Step::Rebuild {
                from: head,
                base: facts.base.clone(),
                edits: facts.edits.clone(),
            }
        }
        BranchContent::Wanted | BranchContent::Foreign
            if pr.title != facts.title || pr.body != facts.body =>
        {
            Step::Retitle { number: pr.number }
        }
        BranchContent::Wanted | BranchContent::Foreign => {
            Step::Settled(Outcome::Open { number: pr.number })
        }
    }
}

/// Whether a closed pull request may be reopened: then its branch has to stay.
fn may_reopen(facts: &PromotionFacts, branch: &Branch) -> bool {
    let closed = facts
        .pull_request
        .as_ref()
        .filter(|pr| pr.state == PullRequestState::Closed && pr.head == branch.head);
    closed.is_some_and(|pr| {
        facts
            .decided
            .iter()
            .any(|decision| decision.how == How::Rejected && decision.number == Some(pr.number))
    })
}

/// The outcome if there is nothing to propose. What keeps a candidate back is reported before what
/// is merged.
fn settled_outcome(facts: &PromotionFacts) -> Outcome {
    let decisions: Vec<_> = match &facts.candidates[..] {
        [] => summary(&[], &facts.decided)
            .into_iter()
            .map(|(decision, _)| decision)
            .collect(),
        candidates => candidates
            .iter()
            .filter_map(|candidate| decision_for(&facts.decided, candidate))
            .collect(),
    };
    let first = |how: How| decisions.iter().find(|decision| decision.how == how);
    if first(How::Failed).is_some() {
        Outcome::Failed
    } else if let Some(reverted) = first(How::Reverted) {
        Outcome::Reverted {
            commit: reverted.commit.clone(),
        }
    } else if let Some(rejected) = first(How::Rejected) {
        Outcome::Rejected {
            number: rejected.number,
        }
    } else if facts.candidates.is_empty() {
        Outcome::Dropped
    } else {
        Outcome::Done {
            number: facts.pull_request.as_ref().map(|pr| pr.number),
        }
    }
}

#[cfg(test)]
mod tests;
