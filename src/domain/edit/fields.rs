//! Sets fields of one object.

use serde_json::Value;

use super::document::{single, split_documents};
use super::{Assignment, EditError, Step, Steps, edited};
use crate::domain::fieldset::{self, Element, FieldPath};

/// Sets fields of one object to scalars. None: the object is not in the file.
pub fn set_fields(
    text: &str,
    kind: &str,
    name: &str,
    fields: &[(FieldPath, Value)],
) -> Result<Option<String>, EditError> {
    let mut out = String::new();
    let mut used = false;
    for document in split_documents(text) {
        let may_define = document.contains(kind) && document.contains(name);
        let parsed = if may_define {
            single(document).ok()
        } else {
            None
        };
        let Some(object) =
            parsed.filter(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        else {
            out.push_str(document);
            continue;
        };
        if used {
            return Err(EditError(format!("the {kind} {name} is in the file twice")));
        }
        used = true;
        let assignments = fields.iter().map(|(path, value)| {
            if value.is_object() || value.is_array() {
                return Err(EditError(format!("{path} is not a single value")));
            }
            let steps = steps_of(&object, path)
                .ok_or_else(|| EditError(format!("{path} is not in the file")))?;
            Ok(Assignment {
                steps,
                value: value.clone(),
            })
        });
        out.push_str(&edited(
            document,
            &object,
            &assignments.collect::<Result<Vec<_>, _>>()?,
        )?);
    }
    Ok(used.then_some(out))
}

/// The steps to a field in a document. The last step may be a key that does not exist yet. A key that
/// contains dots is several fields of the path (see [`FieldPath::parse`]).
pub(super) fn steps_of(document: &Value, path: &FieldPath) -> Option<Steps> {
    let (mut at, mut rest) = (document, path.0.as_slice());
    let mut steps = Vec::new();
    while let Some((element, after)) = rest.split_first() {
        rest = after;
        match element {
            Element::Field(name) => {
                if let Some((key, below, used)) = key_in(at, name, after) {
                    steps.push(Step::Key(key));
                    (at, rest) = (below, &after[used..]);
                } else if after.is_empty() && at.as_object().is_some_and(|map| !map.is_empty()) {
                    steps.push(Step::Key(name.clone()));
                } else {
                    return None;
                }
            }
            other => {
                let position = fieldset::position(at.as_array()?, other)?;
                steps.push(Step::Index(position));
                at = &at[position];
            }
        }
    }
    Some(steps)
}

/// The key of a mapping that a field of a path names, perhaps with fields after it; its value, and how
/// many of those it has.
fn key_in<'a>(map: &'a Value, name: &str, after: &[Element]) -> Option<(String, &'a Value, usize)> {
    let mut key = name.to_string();
    if let Some(value) = map.get(&key) {
        return Some((key, value, 0));
    }
    for (index, element) in after.iter().enumerate() {
        let Element::Field(part) = element else {
            return None;
        };
        key = format!("{key}.{part}");
        if let Some(value) = map.get(&key) {
            return Some((key, value, index + 1));
        }
    }
    None
}
