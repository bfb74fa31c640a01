//! The page of one pull request: the verdict on it, and what it would change.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::application::verb;
use super::{Entry, application_href};
use crate::domain::gate::{Standing, Verdict};
use crate::domain::plan::Plan;
use crate::domain::pull_request::ApplicationPreview;
use crate::view::preview::{counts, problem};
use crate::view::terminal::unmarked;
use crate::view::verdict::clear_words;

#[derive(Serialize, JsonSchema)]
pub struct PullPage {
    pub number: u64,
    pub repository: String,
    /// Its title.
    pub heading: String,
    pub url: Option<String>,
    pub author: String,
    pub head: String,
    #[schemars(with = "Option<String>")]
    pub evaluated_at: Option<Timestamp>,
    pub verdict: Option<VerdictView>,
    pub applications: Vec<Changed>,
    pub activity: Vec<Entry>,
}

/// A gate, and the gates in it.
#[derive(Serialize, JsonSchema)]
pub struct VerdictView {
    pub gate: &'static str,
    pub standing: Standing,
    pub reason: String,
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// Who or what can clear it.
    pub clears: Vec<String>,
    pub children: Vec<VerdictView>,
}

/// An application that the pull request changes.
#[derive(Serialize, JsonSchema)]
pub struct Changed {
    pub name: String,
    pub href: String,
    pub summary: String,
    pub diffs: Vec<Change>,
}

#[derive(Serialize, JsonSchema)]
pub struct Change {
    pub title: String,
    pub action: &'static str,
    pub diff: String,
}

/// Objects whose differences a page has, and bytes of each; the check run has all.
const MOST_DIFFS: usize = 100;
const MOST_DIFF: usize = 16 << 10;

impl VerdictView {
    pub fn new(verdict: &Verdict) -> Self {
        Self {
            gate: verdict.gate,
            standing: verdict.standing,
            reason: unmarked(&verdict.reason),
            since: verdict.since,
            clears: verdict.clears.iter().map(clear_words).collect(),
            children: verdict.children.iter().map(Self::new).collect(),
        }
    }
}

impl Changed {
    pub fn new(app: &ApplicationPreview) -> Self {
        let summary = match &app.error {
            Some(error) => error.clone(),
            None if app.plan.is_empty() => "the cluster stays as it is".into(),
            None => counts([&app.plan]).join(" · "),
        };
        Self {
            name: app.key.title(),
            href: application_href(&app.key),
            summary,
            diffs: changes(&app.plan),
        }
    }
}

fn changes(plan: &Plan) -> Vec<Change> {
    let changes = plan.effective().take(MOST_DIFFS).map(|change| Change {
        title: change.key.to_string(),
        action: match change.problem {
            Some(_) => "cannot be applied",
            None => verb(&change.action).unwrap_or("run"),
        },
        diff: cut(problem(change).unwrap_or_else(|| change.diff())),
    });
    changes.collect()
}

fn cut(mut diff: String) -> String {
    if diff.len() > MOST_DIFF {
        diff.truncate(diff.floor_char_boundary(MOST_DIFF));
        diff.push_str("\n…");
    }
    diff
}
