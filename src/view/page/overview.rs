//! The first page: what needs somebody, then every application in every stage.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Entry, Pull, PullLink, application_href, commit_url, image};
use crate::domain::TargetKey;
use crate::domain::finding::{Finding, Severity};
use crate::domain::pull_request::ApplicationSummary;
use crate::view::terminal::unmarked;
use crate::view::{Tone, finding, standing};

#[derive(Serialize, JsonSchema)]
pub struct Overview {
    pub problems: Vec<Trouble>,
    /// What of the installation is to be mended, or looked at.
    pub installation: Vec<Found>,
    pub repositories: Vec<Repository>,
    /// The newest first.
    pub activity: Vec<Entry>,
}

/// An application that failed, or that waits for a person.
#[derive(Serialize, JsonSchema)]
pub struct Trouble {
    pub title: String,
    pub href: String,
    pub tone: Tone,
    pub word: String,
    pub message: String,
}

/// What `windlass doctor` would say.
#[derive(Serialize, JsonSchema)]
pub struct Found {
    pub tone: Tone,
    pub what: String,
    pub advice: String,
}

impl Found {
    /// None: it is as it should be.
    pub fn of(found: &Finding) -> Option<Self> {
        let tone = match found.severity() {
            Severity::Good => return None,
            Severity::Advice => Tone::Wait,
            Severity::Bad => Tone::Bad,
        };
        let (what, advice) = finding(found);
        Some(Self { tone, what, advice })
    }
}

/// A wait that nobody notices.
const SHORT: Duration = Duration::from_secs(10);

/// What waits for GitHub's limits. None: nothing that is worth telling.
pub fn paced(wait: Duration) -> Option<Found> {
    (wait > SHORT).then(|| Found {
        tone: Tone::Wait,
        what: format!("previews and progress wait {} s for GitHub's limits", wait.as_secs()),
        advice: "windlass keeps below what GitHub allows an App to write; answers to people and merges go first".into(),
    })
}

/// A config repository.
#[derive(Serialize, JsonSchema)]
pub struct Repository {
    pub name: String,
    pub url: Option<String>,
    pub stages: Vec<String>,
    pub applications: Vec<Row>,
    pub pulls: Vec<Pull>,
}

/// An application: a cell for each stage, null where it has none.
#[derive(Serialize, JsonSchema)]
pub struct Row {
    pub name: String,
    pub cells: Vec<Option<Cell>>,
}

/// An application in a stage.
#[derive(Serialize, JsonSchema, Clone)]
pub struct Cell {
    pub stage: String,
    pub href: String,
    pub tone: Tone,
    pub word: String,
    pub images: Vec<String>,
    pub commit: Option<String>,
    pub commit_url: Option<String>,
    /// Since when it is healthy.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// Commits that change it, that Git has and the cluster does not.
    pub behind: Option<u32>,
    pub notes: Vec<String>,
    pub pulls: Vec<PullLink>,
}

impl Cell {
    pub fn new(
        key: &TargetKey,
        summary: &ApplicationSummary,
        (repository, since): (Option<&str>, Option<Timestamp>),
        pulls: Vec<PullLink>,
    ) -> Self {
        let (tone, word) = standing(summary);
        let held = summary.held.as_ref().map(|held| format!("held by {held}"));
        let unproven = summary.unproven.clone();
        Self {
            stage: key.place(),
            href: application_href(key),
            tone,
            word: word.into(),
            images: summary.images.iter().map(image).collect(),
            commit: summary.revision.as_ref().map(|at| at.short().to_string()),
            commit_url: commit_url(repository, summary.revision.as_ref()),
            since,
            behind: Some(summary.behind).filter(|behind| *behind > 0),
            notes: held.into_iter().chain(unproven).collect(),
            pulls,
        }
    }
}

impl Trouble {
    /// None: nobody has to act.
    pub fn of(key: &TargetKey, summary: &ApplicationSummary) -> Option<Self> {
        let (tone, word) = standing(summary);
        matches!(tone, Tone::Bad | Tone::Wait).then(|| Self {
            title: key.title(),
            href: application_href(key),
            tone,
            word: word.into(),
            message: unmarked(summary.message.as_deref().unwrap_or_default()),
        })
    }
}
