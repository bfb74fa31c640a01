//! What was merged of an image before, and which commit reverted it.

use super::edits::files;
use super::git::GitQuery;
use crate::domain::CommitSha;
use crate::domain::image::{Candidate, Digest};
use crate::domain::promotion::{self, CandidateState, InBase, LastMerged};
use crate::git::Mirror;

/// How many commits are searched for the one that reverted a candidate.
const HISTORY: usize = 50;

/// What was merged last of an image, and whether the base no longer has it.
pub fn past(
    mirror: &Mirror,
    query: &GitQuery,
    sight: &CandidateState,
) -> anyhow::Result<Option<LastMerged>> {
    let candidate = &sight.candidate;
    let lacks = matches!(
        sight.in_base,
        InBase::Different
            | InBase::CannotEdit {
                not_found: true,
                ..
            }
    );
    let mut found = remembered_merge(mirror, query, candidate)?;
    // If a merge was reverted before it was observed, only its pull request shows it.
    if lacks
        && !promotion::is_refused(&query.decided, candidate)
        && !promotion::is_asked_for(&query.decided, candidate)
        && let Some(later) = later_merge(mirror, query, candidate, found.as_ref())?
    {
        found = Some(later);
    }
    let Some((mut past, commit)) = found else {
        return Ok(None);
    };
    let has = count(&sight.base_digests, &past.digest);
    // If all places have it, nothing was reverted; nor if the merge is the base itself.
    if lacks
        && past.in_history
        && commit != query.base
        && (has < sight.base_digests.len() || has == 0)
    {
        let had = count(
            &digests_at(mirror, &commit, query, &candidate.image)?,
            &past.digest,
        );
        if has < had {
            past.reverted_by = Some(reverted_by(mirror, query, candidate, &past.digest, had)?);
        }
    }
    Ok(Some(past))
}

/// The last recorded merge of an image, with the commit that it was observed in.
fn remembered_merge(
    mirror: &Mirror,
    query: &GitQuery,
    candidate: &Candidate,
) -> anyhow::Result<Option<(LastMerged, CommitSha)>> {
    let Some(last) = promotion::last_merged(&query.decided, &candidate.image) else {
        return Ok(None);
    };
    let Some(commit) = &last.commit else {
        return Ok(None);
    };
    let past = LastMerged {
        digest: last.digest.clone(),
        tag: last.tag.clone(),
        in_history: is_in_base(mirror, query, commit)?,
        reverted_by: None,
    };
    Ok(Some((past, commit.clone())))
}

/// The merge of the pull request, if it merged the candidate after the recorded merge.
fn later_merge(
    mirror: &Mirror,
    query: &GitQuery,
    candidate: &Candidate,
    remembered: Option<&(LastMerged, CommitSha)>,
) -> anyhow::Result<Option<(LastMerged, CommitSha)>> {
    let Some(merge) = &query.merged_as else {
        return Ok(None);
    };
    if !is_in_base(mirror, query, merge)? {
        return Ok(None);
    }
    let digests = digests_at(mirror, merge, query, &candidate.image)?;
    if count(&digests, &candidate.digest) == 0 {
        return Ok(None);
    }
    let is_later = match remembered {
        Some((past, commit)) if past.in_history => {
            past.digest != candidate.digest && mirror.is_ancestor(commit, merge)?
        }
        _ => true,
    };
    let past = LastMerged {
        digest: candidate.digest.clone(),
        tag: candidate.tag.clone(),
        in_history: true,
        reverted_by: None,
    };
    Ok(is_later.then(|| (past, merge.clone())))
}

fn is_in_base(mirror: &Mirror, query: &GitQuery, commit: &CommitSha) -> anyhow::Result<bool> {
    mirror.has_in(commit, &query.base)
}

/// The first-parent commit of the base branch since which a digest is set at fewer places than
/// before.
fn reverted_by(
    mirror: &Mirror,
    query: &GitQuery,
    candidate: &Candidate,
    digest: &Digest,
    had: usize,
) -> anyhow::Result<CommitSha> {
    let mut at = query.base.clone();
    for _ in 0..HISTORY {
        let Some(parent) = mirror.parent(&at)? else {
            break;
        };
        let digests = digests_at(mirror, &parent, query, &candidate.image)?;
        if count(&digests, digest) >= had {
            return Ok(at);
        }
        at = parent;
    }
    Ok(query.base.clone())
}

/// The number of places where a digest is set.
pub fn count(places: &[Option<Digest>], digest: &Digest) -> usize {
    places
        .iter()
        .filter(|place| place.as_ref() == Some(digest))
        .count()
}

/// The digest at each place where a commit sets an image; empty if the files cannot be read.
fn digests_at(
    mirror: &Mirror,
    commit: &CommitSha,
    query: &GitQuery,
    image: &str,
) -> anyhow::Result<Vec<Option<Digest>>> {
    // A place that was not there then sets nothing.
    let mut all = Vec::new();
    for place in query.places() {
        let files = files(mirror, mirror.tree(commit)?, &[place])?;
        all.extend(files.map_or(Vec::new(), |files| files.digests(image).0));
    }
    Ok(all)
}
