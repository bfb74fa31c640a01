//! What shows on the forge and in the cluster, and waiting for it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::Value;

use super::story::Story;
use crate::sandbox::example::CONFIG;

/// One step may take this long; it is far more than it needs, so that a slow machine passes too.
const PATIENCE: Duration = Duration::from_secs(180);

impl Story<'_> {
    /// Sends the event until it is taken: windlass may just be starting.
    pub(super) async fn announce(&self, event: &Value) -> anyhow::Result<String> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()?;
        let url = format!("{}/events/image", self.windlass.url);
        let token = self.windlass.events_token.clone();
        self.until("the event is taken", async || {
            let answer = http
                .post(&url)
                .bearer_auth(&token)
                .json(event)
                .send()
                .await
                .ok()?;
            if !answer.status().is_success() {
                return None;
            }
            answer.json::<Value>().await.ok()?["pull_request"]
                .as_str()
                .map(str::to_string)
        })
        .await
    }

    /// The number of a stage's pull request and the commit that it was merged as.
    pub(super) async fn merged(&self, stage: &str) -> anyhow::Result<(u64, String)> {
        let branch = format!("windlass/shop/{stage}");
        self.until(
            &format!("the pull request for {stage} is merged"),
            async || {
                let pulls = self
                    .as_user(
                        "ada",
                        Method::GET,
                        &format!("pulls?state=closed&head=acme:{branch}"),
                        Value::Null,
                    )
                    .ok()?;
                let pull = pulls.as_array()?.first()?.clone();
                Some((
                    pull["number"].as_u64()?,
                    pull["merge_commit_sha"].as_str()?.to_string(),
                ))
            },
        )
        .await
    }

    pub(super) async fn rolled_out(&self, stage: &str, digest: &str) -> anyhow::Result<()> {
        let deployments: Api<Deployment> =
            Api::namespaced(self.client.clone(), &format!("shop-{stage}"));
        self.until(&format!("the rollout in {stage} is done"), async || {
            let live = deployments.get("shop").await.ok()?;
            let image = live
                .spec
                .as_ref()?
                .template
                .spec
                .as_ref()?
                .containers
                .first()?
                .image
                .clone()?;
            let status = live.status.as_ref()?;
            let rolled = status.observed_generation >= live.metadata.generation
                && status.updated_replicas == Some(2)
                && status.available_replicas == Some(2)
                && status.replicas == Some(2);
            (image.ends_with(digest) && rolled).then_some(())
        })
        .await
    }

    /// Waits for the end, on the merge commit's status and in the comment.
    pub(super) async fn reported(&self, number: u64, commit: &str) -> anyhow::Result<()> {
        self.until("the merge commit's status", async || {
            let status = self
                .as_user(
                    "ada",
                    Method::GET,
                    &format!("commits/{commit}/status"),
                    Value::Null,
                )
                .ok()?;
            let sync = status["statuses"]
                .as_array()?
                .iter()
                .find(|status| status["context"] == "windlass/sync")?
                .clone();
            (sync["state"] == "success").then_some(())
        })
        .await?;
        self.until("the comment tells the end", async || {
            self.comments(number)
                .iter()
                .any(|text| text.contains("Synced, healthy"))
                .then_some(())
        })
        .await
    }

    pub(super) fn as_user(
        &self,
        login: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        self.forge
            .as_user(login, method, &format!("/repos/{CONFIG}/{path}"), body)
    }

    pub(super) fn pull(&self, number: u64) -> Value {
        self.as_user("ada", Method::GET, &format!("pulls/{number}"), Value::Null)
            .unwrap_or_default()
    }

    pub(super) fn open_pull(&self, branch: &str) -> Option<u64> {
        let pulls = self
            .as_user(
                "ada",
                Method::GET,
                &format!("pulls?state=open&head=acme:{branch}"),
                Value::Null,
            )
            .ok()?;
        pulls.as_array()?.first()?["number"].as_u64()
    }

    fn comments(&self, number: u64) -> Vec<String> {
        let comments = self
            .as_user(
                "ada",
                Method::GET,
                &format!("issues/{number}/comments"),
                Value::Null,
            )
            .unwrap_or_default();
        comments
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|comment| comment["body"].as_str().map(str::to_string))
            .collect()
    }

    pub(super) fn has_preview(&self, number: u64) -> bool {
        let head = self.pull(number)["head"]["sha"]
            .as_str()
            .unwrap_or_default()
            .to_string();
        let checks = self
            .as_user(
                "ada",
                Method::GET,
                &format!("commits/{head}/check-runs"),
                Value::Null,
            )
            .unwrap_or_default();
        let checked = checks["check_runs"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|check| check["name"] == "windlass/preview" && check["conclusion"] == "success");
        checked && !self.comments(number).is_empty()
    }

    pub(super) fn gate(&self, number: u64) -> Option<(String, String)> {
        let head = self.pull(number)["head"]["sha"].as_str()?.to_string();
        let checks = self
            .as_user(
                "ada",
                Method::GET,
                &format!("commits/{head}/check-runs"),
                Value::Null,
            )
            .ok()?;
        let gate = checks["check_runs"]
            .as_array()?
            .iter()
            .find(|check| check["name"] == "windlass/gate")?
            .clone();
        let state = gate["conclusion"].as_str().unwrap_or("pending");
        Some((state.into(), gate["output"]["title"].as_str()?.into()))
    }

    /// Looks until it is there.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        look: impl AsyncFn() -> Option<T>,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(found) = look().await {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let tail = last_lines(self.windlass.log());
        bail!(
            "waited {} s in vain: {what}\nwindlass's last words:\n{tail}",
            PATIENCE.as_secs()
        )
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log)
        .context("no log")
        .unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
