//! The lines of a text that may be commands.
//!
//! Rule: what a reader cannot see commands nothing, and what is visible at the start of a line does.
//! The text is read by CommonMark's block rules with GitHub's extensions (GitHub Flavored Markdown
//! Spec, <https://github.github.com/gfm/>). A line counts if it is a line of a top-level paragraph
//! and begins with `/`, after three spaces at most. The line is taken from the source, without the
//! HTML comments in it.
//!
//! So nothing in these counts: code (fenced, indented, inline), block quotes with the lines that
//! continue them lazily, HTML blocks, HTML comments, headings, tables, formulas, footnotes, struck
//! out text, descriptions of images, definitions and titles of links, front matter. An escape
//! (`\/sync`) or an entity (`&#47;sync`) is no `/`.
//!
//! Decided where the rule leaves a choice:
//!
//! - Items of lists do not count, nor does a line that continues an item without a blank line in
//!   between: CommonMark makes it a part of the item.
//! - In a `<details>` block, text after a blank line is a paragraph, and counts.
//! - Four spaces of indentation mean code, also where CommonMark continues a paragraph by them.
//! - An HTML comment that is not closed in its paragraph hides the rest of the text, although
//!   GitHub may show it.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// What GitHub's renderer knows beside CommonMark.
const GITHUB: Options = Options::ENABLE_TABLES
    .union(Options::ENABLE_FOOTNOTES)
    .union(Options::ENABLE_STRIKETHROUGH)
    .union(Options::ENABLE_TASKLISTS)
    .union(Options::ENABLE_MATH)
    .union(Options::ENABLE_GFM);

/// The most columns that a line may be indented by.
const MOST_INDENT: usize = 3;

/// The visible lines that begin with `/`, in order, each without line ends.
pub(super) fn lines(text: &str) -> Vec<String> {
    let text = after_front_matter(text);
    let mut reader = Reader {
        text,
        depth: 0,
        in_paragraph: false,
        unread: 0,
        line: None,
        found: Vec::new(),
    };
    for (event, range) in Parser::new_ext(text, GITHUB).into_offset_iter() {
        if reader.read(&event, range).is_none() {
            break;
        }
    }
    reader.found
}

/// The text after its front matter: what stands between a first line `---` and the next one.
fn after_front_matter(text: &str) -> &str {
    let mut lines = text.split_inclusive('\n');
    let mut at = match lines.next() {
        Some(first) if first.trim_end() == "---" => first.len(),
        _ => return text,
    };
    for line in lines {
        at += line.len();
        if matches!(line.trim_end(), "---" | "...") {
            return &text[at..];
        }
    }
    text
}

/// Where the reader is in the text.
struct Reader<'a> {
    text: &'a str,
    /// How many elements are open.
    depth: usize,
    /// A top-level paragraph is open.
    in_paragraph: bool,
    /// How many open elements are not read as text: images, struck out text.
    unread: usize,
    line: Option<Open>,
    found: Vec<String>,
}

/// A line that began with `/` and has not ended.
struct Open {
    /// Where it begins in the text.
    start: usize,
    /// The HTML comments in it.
    comments: Vec<Range<usize>>,
}

