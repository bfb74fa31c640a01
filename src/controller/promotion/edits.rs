//! The edits that a promotion makes, on the files of one tree.

use std::collections::{BTreeMap, BTreeSet};

use super::candidates::decisions;
use super::git::sight;
use crate::cluster::store::Promotion;
use crate::domain::catalog::{RenderSource, Target, is_own};
use crate::domain::edit::{EditError, FileEdit, Files};
use crate::domain::image::{Candidate, Digest};
use crate::domain::promotion::{CandidateState, Decision, Offer};
use crate::domain::{CommitSha, Invalid};
use crate::git::{Mirror, TreeId};
use crate::render::{self, Source};

/// The files of an application in a stage that an image may be set in: those of each place that the
/// stage's clusters are rendered from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageFiles(Vec<Files>);

impl StageFiles {
    /// The digest at each place where an image is set; and whether all files could be read.
    pub fn digests(&self, image: &str) -> (Vec<Option<Digest>>, bool) {
        let (mut all, mut is_readable) = (Vec::new(), true);
        for (digests, readable) in self.0.iter().map(|files| files.digests(image)) {
            all.extend(digests);
            is_readable &= readable;
        }
        (all, is_readable)
    }

    /// Sets a candidate wherever a cluster uses it. An error: nothing is set.
    pub fn set(&mut self, candidate: &Candidate) -> Result<(), EditError> {
        let (mut set, mut unused) = (self.clone(), None);
        for files in &mut set.0 {
            if let Err(error) = files.set(candidate) {
                match files.digests(&candidate.image) {
                    (places, true) if places.is_empty() => unused = Some(error),
                    _ => return Err(error),
                }
            }
        }
        if let Some(error) = unused.filter(|_| set == *self && !self.has(candidate)) {
            return Err(error);
        }
        *self = set;
        Ok(())
    }

    fn has(&self, candidate: &Candidate) -> bool {
        !self.digests(&candidate.image).0.is_empty()
    }

    /// The files that differ from what they were.
    pub fn changed_from(self, before: &Self) -> Vec<FileEdit> {
        let all = self.0.into_iter().zip(&before.0);
        united(all.flat_map(|(files, before)| files.changed_from(before)))
    }
}

/// The edits of several places: a file that they share is edited once.
fn united(edits: impl IntoIterator<Item = FileEdit>) -> Vec<FileEdit> {
    let by_path = edits.into_iter().map(|edit| (edit.path.clone(), edit));
    let by_path: BTreeMap<_, _> = by_path.collect();
    by_path.into_values().collect()
}

/// The places that the targets of a stage are rendered from, each once.
pub fn places(targets: &[Target]) -> Vec<RenderSource> {
    let mut places: Vec<RenderSource> = Vec::new();
    for place in targets.iter().map(Target::render_source) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The files of these places in a tree.
pub fn files(
    mirror: &Mirror,
    tree: TreeId,
    places: &[RenderSource],
) -> anyhow::Result<std::result::Result<StageFiles, Invalid>> {
    let source = Source::open(mirror, tree)?;
    let files = places.iter().map(|place| render::editable(&source, place));
    Ok(files.collect::<Result<_, _>>().map(StageFiles))
}

/// What a stage's pull request changes, and the images that it offers.
pub struct Proposal {
    pub edits: Vec<FileEdit>,
    pub offers: Vec<Offer>,
}

/// Edits the files for each candidate by itself: a candidate that cannot be set stops no other.
pub fn assemble(
    files: &StageFiles,
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
    targets: &[Target],
    object: &Promotion,
    announced: &[Candidate],
    rollback: Option<&CommitSha>,
) -> anyhow::Result<std::result::Result<Proposal, Invalid>> {
    let places = places(targets);
    if let Some(to) = rollback {
        let edits = restored(mirror, tree, &places, to)?;
        return Ok(edits.map(|edits| Proposal {
            edits,
            offers: Vec::new(),
        }));
    }
    let files = match files(mirror, tree, &places)? {
        Ok(files) => files,
        Err(why) => return Ok(Err(why)),
    };
    let candidates = object.spec.candidates.iter();
    let sights: Vec<_> = candidates
        .map(|candidate| sight(&files, targets, candidate))
        .collect();
    Ok(Ok(assemble(&files, &sights, announced, &decisions(object))))
}

/// The edits that take what an application is rendered from in a stage back to a commit: its own
/// files, and those that it shares with others.
pub fn restored(
    mirror: &Mirror,
    tree: TreeId,
    places: &[RenderSource],
    to: &CommitSha,
) -> anyhow::Result<std::result::Result<Vec<FileEdit>, Invalid>> {
    let mut all = Vec::new();
    for place in places {
        match restored_place(mirror, tree, place, to)? {
            Ok(edits) => all.extend(edits),
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(united(all)))
}

fn restored_place(
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
    places: &[RenderSource],
    offers: &[Offer],
) -> anyhow::Result<Option<Vec<FileEdit>>> {
    let Ok(files) = files(mirror, mirror.tree(head)?, places)? else {
        return Ok(None);
    };
    let mut edited = files.clone();
    let all = offers
        .iter()
        .all(|offer| edited.set(&offer.candidate).is_ok());
    Ok(all.then(|| edited.changed_from(&files)))
}
