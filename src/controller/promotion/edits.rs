//! The edits that a promotion makes, on the files of one tree.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::candidates::decisions;
use super::git::sight;
use crate::cluster::store::Promotion;
use crate::controller::revision::{hash_of, inputs_at};
use crate::domain::catalog::{RenderSource, Target, is_own};
use crate::domain::edit::{EditError, FileEdit, Files};
use crate::domain::image::{Candidate, Digest, same_image};
use crate::domain::promotion::{CandidateState, Decision, Offer};
use crate::domain::{CommitSha, Invalid};
use crate::git::{Mirror, TreeId};
use crate::render::{self, Source};

/// A place that clusters of a stage are rendered from.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    pub source: RenderSource,
    /// The images that windlass may set there, by name.
    images: BTreeSet<String>,
}

impl Place {
    fn may_set(&self, image: &str) -> bool {
        self.images.iter().any(|known| same_image(known, image))
    }
}

/// The files of an application in a stage that an image may be set in: those of each place that the
/// stage's clusters are rendered from.
#[derive(Debug, Clone, PartialEq)]
pub struct StageFiles(Vec<(Place, Files)>);

impl StageFiles {
    /// Of a stage whose files cannot be read: no image can be set.
    pub fn unreadable() -> Self {
        Self(Vec::new())
    }

    /// The digest at each place where an image is set; and whether all files could be read.
    pub fn digests(&self, image: &str) -> (Vec<Option<Digest>>, bool) {
        let (mut all, mut is_readable) = (Vec::new(), true);
        for (digests, readable) in self.0.iter().map(|(_, files)| files.digests(image)) {
            all.extend(digests);
            is_readable &= readable;
        }
        (all, is_readable)
    }

    /// Sets a candidate wherever a cluster uses it and may be given it. An error: nothing is set.
    pub fn set(&mut self, candidate: &Candidate) -> Result<(), EditError> {
        let (mut set, mut uses) = (self.clone(), 0);
        let mut why = EditError(format!("nothing sets `{}`", candidate.image));
        for (place, files) in &mut set.0 {
            if self.0.len() > 1 && !place.may_set(&candidate.image) {
                continue;
            }
            match files.set(candidate) {
                Ok(()) => uses += 1,
                // Another cluster may use it.
                Err(error) if is_unused(files, candidate) => why = error,
                Err(error) => return Err(error),
            }
        }
        if uses == 0 {
            return Err(why);
        }
        *self = set;
        Ok(())
    }

    /// The files that differ from what they were.
    pub fn changed_from(self, before: &Self) -> Vec<FileEdit> {
        let all = self.0.into_iter().zip(&before.0);
        united(all.flat_map(|((_, files), (_, before))| files.changed_from(before)))
    }
}

fn is_unused(files: &Files, candidate: &Candidate) -> bool {
    let (places, is_readable) = files.digests(&candidate.image);
    is_readable && places.is_empty()
}

/// The edits of several places: a file that they share is edited once.
fn united(edits: impl IntoIterator<Item = FileEdit>) -> Vec<FileEdit> {
    let by_path = edits.into_iter().map(|edit| (edit.path.clone(), edit));
    let by_path: BTreeMap<_, _> = by_path.collect();
    by_path.into_values().collect()
}

/// The places that the targets of a stage are rendered from, each once.
pub fn places(targets: &[Target]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for target in targets {
        let source = target.render_source();
        let images = target.images.iter().map(|rule| rule.image.clone());
        match places.iter_mut().find(|place| place.source == source) {
            // An image that one of them must not get is set in neither.
            Some(place) => {
                let images: BTreeSet<_> = images.collect();
                place.images.retain(|image| images.contains(image));
            }
            None => places.push(Place {
                source,
                images: images.collect(),
            }),
        }
    }
    places
}

/// Names what a stage is rendered from at a commit: the digest of its inputs or, where it has several
/// places, of all of them.
pub fn inputs_of_all(
    mirror: &Mirror,
    commit: &CommitSha,
    places: &[Place],
) -> anyhow::Result<String> {
    let hashes = places
        .iter()
        .map(|place| Ok(hash_of(&inputs_at(mirror, commit, &place.source)?)));
    let hashes: Vec<_> = hashes.collect::<anyhow::Result<_>>()?;
    Ok(match &hashes[..] {
        [one] => one.clone(),
        several => hex::encode(Sha256::digest(several.join(" "))),
    })
}

/// The files of these places in a tree.
pub fn files(
    mirror: &Mirror,
    tree: TreeId,
    places: &[Place],
) -> anyhow::Result<std::result::Result<StageFiles, Invalid>> {
    let source = Source::open(mirror, tree)?;
    let files = places.iter().map(|place| {
        let files = render::editable(&source, &place.source)?;
        Ok((place.clone(), files))
    });
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
    places: &[Place],
    to: &CommitSha,
) -> anyhow::Result<std::result::Result<Vec<FileEdit>, Invalid>> {
    let mut all = Vec::new();
    for place in places {
        match restored_place(mirror, tree, &place.source, to)? {
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
    places: &[Place],
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
