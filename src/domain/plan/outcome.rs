//! Whether an applied object is as its change predicted.

use serde_json::Value;

use super::{Change, UNSTABLE, without_allocated};
use crate::domain::Live;
use crate::domain::manifest::without_server_fields;
use crate::domain::mask::{Mask, without_side};

/// Whether a live object is as its change predicted, without its status and the fields that the
/// server maintains. Of a masked value only its presence counts.
pub fn matches_prediction(mask: &Mask, change: &Change, live: Option<&Live>) -> bool {
    let live = mask
        .pair(None, live.map(|live| without_server_fields(live)))
        .after;
    let mut live = live.as_deref().cloned();
    if let (Some(live), Some(after)) = (&mut live, &change.after) {
        without_allocated(live, after);
    }
    fn plain(value: &mut Value) {
        match value {
            Value::String(text) => *text = without_side(text),
            Value::Object(map) => map.values_mut().for_each(plain),
            Value::Array(items) => items.iter_mut().for_each(plain),
            _ => {}
        }
    }
    /// Unstable values count as predicted, and those that Flux fills in for a variable.
    fn ignore_unstable(predicted: &mut Value, live: &Value) {
        match (predicted, live) {
            (Value::Object(a), Value::Object(b)) => a.iter_mut().for_each(|(key, value)| {
                ignore_unstable(value, b.get(key).unwrap_or(&Value::Null))
            }),
            (Value::Array(a), Value::Array(b)) => {
                a.iter_mut().zip(b).for_each(|(a, b)| ignore_unstable(a, b))
            }
            (predicted, live) if *predicted == UNSTABLE || has_variable(predicted) => {
                *predicted = live.clone();
            }
            _ => {}
        }
    }
    fn has_variable(value: &Value) -> bool {
        value.as_str().is_some_and(|text| text.contains("${"))
    }
    let mut after = change.after.as_deref().cloned();
    after
        .as_mut()
        .into_iter()
        .chain(live.as_mut())
        .for_each(plain);
    if let (Some(after), Some(live)) = (&mut after, &live) {
        ignore_unstable(after, live);
    }
    after == live
}
