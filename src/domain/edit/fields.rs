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

/// The steps to a field in a document. The last step may be a key that does not exist yet.
fn steps_of(document: &Value, path: &FieldPath) -> Option<Steps> {
    let mut at = document;
    let mut steps = Vec::new();
    for (index, element) in path.0.iter().enumerate() {
        match element {
            Element::Field(name) => {
                steps.push(Step::Key(name.clone()));
                match at.get(name) {
                    Some(below) => at = below,
                    None if index + 1 == path.0.len()
                        && at.as_object().is_some_and(|map| !map.is_empty()) => {}
                    None => return None,
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
