//! The forge alone, without windlass and without a cluster: what GitHub refuses and does, it
//! refuses and does. Every exchange and every webhook is held against GitHub's descriptions.

mod queue;
mod refs;
mod rules;

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use windlass::sandbox::forge::state::{Role, Rule};
use windlass::sandbox::forge::{Exchange, Forge, git};

use crate::support::contract::Contract;
use crate::support::watched;

const REPOSITORY: &str = "acme/shop";

/// A forge with one repository: ada is its admin, bob and mia write, rita reads. The App is
/// installed with all permissions that queues and merges need.
struct Desk {
    forge: Forge,
    contract: Arc<Contract>,
    folder: tempfile::TempDir,
    http: reqwest::Client,
    token: String,
}

impl Desk {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let forge = Forge::start(folder.path(), 0).await.unwrap();
        let contract = watched(&forge);
        let files = [("README.md", "read me\n"), ("apps/shop.yaml", "a: 1\n")];
        let files = files.map(|(path, text)| (path.to_string(), text.to_string()));
        forge.create_repository(REPOSITORY, &files).unwrap();
        let token = {
            let mut state = forge.state();
            for (login, role) in [
                ("ada", Role::Admin),
                ("bob", Role::Write),
                ("mia", Role::Write),
                ("rita", Role::Read),
            ] {
                state.add_user(login, windlass::sandbox::forge::state::UserKind::User);
                let repo = state.by_full_name_mut(REPOSITORY).unwrap();
                repo.roles.insert(login.into(), role);
            }
            let manifest = json!({
                "default_permissions": {"contents": "write", "pull_requests": "write", "checks": "write", "statuses": "write",
                    "merge_queues": "read"},
                "default_events": ["push", "pull_request", "pull_request_review", "merge_group"],
            });
            state.register_app(&manifest).unwrap();
            let permissions = state.app.permissions.clone();
            let installation = state.installations[0].id;
            state.mint(installation, permissions, None).0
        };
        Self {
            forge,
            contract,
            folder,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            token,
        }
    }

    /// What holds from now on.
    fn rule(&self, rule: Rule) {
        let mut state = self.forge.state();
        state.by_full_name_mut(REPOSITORY).unwrap().rules = vec![rule];
    }

    fn try_as(
        &self,
        login: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> Result<Value, String> {
        let path = format!("/repos/{REPOSITORY}/{path}");
        let answer = self.forge.as_user(login, method, &path, body);
        answer.map_err(|error| error.to_string())
    }

    fn read(&self, path: &str) -> Value {
        self.try_as("ada", Method::GET, path, Value::Null).unwrap()
    }

    fn tip(&self, branch: &str) -> String {
        self.git(&["rev-parse", &format!("refs/heads/{branch}")])
    }

    fn git(&self, arguments: &[&str]) -> String {
        git::git(&self.forge.repository_path("acme", "shop"), arguments).unwrap()
    }

    fn push(&self, login: &str, branch: &str, file: &str, text: &str) -> String {
        let message = format!("Write {file}\n\nBecause.");
        let files = [(file, Some(text))];
        self.forge
            .push(REPOSITORY, branch, login, &message, &files)
            .unwrap()
    }

    /// A pull request of bob's that writes one file; its number.
    fn propose(&self, branch: &str, file: &str) -> u64 {
        self.push("bob", branch, file, "new\n");
        let body = json!({"title": format!("Propose {branch}"), "head": branch, "base": "main"});
        self.try_as("bob", Method::POST, "pulls", body).unwrap()["number"]
            .as_u64()
            .unwrap()
    }

    fn head(&self, number: u64) -> String {
        let pull = self.read(&format!("pulls/{number}"));
        pull["head"]["sha"].as_str().unwrap().into()
    }

    /// The review's id.
    fn review(&self, login: &str, number: u64, event: &str) -> u64 {
        let body = json!({"event": event, "body": "so"});
        let path = format!("pulls/{number}/reviews");
        self.try_as(login, Method::POST, &path, body).unwrap()["id"]
            .as_u64()
            .unwrap()
    }

    /// The commit that it was merged as, or the refusal.
    fn merge(&self, number: u64, method: &str) -> Result<String, String> {
        let body = json!({"merge_method": method});
        let path = format!("pulls/{number}/merge");
        let answer = self.try_as("ada", Method::PUT, &path, body)?;
        Ok(answer["sha"].as_str().unwrap().into())
    }

    /// That a merge is refused with these words, and nothing of it done.
    fn refused(&self, number: u64, words: &str) {
        let before = self.tip("main");
        let refusal = self.merge(number, "merge").expect_err(words);
        assert!(refusal.contains(": 405 "), "{refusal}");
        assert!(refusal.contains(words), "{words}: {refusal}");
        assert_eq!(self.tip("main"), before);
        assert_eq!(self.read(&format!("pulls/{number}"))["merged"], false);
    }

    /// A request of the installation's: status and body.
    async fn app(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/repos/{REPOSITORY}/{path}", self.forge.api_url());
        let request = self.http.request(method, url);
        let request = match body {
            Value::Null => request,
            body => request.json(&body),
        };
        self.send(request).await
    }

    async fn graphql(&self, query: &str, input: Value) -> Value {
        let url = format!("{}/api/graphql", self.forge.url());
        let body = json!({"query": query, "variables": {"input": input}});
        self.send(self.http.post(url).json(&body)).await.1
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let request = request
            .bearer_auth(&self.token)
            .header("user-agent", "test");
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    /// The webhooks since the last look: event, action and payload.
    fn events(&self) -> Vec<(String, Value)> {
        let sent: Vec<_> = self.forge.state().outbox.drain(..).collect();
        let told = sent.into_iter().map(|outgoing| {
            let exchange = Exchange::webhook(&outgoing);
            self.contract.see(&exchange);
            (exchange.path, outgoing.payload)
        });
        told.collect()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.events();
            let wrong = self.contract.take_violations();
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        }
    }
}
