//! Adds what a file does not have yet: an entry of a kustomization's `images:`, or a value of a
//! chart.

use serde_json::{Value, json};
use yamlpath::Document;

use super::document::single;
use super::splice::{route, scalar};
use super::{Assignment, EditError, Step, edited};
use crate::domain::image::Candidate;

/// Adds an entry for an image to a kustomization.
pub(super) fn add_entry(
    text: &str,
    name: &str,
    candidate: &Candidate,
) -> Result<String, EditError> {
    let before = single(text)?;
    let (tag, digest) = (candidate.tag.to_string(), candidate.digest.to_string());
    let entry = json!({"name": name, "newTag": tag, "digest": digest});
    let lines = [
        format!("name: {}", plain(name)),
        format!("newTag: {}", plain(&tag)),
        format!("digest: {digest}"),
    ];
    let items = before["images"].as_array().map_or(0, Vec::len);
    let added = match (&before["images"], items) {
        (Value::Null, _) if before.get("images").is_none() => {
            let dash = if lists_are_indented(text) {
                "  - "
            } else {
                "- "
            };
            at_end(text, &["images:".into()], &item(&lines, dash))
        }
        (Value::Array(_), 1..) => after_last(text, items, &lines)?,
        _ => {
            return Err(EditError(
                "its `images:` is empty: take the line out, or add an entry".into(),
            ));
        }
    };
    let mut wanted = before.clone();
    match wanted["images"].as_array_mut() {
        Some(images) => images.push(entry),
        None => wanted["images"] = json!([entry]),
    }
    checked(added, &wanted)
}

/// Sets a value by its path; what is missing of the path is added.
pub(super) fn add_value(text: &str, steps: &[Step], value: &str) -> Result<String, EditError> {
    let before = match single(text) {
        Ok(Value::Null) => json!({}),
        Ok(before) => before,
        // Nothing but comments.
        Err(_)
            if text
                .lines()
                .all(|line| line.trim().is_empty() || line.starts_with('#')) =>
        {
            json!({})
        }
        Err(why) => return Err(why),
    };
    let keys: Option<Vec<&str>> = steps
        .iter()
        .map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
        .collect();
    let Some((last, parents)) = keys.as_deref().and_then(<[&str]>::split_last) else {
        return Err(EditError(
            "the chart sets it in a list: set it once by hand".into(),
        ));
    };
    let there = parents.iter().try_fold(&before, |at, key| at.get(key));
    if there.is_some_and(|map| map.as_object().is_some_and(|map| !map.is_empty()))
        && !parents.is_empty()
    {
        let assignment = Assignment {
            steps: steps.to_vec(),
            value: value.into(),
        };
        return edited(text, &before, &[assignment]);
    }
    let first = parents.first().unwrap_or(last);
    if before.get(first).is_some() {
        return Err(EditError(format!(
            "`{first}` has nothing to put it beside: set it once by hand"
        )));
    }
    let line = |(depth, key): (usize, &&str)| format!("{}{key}:", "  ".repeat(depth));
    let mut lines: Vec<String> = parents.iter().enumerate().map(line).collect();
    lines.push(format!(
        "{}{last}: {}",
        "  ".repeat(parents.len()),
        plain(value)
    ));
    let mut wanted = before.clone();
    let mut at = &mut wanted;
    for key in parents {
        at = &mut at[*key];
    }
    at[*last] = value.into();
    checked(at_end(text, &lines, ""), &wanted)
}

/// The text, if it reads as it should.
fn checked(text: String, wanted: &Value) -> Result<String, EditError> {
    match single(&text) {
        Ok(read) if read == *wanted => Ok(text),
        _ => Err(EditError(
            "the entry cannot be added safely: add it once by hand".into(),
        )),
    }
}

/// The lines of a list's item; `dash`: what its first line begins with.
fn item(lines: &[String], dash: &str) -> String {
    let pad = " ".repeat(dash.len());
    let rest = lines[1..].iter().map(|line| format!("\n{pad}{line}"));
    format!("{dash}{}{}", lines[0], rest.collect::<String>())
}

/// The text with lines at its end.
fn at_end(text: &str, lines: &[String], item: &str) -> String {
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut all = lines.join("\n");
    if !item.is_empty() {
        all.push('\n');
        all.push_str(item);
    }
    let gap = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        newline
    };
    format!("{text}{gap}{}{newline}", all.replace('\n', newline))
}

/// The text with an item after the last one of `images:`, written like that one.
fn after_last(text: &str, items: usize, lines: &[String]) -> Result<String, EditError> {
    let document = Document::new(text).map_err(|error| EditError(error.to_string()))?;
    let steps = [Step::Key("images".into()), Step::Index(items - 1)];
    let last = document.query_exact(&route(&steps));
    let last = last
        .ok()
        .flatten()
        .ok_or_else(|| EditError("its last image entry cannot be found: add one by hand".into()))?;
    let (start, end) = last.location.byte_span;
    let (before, inside) = (&text[..start], &text[start..end]);
    if inside.starts_with('{') && text[end..].trim_start().starts_with([',', ']']) {
        return Ok(format!(
            "{before}{inside}, {{{}}}{}",
            lines.join(", "),
            &text[end..]
        ));
    }
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let dash = &text[line_start..start];
    let is_dash = dash.trim() == "-";
    if !is_dash {
        return Err(EditError(
            "its image entries are written in an unusual way: add one by hand".into(),
        ));
    }
    let end = start + inside.trim_end().len();
    let line_end = text[end..].find('\n').map_or(text.len(), |at| end + at);
    let (head, tail) = text.split_at(line_end);
    let newline = if head.ends_with('\r') { "\r\n" } else { "\n" };
    let added = item(lines, dash).replace('\n', newline);
    let tail = if tail.is_empty() {
        newline.to_string()
    } else {
        format!("{newline}{}", &tail[1..])
    };
    // The line's own carriage return stays before its line break.
    let head = head.strip_suffix('\r').unwrap_or(head);
    Ok(format!("{head}{newline}{added}{tail}"))
}

/// Whether the lists of a file are indented below their keys, as most are.
fn lists_are_indented(text: &str) -> bool {
    !text.lines().any(|line| line.starts_with("- "))
}

/// A scalar without quotes where it needs none.
fn plain(text: &str) -> String {
    scalar("", &Value::String(text.into()))
}
