//! Values that differ in each dry-run, and so are not compared.

use serde_json::Value;

use crate::domain::fieldset::{Element, FieldPath};
use crate::domain::manifest::BOOKKEEPING;

/// Replaces a value that differs in each dry-run.
pub const UNSTABLE: &str = "(differs each time)";

/// The paths at which two answers to the same dry-run differ. `answer` gets [`UNSTABLE`] there.
pub fn settle_unstable(answer: &mut Value, other: &Value) -> Vec<FieldPath> {
    let mut found = Vec::new();
    unstable(answer, other, &mut FieldPath::default(), &mut found);
    found
}

fn unstable(answer: &mut Value, other: &Value, at: &mut FieldPath, found: &mut Vec<FieldPath>) {
    match (answer, other) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a.iter_mut() {
                // These are removed before anything is compared.
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

/// Puts [`UNSTABLE`] at the paths.
pub fn mark_unstable(value: &mut Value, paths: &[FieldPath]) {
    for path in paths {
        if let Some(found) = path.0.iter().try_fold(&mut *value, |at, step| match step {
            Element::Field(key) => at.get_mut(key.as_str()),
            Element::Index(index) => at.get_mut(*index),
            _ => None,
        }) {
            *found = Value::String(UNSTABLE.into());
        }
    }
}
