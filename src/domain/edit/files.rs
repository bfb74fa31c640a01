//! The files that an application is rendered from, and setting an image in them.
//!
//! The image is set where the application's own files set it. If only a base or
//! a chart elsewhere does, the application gets an entry of its own that wins
//! over that: files that others render from too stay as they are.

use std::collections::BTreeMap;

use super::document::single;
use super::image::{Form, Place, bare, places_in, set_where};
use super::insert::{add_entry, add_value};
use super::{EditError, FileEdit, Step, named};
use crate::domain::fieldset::FieldPath;
use crate::domain::image::{Candidate, Digest, NamedPlace, same_image};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Kustomization,
    Manifests,
    /// Of a chart.
    Values,
    /// Something else, which windlass.yaml names.
    Named,
}

/// A file: what it is, and its text.
type File = (Kind, String);

/// The files of an application.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// The application's directory, for messages.
    pub place: String,
    /// Its own files, by their paths: these may be edited.
    pub own: BTreeMap<String, File>,
    /// Its own values file that wins over the others of its chart.
    pub last_values: Option<String>,
    /// What it reads elsewhere.
    pub elsewhere: BTreeMap<String, File>,
    /// Where windlass.yaml says that images are set, by the paths of own files.
    pub named: Vec<NamedPlace>,
}

impl Files {
    /// The digest at each place where the image is set; None: a place without one. If the files
    /// cannot all be read, false.
    pub fn digests(&self, image: &str) -> (Vec<Option<Digest>>, bool) {
        let (mut all, readable) = self.found_digests(image);
        for (path, paths) in self.named_for(image) {
            match self.own.get(path) {
                Some((_, text)) => all.extend(named::digests(text, &paths, image)),
                None => all.push(None),
            }
        }
        (all, readable)
    }

    /// The named places of an image, by file.
    fn named_for(&self, image: &str) -> BTreeMap<&str, Vec<&FieldPath>> {
        let mut files: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let of_image = |place: &&NamedPlace| same_image(&place.image, image);
        for place in self.named.iter().filter(of_image) {
            files
                .entry(place.file.as_str())
                .or_default()
                .push(&place.path);
        }
        files
    }

    /// The digests at the places that are found without being named.
    fn found_digests(&self, image: &str) -> (Vec<Option<Digest>>, bool) {
        let (own, readable) = digests(&self.own, image);
        if !own.is_empty() {
            return (own, readable);
        }
        let (mut elsewhere, all) = digests(&self.elsewhere, image);
        let values = self
            .elsewhere
            .values()
            .filter(|(kind, _)| *kind == Kind::Values);
        let places = values.filter_map(|(kind, text)| places_in(text, *kind, image).ok());
        let overridden: Vec<_> = places
            .flatten()
            .filter_map(|place| self.own_digest(&place))
            .collect();
        if !overridden.is_empty() {
            elsewhere = overridden;
        }
        (elsewhere, readable && all)
    }

    /// The digest that an own value sets in the place of a chart's; None: there is no such value.
    fn own_digest(&self, place: &Place) -> Option<Option<Digest>> {
        let own = self
            .own
            .values()
            .rev()
            .filter(|(kind, _)| *kind == Kind::Values);
        own.filter_map(|(_, text)| single(text).ok())
            .find_map(|values| place.digest_in(&values))
    }

    /// Sets a candidate's image; an error leaves everything as it was.
    pub fn set(&mut self, candidate: &Candidate) -> Result<(), EditError> {
        let mut set = self.clone();
        let is_named = set.set_named(candidate)?;
        if !set.set_found(candidate)? && !is_named {
            return Err(self.nowhere(&candidate.image));
        }
        *self = set;
        Ok(())
    }

    /// Sets the places that windlass.yaml names; whether there are any.
    fn set_named(&mut self, candidate: &Candidate) -> Result<bool, EditError> {
        let mut edited = BTreeMap::new();
        for (path, paths) in self.named_for(&candidate.image) {
            let Some((kind, text)) = self.own.get(path) else {
                return Err(EditError(format!(
                    "windlass.yaml names {path} for `{}`, and there is no such file",
                    candidate.image
                )));
            };
            let set = named::set(text, &paths, candidate);
            let set = set.map_err(|EditError(why)| EditError(format!("{path}: {why}")))?;
            edited.insert(path.to_string(), (*kind, set));
        }
        let is_named = !edited.is_empty();
        self.own.extend(edited);
        Ok(is_named)
    }

    /// Sets the places that are found without being named; whether there are any.
    fn set_found(&mut self, candidate: &Candidate) -> Result<bool, EditError> {
        let mut edited = BTreeMap::new();
        // What a kustomization's entry overrides stays as it is.
        let has_entry = has_entry(&self.own, &candidate.image);
        let is_wanted = |place: &Place| !has_entry || !place.is_of_a_container();
        for (path, (kind, text)) in &self.own {
            let set = set_where(text, *kind, candidate, &is_wanted);
            let set = set.map_err(|EditError(why)| EditError(format!("{path}: {why}")))?;
            if let Some(text) = set {
                edited.insert(path.clone(), (*kind, text));
            }
        }
        if edited.is_empty() {
            edited.extend(self.override_elsewhere(candidate)?);
        }
        let is_found = !edited.is_empty();
        self.own.extend(edited);
        Ok(is_found)
    }

