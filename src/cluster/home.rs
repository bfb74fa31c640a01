//! Our own objects: `Application` and `Promotion`, in windlass's namespace of
//! the cluster that it runs in. Tenants cannot edit what we prune by.
//!
//! Every write is a compare-and-set on the resourceVersion that was read.

#![expect(clippy::duplicated_attributes, reason = "each printed column has a type, and most have the same")]

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, CustomResource, CustomResourceExt as _, ResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, Result, call, refused};
use crate::domain::health::{Health, SyncState};
use crate::domain::image::{Candidate, ImageRef};
use crate::domain::manifest::ResourceKey;
use crate::domain::{ApplicationKey, CommitSha, Name, RepoName};

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
    printcolumn(name = "Synced", type_ = "string", json_path = r#".status.conditions[?(@.type=="Synced")].status"#),
    printcolumn(name = "Health", type_ = "string", json_path = ".status.health"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.revision"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationSpec {
    /// The config repository, `owner/name`.
    pub repository: RepoName,
    pub application: Name,
    pub stage: Name,
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
    /// The newest commit of the tracked branch that changed this application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<CommitSha>,
    /// Digest of all files that rendering that revision reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    pub sync: SyncState,
    pub health: Health,
    /// Why it is not synced or not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Nothing is applied until somebody changes something: the message says what.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
    /// The images that the revision runs, of those that windlass may be told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageRef>,
    /// Every object that is owned: grown before the first write, shrunk after the object is seen gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inventory: Vec<InventoryEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl Default for ApplicationStatus {
    fn default() -> Self {
        Self {
            observed_generation: None,
            revision: None,
            inputs: None,
            sync: SyncState::Unknown,
            health: Health::Unknown,
            message: None,
            blocked: false,
            images: Vec::new(),
            inventory: Vec::new(),
            conditions: Vec::new(),
        }
    }
}

/// An owned object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InventoryEntry {
    #[serde(flatten)]
    pub key: ResourceKey,
    /// The API version it was last applied by, without the group.
    pub version: String,
    /// None until it was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// The images that are proposed for an application in a stage.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "windlass.dev",
    version = "v1alpha1",
    kind = "Promotion",
    namespaced,
    status = "PromotionStatus",
    derive = "PartialEq",
    category = "windlass",
    printcolumn(name = "Tag", type_ = "string", json_path = ".spec.candidates[*].tag"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Pull request", type_ = "string", json_path = ".status.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PromotionSpec {
    pub repository: RepoName,
    pub application: Name,
    pub stage: Name,
    /// The newest announced image of each name.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
}

/// How far a promotion has come.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PromotionStatus {
    /// Proposed, Merged, Rejected, or Failed with a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The pull request that proposes, or proposed, these digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The digests that the pull request is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
}

/// The custom resource definitions, as YAML documents.
pub fn definitions() -> String {
    [Application::crd(), Promotion::crd()].iter().map(|crd| format!("---\n{}", serde_yaml::to_string(crd).unwrap_or_default())).collect()
}

/// The annotation that asks for a sync; its value names the comment that asked.
pub const SYNC_REQUEST: &str = "windlass.dev/sync-requested";

/// Our objects in our namespace.
#[derive(Clone)]
pub struct Home {
    applications: Api<Application>,
    promotions: Api<Promotion>,
}

impl Home {
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { applications: Api::namespaced(client.clone(), namespace), promotions: Api::namespaced(client, namespace) }
    }

    /// None: not made yet. An object of that name that is another repository's is an error.
    pub async fn application(&self, key: &ApplicationKey) -> Result<Option<Application>> {
        let what = format!("read Application {}", key.object_name());
        match call(&what, self.applications.get(&key.object_name())).await? {
            Ok(object) if object.spec.repository == key.repo => Ok(Some(object)),
            Ok(object) => {
                let message =
                    format!("{} declares the same application in the same stage: give one of them another name", object.spec.repository);
                Err(Error::Refused { what, message })
            }
            Err(status) if status.is_not_found() => Ok(None),
            Err(status) => Err(refused(&what, &status)),
        }
    }

    pub async fn applications(&self) -> Result<Vec<Application>> {
        let what = "list Applications";
        Ok(call(what, self.applications.list(&Default::default())).await?.map_err(|status| refused(what, &status))?.items)
    }

    /// Makes the object, or brings its spec up to date.
    pub async fn declare_application(&self, key: &ApplicationKey, spec: ApplicationSpec, seen: Option<Application>) -> Result<Application> {
        let what = format!("declare Application {}", key.object_name());
        let request = match seen {
            Some(seen) if seen.spec == spec => return Ok(seen),
            Some(seen) => call(&what, self.applications.replace(&key.object_name(), &parameters(), &Application { spec, ..seen })).await?,
            None => call(&what, self.applications.create(&parameters(), &Application::new(&key.object_name(), spec))).await?,
        };
        request.map_err(|status| refused(&what, &status))
    }

    /// Writes the status if it says something new; the object as it is afterwards.
    pub async fn report_application(&self, seen: &Application, mut status: ApplicationStatus, now: Timestamp) -> Result<Application> {
        let before = seen.status.clone().unwrap_or_default();
        status.observed_generation = seen.metadata.generation;
        status.inventory.sort();
        status.conditions = conditions(&before.conditions, &status, seen.metadata.generation, now);
        if before == status {
            return Ok(seen.clone());
        }
        let what = format!("report on Application {}", seen.name_any());
        let object = Application { status: Some(status), ..seen.clone() };
        call(&what, self.applications.replace_status(&seen.name_any(), &parameters(), &object))
            .await?
            .map_err(|status| refused(&what, &status))
    }

    /// Leaves a wish for a sync, named by the comment that made it.
    pub async fn request_sync(&self, key: &ApplicationKey, comment: u64) -> Result<bool> {
        let what = format!("request a sync of {}", key.title());
        let patch = serde_json::json!({"metadata": {"annotations": {SYNC_REQUEST: comment.to_string()}}});
        match call(&what, self.applications.patch(&key.object_name(), &PatchParams::default(), &Patch::Merge(&patch))).await? {
            Ok(_) => Ok(true),
            Err(status) if status.is_not_found() => Ok(false),
            Err(status) => Err(refused(&what, &status)),
        }
    }

    pub async fn promotion(&self, key: &ApplicationKey) -> Result<Option<Promotion>> {
        let what = format!("read Promotion {}", key.object_name());
        match call(&what, self.promotions.get(&key.object_name())).await? {
            Ok(object) if object.spec.repository == key.repo => Ok(Some(object)),
            Ok(object) => Err(Error::Refused { what, message: format!("it belongs to {}", object.spec.repository) }),
            Err(status) if status.is_not_found() => Ok(None),
            Err(status) => Err(refused(&what, &status)),
        }
    }

    pub async fn promotions(&self) -> Result<Vec<Promotion>> {
        let what = "list Promotions";
        Ok(call(what, self.promotions.list(&Default::default())).await?.map_err(|status| refused(what, &status))?.items)
    }

    /// Keeps candidates: the newest of each image name.
    pub async fn propose(&self, key: &ApplicationKey, candidates: &[Candidate]) -> Result<Promotion> {
        let what = format!("keep the candidate of {}", key.title());
        let seen = self.promotion(key).await?;
        let mut wanted = seen.as_ref().map(|seen| seen.spec.candidates.clone()).unwrap_or_default();
        for candidate in candidates {
            wanted.retain(|known| known.image != candidate.image);
            wanted.push(candidate.clone());
        }
        wanted.sort_by(|a, b| a.image.cmp(&b.image));
        let request = match seen {
            Some(seen) if seen.spec.candidates == wanted => return Ok(seen),
            Some(mut seen) => {
                seen.spec.candidates = wanted;
                call(&what, self.promotions.replace(&key.object_name(), &parameters(), &seen)).await?
            }
            None => {
                let spec = PromotionSpec {
                    repository: key.repo.clone(),
                    application: key.application.clone(),
                    stage: key.stage.clone(),
                    candidates: wanted,
                };
                call(&what, self.promotions.create(&parameters(), &Promotion::new(&key.object_name(), spec))).await?
            }
        };
        request.map_err(|status| refused(&what, &status))
    }

    pub async fn report_promotion(&self, seen: &Promotion, status: PromotionStatus) -> Result<()> {
        if seen.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let what = format!("report on Promotion {}", seen.name_any());
        let object = Promotion { status: Some(status), ..seen.clone() };
        call(&what, self.promotions.replace_status(&seen.name_any(), &parameters(), &object))
            .await?
            .map(drop)
            .map_err(|status| refused(&what, &status))
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some("windlass".into()), dry_run: false }
}

/// `Synced` and `Healthy`; their times move only when their status does.
fn conditions(before: &[Condition], status: &ApplicationStatus, generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let word = |truth: Option<bool>| truth.map_or("Unknown", |truth| if truth { "True" } else { "False" });
    let synced = match status.sync {
        SyncState::Synced => Some(true),
        SyncState::OutOfSync => Some(false),
        SyncState::Unknown => None,
    };
    let healthy = match status.health {
        Health::Healthy => Some(true),
        Health::Unknown => None,
        _ => Some(false),
    };
    let reason = if status.blocked { "Blocked".to_string() } else { format!("{:?}", status.sync) };
    [("Synced", synced, reason), ("Healthy", healthy, format!("{:?}", status.health))]
        .into_iter()
        .map(|(kind, truth, reason)| {
            let kept = before.iter().find(|condition| condition.type_ == kind && condition.status == word(truth));
            Condition {
                type_: kind.into(),
                status: word(truth).into(),
                reason,
                message: status.message.clone().unwrap_or_default(),
                observed_generation: generation,
                last_transition_time: kept.map_or_else(
                    || Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
                    |condition| condition.last_transition_time.clone(),
                ),
            }
        })
        .collect()
}
