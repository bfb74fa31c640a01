//! The state of a promotion in Git: the base, its branch, and what was reverted.

use std::sync::Arc;

use super::edits::{
    Place, Proposal, StageFiles, assemble, files, inputs_of_all, missing, places, restored,
};
use super::history::{count, past};
use crate::controller::{Reader, Result};
use crate::domain::catalog::Target;
use crate::domain::edit::{EditError, FileEdit};
use crate::domain::image::Candidate;
use crate::domain::promotion::{
    self, Branch, BranchContent, CandidateState, Decision, How, InBase, Offer, PullRequest,
    PullRequestState,
};
use crate::domain::rollback::Rollback;
use crate::domain::{CommitSha, Invalid, StageKey};
use crate::git::{Merged, Mirror, TreeId};

/// What the state in Git is computed from.
#[derive(Clone)]
pub struct GitQuery {
    pub base: CommitSha,
    pub branch: String,
    pub bot: String,
    /// The application in the stage: one target for each of the stage's clusters.
    pub targets: Vec<Target>,
    pub candidates: Vec<Candidate>,
    /// The decisions about them so far.
    pub decided: Vec<Decision>,
    pub announced: Vec<Candidate>,
    pub pull: Option<PullRequest>,
    /// GitHub's rules demand that a head contains the tip of the base.
    pub up_to_date: bool,
    /// The commit that the pull request was merged as.
    pub merged_as: Option<CommitSha>,
    /// The rollback under way.
    pub rollback: Option<Rollback>,
}

impl GitQuery {
    pub fn places(&self) -> Vec<Place> {
        places(&self.targets)
    }
}

pub struct GitState {
    pub edits: Vec<FileEdit>,
    pub offers: Vec<Offer>,
    pub branch: Option<Branch>,
    pub decided: Vec<Decision>,
    pub dropped: Vec<Candidate>,
    /// The base lacks something; a stale mirror of it would too.
    pub needs_fresh_base: bool,
    /// The base has other files than those that a rollback is about.
    pub is_overtaken: bool,
}

pub async fn read_git(
    ctx: &Arc<Reader>,
    key: &StageKey,
    query: &GitQuery,
) -> Result<std::result::Result<GitState, Invalid>> {
    let query = query.clone();
    ctx.mirror(&key.repo, move |mirror| git_state(mirror, &query))
        .await
}

/// What the base has of each candidate, the edits that it lacks, and how our branch relates to
/// that.
fn git_state(
    mirror: &Mirror,
    query: &GitQuery,
) -> anyhow::Result<std::result::Result<GitState, Invalid>> {
    let (places, base_tree) = (query.places(), mirror.tree(&query.base)?);
    let files = match files(mirror, base_tree, &places)? {
        Ok(files) => files,
        // A rollback is the way out.
        Err(_) if query.rollback.is_some() => StageFiles::unreadable(),
        Err(why) => return Ok(Err(why)),
    };
    let mut sights = Vec::new();
    for candidate in &query.candidates {
        let mut found = sight(&files, &query.targets, candidate);
        found.last_merged = past(mirror, query, &found)?;
        sights.push(found);
    }
    let decided = promotion::refresh_decisions(
        &query.decided,
        &sights,
        &query.announced,
        &query.base,
        query.pull.as_ref(),
    );
    let Proposal { edits, offers } = assemble(&files, &sights, &query.announced, &decided);
    let mut state = GitState {
        dropped: sights
            .iter()
            .filter(|sight| sight.is_dropped(&decided))
            .map(|sight| sight.candidate.clone())
            .collect(),
        needs_fresh_base: sights.iter().any(CandidateState::needs_fresh_base),
        edits,
        offers,
        branch: None,
        decided,
        is_overtaken: false,
    };
    if let Some(rollback) = &query.rollback
        && let Err(why) = rolls_back(mirror, query, base_tree, rollback, &mut state)?
    {
        return Ok(Err(why));
    }
    let Some(head) = mirror.branch(&query.branch)? else {
        return Ok(Ok(state));
    };
    let behind = query.up_to_date && !mirror.is_ancestor(&query.base, &head)?;
    state.branch = match content_of(mirror, query, base_tree, &head, &state)? {
        // GitHub's rules refuse it as it is.
        Ok(BranchContent::Wanted) if behind && all_ours(mirror, query, &head)? => Some(Branch {
            head,
            content: BranchContent::Behind,
        }),
        Ok(content) => Some(Branch { head, content }),
        Err(why) => return Ok(Err(why)),
    };
    Ok(Ok(state))
}

