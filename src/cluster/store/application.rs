//! The `Application` object: spec and status of an application in a stage.

#![expect(
    clippy::duplicated_attributes,
    reason = "each printed column has a type, and most have the same"
)]

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, ResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::inventory::InventoryEntry;
use super::unmanaged::Unmanaged;
use crate::domain::approved::ApprovedPlan;
use crate::domain::health::{Health, SyncState};
use crate::domain::history::HealthyRevision;
use crate::domain::hold::Hold;
use crate::domain::image::ImageRef;
use crate::domain::labels::{HOLD, ROLLBACK, SKIP};
use crate::domain::manifest::ResourceKey;
use crate::domain::promotion::SkippedStage;
use crate::domain::pull_request::{ApplicationSummary, FailedSync};
use crate::domain::rollback::Rollback;
use crate::domain::{CommitSha, Name, RepoName, TargetKey};

/// An application in a stage, as windlass keeps it synced.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "windlass.dev",
    version = "v1alpha1",
    kind = "Application",
    namespaced,
    status = "ApplicationStatus",
    derive = "PartialEq",
    category = "windlass",
    doc = "One application in one stage: what windlass owns there, and how far it is.",
    printcolumn(
        name = "Synced",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Synced")].status"#
    ),
    printcolumn(name = "Health", type_ = "string", json_path = ".status.health"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.revision"),
    printcolumn(name = "Held", type_ = "string", json_path = ".status.held"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationSpec {
    /// The config repository, `owner/name`.
    pub repository: RepoName,
    /// Its number on GitHub, which survives renames: part of what marks our objects.
    #[serde(default)]
    pub repository_id: i64,
    pub application: Name,
    pub stage: Name,
    /// Where the stage has several clusters: the cluster. It is then a part of the object's name.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "stageCluster"
    )]
    pub stage_cluster: Option<Name>,
    /// The directory in the config repository.
    pub path: String,
    /// The destination cluster, as the server's settings name it.
    pub cluster: String,
    /// The destination namespace.
    pub namespace: String,
}

