//! The page of one application in one stage.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Entry, Pull, PullLink, commit_url, image};
use crate::domain::health::{Assessment, Health};
use crate::domain::history::HealthyRevision;
use crate::domain::manifest::ResourceKey;
use crate::domain::plan::Action;
use crate::domain::pull_request::FailedSync;
use crate::view::{Tone, standing_of_object};

#[derive(Serialize, JsonSchema)]
pub struct Application {
    pub name: String,
    pub repository: String,
    pub repository_url: Option<String>,
    pub path: String,
    pub cluster: String,
    pub destination: String,
    pub tone: Tone,
    pub sync: String,
    pub health: String,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub commit: Option<String>,
    pub commit_url: Option<String>,
    pub synced_commit: Option<String>,
    /// How many commits changed it since that one.
    pub behind: u32,
    pub held: Option<String>,
    #[schemars(with = "Option<String>")]
    pub paused_until: Option<Timestamp>,
    pub images: Vec<String>,
    pub objects: Vec<LiveObject>,
    /// Objects beside those.
    pub objects_more: usize,
    pub history: Vec<Past>,
    pub candidates: Vec<Candidate>,
    pub pulls: Vec<Pull>,
    pub commands: Vec<Command>,
    pub activity: Vec<Entry>,
    /// When its state last changed.
    #[schemars(with = "Option<String>")]
    pub updated: Option<Timestamp>,
}

/// An object that it owns.
#[derive(Serialize, JsonSchema)]
pub struct LiveObject {
    pub kind: String,
    pub name: String,
    pub tone: Tone,
    pub word: &'static str,
    /// Why it is not healthy.
    pub note: Option<String>,
    /// What the next sync would do to it.
    pub action: Option<&'static str>,
    pub diff: Option<String>,
}

/// A commit that came to its end here.
#[derive(Serialize, JsonSchema)]
pub struct Past {
    pub commit: String,
    pub commit_url: Option<String>,
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    pub images: Vec<String>,
    pub outcome: &'static str,
    pub why: Option<String>,
}

/// An image that was announced for the stage.
#[derive(Serialize, JsonSchema)]
pub struct Candidate {
    pub image: String,
    pub state: String,
    pub pull: Option<PullLink>,
}

/// A command to copy.
#[derive(Serialize, JsonSchema)]
pub struct Command {
    pub text: String,
    pub why: &'static str,
}

impl LiveObject {
    /// `change`: what a sync would do to it, with the difference.
    pub fn new(
        key: &ResourceKey,
        (health, why): Assessment,
        change: Option<(&Action, &str)>,
    ) -> Self {
        let (tone, word) = standing_of_object(health);
        let kind = match key.group.is_empty() {
            true => key.kind.clone(),
            false => format!("{}.{}", key.kind, key.group),
        };
        let namespace = key
            .namespace
            .as_ref()
            .map(|namespace| format!("{namespace}/"));
        Self {
            kind,
            name: namespace.unwrap_or_default() + &key.name,
            tone,
            word,
            note: Some(why).filter(|why| !why.is_empty() && health != Health::Healthy),
            action: change.and_then(|(action, _)| verb(action)),
            diff: change
                .map(|(_, diff)| diff.to_string())
                .filter(|diff| !diff.is_empty()),
        }
    }
}

/// What a sync does to an object.
pub(super) fn verb(action: &Action) -> Option<&'static str> {
    match action {
        Action::Create => Some("create"),
        Action::Configure => Some("change"),
        Action::Recreate => Some("recreate"),
        Action::Prune => Some("delete"),
        Action::Unchanged => None,
    }
}

impl Past {
    pub fn healthy(repository: Option<&str>, past: &HealthyRevision) -> Self {
        Self {
            commit: past.revision.short().into(),
            commit_url: commit_url(repository, Some(&past.revision)),
            at: Some(past.at),
            images: past.images.iter().map(image).collect(),
            outcome: "healthy",
            why: None,
        }
    }

    pub fn failed(repository: Option<&str>, past: &FailedSync) -> Self {
        Self {
            commit: past.revision.short().into(),
            commit_url: commit_url(repository, Some(&past.revision)),
            at: None,
            images: Vec::new(),
            outcome: "failed",
            why: Some(past.why.clone()),
        }
    }
}

impl Command {
    /// What an operator may want to do with an application.
    pub fn all(application: &str) -> Vec<Self> {
        let command = |text: String, why| Self { text, why };
        vec![
            command(
                format!("windlass sync {application}"),
                "Compares every object with the cluster again, and syncs what differs.",
            ),
            command(
                format!("windlass pause {application} --for 2h"),
                "Stops syncs for a while, so that a change by hand stays.",
            ),
            command(
                format!("windlass hold {application} 'REASON'"),
                "windlass merges nothing into this stage by itself.",
            ),
            command(
                format!("windlass resume {application}"),
                "Ends a pause and a hold.",
            ),
            command(
                format!("windlass rollback {application}"),
                "Opens a pull request that goes back to the last healthy commit.",
            ),
        ]
    }
}
