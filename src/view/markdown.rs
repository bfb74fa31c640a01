//! Text from outside, made harmless: code spans, fences, escaped sentences; and a body that fits
//! into a comment.

use super::MOST_BYTES;

/// The first of many, and how many more there are.
pub fn first_of(most: usize, all: impl ExactSizeIterator<Item: ToString>) -> String {
    let more = all.len().saturating_sub(most);
    let shown: Vec<_> = all.take(most).map(|one| one.to_string()).collect();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Some names, the first twenty of many.
pub fn listed(names: &[String]) -> String {
    first_of(20, names.iter().map(|name| code(name)))
}

/// Text in a code span: whatever is in it, it stays in it. A pipe would end a table's cell.
pub fn code(text: &str) -> String {
    let text = one_line(text).replace('|', "¦").replace("<!--", "<! --");
    let run = longest_run(&text, '`');
    let ticks = "`".repeat(if run == 0 { 1 } else { run + 1 });
    let pad = if text.starts_with('`') || text.ends_with('`') || text.is_empty() {
        " "
    } else {
        ""
    };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// Text in a `code` element, where Markdown is not read.
pub(super) fn code_element(text: &str) -> String {
    // An empty line would end the element, and what follows would be Markdown.
    format!(
        "<code>{}</code>",
        one_line(text)
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    )
}

/// A difference in a fence that is longer than any in it.
pub fn fence(text: &str) -> String {
    fenced("diff", text)
}

fn fenced(language: &str, text: &str) -> String {
    let text: String = text.chars().filter(|c| !is_bidi(*c)).collect();
    let ticks = "`".repeat(longest_run(&text, '`').max(2) + 1);
    format!(
        "{ticks}{language}\n{}\n{ticks}",
        text.trim_end_matches('\n')
    )
}

/// Sentences in a fence, in lines that a page shows whole; what points at a column is left as it
/// is.
pub fn told(text: &str) -> String {
    const WIDTH: usize = 100;
    if text
        .lines()
        .any(|line| line.trim_start_matches([' ', '|']).starts_with('^'))
    {
        return fenced("text", text);
    }
    let mut out = String::new();
    for line in text.lines() {
        let mut length = 0;
        for word in line.split(' ') {
            let size = word.chars().count();
            if length > 0 {
                out.push(if length + size >= WIDTH { '\n' } else { ' ' });
                length = if length + size >= WIDTH {
                    0
                } else {
                    length + 1
                };
            }
            out.push_str(word);
            length += size;
        }
        out.push('\n');
    }
    fenced("text", &out)
}

/// Text without ends of lines, or anything else that is not shown and does something.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .filter(|c| !is_bidi(*c))
        .collect()
}

/// Characters that turn the direction of text, by which what is shown can differ from what is
/// there.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(str::len).max().unwrap_or(0)
}

/// A sentence of windlass's with code in backticks, as Markdown. What it names from outside is as
/// dead as in [`quoted`].
pub fn prose(text: &str) -> String {
    let parts: Vec<_> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return quoted(text);
    }
    let part = |(at, part): (usize, &&str)| match at % 2 {
        1 if part.is_empty() => quoted("``"),
        1 => code(part),
        _ => quoted(part),
    };
    parts.iter().enumerate().map(part).collect()
}

/// A sentence that may hold names from outside: mentions and markup in it are dead.
pub fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| !is_bidi(*c)) {
        match c {
            '@' => out.push_str("@\u{200b}"),
            '#' => out.push_str("#\u{200b}"),
            '<' => out.push_str("&lt;"),
            c if c.is_control() => out.push(' '),
            '*' | '_' | '[' | ']' | '|' | '\\' | '`' | '~' | '>' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// What GitHub takes, with a word where some was cut.
pub(super) fn bounded(body: &str) -> String {
    if body.len() <= MOST_BYTES {
        return body.to_string();
    }
    let end = body.floor_char_boundary(MOST_BYTES - 100);
    let cut = body[..end]
        .rsplit_once('\n')
        .map_or(&body[..end], |(whole, _)| whole);
    format!("{cut}\n\n… (more does not fit into a comment)\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_many_are_named_and_the_others_counted() {
        let of = |most| first_of(most, ["a", "b", "c"].iter());
        assert_eq!(of(3), "a, b, c");
        assert_eq!(of(2), "a, b and 1 more");
        assert_eq!(first_of(2, [""; 0].iter()), "");
    }

    #[test]
    fn code_of_prose_is_code_and_the_rest_is_dead() {
        let told = format!("asks with `/merge`{}", quoted(", @bob"));
        assert_eq!(prose("asks with `/merge`, @bob"), told);
        assert_eq!(prose("a ` b"), quoted("a ` b"));
        assert_eq!(prose("`<!-- x`"), code("<!-- x"));
        assert_eq!(prose("no `` code"), quoted("no `` code"));
    }
}
