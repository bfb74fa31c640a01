//! What Git says of a promotion: where its branch and the base stand, and what was taken back.

use std::sync::Arc;

use super::edits::{Proposal, Texts, missing, put, put_together, texts};
use crate::controller::{Reader, Result};
use crate::domain::catalog::{Place, Target};
use crate::domain::edit::{FileEdit, digests};
use crate::domain::image::{Candidate, Digest};
use crate::domain::promotion::{
    self, Branch, BranchContent, Decision, How, Offer, Past, PullRequest, PullRequestState, Sight,
    There,
};
use crate::domain::{ApplicationKey, CommitSha, Invalid};
use crate::git::{Merged, Mirror};

/// How far back the commit that took a candidate back is looked for.
const HISTORY: usize = 50;

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
    pub is_doubtful: bool,
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
    let (place, base_tree) = (asked.target.place(), mirror.tree(&asked.base)?);
    let texts = match texts(mirror, base_tree, &place)? {
        Ok(texts) => texts,
        Err(why) => return Ok(Err(why)),
    };
    let mut sights = Vec::new();
    for candidate in &asked.candidates {
        let mut found = sight(&texts, &asked.target, candidate);
        found.past = past(mirror, asked, &found)?;
        sights.push(found);
    }
    let decided = promotion::judge(
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
        is_doubtful: sights.iter().any(Sight::is_doubtful),
        edits,
        offers,
        branch: None,
        decided,
    };
    let Some(head) = mirror.branch(&asked.branch)? else {
        return Ok(Ok(answer));
    };
    let content = if mirror.is_ancestor(&head, &asked.base)? {
        BranchContent::Nothing
    } else {
        let ours = mirror
            .authors(&asked.base, &head)?
            .iter()
            .all(|email| is_ours(email, &asked.bot));
        let is_kept =
            |pull: &PullRequest| pull.state == PullRequestState::Open || pull.head == head;
        if !ours && !asked.pull.as_ref().is_some_and(is_kept) {
            // Nothing of it is ours, and no pull request of ours keeps it: it would be lost.
            return Ok(Err(Invalid(format!(
                "the branch {} is not windlass's: it has commits of others. Delete it",
                asked.branch
            ))));
        }
        let wanted = mirror.edited(base_tree, &answer.edits)?;
        let failed = answer.decided.iter().any(|one| one.how == How::Failed);
        match mirror.merge(&asked.base, &head)? {
            Merged::Clean(tree) if tree == wanted => BranchContent::Wanted,
            Merged::Conflicts(_) if ours => BranchContent::Conflicting,
            Merged::Conflicts(_) => BranchContent::Foreign,
            Merged::Clean(_) => match missing(mirror, &head, &place, &answer.offers)? {
                Some(edits) if !edits.is_empty() => BranchContent::Outdated(edits),
                // What cannot be edited just now may be what it has besides.
                Some(_) if ours && !failed => BranchContent::Surplus,
                _ => BranchContent::Foreign,
            },
        }
    };
    answer.branch = Some(Branch { head, content });
    Ok(Ok(answer))
}

/// What a directory has in a candidate's place.
pub fn sight(texts: &Texts, target: &Target, candidate: &Candidate) -> Sight {
    let found: Vec<_> = texts
        .values()
        .map(|text| digests(text, &candidate.image))
        .collect();
    let unreadable = found.iter().any(std::result::Result::is_err);
    let now: Vec<_> = found.into_iter().flatten().flatten().collect();
    let mut edited = texts.clone();
    let there = match put(&mut edited, candidate, &target.path) {
        _ if target.image(&candidate.image).is_none() => There::Unnamed,
        Err(why) => There::Impossible {
            why,
            gone: now.is_empty() && !unreadable,
        },
        Ok(()) if edited == *texts => There::Same,
        Ok(()) if count(&now, &candidate.digest) == now.len() => There::Retagged,
        Ok(()) => There::Other,
    };
    Sight {
        candidate: candidate.clone(),
        there,
        now,
        past: None,
    }
}