/// What windlass has seen and done.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The newest commit of the base branch that changed this application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<CommitSha>,
    /// The newest revision that was synced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced_revision: Option<CommitSha>,
    /// How many commits changed the application since that one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub behind: u32,
    /// Earlier revisions that were passed over or replaced by that one, newest last; the last few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<CommitSha>,
    /// Digest of all files that rendering that revision reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    pub sync: SyncState,
    pub health: Health,
    /// Why it is not synced or not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The same as a word that conditions have: docs/reference/statuses.md lists them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// windlass applies nothing until somebody changes what the message names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
    /// The last sync request that was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_request: Option<String>,
    /// Names the deletions that wait for a confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Those deletions; the first of many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_confirm: Vec<String>,
    /// Deletions that somebody confirmed, or approved with the change, and that are not all done
    /// yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirmed: Vec<String>,
    /// The pause that the annotation requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// The uid of the namespace `kube-system` in the destination: another one behind the same
    /// address is another cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_uid: Option<String>,
    /// Hooks that came out well for the revision's inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookRun>,
    /// What the hooks of the first sync ran for, as long as nothing else was synced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sync: Option<LastSync>,
    /// Since when the revision's sync waits for something of the cluster, with what: what waits too
    /// long has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Revisions whose sync failed, each with the first reason; the last ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailedSync>,
    #[serde(default, rename = "fight", skip_serializing_if = "Option::is_none")]
    pub drift_loop: Option<DriftLoop>,
    /// Custom kinds for which no rule says when they are healthy, as `Widget.example.com`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unruled: Vec<String>,
    /// What people set on its objects beside Git, which no sync removes; the first of many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmanaged: Vec<Unmanaged>,
    /// The cluster's version and APIs as the revision's chart saw them: it sees the same until a
    /// commit or a sync request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Served>,
    /// Objects that existed before windlass and wait for adoption; the first of many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adoption: Vec<String>,
    /// What pull requests that are merged, or about to be, were approved for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<ApprovedPlan>,
    /// What the pull request that led to the inputs was shown to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<ApprovedPlan>,
    /// Names what the sync would do that was not approved, and that waits for `/apply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unapproved: Option<String>,
    /// Digests of images of which running pods were seen to run just them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proven: Vec<String>,
    /// Why it is not proven that what runs is what was announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<String>,
    /// The last revisions that were synced and healthy, newest last: what a rollback goes back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HealthyRevision>,
    /// Who holds the stage and why: windlass merges nothing into it by itself meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// The images that the revision runs, of those that `windlass.yaml` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageRef>,
    /// Every object that is owned: grown before the first write, shrunk after the object is seen
    /// gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inventory: Vec<InventoryEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl Application {
    /// Who holds it, if the hold is not over.
    pub fn hold(&self, now: Timestamp) -> Option<Hold> {
        let hold = Hold::read(self.annotations().get(HOLD)?)?;
        (!hold.is_over(now)).then_some(hold)
    }

    /// The earlier stage that is passed over for an image.
    pub fn skip(&self) -> Option<SkippedStage> {
        SkippedStage::read(self.annotations().get(SKIP)?)
    }

    /// The rollback that is under way.
    pub fn rollback(&self) -> Option<Rollback> {
        Rollback::read(self.annotations().get(ROLLBACK)?)
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Application {
    /// Which application of which repository in which stage it is.
    pub fn key(&self) -> TargetKey {
        let spec = &self.spec;
        TargetKey {
            repo: spec.repository.clone(),
            application: spec.application.clone(),
            stage: spec.stage.clone(),
            cluster: spec.stage_cluster.clone(),
        }
    }

    /// What others need of its status.
    pub fn summary(&self) -> ApplicationSummary {
        let status = self.status.as_ref();
        status.map(ApplicationStatus::summary).unwrap_or_default()
    }
}

impl ApplicationStatus {
    pub fn summary(&self) -> ApplicationSummary {
        ApplicationSummary {
            revision: self.revision.clone(),
            inputs: self.inputs.clone(),
            sync: self.sync,
            health: self.health,
            blocked: self.blocked,
            message: self.message.clone(),
            reason: self.reason.clone(),
            confirm: self.confirm.is_some(),
            unproven: self.unproven.clone(),
            images: self.images.clone(),
            failures: self.failures.clone(),
            held: self.held.clone(),
            behind: self.behind,
            healthy: self
                .history
                .iter()
                .map(|known| known.revision.clone())
                .collect(),
        }
    }

    /// Synced to Git, healthy, and its images verified: later stages wait for this.
    pub fn is_ready(&self) -> bool {
        self.sync == SyncState::Synced && self.health == Health::Healthy && self.unproven.is_none()
    }

    /// When its conditions last changed.
    pub fn changed_at(&self) -> Option<Timestamp> {
        let all = self.conditions.iter();
        all.map(|known| known.last_transition_time.0).max()
    }

    /// Since when it has been ready: synced, healthy, and its last sync finished. None: it is not,
    /// or that is not known.
    pub fn ready_since(&self) -> Option<Timestamp> {
        if !self.is_ready() {
            return None;
        }
        let since = |kind| {
            let holds = |known: &&Condition| known.type_ == kind && known.status == "True";
            let known = self.conditions.iter().find(holds)?;
            Some(known.last_transition_time.0)
        };
        let ready = since("Synced")?.max(since("Healthy")?);
        let finished = self.last_sync.as_ref().and_then(|last| last.finished);
        Some(finished.map_or(ready, |finished| finished.max(ready)))
    }
}

impl Default for ApplicationStatus {
    fn default() -> Self {
        Self {
            observed_generation: None,
            revision: None,
            synced_revision: None,
            behind: 0,
            superseded: Vec::new(),
            inputs: None,
            sync: SyncState::Unknown,
            health: Health::Unknown,
            message: None,
            reason: None,
            blocked: false,
            sync_request: None,
            confirm: None,
            to_confirm: Vec::new(),
            confirmed: Vec::new(),
            pause: None,
            cluster_uid: None,
            hooks: Vec::new(),
            first_run: None,
            waiting: None,
            drift_loop: None,
            unruled: Vec::new(),
            unmanaged: Vec::new(),
            served: None,
            failures: Vec::new(),
            adoption: Vec::new(),
            approved: Vec::new(),
            predicted: None,
            unapproved: None,
            last_sync: None,
            proven: Vec::new(),
            unproven: None,
            history: Vec::new(),
            held: None,
            images: Vec::new(),
            inventory: Vec::new(),
            conditions: Vec::new(),
        }
    }
}

/// No sync until a time.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The annotation's value that asked for it.
    #[serde(rename = "asked")]
    pub request: String,
    #[schemars(with = "String")]
    pub until: Timestamp,
}

/// A hook that came out well.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct HookRun {
    #[serde(flatten)]
    pub key: ResourceKey,
    /// What for: the beginning of the digest of the inputs.
    pub run: String,
}

/// What the last sync of a revision did.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LastSync {
    pub revision: CommitSha,
    /// Digest of the plan that it began with.
    pub plan: String,
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// When all of it was healthy first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub finished: Option<Timestamp>,
    /// What was done to each object, the first few hundred: `configure Deployment shop/web`.
    #[serde(default)]
    pub objects: Vec<String>,
}

/// A revision that is not done.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    pub revision: CommitSha,
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// Objects that others change again whenever they are set back: that is tried again after a while,
/// ever more seldom.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DriftLoop {
    /// What was synced: another revision starts again.
    pub revision: CommitSha,
    /// Nothing is set back before that.
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// How often it was given up.
    pub times: u32,
}

/// The version and the APIs of a chart's cluster, as it was rendered for them.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Served {
    /// Digest of the rendered files: other files are rendered for what the cluster serves then.
    pub inputs: String,
    /// The API server's version, as `v1.37.2`.
    pub kubernetes: String,
    /// What it serves: `apps/v1`, `apps/v1/Deployment`.
    pub apis: Vec<String>,
}