/// The state with the edits of a rollback in the place of those of the candidates.
fn rolls_back(
    mirror: &Mirror,
    query: &GitQuery,
    base_tree: TreeId,
    rollback: &Rollback,
    state: &mut GitState,
) -> anyhow::Result<std::result::Result<(), Invalid>> {
    let places = query.places();
    let current = inputs_of_all(mirror, &query.base, &places)?;
    let away_from = rollback.away_from.as_ref();
    state.is_overtaken = away_from.is_some_and(|away_from| *away_from != current);
    if state.is_overtaken {
        return Ok(Ok(()));
    }
    match restored(mirror, base_tree, &places, &rollback.to)? {
        Ok(edits) => state.edits = edits,
        Err(why) => return Ok(Err(why)),
    }
    state.offers.clear();
    // The pull request proposes no image any more.
    state
        .decided
        .retain(|decision| decision.how != How::Proposed);
    if let Some(merge) = &query.merged_as {
        state.needs_fresh_base |= !mirror.has_in(merge, &query.base)?;
    }
    Ok(Ok(()))
}

/// What our branch changes, merged into the base. An error: the branch is somebody else's.
fn content_of(
    mirror: &Mirror,
    query: &GitQuery,
    base_tree: TreeId,
    head: &CommitSha,
    state: &GitState,
) -> anyhow::Result<std::result::Result<BranchContent, Invalid>> {
    if mirror.is_ancestor(head, &query.base)? {
        return Ok(Ok(BranchContent::Nothing));
    }
    let ours = all_ours(mirror, query, head)?;
    let is_kept = |pull: &PullRequest| pull.state == PullRequestState::Open || pull.head == *head;
    if !ours && !query.pull.as_ref().is_some_and(is_kept) {
        // It has commits of others, and no pull request of ours refers to it: a rebuild would lose
        // them.
        return Ok(Err(Invalid(format!(
            "the branch {} is not windlass's: it has commits of others. Delete it",
            query.branch
        ))));
    }
    // Otherwise its words would be those of a rollback, and its content another one.
    if let Some(pull) = query
        .pull
        .as_ref()
        .filter(|_| query.rollback.is_some() && !ours)
    {
        return Ok(Err(Invalid(format!(
            "the stage cannot be rolled back: #{} has commits of others. Merge or close it, and delete its branch",
            pull.number
        ))));
    }
    let wanted = mirror.edited(base_tree, &state.edits)?;
    let failed = state
        .decided
        .iter()
        .any(|decision| decision.how == How::Failed);
    let places = query.places();
    Ok(Ok(match mirror.merge(&query.base, head)? {
        Merged::Clean(tree) if tree == wanted => BranchContent::Wanted,
        Merged::Conflicts(_) if ours => BranchContent::Conflicting,
        Merged::Conflicts(_) => BranchContent::Foreign,
        Merged::Clean(_) if query.rollback.is_some() && ours => BranchContent::Surplus,
        Merged::Clean(_) => match missing(mirror, head, &places, &state.offers)? {
            Some(edits) if !edits.is_empty() => BranchContent::Outdated(edits),
            // The surplus may be a candidate that cannot be edited just now.
            Some(_) if ours && !failed => BranchContent::Surplus,
            _ => BranchContent::Foreign,
        },
    }))
}

/// Whether all commits of our branch are ours.
fn all_ours(mirror: &Mirror, query: &GitQuery, head: &CommitSha) -> anyhow::Result<bool> {
    let authors = mirror.authors(&query.base, head)?;
    Ok(authors.iter().all(|email| is_ours(email, &query.bot)))
}

/// What a stage sets in place of a candidate.
pub fn sight(files: &StageFiles, targets: &[Target], candidate: &Candidate) -> CandidateState {
    let (now, readable) = files.digests(&candidate.image);
    let mut edited = files.clone();
    let there = match edited.set(candidate) {
        _ if !is_configured(targets, candidate) => InBase::NotConfigured,
        Err(EditError(why)) => InBase::CannotEdit {
            why,
            not_found: now.is_empty() && readable,
        },
        Ok(()) if edited == *files => InBase::Same,
        Ok(()) if count(&now, &candidate.digest) == now.len() => InBase::Retagged,
        Ok(()) => InBase::Different,
    };
    CandidateState {
        candidate: candidate.clone(),
        in_base: there,
        base_digests: now,
        last_merged: None,
    }
}

/// Whether a cluster of a stage may be given an image.
pub fn is_configured(targets: &[Target], candidate: &Candidate) -> bool {
    let mut targets = targets.iter();
    targets.any(|target| target.image(&candidate.image).is_some())
}

/// Whether a commit's author is our bot: GitHub gives its commits the address
/// `id+login@users.noreply…`.
pub fn is_ours(email: &str, bot: &str) -> bool {
    email.split_once('+').is_some_and(|(_, rest)| {
        rest.strip_prefix(bot)
            .is_some_and(|host| host.starts_with("@users.noreply."))
    })
}
