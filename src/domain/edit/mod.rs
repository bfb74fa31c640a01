//! Byte-exact edits of people's files: only the tag and digest of one image, or
//! only some fields of one object, change. The result is checked by parsing it.
//!
//! [`Files::set`] finds the spans with yamlpath, splices them, parses the text
//! before and after, and refuses the edit unless exactly the wanted paths differ.
//! Files that cannot be edited safely (aliases, anchors, templates, duplicate
//! keys) fail this check and are refused with a message.
//!
//! Rooms: `files` (all files of an application), `image` (where one sets an
//! image), `named` (where windlass.yaml says that one is set), `insert` (what is
//! not there yet), `fields` (fields of one object), `splice` (one scalar in a text), `document` (the documents of a file),
//! `proof` (whether only images moved).

use serde_json::Value;

use self::document::single;
use self::splice::{has_line, splice};

mod document;
mod fields;
mod files;
mod image;
mod insert;
mod named;
mod proof;
mod splice;

pub use document::split_documents;
pub use fields::set_fields;
pub use files::{Files, Kind};
pub use proof::moves_only;

/// An edit that is only valid for the blob that it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEdit {
    /// Path in the repository.
    pub path: String,
    /// The file's new text; None: it is deleted.
    pub text: Option<String>,
}

/// Why a file that uses the image cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EditError(pub String);

type Steps = Vec<Step>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// One scalar to set, inside one document.
struct Assignment {
    steps: Steps,
    value: Value,
}

/// The text with the assignments made, checked by parsing it again.
fn edited(text: &str, before: &Value, assignments: &[Assignment]) -> Result<String, EditError> {
    let mut wanted = before.clone();
    for assignment in assignments {
        set(&mut wanted, &assignment.steps, &assignment.value);
    }
    if wanted == *before {
        return Ok(text.to_string());
    }
    let mut edited = text.to_string();
    // What has a line of its own is set first: others may inherit that.
    let (own, inherited): (Vec<_>, Vec<_>) = assignments
        .iter()
        .partition(|assignment| has_line(text, &assignment.steps));
    for assignment in own.into_iter().chain(inherited) {
        let now = single(&edited)?;
        if at(&now, &assignment.steps) != Some(&assignment.value) {
            edited = splice(&edited, before, assignment)?;
        }
    }
    let after = single(&edited)?;
    if after != wanted {
        return Err(EditError(
            "the edit would change more than it should (an alias, an anchor, a template or a duplicate key is in the way): \
             write it as a plain value"
                .into(),
        ));
    }
    Ok(edited)
}

/// The value at a path.
fn at<'a>(document: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(document, |at, step| match step {
        Step::Key(key) => at.get(key),
        Step::Index(index) => at.get(*index),
    })
}

fn set(document: &mut Value, steps: &[Step], value: &Value) {
    let mut at = document;
    for step in steps {
        at = match step {
            Step::Key(key) => &mut at[key.as_str()],
            Step::Index(index) => &mut at[*index],
        };
    }
    *at = value.clone();
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
