//! The edits that a promotion makes, on the files of one tree.

use std::collections::BTreeSet;

use super::candidates::decisions;
use super::git::sight;
use crate::cluster::store::Promotion;
use crate::domain::catalog::{RenderSource, Target, is_own};
use crate::domain::edit::{FileEdit, Files};
use crate::domain::image::Candidate;
use crate::domain::promotion::{CandidateState, Decision, Offer};
use crate::domain::{CommitSha, Invalid};
use crate::git::{Mirror, TreeId};
use crate::render::{self, Source};

/// The files of an application in a tree that an image may be set in.
pub fn files(
    mirror: &Mirror,
    tree: TreeId,
    place: &RenderSource,
) -> anyhow::Result<std::result::Result<Files, Invalid>> {
    Ok(render::editable(&Source::open(mirror, tree)?, place))
}

/// What a stage's pull request changes, and the images that it offers.
pub struct Proposal {
    pub edits: Vec<FileEdit>,
    pub offers: Vec<Offer>,
}

/// Edits the files for each candidate by itself: a candidate that cannot be set stops no other.
pub fn assemble(
    files: &Files,
    sights: &[CandidateState],
    announced: &[Candidate],
    decided: &[Decision],
) -> Proposal {
    let mut edited = files.clone();
    let mut offers: Vec<_> = sights
        .iter()
        .filter_map(|sight| sight.offer(announced, decided))
        .collect();
    offers.retain(|offer| edited.set(&offer.candidate).is_ok());
    Proposal {
        edits: edited.changed_from(files),
        offers,
    }
}

/// The proposal of a stage's pull request on a tree. `rollback`: the commit that a rollback under
/// way goes back to.
pub fn proposal(
    mirror: &Mirror,
    tree: TreeId,
    target: &Target,
    object: &Promotion,
    announced: &[Candidate],
    rollback: Option<&CommitSha>,
) -> anyhow::Result<std::result::Result<Proposal, Invalid>> {
    if let Some(to) = rollback {
        let edits = restored(mirror, tree, &target.render_source(), to)?;
        return Ok(edits.map(|edits| Proposal {
            edits,
            offers: Vec::new(),
        }));
    }
    let files = match files(mirror, tree, &target.render_source())? {
        Ok(files) => files,
        Err(why) => return Ok(Err(why)),
    };
    let sights: Vec<_> = object
        .spec
        .candidates
        .iter()
        .map(|candidate| sight(&files, target, candidate))
        .collect();
    Ok(Ok(assemble(&files, &sights, announced, &decisions(object))))
}

/// The edits that take what an application is rendered from back to a commit: its own files, and
/// those that it shares with others.
pub fn restored(
    mirror: &Mirror,
    tree: TreeId,
    place: &RenderSource,
    to: &CommitSha,
) -> anyhow::Result<std::result::Result<Vec<FileEdit>, Invalid>> {
    let short = to.short();
    if !mirror.knows(to)? {
        return Ok(Err(Invalid(format!("there is no commit {short}"))));
    }
    let past = mirror.tree(to)?;
    let inputs = |tree| -> anyhow::Result<_> {
        Ok(render::inputs(&Source::open(mirror, tree)?, place)
            .ok()
            .flatten())
    };
    let Some(wanted) = inputs(past)? else {
        let why = format!(
            "{} is not there, or unreadable, at {short}",
            place.directory
        );
        return Ok(Err(Invalid(why)));
    };
    let (current, present) = (inputs(tree)?, Source::open(mirror, tree)?);
    let mut paths: BTreeSet<_> = wanted.paths().map(str::to_string).collect();
    // What the application did not read then, and does not have in its own directory, can stay.
    match &current {
        Some(current) => {
            let all = current.paths();
            let own = all.filter(|path| is_own(&place.directory, path));
            paths.extend(own.map(str::to_string));
        }
        // It is unreadable: all of it may be in the way.
        None => paths.extend(present.under(&place.directory)),
    }
    let mut edits = Vec::new();
    for path in paths {
        let (then, now) = (mirror.read(past, &path)?, mirror.read(tree, &path)?);
        if then == now {
            continue;
        }
        let Ok(text) = then.map(String::from_utf8).transpose() else {
            return Ok(Err(Invalid(format!("{path} is no text at {short}"))));
        };
        edits.push(FileEdit { path, text });
    }
    let restored = inputs(mirror.edited(tree, &edits)?)?;
    if restored.is_none_or(|restored| restored.hash != wanted.hash) {
        let why = format!("the files of {short} render otherwise among the present ones");
        return Ok(Err(Invalid(why)));
    }
    Ok(Ok(edits))
}

/// The edits that a commit lacks of the offers; None if they cannot be made.
pub fn missing(
    mirror: &Mirror,
    head: &CommitSha,
    place: &RenderSource,
    offers: &[Offer],
) -> anyhow::Result<Option<Vec<FileEdit>>> {
    let Ok(files) = files(mirror, mirror.tree(head)?, place)? else {
        return Ok(None);
    };
    let mut edited = files.clone();
    let all = offers
        .iter()
        .all(|offer| edited.set(&offer.candidate).is_ok());
    Ok(all.then(|| edited.changed_from(&files)))
}
