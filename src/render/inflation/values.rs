//! The values of a chart in a kustomization.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::inputs::Inputs;
use super::{Inflation, beside};
use crate::domain::{Invalid, yaml};

/// Which values win.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Precedence {
    /// Those of the entry.
    #[default]
    Override,
    /// Those of the file.
    Merge,
    /// Only the entry's are used.
    Replace,
}

impl Inflation {
    /// The values files for helm. The entry's own values become one.
    pub(super) fn values_in(
        &self,
        inputs: &mut Inputs,
        number: usize,
    ) -> Result<Vec<String>, Invalid> {
        let (first, others) = self.values.split_first().unwrap_or((&self.chart, &[]));
        let content = inputs.files.get(first);
        let inline = &self.entry.values_inline;
        if inline.is_empty() {
            // A chart need not have values.
            let first = content.is_some().then_some(first).into_iter();
            return Ok(first.chain(others).cloned().collect());
        }
        let text = content.map(|content| String::from_utf8_lossy(content));
        let mut read = yaml::documents(&text.unwrap_or_default())
            .map_err(|error| Invalid(format!("{first}: {error}")))?;
        let file = read.pop().unwrap_or_else(|| json!({}));
        let inline = Value::Object(inline.clone());
        let merged = match self.entry.values_merge {
            Precedence::Override => merged(Some(file), Some(inline)),
            Precedence::Merge => merged(Some(inline), Some(file)),
            Precedence::Replace => Some(inline),
        };
        let path = beside(&self.file, &format!("windlass-values-{number}.yaml"));
        let text = merged.unwrap_or_default().to_string();
        let content = Arc::from(text.into_bytes());
        inputs.files.insert(path.clone(), content);
        Ok([path].into_iter().chain(others.iter().cloned()).collect())
    }
}

/// Values with others merged over them, as kyaml's merge2 does it: null takes a value out.
fn merged(under: Option<Value>, over: Option<Value>) -> Option<Value> {
    match (under, over) {
        (under, None) => under,
        (_, Some(Value::Null)) => None,
        (Some(Value::Object(mut under)), Some(Value::Object(over))) => {
            for (key, value) in over {
                match merged(under.remove(&key), Some(value)) {
                    Some(value) => drop(under.insert(key, value)),
                    None => drop(under.remove(&key)),
                }
            }
            Some(Value::Object(under))
        }
        (None | Some(Value::Null), Some(over @ Value::Object(_))) => {
            merged(Some(json!({})), Some(over))
        }
        (_, over) => over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_merged_as_kustomize_merges_them() {
        for (under, over, expected) in [
            (
                json!({"a": 1, "b": {"c": 2}}),
                json!({"b": {"d": 3}}),
                json!({"a": 1, "b": {"c": 2, "d": 3}}),
            ),
            (json!({"a": [1, 2]}), json!({"a": []}), json!({"a": []})),
            (json!({"a": {"b": 1}}), json!({"a": null}), json!({})),
            (
                json!({"a": 1}),
                json!({"b": {"c": null}}),
                json!({"a": 1, "b": {}}),
            ),
            (json!({"a": null}), json!({}), json!({"a": null})),
            (
                json!({"a": ""}),
                json!({"a": {"b": 1}}),
                json!({"a": {"b": 1}}),
            ),
        ] {
            let case = format!("{under} {over}");
            assert_eq!(merged(Some(under), Some(over)), Some(expected), "{case}");
        }
    }
}
