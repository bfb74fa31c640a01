//! Where on a pull request a command is written.

use std::fmt;
use std::str::FromStr;

use crate::domain::Invalid;

/// A text on a pull request. GitHub numbers each kind by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A comment of the thread, by its id.
    Comment(u64),
    /// The text of a review, by the review's id.
    Review(u64),
    /// A comment on a line of the diff, by its id.
    LineComment(u64),
    /// The description, by the pull request's number.
    Description(u64),
}

/// A comment of the thread is its bare id: so older windlasses wrote it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Comment(id) => write!(f, "{id}"),
            Self::Review(id) => write!(f, "review-{id}"),
            Self::LineComment(id) => write!(f, "line-{id}"),
            Self::Description(number) => write!(f, "description-{number}"),
        }
    }
}

impl FromStr for Source {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (kind, number) = match text.split_once('-') {
            Some((kind, number)) => (Some(kind), number),
            None => (None, text),
        };
        let number = number.parse().ok();
        let source = match kind {
            None => number.map(Self::Comment),
            Some("review") => number.map(Self::Review),
            Some("line") => number.map(Self::LineComment),
            Some("description") => number.map(Self::Description),
            Some(_) => None,
        };
        source.ok_or_else(|| Invalid(format!("`{text}` names no text of a pull request")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_read_as_it_is_written() {
        for (source, text) in [
            (Source::Comment(7), "7"),
            (Source::Review(7), "review-7"),
            (Source::LineComment(7), "line-7"),
            (Source::Description(7), "description-7"),
        ] {
            assert_eq!(source.to_string(), text);
            assert_eq!(text.parse(), Ok(source));
        }
        for bad in ["", "x", "-7", "review", "review-", "comment-7", "7-review"] {
            assert!(bad.parse::<Source>().is_err(), "{bad:?}");
        }
    }
}
