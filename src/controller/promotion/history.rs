//! What was merged of an image before, and which commit took it back.

use super::edits::texts;
use super::git::Question;
use crate::domain::CommitSha;
use crate::domain::catalog::RenderSource;
use crate::domain::edit::digests;
use crate::domain::image::{Candidate, Digest};
use crate::domain::promotion::{self, CandidateState, InBase, LastMerged};
use crate::git::Mirror;

/// How far back the commit that took a candidate back is looked for.
const HISTORY: usize = 50;

/// What was merged last of an image, and whether the base has it no more.
pub fn past(
    mirror: &Mirror,
    asked: &Question,
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
    let mut found = remembered_merge(mirror, asked, candidate)?;
    // A merge that was taken back before anybody looked is told by its pull request alone.
    if lacks
        && !promotion::is_refused(&asked.decided, candidate)
        && let Some(later) = later_merge(mirror, asked, candidate, found.as_ref())?
    {
        found = Some(later);
    }
    let Some((mut past, commit)) = found else {
        return Ok(None);
    };
    let has = count(&sight.base_digests, &past.digest);
    // Where all places have it, nothing was taken away; nor can it be since the same commit.
    if lacks
        && past.in_history
        && commit != asked.base
        && (has < sight.base_digests.len() || has == 0)
    {
        let place = asked.target.render_source();
        let had = count(
            &places_at(mirror, &commit, &place, &candidate.image)?,
            &past.digest,
        );
        if has < had {
            past.reverted_by = Some(taken_by(mirror, asked, candidate, &past.digest, had)?);
        }
    }
    Ok(Some(past))
}

/// What is remembered to have been merged last of an image, with the commit that it was seen in.
fn remembered_merge(
    mirror: &Mirror,
    asked: &Question,
    candidate: &Candidate,
) -> anyhow::Result<Option<(LastMerged, CommitSha)>> {
    let Some(last) = promotion::last_merged(&asked.decided, &candidate.image) else {
        return Ok(None);
    };
    let Some(commit) = &last.commit else {
        return Ok(None);
    };
    let past = LastMerged {
        digest: last.digest.clone(),
        tag: last.tag.clone(),
        in_history: is_in_base(mirror, asked, commit)?,
        reverted_by: None,
    };
    Ok(Some((past, commit.clone())))
}

/// The merge of the pull request, where it brought the candidate after what is remembered.
fn later_merge(
    mirror: &Mirror,
    asked: &Question,
    candidate: &Candidate,
    remembered: Option<&(LastMerged, CommitSha)>,
) -> anyhow::Result<Option<(LastMerged, CommitSha)>> {
    let Some(merge) = &asked.merged_as else {
        return Ok(None);
    };
    if !is_in_base(mirror, asked, merge)? {
        return Ok(None);
    }
    let places = places_at(
        mirror,
        merge,
        &asked.target.render_source(),
        &candidate.image,
    )?;
    if count(&places, &candidate.digest) == 0 {
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

fn is_in_base(mirror: &Mirror, asked: &Question, commit: &CommitSha) -> anyhow::Result<bool> {
    Ok(mirror.has(commit) && mirror.is_ancestor(commit, &asked.base)?)
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
            &places_at(
                mirror,
                &parent,
                &asked.target.render_source(),
                &candidate.image,
            )?,
            digest,
        ) >= had
        {
            return Ok(at);
        }
        at = parent;
    }
    Ok(asked.base.clone())
}

/// At how many places a digest is set.
pub fn count(places: &[Option<Digest>], digest: &Digest) -> usize {
    places
        .iter()
        .filter(|place| place.as_ref() == Some(digest))
        .count()
}

/// The digest at each place where a commit sets an image; none where it cannot be read.
fn places_at(
    mirror: &Mirror,
    commit: &CommitSha,
    place: &RenderSource,
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
