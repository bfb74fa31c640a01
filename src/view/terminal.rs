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
        let wave = match app.wave {
            0 => String::new(),
            before => format!(", wave {}", before + 1),
        };
        let (title, cluster) = (app.key.title(), &app.cluster);
        out.push_str(&format!("\n{title} on {cluster}{wave}\n"));
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

/// The same in colours: what is added, removed, and cannot be done.
pub fn coloured(text: &str) -> String {
    let (bold, red, green, cyan) = ("\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[36m");
    let mut out = String::new();
    for line in text.lines() {
        let colour = match line.strip_prefix("    ").unwrap_or_default().chars().next() {
            Some('+') => green,
            Some('-') => red,
            Some('@') => cyan,
            _ if line.trim_start().starts_with("cannot be applied") => red,
            _ if !line.is_empty() && !line.starts_with(' ') => bold,
            _ => "",
        };
        let end = if colour.is_empty() { "" } else { "\x1b[0m" };
        out.push_str(&format!("{colour}{line}{end}\n"));
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

    #[test]
    fn colours_follow_the_lines_of_a_diff() {
        let text = "1 of 2 applications changes\n\nshop/staging on local\n  changed Deployment a/b\n    @@ -1 @@\n    +new\n    -old\n     same\n    cannot be applied: no\n";
        let shown = coloured(text).replace('\x1b', "E");
        assert_eq!(
            shown,
            "E[1m1 of 2 applications changesE[0m\n\nE[1mshop/staging on localE[0m\n  changed Deployment a/b\n    E[36m@@ -1 @@E[0m\n    E[32m+newE[0m\n    E[31m-oldE[0m\n     same\n    E[31mcannot be applied: noE[0m\n".replace("    E[36m", "E[36m    ").replace("    E[32m", "E[32m    ").replace("    E[31m", "E[31m    ")
        );
    }
}
