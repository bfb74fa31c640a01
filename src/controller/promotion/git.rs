//! What Git says of a promotion: where its branch and the base stand, and what was taken back.

use std::sync::Arc;

use super::edits::{Proposal, Texts, missing, put, put_together, texts};
use super::history::{count, past};
use crate::controller::{Reader, Result};
use crate::domain::catalog::Target;
use crate::domain::edit::{FileEdit, digests};
use crate::domain::image::Candidate;
use crate::domain::promotion::{
    self, Branch, BranchContent, CandidateState, Decision, How, InBase, Offer, PullRequest,
    PullRequestState,
};
use crate::domain::{ApplicationKey, CommitSha, Invalid};
use crate::git::{Merged, Mirror, TreeId};

/// What is asked of Git.
#[derive(Clone)]
pub struct Question {
    pub base: CommitSha,
    pub branch: String,
    pub bot: String,
    pub target: Target,
    pub candidates: Vec<Candidate>,
    /// What was remembered of them.
    pub decided: Vec<Decision>,
    pub announced: Vec<Candidate>,
    pub pull: Option<PullRequest>,
    /// The commit that the pull request was merged as.
    pub merged_as: Option<CommitSha>,
}

pub struct Answer {
    pub edits: Vec<FileEdit>,
    pub offers: Vec<Offer>,
    pub branch: Option<Branch>,
    pub decided: Vec<Decision>,
    pub dropped: Vec<Candidate>,
    /// The base lacks something as an older view of it would.
    pub needs_fresh_base: bool,
}

pub async fn ask(
    ctx: &Arc<Reader>,
    key: &ApplicationKey,
    question: &Question,
) -> Result<std::result::Result<Answer, Invalid>> {
    let question = question.clone();
    ctx.mirror(&key.repo, move |mirror| look_at_git(mirror, &question))
        .await
}

/// What the base has of each candidate and lacks of all, and how our branch relates to that.
fn look_at_git(
    mirror: &Mirror,
    asked: &Question,
) -> anyhow::Result<std::result::Result<Answer, Invalid>> {
    let (place, base_tree) = (asked.target.render_source(), mirror.tree(&asked.base)?);
    let texts = match texts(mirror, base_tree, &place)? {
        Ok(texts) => texts,
        Err(why) => return Ok(Err(why)),
    };
    let mut sights = Vec::new();
    for candidate in &asked.candidates {
        let mut found = sight(&texts, &asked.target, candidate);
        found.last_merged = past(mirror, asked, &found)?;
        sights.push(found);
    }
    let decided = promotion::refresh_decisions(
        &asked.decided,
        &sights,
        &asked.announced,
        &asked.base,
        asked.pull.as_ref(),
    );
    let Proposal { edits, offers } =
        put_together(&texts, &asked.target, &sights, &asked.announced, &decided);
    let mut answer = Answer {
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
    };
    let Some(head) = mirror.branch(&asked.branch)? else {
        return Ok(Ok(answer));
    };
    answer.branch = match content_of(mirror, asked, base_tree, &head, &answer)? {
        Ok(content) => Some(Branch { head, content }),
        Err(why) => return Ok(Err(why)),
    };
    Ok(Ok(answer))
}

/// What our branch brings, merged into the base. An error: it is somebody else's.
fn content_of(
    mirror: &Mirror,
    asked: &Question,
    base_tree: TreeId,
    head: &CommitSha,
    answer: &Answer,
) -> anyhow::Result<std::result::Result<BranchContent, Invalid>> {
    if mirror.is_ancestor(head, &asked.base)? {
        return Ok(Ok(BranchContent::Nothing));
    }
    let ours = mirror
        .authors(&asked.base, head)?
        .iter()
        .all(|email| is_ours(email, &asked.bot));
    let is_kept = |pull: &PullRequest| pull.state == PullRequestState::Open || pull.head == *head;
    if !ours && !asked.pull.as_ref().is_some_and(is_kept) {
        // Nothing of it is ours, and no pull request of ours keeps it: it would be lost.
        return Ok(Err(Invalid(format!(
            "the branch {} is not windlass's: it has commits of others. Delete it",
            asked.branch
        ))));
    }
    let wanted = mirror.edited(base_tree, &answer.edits)?;
    let failed = answer.decided.iter().any(|one| one.how == How::Failed);
    let place = asked.target.render_source();
    Ok(Ok(match mirror.merge(&asked.base, head)? {
        Merged::Clean(tree) if tree == wanted => BranchContent::Wanted,
        Merged::Conflicts(_) if ours => BranchContent::Conflicting,
        Merged::Conflicts(_) => BranchContent::Foreign,
        Merged::Clean(_) => match missing(mirror, head, &place, &answer.offers)? {
            Some(edits) if !edits.is_empty() => BranchContent::Outdated(edits),
            // What cannot be edited just now may be what it has besides.
            Some(_) if ours && !failed => BranchContent::Surplus,
            _ => BranchContent::Foreign,
        },
    }))
}

/// What a directory has in a candidate's place.
pub fn sight(texts: &Texts, target: &Target, candidate: &Candidate) -> CandidateState {
    let found: Vec<_> = texts
        .values()
        .map(|text| digests(text, &candidate.image))
        .collect();
    let unreadable = found.iter().any(std::result::Result::is_err);
    let now: Vec<_> = found.into_iter().flatten().flatten().collect();
    let mut edited = texts.clone();
    let there = match put(&mut edited, candidate, &target.path) {
        _ if target.image(&candidate.image).is_none() => InBase::NotConfigured,
        Err(why) => InBase::CannotEdit {
            why,
            not_found: now.is_empty() && !unreadable,
        },
        Ok(()) if edited == *texts => InBase::Same,
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

/// Whether a commit's author is our bot: GitHub gives its commits the address `id+login@users.noreply…`.
pub fn is_ours(email: &str, bot: &str) -> bool {
    email.split_once('+').is_some_and(|(_, rest)| {
        rest.strip_prefix(bot)
            .is_some_and(|host| host.starts_with("@users.noreply."))
    })
}
