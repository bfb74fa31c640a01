//! The lanes of writes: how much of GitHub's limits each may use.

use serde_json::Value;

use crate::domain::pull_request::{GATE_CONTEXT, STICKY_MARK};

/// What a write is for: the more urgent it is, the more of the limits it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Somebody waits for it: reactions, replies.
    Acknowledge,
    /// It changes what happens: branches, pull requests, merges, verdicts, statuses.
    Decide,
    /// It only shows: previews, progress, deployments.
    Show,
}

impl Lane {
    /// The lane of a write, by its path below the repository.
    pub fn of(method: &str, path: &str, body: &Value) -> Self {
        // A preview has a check run; the verdict has one that others wait for.
        let is_preview = path.starts_with("check-runs") && body["name"] != GATE_CONTEXT;
        let is_sticky = body["body"]
            .as_str()
            .is_some_and(|text| text.starts_with(STICKY_MARK));
        let is_answer = method == "POST" && path.ends_with("/comments") && !is_sticky;
        if path.ends_with("/reactions") || is_answer {
            Self::Acknowledge
        } else if is_preview
            || is_sticky
            || path.starts_with("deployments")
            || method == "PATCH" && path.starts_with("issues/comments")
        {
            Self::Show
        } else {
            Self::Decide
        }
    }

    /// The most writes in a minute and in an hour, all lanes counted. GitHub allows about 80 and
    /// 500 that create content.
    pub(super) fn most(self) -> (usize, usize) {
        match self {
            Self::Acknowledge => (75, 480),
            Self::Decide => (65, 440),
            Self::Show => (50, 380),
        }
    }

    /// Writes of a lane that may follow each other without a pause: what shows leaves room for what
    /// decides. Answers to people wait for none.
    pub(super) fn burst(self) -> Option<u32> {
        match self {
            Self::Acknowledge => None,
            Self::Decide => Some(40),
            Self::Show => Some(20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_has_the_lane_of_its_path() {
        for (method, path, lane) in [
            ("POST", "issues/comments/7/reactions", Lane::Acknowledge),
            ("POST", "issues/7/comments", Lane::Acknowledge),
            ("PATCH", "issues/comments/7", Lane::Show),
            ("POST", "deployments/7/statuses", Lane::Show),
            ("POST", "git/refs", Lane::Decide),
            ("PUT", "pulls/7/merge", Lane::Decide),
            ("POST", "statuses/abc", Lane::Decide),
        ] {
            assert_eq!(
                Lane::of(method, path, &Value::Null),
                lane,
                "{method} {path}"
            );
        }
        for (name, lane) in [
            (GATE_CONTEXT, Lane::Decide),
            ("windlass/preview", Lane::Show),
        ] {
            let body = serde_json::json!({"name": name});
            assert_eq!(Lane::of("POST", "check-runs", &body), lane, "{name}");
        }
        let preview = serde_json::json!({"body": format!("{STICKY_MARK}x -->\nA preview")});
        let lane = Lane::of("POST", "issues/7/comments", &preview);
        assert_eq!(lane, Lane::Show);
    }
}
