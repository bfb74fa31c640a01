//! Places that windlass.yaml names for an image: where no rule of ours would look for one.

use serde_json::Value;

use super::document::{single, split_documents};
use super::fields::steps_of;
use super::{Assignment, EditError, at, edited};
use crate::domain::fieldset::FieldPath;
use crate::domain::image::{Candidate, Digest, ImageRef, Tag, reference_in};

/// What stands at a named place.
enum Written {
    /// A reference to the image, by itself or within a longer text: the texts around it.
    Reference(String, Box<ImageRef>, String),
    Digest(Digest),
    /// A tag, or a tag and a digest.
    Tag(Option<Digest>),
}

impl Written {
    /// None: it has nothing of the image.
    fn read(value: &Value, image: &str) -> Option<Self> {
        let text = match value {
            Value::String(text) => text.as_str(),
            // A tag that YAML reads as a number.
            Value::Number(_) => return Some(Self::Tag(None)),
            _ => return None,
        };
        if let Some((range, reference)) = reference_in(text, image) {
            let (before, after) = (&text[..range.start], &text[range.end..]);
            return Some(Self::Reference(
                before.into(),
                reference.into(),
                after.into(),
            ));
        }
        if let Ok(digest) = text.parse() {
            return Some(Self::Digest(digest));
        }
        let (tag, digest) = match text.split_once('@') {
            Some((tag, digest)) => (tag, Some(digest.parse().ok()?)),
            None => (text, None),
        };
        tag.parse::<Tag>().ok()?;
        Some(Self::Tag(digest))
    }

    fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Reference(_, reference, _) => reference.digest.as_ref(),
            Self::Digest(digest) => Some(digest),
            Self::Tag(digest) => digest.as_ref(),
        }
    }

    /// The same of a candidate. `has_digest`: another place of the image has the digest.
    fn of(&self, candidate: &Candidate, has_digest: bool) -> String {
        match self {
            Self::Reference(before, reference, after) => {
                let reference = ImageRef {
                    name: reference.name.clone(),
                    ..candidate.reference()
                };
                format!("{before}{reference}{after}")
            }
            Self::Digest(_) => candidate.digest.to_string(),
            Self::Tag(_) if has_digest => candidate.tag.to_string(),
            Self::Tag(_) => format!("{}@{}", candidate.tag, candidate.digest),
        }
    }
}

/// The digest at each of the named places of a file; None: a place without one, or that is not
/// there.
pub(super) fn digests(text: &str, paths: &[&FieldPath], image: &str) -> Vec<Option<Digest>> {
    let documents = split_documents(text).into_iter().map(single);
    let documents: Vec<_> = documents.filter_map(Result::ok).collect();
    let has_digest = is_digest_among(&documents, paths, image);
    let of_path = |path: &&FieldPath| {
        let found = documents.iter().filter_map(|one| read(one, path, image));
        let (references, others): (Vec<_>, Vec<_>) =
            found.partition(|written| matches!(written, Written::Reference(..)));
        let found = if references.is_empty() {
            others.into_iter().take(1).collect()
        } else {
            references
        };
        match found.as_slice() {
            [] => vec![None],
            // Its digest stands beside it.
            [Written::Tag(None)] if has_digest => vec![],
            found => found.iter().map(|one| one.digest().cloned()).collect(),
        }
    };
    paths.iter().flat_map(of_path).collect()
}

/// Sets the named places of a file; an error names the one that is not there, or that several
/// documents have.
pub(super) fn set(
    text: &str,
    paths: &[&FieldPath],
    candidate: &Candidate,
) -> Result<String, EditError> {
    let pieces = split_documents(text);
    let documents = pieces.iter().map(|piece| single(piece).ok());
    let documents: Vec<_> = documents.collect();
    let mut places = Vec::new();
    for path in paths {
        let found = documents.iter().enumerate();
        let found: Vec<_> = found
            .filter_map(|(index, document)| {
                let document = document.as_ref()?;
                Some((index, path, read(document, path, &candidate.image)?))
            })
            .collect();
        places.extend(meant(path, found, &candidate.image)?);
    }
    let has_digest = places
        .iter()
        .any(|(.., written)| matches!(written, Written::Digest(_)));
    let mut out = String::new();
    for (index, (piece, document)) in pieces.iter().zip(&documents).enumerate() {
        let of_it = places.iter().filter(|(at, ..)| *at == index);
        let assignments: Vec<_> = of_it
            .filter_map(|(_, path, written)| {
                Some(Assignment {
                    steps: steps_of(document.as_ref()?, path)?,
                    value: written.of(candidate, has_digest).into(),
                })
            })
            .collect();
        match document {
            Some(document) if !assignments.is_empty() => {
                out.push_str(&edited(piece, document, &assignments)?);
            }
            _ => out.push_str(piece),
        }
    }
    Ok(out)
}

