//! Holds: windlass merges nothing by itself into a held stage until somebody resumes it, or until
//! the hold's time has passed. What a person merges goes on, and so does the sync of what Git has.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A hold of an application in a stage, as the annotation `windlass.dev/hold` keeps it in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who holds it: a GitHub login, or `windlass`.
    pub by: String,
    pub reason: String,
    pub since: Timestamp,
    /// None: until somebody resumes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The pull request on which it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<u64>,
}

/// The most characters of a reason that are kept.
const MOST_REASON: usize = 300;

fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

impl Hold {
    /// Reads the annotation. Plain text, as somebody writes it with kubectl, is the reason.
    pub fn read(annotation: &str) -> Option<Self> {
        let text = annotation.trim();
        if text.is_empty() {
            return None;
        }
        Some(serde_json::from_str(text).unwrap_or_else(|_| Self {
            by: "kubectl".into(),
            reason: bounded(text),
            since: Timestamp::UNIX_EPOCH,
            until: None,
            pull_request: None,
        }))
    }

    pub fn new(by: &str, reason: &str, since: Timestamp, until: Option<Timestamp>) -> Self {
        Self {
            by: by.into(),
            reason: bounded(reason),
            since: whole_second(since),
            until: until.map(whole_second),
            pull_request: None,
        }
    }

    /// The annotation's value.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it lasts longer than another one.
    pub fn outlasts(&self, other: &Self) -> bool {
        match (self.until, other.until) {
            (None, until) => until.is_some(),
            (Some(_), None) => false,
            (Some(until), Some(other)) => until > other,
        }
    }

    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// A reason as it is kept: in one line, and not longer than that.
pub fn bounded(text: &str) -> String {
    crate::domain::pull_request::shortened(
        &text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" "),
        MOST_REASON,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_read_as_it_was_written_and_plain_text_is_a_reason() {
        let now = Timestamp::from_second(1_000).unwrap();
        let later = Timestamp::from_second(1_060).unwrap();
        let hold = Hold::new("ada", "  a \n migration", now, Some(later));
        assert_eq!(Hold::read(&hold.to_text()), Some(hold.clone()));
        assert_eq!(hold.reason, "a migration");
        let endless = Hold::new("bob", "x", now, None);
        assert!(endless.outlasts(&hold) && !hold.outlasts(&endless) && !hold.outlasts(&hold));
        assert!(!endless.outlasts(&endless));
        assert!(!hold.is_over(now) && hold.is_over(later));
        let plain = Hold::read("waits for ops").unwrap();
        assert_eq!(
            (plain.by.as_str(), plain.reason.as_str(), plain.until),
            ("kubectl", "waits for ops", None)
        );
        assert_eq!(Hold::read("  "), None);
    }
}
