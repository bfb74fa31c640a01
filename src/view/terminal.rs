//! A preview in a terminal: the comment's facts, as plain lines.

use super::markdown::one_line;
use super::preview::{action_word, buckets, parts, problem, title};
use crate::domain::plan::{Change, Confidence};
use crate::domain::pull_request::{Failure, Preview};

pub fn terminal(preview: &Preview) -> String {
    let mut out = title(preview) + "\n";
    match &preview.failure {
        Some(Failure::Conflict(files)) => out.push_str(&format!(
            "\nbase and head both changed {}\n",
            files.join(", ")
        )),
        Some(Failure::Configuration(why)) => out.push_str(&format!("\n{why}\n")),
        Some(Failure::TooLarge(why)) => out.push_str(&format!("\n{why}\n")),
        Some(Failure::Fork | Failure::Killed) | None => {}
    }
    for part in parts(preview) {
        let app = part.app;
        out.push_str(&format!("\n{} on {}\n", app.key.title(), app.cluster));
        if let Some(error) = &app.error {
            out.push_str(&indented(error));
        }
        for note in &app.notes {
            out.push_str(&indented(&unmarked(note)));
        }
        for told in &part.told {
            let change = told.change;
            let word = if change.is_hook() {
                "hook runs"
            } else {
                action_word(&change.action)
            };
            out.push_str(&format!("  {word} {}{}\n", change.key, confidence(change)));
            for fact in &told.facts {
                out.push_str(&format!("    • {}\n", one_line(&unmarked(fact))));
            }
            match &problem(change) {
                Some(problem) => out.push_str(&indented(&format!("cannot be applied: {problem}"))),
                None => out.push_str(&indented(&told.whole)),
            }
        }
        for bucket in buckets(app) {
            out.push_str(&format!("  {}\n", bucket.title));
            for line in bucket.lines {
                out.push_str(&format!("    • {}\n", one_line(&unmarked(&line))));
            }
        }
    }
    out
}

fn confidence(change: &Change) -> &'static str {
    match change.confidence {
        Confidence::Server => "",
        Confidence::Simulated => " (estimate)",
        Confidence::Static => " (not checked by the cluster)",
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// Text from outside as one line, without codes that a terminal would carry out.
pub(super) fn one_cell(text: &str) -> String {
    one_line(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Markdown of ours without its marks.
pub(super) fn unmarked(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let ticks = rest.len() - rest.trim_start_matches('`').len();
        let (taken, shown) = match c {
            '`' => {
                // A span of code, where nothing is a mark, up to as many ticks.
                let (fence, inside) = rest.split_at(ticks);
                let end = inside.find(fence).unwrap_or(inside.len());
                (
                    ticks + (end + ticks).min(inside.len()),
                    inside[..end].trim(),
                )
            }
            '\\' => (1, ""),
            '*' if rest.starts_with("**") => (2, ""),
            '&' if rest.starts_with("&lt;") => (4, "<"),
            '\u{200b}' => (c.len_utf8(), ""),
            _ => (c.len_utf8(), &rest[..c.len_utf8()]),
        };
        out.push_str(shown);
        // What is escaped is text, whatever it is.
        rest = &rest[taken..];
        if c == '\\' {
            let next = rest.chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..next]);
            rest = &rest[next..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::markdown::{code, quoted};
    use super::*;

    #[test]
    fn marks_are_taken_off_and_nothing_else() {
        for text in [
            "plain",
            "a*b_c[d]|e\\f`g~h>i<j@k#l",
            "``two`` ticks",
            ".spec.ports[0] **bold**",
            "é",
        ] {
            assert_eq!(unmarked(&quoted(text)), text);
            let shown = text.replace('|', "¦");
            assert_eq!(
                unmarked(&format!("**at** {}: x", code(text))),
                format!("at {shown}: x")
            );
        }
    }
}
