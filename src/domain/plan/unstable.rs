//! What comes out differently each time that the server is asked, and so is not compared.

use serde_json::Value;

use crate::domain::fieldset::{Element, FieldPath};
use crate::domain::manifest::BOOKKEEPING;

/// In the place of what comes out differently each time.
pub const UNSTABLE: &str = "(differs each time)";

/// The paths at which two answers to the same question differ; both then say so.
pub fn settle_unstable(one: &mut Value, other: &Value) -> Vec<FieldPath> {
    let mut found = Vec::new();
    unstable(one, other, &mut FieldPath::default(), &mut found);
    found
}

fn unstable(one: &mut Value, other: &Value, at: &mut FieldPath, found: &mut Vec<FieldPath>) {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a.iter_mut() {
                // Times and versions are the server's, and gone before anything is compared.
                if at.0.is_empty() && key == "status"
                    || at.0.len() == 1
                        && at.starts_with(&["metadata"])
                        && BOOKKEEPING.contains(&key.as_str())
                {
                    continue;
                }
                at.0.push(Element::Field(key.clone()));
                unstable(value, b.get(key).unwrap_or(&Value::Null), at, found);
                at.0.pop();
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter_mut().zip(b).enumerate() {
                at.0.push(Element::Index(index));
                unstable(a, b, at, found);
                at.0.pop();
            }
        }
        (a, b) if a == b => {}
        (a, _) => {
            found.push(at.clone());
            *a = Value::String(UNSTABLE.into());
        }
    }
}

/// Puts [`UNSTABLE`] where it was found.
pub fn mark_unstable(value: &mut Value, paths: &[FieldPath]) {
    for path in paths {
        if let Some(place) = path.0.iter().try_fold(&mut *value, |at, step| match step {
            Element::Field(key) => at.get_mut(key.as_str()),
            Element::Index(index) => at.get_mut(*index),
            _ => None,
        }) {
            *place = Value::String(UNSTABLE.into());
        }
    }
}
