//! The `Promotion` object: the images announced for a stage, and what was decided on each.

#![expect(
    clippy::duplicated_attributes,
    reason = "each printed column has a type, and most have the same"
)]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::image::Candidate;
use crate::domain::promotion::Decision;
use crate::domain::{Name, RepoName, StageKey};

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
    doc = "The images that are proposed for one application in one stage.",
    printcolumn(name = "Tag", type_ = "string", json_path = ".spec.candidates[*].tag"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Pull request", type_ = "string", json_path = ".status.url"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct PromotionSpec {
    pub repository: RepoName,
    pub application: Name,
    pub stage: Name,
    /// The newest announced image of each name.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// Those before them, the newest last: from which commits what runs was built.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Candidate>,
}

impl Promotion {
    /// Which application of which repository in which stage it is about.
    pub fn key(&self) -> StageKey {
        StageKey {
            repo: self.spec.repository.clone(),
            application: self.spec.application.clone(),
            stage: self.spec.stage.clone(),
        }
    }
}

/// Earlier candidates that are remembered.
pub const EARLIER: usize = 20;

/// How far a promotion has come.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PromotionStatus {
    /// Proposed, Merged, Rejected, Reverted, Dropped, or Failed with a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The pull request that proposes, or proposed, these digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The candidates' digests that this is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
    /// What became of each candidate, the newest last; the last few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided: Vec<Decision>,
}
