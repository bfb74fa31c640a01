//! Rollbacks: a pull request that takes an application in a stage back to the files of an earlier
//! commit, and when windlass opens one by itself.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::StageKey;
use super::history::{HealthyRevision, last_good};
use super::hold::Hold;
use super::pull_request::{FailedSync, shortened};
use crate::domain::CommitSha;

/// A rollback that is under way, as the annotation `windlass.dev/rollback` keeps it in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// The files that the application is rendered from become those of this commit.
    pub to: CommitSha,
    /// Who wants it: a GitHub login, or `windlass`.
    pub by: String,
    /// Why; the evidence if windlass started it.
    #[serde(default)]
    pub reason: String,
    /// The pull request on which the command was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<u64>,
    /// Somebody chose the commit, so that another person has to approve it. Otherwise it is the last
    /// one that was healthy.
    #[serde(default)]
    pub chosen: bool,
    /// The digest of what it is to get away from: once the base has something else, the rollback is
    /// over. None: it goes back whatever the base has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_from: Option<String>,
}

/// The name that windlass's own rollbacks and holds are by.
pub const WINDLASS: &str = "windlass";

/// The most characters of a reason that are kept.
const MOST_REASON: usize = 500;

impl Rollback {
    /// Reads the annotation; a commit alone, as somebody writes it with kubectl, is enough.
    pub fn read(annotation: &str) -> Option<Self> {
        let plain = |to: CommitSha| Self {
            to,
            by: "kubectl".into(),
            reason: String::new(),
            pull_request: None,
            chosen: true,
            away_from: None,
        };
        let text = annotation.trim();
        serde_json::from_str(text)
            .ok()
            .or_else(|| text.parse().ok().map(plain))
    }

    /// The annotation's value.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Why a person has to approve it even if merging is automatic.
    pub fn manual_merge_reason(&self) -> Option<String> {
        let to = self.to.short();
        self.chosen
            .then(|| format!("{} chose to go back to {to}", self.by))
    }

    /// The hold that comes with it. `present`: one without an end stays as it is, with who holds and
    /// why.
    pub fn hold(&self, present: Option<Hold>, now: Timestamp) -> Hold {
        let back = format!("rolled back to {}", self.to.short());
        let reason = if self.reason.is_empty() {
            &back
        } else {
            &self.reason
        };
        let new = || Hold {
            pull_request: self.pull_request,
            ..Hold::new(&self.by, reason, now, None)
        };
        let present = present.filter(|present| present.until.is_none());
        present.unwrap_or_else(new)
    }

    /// Whether a hold came with it, and says nothing else.
    pub fn is_held_by(&self, hold: &Hold) -> bool {
        let own = self.hold(None, hold.since);
        (&own.by, &own.reason, own.until) == (&hold.by, &hold.reason, hold.until)
    }

    pub fn title(&self, key: &StageKey) -> String {
        format!("Roll back {} to {}", key.title(), self.to.short())
    }

    /// The commit message: the subject, and trailers.
    pub fn commit_message(&self, key: &StageKey) -> (String, String) {
        let trailers = format!("Rollback-To: {}\nRollback-By: {}", self.to, self.by);
        (self.title(key), trailers)
    }
}

/// What decides whether windlass rolls a stage back by itself.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The revision that was applied, and the digest of its inputs.
    pub revision: &'a CommitSha,
    pub inputs: &'a str,
    /// A sync of the revision has begun to write.
    pub is_applied: bool,
    pub is_degraded: bool,
    pub message: &'a str,
    pub history: &'a [HealthyRevision],
    pub failures: &'a [FailedSync],
}

/// The rollback that windlass starts by itself: the applied revision failed, or became unhealthy
/// within the window after it was healthy first.
pub fn automatic(facts: &Facts<'_>, window: Duration, now: Timestamp) -> Option<Rollback> {
    let failed = facts
        .failures
        .iter()
        .find(|failed| failed.revision == *facts.revision);
    let healthy = facts.history.last();
    let healthy = healthy.filter(|healthy| healthy.revision == *facts.revision);
    let is_within = healthy.is_some_and(|healthy| {
        Duration::try_from(now.duration_since(healthy.at)).is_ok_and(|since| since <= window)
    });
    let why = match failed {
        Some(failed) if facts.is_applied => &failed.why,
        _ if is_within && facts.is_degraded => facts.message,
        _ => return None,
    };
    let good = last_good(facts.history, facts.inputs)?;
    let revision = facts.revision.short();
    Some(Rollback {
        to: good.revision.clone(),
        by: WINDLASS.into(),
        reason: shortened(&format!("{revision} failed: {why}"), MOST_REASON),
        pull_request: None,
        chosen: false,
        away_from: Some(facts.inputs.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(digit: &str) -> CommitSha {
        digit.repeat(40).parse().unwrap()
    }

    fn healthy(digit: &str, at: i64) -> HealthyRevision {
        HealthyRevision {
            revision: sha(digit),
            inputs: digit.into(),
            at: Timestamp::from_second(at).unwrap(),
            images: Vec::new(),
            irreversible: Vec::new(),
        }
    }

    /// Each row: the healthy revisions, the failed one, whether `b` is applied and degraded, the
    /// time, and what it goes back to.
    #[test]
    fn only_what_was_applied_and_failed_is_rolled_back_and_only_to_what_was_healthy() {
        let (before, after) = (healthy("a", 0), healthy("b", 1000));
        let window = Duration::from_secs(600);
        let table = [
            (vec![&before], true, true, false, 2000, Some("a")),
            (vec![&before], true, false, false, 2000, None),
            (vec![&before], false, true, true, 2000, None),
            (vec![], true, true, false, 2000, None),
            (vec![&before, &after], false, true, true, 1600, Some("a")),
            (vec![&before, &after], false, true, true, 1601, None),
            (vec![&before, &after], false, true, false, 1100, None),
            (vec![&after], false, true, true, 1100, None),
        ];
        for (row, (history, failed, is_applied, is_degraded, now, expected)) in
            table.into_iter().enumerate()
        {
            let history: Vec<_> = history.into_iter().cloned().collect();
            let failure = FailedSync {
                revision: sha("b"),
                why: "the Deployment web failed".into(),
            };
            let facts = Facts {
                revision: &sha("b"),
                inputs: "b",
                is_applied,
                is_degraded,
                message: "the Deployment web failed",
                history: &history,
                failures: if failed { &[failure] } else { &[] },
            };
            let now = Timestamp::from_second(now).unwrap();
            let found = automatic(&facts, window, now);
            if let Some(rollback) = &found {
                assert_eq!(
                    rollback.reason,
                    "bbbbbbbbbbbb failed: the Deployment web failed"
                );
                assert_eq!(Rollback::read(&rollback.to_text()).as_ref(), Some(rollback));
            }
            let to = found.map(|rollback| rollback.to);
            assert_eq!(to, expected.map(sha), "row {row}");
        }
    }

    #[test]
    fn a_commit_alone_is_a_rollback_too() {
        let read = Rollback::read(&format!(" {}\n", sha("c"))).unwrap();
        assert_eq!((read.to, read.by.as_str()), (sha("c"), "kubectl"));
        assert_eq!(Rollback::read("somewhere"), None);
    }
}
