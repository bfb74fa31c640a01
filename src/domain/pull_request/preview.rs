//! What a pull request would do to the live clusters, or why there is no preview.

use std::time::Duration;

use super::ImageChange;
use crate::domain::catalog::PolicyChange;
use crate::domain::plan::{self, Change, Plan};
use crate::domain::{CommitSha, Name, TargetKey};

/// What a pull request would do to the live clusters.
#[derive(Debug, Clone)]
pub struct Preview {
    pub head: CommitSha,
    pub base: CommitSha,
    /// The applications whose inputs differ between base and head.
    pub applications: Vec<ApplicationPreview>,
    /// How many applications the base declares.
    pub total: usize,
    /// How it changes the policy of applications, by their titles.
    pub policy: Vec<(String, PolicyChange)>,
    /// Why there is no preview.
    pub failure: Option<Failure>,
    pub duration: Duration,
}

/// Why an application is none of windlass's any more, though what declares it stays in Git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forgotten {
    /// The configuration no longer names it.
    Unlisted,
    /// What declares it declares this application now.
    Renamed(String),
    /// What declares it declares none of this branch, or none that the configuration finds.
    Elsewhere,
}

/// Why a pull request has no preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Files that base and head changed incompatibly.
    Conflict(Vec<String>),
    /// The head is in a fork: untrusted, so neither rendered nor dry-run.
    Fork,
    /// The tree of the head is too large to be listed, in words.
    TooLarge(String),
    /// windlass was killed while it previewed this head.
    Killed,
    /// `windlass.yaml` is invalid: the message for its author.
    Configuration(String),
}

/// The preview of one application in one stage.
#[derive(Debug, Clone)]
pub struct ApplicationPreview {
    pub key: TargetKey,
    /// The stages that its stage comes after.
    pub after: Vec<Name>,
    pub cluster: String,
    /// How many waves of the stage's clusters are synced before this one.
    pub wave: usize,
    /// Digests of the files that its rendering reads, in the base and with the pull request.
    pub inputs: (String, String),
    /// What the pull request changes: from a sync of the base to a sync of the head.
    pub plan: Plan,
    /// What a sync would do to the live objects even without the pull request.
    pub drift: Plan,
    /// What is merged but not applied yet.
    pub waiting: Plan,
    /// Objects that were not dry-run, since neither their manifest nor their live state changed.
    pub unmoved: usize,
    pub images: Vec<ImageChange>,
    /// Why the application could not be rendered or planned.
    pub error: Option<String>,
    /// It leaves Git, and its objects stay until somebody confirms their deletion.
    pub leaves: bool,
    /// Further notes, such as withheld prunes.
    pub notes: Vec<String>,
}

impl ApplicationPreview {
    /// What the next sync does for other reasons, but for marks.
    pub fn pending(&self) -> impl Iterator<Item = &Change> {
        let plans = [&self.waiting, &self.drift].into_iter();
        let changes = plans.flat_map(Plan::effective);
        changes.filter(|change| !change.is_marks_only())
    }
}

impl Preview {
    /// Whether the plan can be applied.
    pub fn ok(&self) -> bool {
        self.failure.is_none()
            && self
                .applications
                .iter()
                .all(|app| app.error.is_none() && app.plan.problems().next().is_none())
    }

    /// The plan digest over all applications.
    pub fn digest(&self) -> String {
        plan::digest(
            self.applications
                .iter()
                .map(|app| (app.cluster.as_str(), &app.plan)),
        )
    }

    /// The identity of the preview in its check run: a preview with the same identity is not
    /// published again.
    pub fn id(&self) -> String {
        format!(
            "{} {} {}",
            self.digest(),
            self.base,
            if self.ok() { "ok" } else { "failed" }
        )
    }
}