fn count(places: &[Option<Digest>], digest: &Digest) -> usize {
    places
        .iter()
        .filter(|place| place.as_ref() == Some(digest))
        .count()
}

/// The digest at each place where a commit sets an image; none where it cannot be read.
fn places_at(
    mirror: &Mirror,
    commit: &CommitSha,
    place: &Place,
    image: &str,
) -> anyhow::Result<Vec<Option<Digest>>> {
    let Ok(texts) = texts(mirror, mirror.tree(commit)?, place)? else {
        return Ok(Vec::new());
    };
    Ok(texts
        .values()
        .filter_map(|text| digests(text, image).ok())
        .flatten()
        .collect())
}

/// What was merged last of an image, and whether the base has it no more.
fn past(mirror: &Mirror, asked: &Question, sight: &Sight) -> anyhow::Result<Option<Past>> {
    let (candidate, place) = (&sight.candidate, asked.target.place());
    let is_in_base = |commit: &CommitSha| {
        Ok::<_, anyhow::Error>(mirror.has(commit) && mirror.is_ancestor(commit, &asked.base)?)
    };
    let lacks = matches!(
        sight.there,
        There::Other | There::Impossible { gone: true, .. }
    );
    let mut found = None;
    if let Some(last) = promotion::last_merged(&asked.decided, &candidate.image)
        && let Some(commit) = &last.commit
    {
        let past = Past {
            digest: last.digest.clone(),
            tag: last.tag.clone(),
            in_history: is_in_base(commit)?,
            taken: None,
        };
        found = Some((past, commit.clone()));
    }
    // A merge that was taken back before anybody looked is told by its pull request alone.
    if lacks
        && !promotion::is_refused(&asked.decided, candidate)
        && let Some(merge) = &asked.merged_as
        && is_in_base(merge)?
        && count(
            &places_at(mirror, merge, &place, &candidate.image)?,
            &candidate.digest,
        ) > 0
    {
        let is_later = match &found {
            Some((past, commit)) if past.in_history => {
                past.digest != candidate.digest && mirror.is_ancestor(commit, merge)?
            }
            _ => true,
        };
        if is_later {
            let past = Past {
                digest: candidate.digest.clone(),
                tag: candidate.tag.clone(),
                in_history: true,
                taken: None,
            };
            found = Some((past, merge.clone()));
        }
    }
    let Some((mut past, commit)) = found else {
        return Ok(None);
    };
    let has = count(&sight.now, &past.digest);
    // Where all places have it, nothing was taken away; nor can it be since the same commit.
    if lacks && past.in_history && commit != asked.base && (has < sight.now.len() || has == 0) {
        let had = count(
            &places_at(mirror, &commit, &place, &candidate.image)?,
            &past.digest,
        );
        if has < had {
            past.taken = Some(taken_by(mirror, asked, candidate, &past.digest, had)?);
        }
    }
    Ok(Some(past))
}

/// The commit, of those that the base branch went through, since which a digest is in fewer places than it was.
fn taken_by(
    mirror: &Mirror,
    asked: &Question,
    candidate: &Candidate,
    digest: &Digest,
    had: usize,
) -> anyhow::Result<CommitSha> {
    let mut at = asked.base.clone();
    for _ in 0..HISTORY {
        let Some(parent) = mirror.parent(&at)? else {
            break;
        };
        if count(
            &places_at(mirror, &parent, &asked.target.place(), &candidate.image)?,
            digest,
        ) >= had
        {
            return Ok(at);
        }
        at = parent;
    }
    Ok(asked.base.clone())
}

/// Whether a commit's author is our bot: GitHub gives its commits the address `id+login@users.noreply…`.
pub fn is_ours(email: &str, bot: &str) -> bool {
    email.split_once('+').is_some_and(|(_, rest)| {
        rest.strip_prefix(bot)
            .is_some_and(|host| host.starts_with("@users.noreply."))
    })
}