impl Reader<'_> {
    /// Reads an event; None: nothing after it is visible.
    fn read(&mut self, event: &Event<'_>, range: Range<usize>) -> Option<()> {
        match event {
            Event::Start(tag) => {
                self.in_paragraph |= self.depth == 0 && *tag == Tag::Paragraph;
                self.unread += usize::from(is_unread(tag.to_end()));
                self.depth += 1;
            }
            // A block of HTML ends at an empty line; what it left open goes on in the browser.
            Event::End(TagEnd::HtmlBlock) if leaves_open(&self.text[range.clone()]) => return None,
            Event::End(tag) => {
                self.depth -= 1;
                self.unread -= usize::from(is_unread(*tag));
                if self.depth == 0 {
                    self.end_line(range.end);
                    self.in_paragraph = false;
                }
            }
            _ if !self.in_paragraph => {}
            Event::SoftBreak | Event::HardBreak => self.end_line(range.start),
            Event::Text(_) => return self.read_text(range),
            Event::InlineHtml(html) if html.starts_with("<!--") => {
                if let Some(line) = &mut self.line {
                    line.comments.push(range);
                }
            }
            _ => {}
        }
        Some(())
    }

    fn read_text(&mut self, range: Range<usize>) -> Option<()> {
        let begins = self.unread == 0 && self.text[range.start..].starts_with('/');
        if begins && self.line.is_none() && self.is_line_start(range.start) {
            self.line = Some(Open {
                start: range.start,
                comments: Vec::new(),
            });
        }
        if let Some(at) = self.unclosed_comment(range) {
            self.end_line(at);
            return None;
        }
        Some(())
    }

    /// Whether there is only indentation before this place in its line.
    fn is_line_start(&self, at: usize) -> bool {
        let before = &self.text[..at];
        let start = before.rfind(['\n', '\r']).map_or(0, |end| end + 1);
        at - start <= MOST_INDENT && before[start..].bytes().all(|byte| byte == b' ')
    }

    /// Where `<!--` stands as text.
    fn unclosed_comment(&self, range: Range<usize>) -> Option<usize> {
        let places = self.text[range.clone()].match_indices('<');
        places
            .map(|(at, _)| range.start + at)
            .filter(|at| !self.text[..*at].ends_with('\\'))
            .find(|at| self.text[*at..].starts_with("<!--"))
    }

    fn end_line(&mut self, end: usize) {
        let Some(line) = self.line.take() else {
            return;
        };
        let mut text = String::new();
        let mut at = line.start;
        for comment in line.comments {
            text.push_str(&self.text[at..comment.start]);
            at = comment.end;
        }
        text.push_str(&self.text[at..end.max(at)]);
        // Code and tags may go over several lines.
        self.found.push(text.trim().replace(['\r', '\n'], " "));
    }
}

/// Whether a browser reads on in a comment or in a tag after this HTML.
fn leaves_open(html: &str) -> bool {
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            match comment.find("-->") {
                Some(end) => rest = &comment[end + 3..],
                None => return true,
            }
            continue;
        }
        let is_tag = rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c));
        if !is_tag {
            rest = &rest[1..];
            continue;
        }
        // In a tag, `>` ends it unless it stands in quotes.
        let mut quote = None;
        let end = rest.char_indices().find(|(_, c)| match (quote, c) {
            (None, '>') => true,
            (None, '"' | '\'') => {
                quote = Some(*c);
                false
            }
            (Some(open), c) if *c == open => {
                quote = None;
                false
            }
            _ => false,
        });
        match end {
            Some((end, _)) => rest = &rest[end + 1..],
            None => return true,
        }
    }
    false
}

