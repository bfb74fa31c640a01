//! The diff of two objects as people read it: lines of YAML, where a list's items are compared with
//! their counterparts and not with whatever stands in their place.
//!
//! What is shown is true: the equal and the added lines together are the object after, byte for
//! byte, and the equal and the removed ones the object before. Only where items change places, the
//! object before has them in another order, and a line says so.
//!
//! `align`: the lines of both objects. `keys`: what an item of a list is known by. Here: hunks.

mod align;
mod keys;
#[cfg(test)]
mod tests;

use serde_json::Value;

use align::{Aligned, Line, Tag};

/// How a diff is shown.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// How many equal lines stand around those that differ.
    pub context: usize,
    /// Whether hunks say where in the object they are.
    pub places: bool,
}

/// The lines of two objects.
pub(super) struct Diff(Aligned);

impl Diff {
    pub(super) fn new(before: Option<&Value>, after: Option<&Value>) -> Self {
        Self(Aligned::new(before, after))
    }

    /// The hunks, without file headers. `@@ PATH @@` parts two, and stands above the first one if
    /// that is in an item of a list and does not show which.
    pub(super) fn shown(&self, style: Style) -> String {
        let mut out = String::new();
        for (index, hunk) in self.hunks(style.context).into_iter().enumerate() {
            if let Some(title) = self.title(hunk, index, style) {
                out.push_str(&title);
            }
            for line in hunk {
                out.push_str(&self.line(line, style));
            }
        }
        out
    }

    /// Lines that differ, with the equal ones around; those that touch are one.
    fn hunks(&self, context: usize) -> Vec<&[Line]> {
        let lines = &self.0.lines;
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.differs()) {
            let (from, to) = (
                at.saturating_sub(context),
                (at + context + 1).min(lines.len()),
            );
            match ranges.last_mut() {
                Some((_, end)) if from <= *end => *end = to,
                _ => ranges.push((from, to)),
            }
        }
        let hunks = ranges.into_iter();
        hunks.filter_map(|(from, to)| lines.get(from..to)).collect()
    }

    /// The line above a hunk. None: it needs none.
    fn title(&self, hunk: &[Line], index: usize, style: Style) -> Option<String> {
        let first = hunk.iter().find(|line| line.differs())?;
        let path = self.0.path(first.place);
        let item = self.0.item(first.place);
        let is_named = |line: &Line| line.names_item && Some(line.place) == item;
        let wanted = index > 0 || (item.is_some() && !hunk.iter().any(is_named));
        // A line about the order of a list has its path itself.
        let says_so = hunk.first().is_some_and(|line| line.tag == Tag::Order);
        match wanted && !says_so {
            true if style.places && !path.is_empty() => Some(format!("@@ {path} @@\n")),
            true => (index > 0).then(|| "@@\n".into()),
            false => None,
        }
    }

    fn line(&self, line: &Line, style: Style) -> String {
        let text = &line.text;
        match line.tag {
            Tag::Equal => format!(" {text}\n"),
            Tag::Delete => format!("-{text}\n"),
            Tag::Insert => format!("+{text}\n"),
            Tag::Order if style.places => format!("@@ {}: {text} @@\n", self.0.path(line.place)),
            Tag::Order => format!("@@ {text} @@\n"),
        }
    }
}
