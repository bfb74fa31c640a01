//! Sets tag and digest of an image, and tells where a file sets them.

use serde_json::Value;

use super::document::{single, split_documents};
use super::{Assignment, EditError, Step, Steps, edited};
use crate::domain::image::{Candidate, Digest, ImageRef, same_image, shortest};

/// Sets tag and digest of the candidate's image wherever `text` names it: in a kustomization's `images:` list, or
/// in `image:` fields. None where the file does not use the image; the same text where it has the candidate already.
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

/// The digest at each place where `text` sets an image; None where it names none.
pub fn digests(text: &str, image: &str) -> Result<Vec<Option<Digest>>, EditError> {
    let mut found = Vec::new();
    for document in split_documents(text.strip_prefix('\u{feff}').unwrap_or(text))
        .into_iter()
        .filter(|text| names(text, image))
    {
        found.extend(
            places(&single(document)?, image)
                .into_iter()
                .map(|place| place.digest),
        );
    }
    Ok(found)
}

/// A quick look first: most files do not name the image, and need not be readable for us.
fn names(text: &str, image: &str) -> bool {
    text.to_ascii_lowercase().contains(shortest(image))
}

fn set_in_document(text: &str, candidate: &Candidate) -> Result<Option<String>, EditError> {
    if !names(text, &candidate.image) {
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
    /// The name as an `image:` field has it; None: an entry of a kustomization, whose name stays as it is.
    name: Option<String>,
    digest: Option<Digest>,
}

/// Where a document sets an image: entries of a kustomization's `images:`, or `image:` fields.
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

/// What to set in a document so that it runs the candidate.
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

/// Calls `visit` with every string under a key `image`, and where it is.
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