fn is_unread(tag: TagEnd) -> bool {
    matches!(tag, TagEnd::Image | TagEnd::Strikethrough)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each text, and the lines of it that may be commands.
    fn holds(table: &[(&str, &[&str])]) {
        for (text, expected) in table {
            assert_eq!(lines(text), *expected, "{text:?}");
            // GitHub sends the ends of lines as browsers do.
            assert_eq!(lines(&text.replace('\n', "\r\n")), *expected, "{text:?}");
        }
    }

    #[test]
    fn lines_of_paragraphs_count() {
        holds(&[
            ("/a", &["/a"]),
            ("/a b  \n/c\\\n/d\n", &["/a b", "/c", "/d"]),
            ("text\n/a\ntext\n\n   /b", &["/a", "/b"]),
            ("text /a", &[]),
            ("\t/a", &[]),
            ("text\n   /a\n    /b\n\t/c", &["/a"]),
            ("/a *b* `c` [d](e)", &["/a *b* `c` [d](e)"]),
            ("**text\n/a\ntext**", &["/a"]),
            ("# text\n/a\n***\n/b", &["/a", "/b"]),
            ("/a\u{a0}b", &["/a\u{a0}b"]),
            ("\\/a\n&#47;a\n&sol;a\n<b>/a</b>\n*/a*\n[/a](b)", &[]),
        ]);
    }

    #[test]
    fn what_is_no_paragraph_does_not_count() {
        holds(&[
            ("```\n/a\n```\n/b", &["/b"]),
            ("````\n```\n/a\n````\n/b", &["/b"]),
            ("~~~\n/a\n```\n/a\n~~~\n/b", &["/b"]),
            ("```\n/a", &[]),
            ("    /a\n\n/b", &["/b"]),
            ("`text\n/a\ntext`\n/b", &["/b"]),
            ("> /a\n/a\n\n/b", &["/b"]),
            ("> text\n/a\n> text", &[]),
            ("> [!NOTE]\n> /a", &[]),
            ("- /a\n- text\n/a\n\n/b", &["/b"]),
            ("1. /a\n\n   /a\n\n/b", &["/b"]),
            ("- [ ] /a", &[]),
            ("/a\n===\n/b", &["/b"]),
            ("text\n/a\n---", &[]),
            ("# /a", &[]),
            ("/a | b\n--- | ---\n/c | d\n\n/e", &["/e"]),
            ("[a]:\n/b\n\n/c", &["/c"]),
            ("[a]: /b\n'text\n/c\ntext'\n\n[a]", &[]),
            ("[text](/b 'text\n/a\ntext')", &[]),
            ("[text](\n/a\n)", &[]),
            ("![text\n/a\ntext](/b)", &[]),
            ("~~text\n/a\ntext~~\n/b", &["/b"]),
            ("$$\n/a\n$$\n/b", &["/b"]),
            ("text[^1]\n\n[^1]: text\n    /a\n\n/b", &["/b"]),
            ("---\na: b\n\n/a\n\nc: d\n---\n/b", &["/b"]),
            ("text\n\n---\n/a\n\n---\n/b", &["/a", "/b"]),
            ("---\n/a", &["/a"]),
        ]);
    }

    #[test]
    fn html_hides_what_it_hides() {
        holds(&[
            ("<!-- text\n/a\n-->\n/b", &["/b"]),
            ("<!--\n\n/a\n\n-->\n/b", &["/b"]),
            ("<!--\n/a", &[]),
            ("text <!-- text\n/a\n--> text\n/b", &["/b"]),
            ("text <!-- text\n-->/a", &[]),
            ("text <!-- text\n\n/a", &[]),
            ("text \\<!-- text\n/a", &["/a"]),
            ("`<!--`\n/a", &["/a"]),
            ("/a <!-- text --> b", &["/a  b"]),
            ("/a <!-- text\n/b --> c\n/d", &["/a  c", "/d"]),
            ("/a <!-- text", &["/a"]),
            ("/a\n<!-- text -->", &["/a"]),
            ("<!-- text -->\n/a", &["/a"]),
            ("<div>\n/a\n</div>\n\n/b", &["/b"]),
            ("<div>a < b\n</div>\n\n/b", &["/b"]),
            ("<div><!--\n\n/a\n\n<div>-->\n\n/b", &[]),
            ("<div title=\"\n\n/a\n\n<div x\">", &[]),
            ("<!-- a\ntemplate -->\n\n/b", &["/b"]),
            ("<pre>\n\n/a\n\n</pre>\n/b", &["/b"]),
            (
                "<details><summary>text</summary>\n/a\n\n/b\n\n</details>",
                &["/b"],
            ),
        ]);
    }

    proptest! {
        /// Each line that is found begins a line of the text, and what hides the text hides all.
        #[test]
        fn lines_are_of_the_text(text in "(/[a-z]{0,3}|```|> |- |\\|---|\n| {1,5}|<!--|-->|<b>|`|\\$|~~|\\[|\\]\\(|\\)|!|\r\n|é){0,30}") {
            let found = lines(&text);
            let begun = text.split(['\r', '\n']).filter(|line| line.trim_start().starts_with('/'));
            prop_assert!(found.len() <= begun.count(), "{found:?}");
            prop_assert!(found.iter().all(|line| line.starts_with('/')), "{found:?}");
            let fence = "~".repeat(text.len().max(3));
            prop_assert_eq!(lines(&format!("{fence}\n{text}\n{fence}")), Vec::<String>::new());
            prop_assert_eq!(lines(&format!("<!--\n{}\n-->", text.replace('>', ""))), Vec::<String>::new());
        }

        #[test]
        fn any_text_is_read(text in "(?s).{0,200}") {
            prop_assert!(lines(&text).iter().all(|line| line.starts_with('/')));
        }
    }
}
