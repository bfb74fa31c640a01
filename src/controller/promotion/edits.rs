//! The edits that a promotion makes, on the files of one tree.

use std::collections::{BTreeMap, BTreeSet};

use super::candidates::decisions;
use super::git::sight;
use crate::cluster::store::Promotion;
use crate::domain::catalog::{RenderSource, Target, is_own};
use crate::domain::edit::{EditError, FileEdit, set_image};
use crate::domain::image::Candidate;
use crate::domain::promotion::{CandidateState, Decision, Offer};
use crate::domain::{CommitSha, Invalid};
use crate::git::{Mirror, TreeId};
use crate::render::{self, Source};

/// The texts of a directory's own files, by their paths.
pub type Texts = BTreeMap<String, String>;

pub fn texts(
    mirror: &Mirror,
    tree: TreeId,
    place: &RenderSource,
) -> anyhow::Result<std::result::Result<Texts, Invalid>> {
    let source = Source::open(mirror, tree)?;
    let inputs = match render::inputs(&source, place) {
        Ok(Some(inputs)) => inputs,
        Ok(None) => return Ok(Err(Invalid(format!("{} is not there", place.directory)))),
        Err(unreadable) => return Ok(Err(unreadable.why)),
    };
    Ok(Ok(inputs
        .own_files()
        .map(|(path, content)| {
            (
                path.to_string(),
                String::from_utf8_lossy(content).into_owned(),
            )
        })
        .collect()))
}

/// Sets one candidate's image in the files; an error leaves everything as it was.
pub fn set_candidate(
    texts: &mut Texts,
    candidate: &Candidate,
    directory: &str,
) -> std::result::Result<(), String> {
    let mut edited = Vec::new();
    for (path, text) in texts.iter() {
        match set_image(text, candidate) {
            Ok(Some(new)) => edited.push((path.clone(), new)),
            Ok(None) => {}
            Err(EditError(why)) => return Err(format!("{path}: {why}")),
        }
    }
    if edited.is_empty() {
        let image = &candidate.image;
        return Err(format!(
            "no file in {directory} sets `{image}`: add an entry `name: {image}` to the `images:` of its kustomization.yaml, or use it in an `image:` field"
        ));
    }
    texts.extend(edited);
    Ok(())
}

/// The files that differ.
fn changed(before: &Texts, after: Texts) -> Vec<FileEdit> {
    let differs = after
        .into_iter()
        .filter(|(path, text)| before.get(path) != Some(text));
    differs
        .map(|(path, text)| FileEdit {
            path,
            text: Some(text),
        })
        .collect()
}

/// What a stage's pull request changes, and the images that it offers.
pub struct Proposal {
    pub edits: Vec<FileEdit>,
    pub offers: Vec<Offer>,
}

/// Edits the files for each candidate by itself: a candidate that cannot be set stops no other.
pub fn assemble(
    texts: &Texts,
    target: &Target,
    sights: &[CandidateState],
    announced: &[Candidate],
    decided: &[Decision],
) -> Proposal {
    let mut edited = texts.clone();
    let mut offers: Vec<_> = sights
        .iter()
        .filter_map(|sight| sight.offer(announced, decided))
        .collect();
    offers.retain(|offer| set_candidate(&mut edited, &offer.candidate, &target.path).is_ok());
    Proposal {
        edits: changed(texts, edited),
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
    let texts = match texts(mirror, tree, &target.render_source())? {
        Ok(texts) => texts,
        Err(why) => return Ok(Err(why)),
    };
    let sights: Vec<_> = object
        .spec
        .candidates
        .iter()
        .map(|candidate| sight(&texts, target, candidate))
        .collect();
    Ok(Ok(assemble(
        &texts,
        target,
        &sights,
        announced,
        &decisions(object),
    )))
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
    let Ok(texts) = texts(mirror, mirror.tree(head)?, place)? else {
        return Ok(None);
    };
    let mut edited = texts.clone();
    let all = offers
        .iter()
        .all(|offer| set_candidate(&mut edited, &offer.candidate, &place.directory).is_ok());
    Ok(all.then(|| changed(&texts, edited)))
}
