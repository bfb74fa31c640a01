//! Finds the places where a file sets an image, and sets tag and digest there.

use serde_json::Value;

use super::document::{single, split_documents};
use super::{Assignment, EditError, Kind, Step, Steps, edited};
use crate::domain::image::{Candidate, Digest, ImageRef, same_image, shortest};

/// Sets tag and digest of the candidate's image wherever `text` uses it. None: the file does not use
/// the image. If it has the candidate already, the text stays the same.
pub fn set_image(
    text: &str,
    kind: Kind,
    candidate: &Candidate,
) -> Result<Option<String>, EditError> {
    let (bom, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let mut out = String::from(bom);
    let mut used = false;
    for document in split_documents(body) {
        match set_in_document(document, kind, candidate)? {
            Some(edited) => {
                used = true;
                out.push_str(&edited);
            }
            None => out.push_str(document),
        }
    }
    Ok(used.then_some(out))
}

/// The places where `text` sets an image.
pub(super) fn places_in(text: &str, kind: Kind, image: &str) -> Result<Vec<Place>, EditError> {
    let mut found = Vec::new();
    for document in split_documents(text.strip_prefix('\u{feff}').unwrap_or(text))
        .into_iter()
        .filter(|text| mentions(text, image))
    {
        found.extend(places(&single(document)?, kind, image));
    }
    Ok(found)
}

/// Whether a text contains the image's name at all. Most files do not, and are then not parsed.
fn mentions(text: &str, image: &str) -> bool {
    let (text, image) = (text.to_ascii_lowercase(), shortest(image));
    // A values file may have the registry beside it.
    let name = image.rsplit('/').next().unwrap_or(image);
    text.contains(image) || text.contains(name)
}

fn set_in_document(
    text: &str,
    kind: Kind,
    candidate: &Candidate,
) -> Result<Option<String>, EditError> {
    if !mentions(text, &candidate.image) {
        return Ok(None);
    }
    let before = single(text)?;
    let places = places(&before, kind, &candidate.image);
    let assignments: Vec<_> = places
        .iter()
        .flat_map(|place| place.assignments(candidate))
        .collect();
    if assignments.is_empty() {
        return Ok(None);
    }
    edited(text, &before, &assignments).map(Some)
}

/// A place where a document sets an image.
pub(super) struct Place {
    pub(super) steps: Steps,
    /// The image's name as it stands there.
    pub(super) name: String,
    pub(super) digest: Option<Digest>,
    pub(super) form: Form,
}

/// How a place sets an image.
pub(super) enum Form {
    /// An entry of a kustomization's `images:`.
    Entry,
    /// A whole reference.
    Field,
    /// Name and tag apart, in a mapping: the tag's key, and whether there is a key for the digest.
    Apart { tag: String, has_digest: bool },
}

impl Place {
    /// The digest that another document has at the same path. None: it has nothing there.
    pub(super) fn digest_in(&self, document: &Value) -> Option<Option<Digest>> {
        let at = self
            .steps
            .iter()
            .try_fold(document, |at, step| match step {
                Step::Key(key) => at.get(key),
                Step::Index(index) => at.get(*index),
            })?;
        let text = |key: &str| at.get(key).and_then(Value::as_str);
        let digest = match &self.form {
            Form::Field => at.as_str()?.split_once('@').map(|(_, digest)| digest),
            Form::Entry => text("digest"),
            Form::Apart { tag, .. } => {
                let (tag, digest) = (text(tag), text("digest"));
                let behind = tag
                    .or(digest)
                    .map(|_| tag.and_then(|tag| tag.split_once('@')));
                digest.or(behind?.map(|(_, digest)| digest))
            }
        };
        Some(digest.and_then(|digest| digest.parse().ok()))
    }

    /// The assignments that make it the candidate's.
    fn assignments(&self, candidate: &Candidate) -> Vec<Assignment> {
        let at = |key: &str, value: String| Assignment {
            steps: [self.steps.clone(), vec![Step::Key(key.into())]].concat(),
            value: value.into(),
        };
        let (tag, digest) = (candidate.tag.to_string(), candidate.digest.to_string());
        match &self.form {
            Form::Field => {
                let image = ImageRef {
                    name: self.name.clone(),
                    ..candidate.reference()
                };
                vec![Assignment {
                    steps: self.steps.clone(),
                    value: image.to_string().into(),
                }]
            }
            Form::Entry => vec![at("newTag", tag), at("digest", digest)],
            Form::Apart {
                tag: key,
                has_digest: true,
            } => vec![at(key, tag), at("digest", digest)],
            // Charts put a tag behind the colon of a reference, and a digest may follow it there.
            Form::Apart { tag: key, .. } => vec![at(key, format!("{tag}@{digest}"))],
        }
    }
}

fn places(document: &Value, kind: Kind, image: &str) -> Vec<Place> {
    let mut found = Vec::new();
    match kind {
        Kind::Kustomization => entries(document, image, &mut found),
        Kind::Manifests if is_kustomization(document) => entries(document, image, &mut found),
        Kind::Manifests => manifest_fields(document, image, &mut Vec::new(), &mut found),
        Kind::Values => values(document, image, &mut Vec::new(), &mut found),
    }
    found
}

fn is_kustomization(document: &Value) -> bool {
    let version = document["apiVersion"].as_str().unwrap_or_default();
    matches!(
        document["kind"].as_str(),
        Some("Kustomization" | "Component")
    ) && (version.is_empty() || version.starts_with("kustomize.config.k8s.io/"))
}

/// Entries of a kustomization's `images:`.
fn entries(document: &Value, image: &str, found: &mut Vec<Place>) {
    let all = document["images"].as_array().into_iter().flatten();
    for (index, entry) in all.enumerate() {
        let name = entry["newName"].as_str().or_else(|| entry["name"].as_str());
        let Some(name) = name.filter(|name| same_image(&name.to_ascii_lowercase(), image)) else {
            continue;
        };
        found.push(Place {
            steps: vec![Step::Key("images".into()), Step::Index(index)],
            name: name.into(),
            digest: entry["digest"].as_str().and_then(|text| text.parse().ok()),
            form: Form::Entry,
        });
    }
}

/// Every `image:` field of a manifest.
fn manifest_fields(value: &Value, image: &str, steps: &mut Steps, found: &mut Vec<Place>) {
    below(value, steps, &mut |key, value, steps| match value {
        Value::String(text) if key == Some("image") => found.extend(field(text, image, steps)),
        other => manifest_fields(other, image, steps, found),
    });
}

/// A whole reference to the image.
fn field(text: &str, image: &str, steps: &Steps) -> Option<Place> {
    let read: ImageRef = text.parse().ok()?;
    same_image(&read.name, image).then(|| Place {
        steps: steps.clone(),
        name: read.name,
        digest: read.digest,
        form: Form::Field,
    })
}

/// The places of a chart's values: `image: NAME:TAG`, and mappings with `repository` and `tag`.
fn values(value: &Value, image: &str, steps: &mut Steps, found: &mut Vec<Place>) {
    if let Some(apart) = apart(value, image, steps) {
        found.push(apart);
        return;
    }
    below(value, steps, &mut |key, value, steps| match value {
        Value::String(text) if matches!(key, Some("image" | "imageName")) => {
            found.extend(field(text, image, steps));
        }
        other => values(other, image, steps, found),
    });
}

/// A mapping that has the image's name and its tag apart.
fn apart(value: &Value, image: &str, steps: &Steps) -> Option<Place> {
    let map = value.as_object()?;
    let text = |key: &str| {
        map.get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let tag_key = |keys: &[&str]| {
        let found = keys.iter().find(|key| map.contains_key(**key));
        found.map(|key| key.to_string())
    };
    let (name, tag) = match (text("repository"), text("image")) {
        (Some(repository), _) => {
            let name = match text("registry") {
                Some(registry) => format!("{}/{repository}", registry.trim_end_matches('/')),
                None => repository.into(),
            };
            (name, tag_key(&["tag"]).unwrap_or("tag".into()))
        }
        // A name alone, with its tag beside it.
        (None, Some(name))
            if !name.contains('@')
                && name
                    .parse::<ImageRef>()
                    .is_ok_and(|read| read.tag.is_none()) =>
        {
            (name.into(), tag_key(&["tag", "imageTag"])?)
        }
        _ => return None,
    };
    if !same_image(&name.to_ascii_lowercase(), image) {
        return None;
    }
    let digest = text("digest").or_else(|| Some(text(&tag)?.split_once('@')?.1));
    Some(Place {
        steps: steps.clone(),
        digest: digest.and_then(|digest| digest.parse().ok()),
        form: Form::Apart {
            has_digest: map.contains_key("digest"),
            tag,
        },
        name,
    })
}

/// Calls `visit` with each value of a mapping or list: its key, if it has one, itself, and its path.
fn below(
    value: &Value,
    steps: &mut Steps,
    visit: &mut impl FnMut(Option<&str>, &Value, &mut Steps),
) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                steps.push(Step::Key(key.clone()));
                visit(Some(key), value, steps);
                steps.pop();
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                steps.push(Step::Index(index));
                visit(None, item, steps);
                steps.pop();
            }
        }
        _ => {}
    }
}