/// A named place: the document that has it, and what stands there.
type Found<'a> = (usize, &'a &'a FieldPath, Written);

/// Those that are meant: all references to the image; otherwise the only one.
fn meant<'a>(
    path: &FieldPath,
    found: Vec<Found<'a>>,
    image: &str,
) -> Result<Vec<Found<'a>>, EditError> {
    let is_reference = |(.., written): &Found<'_>| matches!(written, Written::Reference(..));
    let (references, others): (Vec<_>, Vec<_>) = found.into_iter().partition(is_reference);
    match (references.is_empty(), others.len()) {
        (false, _) => Ok(references),
        (true, 1) => Ok(others),
        (true, 0) => Err(EditError(format!(
            "windlass.yaml names {path} for `{image}`, and there is no reference to it, tag or digest"
        ))),
        (true, several) => Err(EditError(format!(
            "windlass.yaml names {path} for `{image}`, and {several} documents of the file have that: put the one into a file of its own"
        ))),
    }
}

fn is_digest_among(documents: &[Value], paths: &[&FieldPath], image: &str) -> bool {
    let mut all = documents
        .iter()
        .flat_map(|document| paths.iter().map(move |path| read(document, path, image)));
    all.any(|written| matches!(written, Some(Written::Digest(_))))
}

fn read(document: &Value, path: &FieldPath, image: &str) -> Option<Written> {
    let steps = steps_of(document, path)?;
    Written::read(at(document, &steps)?, image)
}

#[cfg(test)]
mod tests {
    use super::super::tests::candidate;
    use super::*;

    fn set_in(text: &str, paths: &[&str]) -> Result<String, String> {
        let paths: Vec<_> = paths
            .iter()
            .map(|path| FieldPath::parse(path).unwrap())
            .collect();
        let paths: Vec<_> = paths.iter().collect();
        let set = set(text, &paths, &candidate("2.0")).map_err(|EditError(why)| why)?;
        let found = digests(&set, &paths, &candidate("2.0").image);
        assert!(!found.is_empty(), "{set}");
        let wanted = candidate("2.0").digest;
        assert!(
            found.iter().all(|digest| digest.as_ref() == Some(&wanted)),
            "{set}"
        );
        Ok(set)
    }

    #[test]
    fn a_named_place_may_hold_a_reference_a_text_with_one_a_tag_or_a_digest() {
        let digest = candidate("2.0").digest;
        let table = [
            (
                "env:\n  - name: IMAGE # the worker's\n    value: ghcr.io/acme/shop:1.0\n",
                &[".env[name=\"IMAGE\"].value"][..],
                format!(
                    "env:\n  - name: IMAGE # the worker's\n    value: ghcr.io/acme/shop:2.0@{digest}\n"
                ),
            ),
            (
                "args: [run, --image=ghcr.io/acme/shop:1.0, --fast]\n",
                &[".args[1]"],
                format!("args: [run, --image=ghcr.io/acme/shop:2.0@{digest}, --fast]\n"),
            ),
            (
                "worker: {version: 1.10}\n",
                &[".worker.version"],
                format!("worker: {{version: 2.0@{digest}}}\n"),
            ),
            (
                &format!("v: '1.0'\nd: sha256:{}\n", "a".repeat(64)),
                &[".v", ".d"],
                format!("v: '2.0'\nd: {digest}\n"),
            ),
            (
                "a: 1\n---\nb: ghcr.io/acme/shop@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
                &[".b"],
                format!("a: 1\n---\nb: ghcr.io/acme/shop:2.0@{digest}\n"),
            ),
        ];
        for (text, paths, expected) in table {
            assert_eq!(set_in(text, paths), Ok(expected.clone()), "{text}");
            assert_eq!(set_in(&expected, paths), Ok(expected.clone()), "twice");
        }
    }

    #[test]
    fn another_document_at_the_same_path_stays_as_it_is() {
        let two = "args: [ghcr.io/acme/shop:1.0]\n---\nargs: [8080]\n";
        let set = set_in(two, &[".args[0]"]).unwrap();
        assert!(set.ends_with("---\nargs: [8080]\n"), "{set}");
        let why = set_in("v: '1'\n---\nv: '2'\n", &[".v"]).unwrap_err();
        assert!(why.contains("2 documents of the file have that"), "{why}");
    }

    #[test]
    fn what_is_not_there_is_named() {
        for text in ["a: 1\n", "image: [x]\n", "image: ghcr.io/acme/other:1.0\n"] {
            let why = set_in(text, &[".image"]).unwrap_err();
            assert_eq!(
                why,
                "windlass.yaml names .image for `ghcr.io/acme/shop`, and there is no reference to it, tag or digest"
            );
        }
    }
}
