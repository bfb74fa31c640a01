//! What is said of commits: statuses, check runs and deployments.

use jiff::Timestamp;
use serde_json::Value;

pub struct Status {
    pub id: u64,
    pub sha: String,
    pub state: String,
    pub context: String,
    pub description: Option<String>,
    pub target_url: Option<String>,
    pub creator: String,
    pub created_at: Timestamp,
}

pub struct CheckRun {
    pub id: u64,
    /// The slug of another App that made it, such as `github-actions`.
    pub app: Option<String>,
    pub name: String,
    pub sha: String,
    pub status: String,
    pub conclusion: Option<String>,
    pub external_id: String,
    pub details_url: Option<String>,
    pub started_at: Timestamp,
    pub completed_at: Option<Timestamp>,
    pub title: Option<String>,
    pub summary: Option<String>,
    pub text: Option<String>,
    pub annotations: Vec<Value>,
}

pub struct Deployment {
    pub id: u64,
    pub sha: String,
    /// As it was asked for: a branch, a tag or a commit.
    pub reference: String,
    pub task: String,
    pub payload: Value,
    pub original_environment: String,
    /// What its newest status says, or what it was made with.
    pub environment: String,
    pub description: Option<String>,
    pub transient: bool,
    pub production: bool,
    pub creator: String,
    pub by_app: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub statuses: Vec<DeploymentStatus>,
}

pub struct DeploymentStatus {
    pub id: u64,
    pub state: String,
    pub description: String,
    pub environment: String,
    pub log_url: String,
    pub environment_url: String,
    pub creator: String,
    pub by_app: bool,
    pub created_at: Timestamp,
}
