//! Replaces or inserts one scalar in a text and changes no other byte.

use serde_json::Value;
use yamlpath::{Component, Document, Route};

use super::{Assignment, EditError, Step};
use crate::domain::yaml;

/// Replaces one scalar in the text, or inserts its key into the mapping it belongs to.
pub(super) fn splice(
    text: &str,
    before: &Value,
    assignment: &Assignment,
) -> Result<String, EditError> {
    let document = Document::new(text).map_err(|error| EditError(error.to_string()))?;
    if document.query_exists(&route(&assignment.steps)) {
        let feature = document
            .query_exact(&route(&assignment.steps))
            .map_err(|error| EditError(error.to_string()))?
            .ok_or_else(|| EditError("the image field is empty: set it once by hand".into()))?;
        let (start, end) = feature.location.byte_span;
        let old = &text[start..end];
        return Ok(format!(
            "{}{}{}",
            &text[..start],
            scalar(old, &assignment.value),
            &text[end..]
        ));
    }
    let Some((Step::Key(key), parent)) = assignment.steps.split_last() else {
        return Err(EditError("nowhere to put it".into()));
    };
    let mut neighbours: Vec<String> = ["newTag", "newName", "name", "digest", "tag", "repository"]
        .map(str::to_string)
        .into();
    let mapping = parent.iter().try_fold(before, |at, step| match step {
        Step::Key(key) => at.get(key),
        Step::Index(index) => at.get(*index),
    });
    let scalars = mapping
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_object() && !value.is_array());
    neighbours.extend(scalars.map(|(key, _)| key.clone()));
    insert(text, &document, parent, key, &assignment.value, &neighbours)
}

/// Adds `key: value` to a mapping, after one of its keys.
fn insert(
    text: &str,
    document: &Document,
    parent: &[Step],
    key: &str,
    value: &Value,
    neighbours: &[String],
) -> Result<String, EditError> {
    for neighbour in neighbours {
        let mut steps = parent.to_vec();
        steps.push(Step::Key(neighbour.clone()));
        let steps = route(&steps);
        let (Ok(name), Ok(Some(value_at))) = (
            document.query_key_only(&steps),
            document.query_exact(&steps),
        ) else {
            continue;
        };
        let end = value_at.location.byte_span.1;
        // In a flow mapping, also in one of several lines, as in JSON.
        let flow = text[end..].trim_start().starts_with([',', '}']);
        if flow {
            let key_at = name.location.byte_span.0;
            let is_quoted = text[key_at..].starts_with('"');
            let (quote, old) = if is_quoted { ("\"", "\"") } else { ("", "") };
            return Ok(format!(
                "{}, {quote}{key}{quote}: {}{}",
                &text[..end],
                scalar(old, value),
                &text[end..]
            ));
        }
        let column = name.location.point_span.0.1;
        let line_end = text[end..].find('\n').map_or(text.len(), |at| end + at);
        let newline = if text[..line_end].ends_with('\r') {
            "\r\n"
        } else {
            "\n"
        };
        let (head, tail) = text.split_at(line_end);
        let head = head.strip_suffix('\r').unwrap_or(head);
        let tail = if tail.is_empty() {
            String::new()
        } else {
            format!("{newline}{}", &tail[1..])
        };
        return Ok(format!(
            "{head}{newline}{}{key}: {}{tail}",
            " ".repeat(column),
            scalar("", value)
        ));
    }
    Err(EditError(
        "there is no plain value beside it after which it could be put".into(),
    ))
}

pub(super) fn route(steps: &[Step]) -> Route<'static> {
    Route::from(
        steps
            .iter()
            .map(|step| match step {
                Step::Key(key) => Component::from(key.clone()),
                Step::Index(index) => Component::from(*index),
            })
            .collect::<Vec<_>>(),
    )
}

/// The text of a scalar that replaces an old one.
pub(super) fn scalar(old: &str, value: &Value) -> String {
    match value {
        Value::String(text) => scalar_like(old, text),
        other => other.to_string(),
    }
}

/// The value in the old one's quotes. A plain value that YAML would not read as a string gets
/// double quotes.
fn scalar_like(old: &str, value: &str) -> String {
    if old.starts_with('\'') {
        return format!("'{value}'");
    }
    if old.starts_with('"') {
        return format!("\"{value}\"");
    }
    let plain = yaml::documents(&format!("a: {value}\n"))
        .is_ok_and(|read| read == [serde_json::json!({ "a": value })]);
    // Other YAML parsers read these strings as a number or a time: 12e4567, 1_000, 2024-01-02.
    let ambiguous = value.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && !value.contains([':', '/'])
        || matches!(
            value.to_ascii_lowercase().as_str(),
            "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null" | "nan" | "inf"
        );
    if plain && !ambiguous {
        value.into()
    } else {
        format!("\"{value}\"")
    }
}