    /// An own entry for an image that something elsewhere sets. None: nothing does.
    fn override_elsewhere(
        &self,
        candidate: &Candidate,
    ) -> Result<Option<(String, File)>, EditError> {
        let found = self.elsewhere.values().filter_map(|(kind, text)| {
            let places = places_in(text, *kind, &candidate.image).ok()?;
            (!places.is_empty()).then_some((*kind, places))
        });
        let found: Vec<_> = found.collect();
        let of_values = |(kind, _): &&(Kind, Vec<Place>)| *kind == Kind::Values;
        if let Some((_, places)) = found.iter().find(of_values) {
            return self.value(candidate, places).map(Some);
        }
        let mut names: Vec<&str> = found
            .iter()
            .flat_map(|(_, places)| places)
            .map(|place| place.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        let root = self.own.iter().find(|(path, (kind, _))| {
            *kind == Kind::Kustomization
                && path
                    .rsplit_once('/')
                    .is_some_and(|(folder, _)| folder == self.place)
        });
        let Some((path, (kind, text))) = root.filter(|_| !names.is_empty()) else {
            return Ok(None);
        };
        let mut text = text.clone();
        for name in names {
            let added = add_entry(&text, name, candidate);
            text = added.map_err(|EditError(why)| EditError(format!("{path}: {why}")))?;
        }
        Ok(Some((path.clone(), (*kind, text))))
    }

    /// An own value for an image that the chart's values set.
    fn value(&self, candidate: &Candidate, places: &[Place]) -> Result<(String, File), EditError> {
        let last = self.last_values.as_ref();
        let own = last.and_then(|path| self.own.get_key_value(path));
        let Some((path, (kind, text))) = own else {
            return Err(self.nowhere(&candidate.image));
        };
        let mut text = text.clone();
        for place in places {
            text = set_value(&text, place, candidate)
                .map_err(|EditError(why)| EditError(format!("{path}: {why}")))?;
        }
        Ok((path.clone(), (*kind, text)))
    }

    /// The files that differ from what was before.
    pub fn changed_from(self, before: &Self) -> Vec<FileEdit> {
        let differs = self
            .own
            .into_iter()
            .filter(|(path, text)| before.own.get(path) != Some(text));
        differs
            .map(|(path, (_, text))| FileEdit {
                path,
                text: Some(text),
            })
            .collect()
    }

    /// Why the image cannot be set, with what would help there.
    fn nowhere(&self, image: &str) -> EditError {
        let place = &self.place;
        let of = |wanted: Kind| {
            let mut own = self.own.iter();
            own.find_map(|(path, (kind, _))| (*kind == wanted).then_some(path))
        };
        let advice = match (of(Kind::Kustomization), of(Kind::Values)) {
            (Some(file), _) => format!(
                "add an entry `name: {image}` to the `images:` of {file}, or use it in an `image:` field"
            ),
            (None, Some(file)) => format!(
                "set it in {file}, as `image: {{ repository: {image}, tag: … }}` or as the chart takes it"
            ),
            (None, None) => "use it in an `image:` field".to_string(),
        };
        EditError(format!("no file in {place} sets `{image}`: {advice}"))
    }
}

/// Sets a value where the chart's own values have it.
fn set_value(text: &str, place: &Place, candidate: &Candidate) -> Result<String, EditError> {
    let (tag, digest) = (candidate.tag.to_string(), candidate.digest.to_string());
    let at = |key: &str| [place.steps.clone(), vec![Step::Key(key.into())]].concat();
    match &place.form {
        Form::Apart {
            tag: key,
            digest: Some(other),
        } => {
            let text = add_value(text, &at(key), &tag)?;
            let digest = if *other == "digest" {
                digest
            } else {
                bare(&digest)
            };
            add_value(&text, &at(other), &digest)
        }
        Form::Apart { tag: key, .. } => add_value(text, &at(key), &format!("{tag}@{digest}")),
        Form::Field | Form::Entry => add_value(
            text,
            &place.steps,
            &format!("{}:{tag}@{digest}", place.name),
        ),
    }
}

/// Whether a kustomization has an entry for the image.
fn has_entry(files: &BTreeMap<String, File>, image: &str) -> bool {
    let mut places = files
        .values()
        .map(|(kind, text)| places_in(text, *kind, image));
    places.any(|places| places.is_ok_and(|places| places.iter().any(Place::is_entry)))
}

fn digests(files: &BTreeMap<String, File>, image: &str) -> (Vec<Option<Digest>>, bool) {
    let all = files
        .values()
        .map(|(kind, text)| places_in(text, *kind, image));
    let (places, failed): (Vec<_>, Vec<_>) = all.partition(Result::is_ok);
    let places: Vec<_> = places.into_iter().flatten().flatten().collect();
    let has_entry = places.iter().any(Place::is_entry);
    let effective = places
        .into_iter()
        .filter(|place| !has_entry || !place.is_of_a_container());
    (
        effective.map(|place| place.digest).collect(),
        failed.is_empty(),
    )
}
