//! What is said of commits: statuses and check runs.

use serde_json::{Value, json};

use super::{Shapes, node_id};
use crate::sandbox::forge::state::{CheckRun, Repository, Status};

impl Shapes<'_> {
    pub fn status(&self, repo: &Repository, status: &Status) -> Value {
        let mut value = self.simple_status(repo, status);
        value["creator"] = self.user(&status.creator);
        value
    }

    pub fn simple_status(&self, repo: &Repository, status: &Status) -> Value {
        json!({
            "url": format!("{}/statuses/{}", self.repo_url(repo), status.sha), "avatar_url": format!("{}/avatars/0", self.inner.origin()),
            "id": status.id, "node_id": node_id("StatusContext", status.id), "state": status.state, "description": status.description,
            "target_url": status.target_url, "context": status.context, "created_at": status.created_at.to_string(),
            "updated_at": status.created_at.to_string(),
        })
    }

    pub fn check_run(&self, repo: &Repository, check: &CheckRun) -> Value {
        let url = format!("{}/check-runs/{}", self.repo_url(repo), check.id);
        let html = format!("{}/runs/{}", self.html(repo), check.id);
        json!({
            "id": check.id, "name": check.name, "node_id": node_id("CheckRun", check.id), "head_sha": check.sha, "external_id": check.external_id,
            "url": url, "html_url": html, "details_url": check.details_url.as_ref().unwrap_or(&html), "status": check.status,
            "conclusion": check.conclusion, "started_at": check.started_at.to_string(), "completed_at": check.completed_at.map(|at| at.to_string()),
            "output": {"title": check.title, "summary": check.summary, "text": check.text, "annotations_count": 0, "annotations_url": format!("{url}/annotations")},
            "check_suite": {"id": self.state.app.installation}, "app": self.app(), "pull_requests": [],
        })
    }
}
