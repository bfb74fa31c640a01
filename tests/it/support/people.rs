//! What people and CI do in a story: propose, comment, approve, announce an image.

use http::Method;
use serde_json::{Value, json};
use windlass::sandbox::example::CONFIG;

use super::{World, image_event};

impl World {
    /// A person's pull request from a new branch.
    pub fn propose(&self, login: &str, branch: &str, files: &[(&str, Option<&str>)]) -> u64 {
        self.forge
            .push(CONFIG, branch, login, &format!("Change by {login}"), files)
            .expect("a push");
        let pull = self.as_user(
            login,
            Method::POST,
            "pulls",
            json!({"title": format!("Change by {login}"), "head": branch, "base": "main"}),
        );
        pull["number"].as_u64().unwrap()
    }

    /// A commit of the config repository's owner on its default branch.
    pub fn commit(&self, message: &str, files: &[(&str, Option<&str>)]) -> String {
        self.forge
            .push(CONFIG, "main", "ada", message, files)
            .expect("a push")
    }

    pub fn comment(&self, login: &str, number: u64, text: &str) -> u64 {
        self.as_user(
            login,
            Method::POST,
            &format!("issues/{number}/comments"),
            json!({"body": text}),
        )["id"]
            .as_u64()
            .unwrap()
    }

    pub fn approve(&self, login: &str, number: u64) {
        self.as_user(
            login,
            Method::POST,
            &format!("pulls/{number}/reviews"),
            json!({"event": "APPROVE"}),
        );
    }

    /// How most stories begin: an image is announced, merged and healthy in staging, and proposed
    /// for production, where its review is waited for. The two pull requests.
    pub async fn up_to_review(&self, tag: &str) -> (u64, u64) {
        self.announce(tag).await;
        let staging = self.pull_request("staging").await;
        let commit = self.merged(staging).await;
        self.sync_status(&commit, "success").await;
        let production = self.pull_request("production").await;
        self.previewed(production).await;
        self.gate_status(production, "pending").await;
        (staging, production)
    }

    /// Announces an image as CI would; status code and body.
    pub async fn announce(&self, tag: &str) -> (u16, Value) {
        self.announce_as(&image_event(tag)).await
    }

    pub async fn announce_as(&self, event: &Value) -> (u16, Value) {
        // As CI does: again while it is not taken, or takes long.
        self.until("the event is taken", async || {
            self.event(event, Some(&self.windlass.events_token))
                .await
                .filter(|(status, _)| ![503, 202].contains(status))
        })
        .await
    }

    pub async fn event(&self, event: &Value, token: Option<&str>) -> Option<(u16, Value)> {
        let request = self
            .http
            .post(format!("{}/events/image", self.windlass.url))
            .json(event);
        let request = if let Some(token) = token {
            request.bearer_auth(token)
        } else {
            request
        };
        let answer = request.send().await.ok()?;
        Some((
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        ))
    }
}
