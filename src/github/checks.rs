//! Commit statuses and check runs.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::{CheckRun, GitHub, NewCheck, Result, Status, Writer};
use crate::domain::{CommitSha, RepoName};

impl GitHub {
    /// The newest status of each context.
    pub async fn statuses(&self, repo: &RepoName, commit: &CommitSha) -> Result<Vec<Status>> {
        #[derive(Deserialize)]
        struct Answer {
            statuses: Vec<Status>,
        }
        let answer: Answer = self
            .get(
                repo,
                &format!("commits/{commit}/status?per_page=100"),
                "read commit statuses",
            )
            .await?;
        Ok(answer.statuses)
    }

    /// The newest check runs of our App on a commit, one of each name.
    pub(super) async fn check_runs(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        app: u64,
    ) -> Result<Vec<CheckRun>> {
        #[derive(Deserialize)]
        struct Answer {
            check_runs: Vec<CheckRun>,
        }
        let answer: Answer = self
            .get(
                repo,
                &format!("commits/{commit}/check-runs?app_id={app}&per_page=100"),
                "read check runs",
            )
            .await?;
        Ok(answer
            .check_runs
            .into_iter()
            .filter(|check| check.app.as_ref().is_some_and(|by| by.id == app))
            .collect())
    }
}

impl Writer<'_> {
    pub async fn set_status(
        &self,
        repo: &RepoName,
        commit: &CommitSha,
        context: &str,
        state: &str,
        description: &str,
    ) -> Result<()> {
        let body = json!({"state": state, "context": context, "description": description});
        self.write(
            repo,
            "POST",
            &format!("statuses/{commit}"),
            &body,
            "set a commit status",
        )
        .await
        .map(|IgnoredAny| ())
    }

    /// Creates a check run, or updates the one with the id `existing`.
    pub async fn publish_check(
        &self,
        repo: &RepoName,
        check: &NewCheck,
        existing: Option<u64>,
    ) -> Result<CheckRun> {
        let mut body =
            json!({"name": check.name, "output": {"title": check.title, "summary": check.summary}});
        if let Some(text) = &check.text {
            body["output"]["text"] = text.clone().into();
        }
        if !check.annotations.is_empty() {
            body["output"]["annotations"] = json!(check.annotations);
        }
        if !check.external_id.is_empty() {
            body["external_id"] = check.external_id.clone().into();
        }
        match check.conclusion {
            Some(conclusion) => {
                (body["status"], body["conclusion"]) = ("completed".into(), conclusion.into())
            }
            None => body["status"] = "in_progress".into(),
        }
        match existing {
            Some(id) => {
                self.write(
                    repo,
                    "PATCH",
                    &format!("check-runs/{id}"),
                    &body,
                    "update a check run",
                )
                .await
            }
            None => {
                body["head_sha"] = check.head.to_string().into();
                self.write(repo, "POST", "check-runs", &body, "publish a check run")
                    .await
            }
        }
    }
}
