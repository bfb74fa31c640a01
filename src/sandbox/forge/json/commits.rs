//! What is said of commits: statuses and check runs.

use serde_json::{Value, json};

use super::{CommitFacts, Shapes, merge, node_id};
use crate::sandbox::forge::git::Identity;
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
            "output": {"title": check.title, "summary": check.summary, "text": check.text, "annotations_count": check.annotations.len(), "annotations_url": format!("{url}/annotations")},
            "check_suite": {"id": self.suite(repo, check)}, "app": self.maker(check), "pull_requests": [],
        })
    }

    /// The App that made a check run.
    pub fn maker(&self, check: &CheckRun) -> Value {
        let mut app = self.app();
        if let Some(slug) = &check.app {
            let id = foreign(slug);
            merge(
                &mut app,
                json!({"id": id, "slug": slug, "name": slug, "node_id": node_id("App", id), "client_id": format!("Iv1.{id}"),
                    "html_url": format!("{}/apps/{slug}", self.inner.origin())}),
            );
        }
        app
    }

    /// The check suite of an App on a commit: a number of its own.
    fn suite(&self, repo: &Repository, check: &CheckRun) -> u64 {
        let app = check.app.as_deref().unwrap_or(&self.state.app.slug);
        let of = |text: &str| {
            text.bytes().fold(7, |hash: u64, byte| {
                (hash * 31 + u64::from(byte)) % 1_000_000_007
            })
        };
        of(&format!("{} {} {app}", repo.id, check.sha))
    }

    /// The check suite that a check run belongs to. It is completed when all of its runs are.
    pub fn check_suite(&self, repo: &Repository, check: &CheckRun) -> Value {
        let runs: Vec<_> = repo
            .checks
            .iter()
            .filter(|other| other.sha == check.sha && other.app == check.app)
            .collect();
        let completed = runs.iter().all(|run| run.status == "completed");
        let passed = |run: &&CheckRun| {
            let conclusion = run.conclusion.as_deref();
            matches!(conclusion, Some("success" | "neutral" | "skipped"))
        };
        let conclusion = if runs.iter().all(passed) {
            "success"
        } else {
            "failure"
        };
        let (id, facts) = (
            self.suite(repo, check),
            CommitFacts::read(self.inner, repo, &check.sha),
        );
        let url = format!("{}/check-suites/{id}", self.repo_url(repo));
        let who = |one: &Identity| json!({"name": one.name, "email": one.email});
        json!({
            "id": id, "node_id": node_id("CheckSuite", id), "head_branch": null, "head_sha": check.sha, "before": null, "after": check.sha,
            "status": if completed { "completed" } else { "in_progress" }, "conclusion": completed.then_some(conclusion), "url": url,
            "pull_requests": [], "app": self.maker(check), "created_at": check.started_at.to_string(), "updated_at": check.started_at.to_string(),
            "latest_check_runs_count": runs.len(), "check_runs_url": format!("{url}/check-runs"),
            "head_commit": {"id": check.sha, "tree_id": facts.tree, "message": facts.message, "timestamp": facts.date,
                "author": who(&facts.author), "committer": who(&facts.committer)},
        })
    }
}

/// The id of another App: GitHub Actions' own, or one made of the slug.
fn foreign(slug: &str) -> u64 {
    if slug == "github-actions" {
        15368
    } else {
        500 + slug.bytes().map(u64::from).sum::<u64>()
    }
}
