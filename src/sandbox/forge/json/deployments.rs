//! Deployments and their statuses.

use serde_json::{Value, json};

use super::{Shapes, node_id};
use crate::sandbox::forge::state::{Deployment, DeploymentStatus, Repository};

impl Shapes<'_> {
    pub fn deployment(&self, repo: &Repository, deployment: &Deployment) -> Value {
        let url = format!("{}/deployments/{}", self.repo_url(repo), deployment.id);
        json!({
            "url": url, "id": deployment.id, "node_id": node_id("Deployment", deployment.id), "sha": deployment.sha, "ref": deployment.reference,
            "task": deployment.task, "payload": deployment.payload, "original_environment": deployment.original_environment,
            "environment": deployment.environment, "description": deployment.description, "creator": self.user(&deployment.creator),
            "created_at": deployment.created_at.to_string(), "updated_at": deployment.updated_at.to_string(),
            "statuses_url": format!("{url}/statuses"), "repository_url": self.repo_url(repo), "transient_environment": deployment.transient,
            "production_environment": deployment.production, "performed_via_github_app": deployment.by_app.then(|| self.app()),
        })
    }

    pub fn deployment_status(
        &self,
        repo: &Repository,
        deployment: &Deployment,
        status: &DeploymentStatus,
    ) -> Value {
        let url = format!("{}/deployments/{}", self.repo_url(repo), deployment.id);
        json!({
            "url": format!("{url}/statuses/{}", status.id), "id": status.id, "node_id": node_id("DeploymentStatus", status.id),
            "state": status.state, "creator": self.user(&status.creator), "description": status.description, "environment": status.environment,
            "target_url": status.log_url, "log_url": status.log_url, "environment_url": status.environment_url,
            "created_at": status.created_at.to_string(), "updated_at": status.created_at.to_string(), "deployment_url": url,
            "repository_url": self.repo_url(repo), "performed_via_github_app": status.by_app.then(|| self.app()),
        })
    }
}
