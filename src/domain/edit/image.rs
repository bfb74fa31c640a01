//! Sets the tag and digest of an image, and finds where a file sets them.

use serde_json::Value;

use super::document::{single, split_documents};
use super::{Assignment, EditError, Step, Steps, edited};
use crate::domain::image::{Candidate, Digest, ImageRef, same_image, shortest};

/// Sets tag and digest of the candidate's image wherever `text` uses it: in a kustomization's
/// `images:` list, or in
/// `image:` fields. None: the file does not use the image. If it has the candidate already, the text stays the same.
pub fn set_image(text: &str, candidate: &Candidate) -> Result<Option<String>, EditError> {
    let (bom, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let mut out = String::from(bom);
    let mut used = false;
    for document in split_documents(body) {
        match set_in_document(document, candidate)? {
            Some(edited) => {
                used = true;
                out.push_str(&edited);
            }
            None => out.push_str(document),
        }
    }
    Ok(used.then_some(out))
}

/// The digest at each place where `text` sets an image; None: a place without a digest.
pub fn digests(text: &str, image: &str) -> Result<Vec<Option<Digest>>, EditError> {
    let mut found = Vec::new();
    for document in split_documents(text.strip_prefix('\u{feff}').unwrap_or(text))
        .into_iter()
        .filter(|text| mentions(text, image))
    {
        found.extend(
            places(&single(document)?, image)
                .into_iter()
                .map(|place| place.digest),
        );
    }
    Ok(found)
}

/// Whether a text contains the image's name at all. Most files do not, and are then not parsed.
fn mentions(text: &str, image: &str) -> bool {
    text.to_ascii_lowercase().contains(shortest(image))
}

fn set_in_document(text: &str, candidate: &Candidate) -> Result<Option<String>, EditError> {
    if !mentions(text, &candidate.image) {
        return Ok(None);
    }
    let before = single(text)?;
    let assignments = assignments(&before, candidate);
    if assignments.is_empty() {
        return Ok(None);
    }
    edited(text, &before, &assignments).map(Some)
}

/// A place where a document sets an image.
struct Place {
    steps: Steps,
    /// The name in an `image:` field; None: an entry of a kustomization, whose name is not edited.
    name: Option<String>,
    digest: Option<Digest>,
}

/// The places where a document sets an image: entries of a kustomization's `images:`, or `image:`
/// fields.
fn places(document: &Value, image: &str) -> Vec<Place> {
    let mut found = Vec::new();
    if is_kustomization(document) {
        let entries = document["images"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for (index, entry) in entries.iter().enumerate() {
            let name = |key: &str| entry[key].as_str().map(str::to_ascii_lowercase);
            if name("newName")
                .or_else(|| name("name"))
                .is_some_and(|name| same_image(&name, image))
            {
                let steps = vec![Step::Key("images".into()), Step::Index(index)];
                found.push(Place {
                    steps,
                    name: None,
                    digest: entry["digest"].as_str().and_then(|text| text.parse().ok()),
                });
            }
        }
    } else {
        image_fields(document, &mut Vec::new(), &mut |steps, text| {
            if let Ok(read) = text.parse::<ImageRef>()
                && same_image(&read.name, image)
            {
                found.push(Place {
                    steps: steps.clone(),
                    name: Some(read.name),
                    digest: read.digest,
                });
            }
        });
    }
    found
}

/// The assignments that make a document use the candidate.
fn assignments(document: &Value, candidate: &Candidate) -> Vec<Assignment> {
    let mut found = Vec::new();
    for Place { steps, name, .. } in places(document, &candidate.image) {
        match name {
            Some(name) => {
                let image = ImageRef {
                    name,
                    ..candidate.reference()
                };
                found.push(Assignment {
                    steps,
                    value: image.to_string().into(),
                });
            }
            None => {
                let at = |key: &str| [steps.clone(), vec![Step::Key(key.into())]].concat();
                found.push(Assignment {
                    steps: at("newTag"),
                    value: candidate.tag.to_string().into(),
                });
                found.push(Assignment {
                    steps: at("digest"),
                    value: candidate.digest.to_string().into(),
                });
            }
        }
    }
    found
}

fn is_kustomization(document: &Value) -> bool {
    let kind = document["kind"].as_str();
    matches!(kind, Some("Kustomization" | "Component"))
        || (kind.is_none() && document["apiVersion"].is_null())
}

/// Calls `visit` with the path and value of every string field `image`.
fn image_fields(value: &Value, steps: &mut Steps, visit: &mut impl FnMut(&Steps, &str)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                steps.push(Step::Key(key.clone()));
                match value {
                    Value::String(text) if key == "image" => visit(steps, text),
                    other => image_fields(other, steps, visit),
                }
                steps.pop();
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                steps.push(Step::Index(index));
                image_fields(item, steps, visit);
                steps.pop();
            }
        }
        _ => {}
    }
}
