//! What a story reads from the forge: files, pull requests, statuses, verdicts.

use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use windlass::sandbox::example::CONFIG;
use windlass::sandbox::forge::state::{Failure, Pull};

use super::World;

impl World {
    /// GitHub answers the next such requests of windlass by a status, without doing them.
    pub fn github_fails(&self, method: &'static str, path: &'static str, status: u16, times: u32) {
        self.github_answers((method, path), status, None, times);
    }

    /// The same, with GitHub's words. `request`: method and path.
    pub fn github_answers(
        &self,
        (method, path): (&'static str, &'static str),
        status: u16,
        words: Option<&'static str>,
        times: u32,
    ) {
        self.forge.state().faults.failures.push(Failure {
            method,
            path,
            status,
            words,
            times,
        });
    }

    /// The requests that no failure of GitHub was met by yet.
    pub fn github_failures_left(&self) -> Vec<String> {
        let state = self.forge.state();
        let left = state.faults.failures.iter().filter(|one| one.times > 0);
        left.map(|one| format!("{} {}", one.method, one.path))
            .collect()
    }

    pub fn as_user(&self, login: &str, method: Method, path: &str, body: Value) -> Value {
        self.try_as_user(login, method, path, body)
            .expect("the forge does it")
    }

    pub fn try_as_user(
        &self,
        login: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        self.forge
            .as_user(login, method, &format!("/repos/{CONFIG}/{path}"), body)
    }

    pub fn read(&self, path: &str) -> Value {
        self.try_as_user("ada", Method::GET, path, Value::Null)
            .unwrap_or_default()
    }

    /// The newest pull request from a branch.
    pub fn pull_from(&self, branch: &str) -> Option<Value> {
        self.read(&format!("pulls?state=all&head=acme:{branch}"))
            .as_array()?
            .first()
            .cloned()
    }

    pub async fn pull_request(&self, stage: &str) -> u64 {
        self.until("a pull request", async || {
            self.pull_from(&format!("windlass/shop/{stage}"))?["number"].as_u64()
        })
        .await
    }

    /// The newest pull request of the shop's stage, once its title begins so.
    pub async fn titled(&self, stage: &str, start: &str) -> u64 {
        let branch = format!("windlass/shop/{stage}");
        self.titled_from(&branch, start).await
    }

    /// The pull request of a branch, once its title begins so.
    pub async fn titled_from(&self, branch: &str, start: &str) -> u64 {
        self.until(&format!("a pull request {start:?}"), async || {
            let pull = self.pull_from(branch)?;
            let is_it = pull["title"].as_str()?.starts_with(start);
            is_it.then(|| pull["number"].as_u64().unwrap())
        })
        .await
    }

    pub fn comments(&self, number: u64) -> Vec<Value> {
        self.read(&format!("issues/{number}/comments?per_page=100"))
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// What windlass/sync says of a commit that waits for a person's decision, once it names this.
    pub async fn undecided(&self, commit: &str, part: &str) -> String {
        self.until(&format!("the commit waits: {part:?}"), async || {
            let (state, told) = self.status(commit, "windlass/sync")?;
            (state == "pending" && told.contains(part)).then_some(told)
        })
        .await
    }

    /// Newest status of a context on a commit: state and description. Looked up where it is kept,
    /// since stories wait by it.
    pub fn status(&self, commit: &str, context: &str) -> Option<(String, String)> {
        let state = self.forge.state();
        let found = state
            .by_full_name(CONFIG)?
            .statuses
            .iter()
            .rev()
            .find(|status| status.sha == commit && status.context == context)?;
        Some((
            found.state.clone(),
            found.description.clone().unwrap_or_default(),
        ))
    }

    pub fn head(&self, number: u64) -> String {
        self.with_pull(number, |pull| Some(pull.head.sha.clone()))
            .unwrap_or_default()
    }

    fn with_pull<T>(&self, number: u64, look: impl FnOnce(&Pull) -> Option<T>) -> Option<T> {
        let state = self.forge.state();
        look(
            state
                .by_full_name(CONFIG)?
                .pulls
                .iter()
                .find(|pull| pull.number == number)?,
        )
    }

    pub fn tip(&self) -> String {
        self.read("git/ref/heads/main")["object"]["sha"]
            .as_str()
            .unwrap_or_default()
            .into()
    }

    pub async fn sync_status(&self, commit: &str, state: &str) -> String {
        self.until(
            &format!("windlass/sync is {state} on {commit}"),
            async || {
                self.status(commit, "windlass/sync")
                    .filter(|(is, _)| is == state)
                    .map(|(_, text)| text)
            },
        )
        .await
    }

    /// The verdict on a head: state (pending while it waits) and title.
    pub fn verdict(&self, commit: &str) -> Option<(String, String)> {
        let state = self.forge.state();
        let checks = &state.by_full_name(CONFIG)?.checks;
        let check = checks
            .iter()
            .rev()
            .find(|check| check.sha == commit && check.name == "windlass/gate")?;
        Some((
            check.conclusion.clone().unwrap_or_else(|| "pending".into()),
            check.title.clone().unwrap_or_default(),
        ))
    }

    pub async fn gate_status(&self, number: u64, state: &str) -> String {
        self.until(
            &format!("windlass/gate is {state} on #{number}"),
            async || {
                self.verdict(&self.head(number))
                    .filter(|(is, _)| is == state)
                    .map(|(_, text)| text)
            },
        )
        .await
    }

    /// The title of `windlass/gate`, once it says so.
    pub async fn gate_says(&self, number: u64, part: &str) -> String {
        self.until(
            &format!("windlass/gate on #{number} says: {part}"),
            async || {
                self.verdict(&self.head(number))
                    .map(|(_, text)| text)
                    .filter(|text| text.contains(part))
            },
        )
        .await
    }

    pub async fn merged(&self, number: u64) -> String {
        self.until(&format!("#{number} is merged"), async || {
            self.with_pull(number, |pull| Some(pull.merged.as_ref()?.sha.clone()))
        })
        .await
    }

    /// The preview is there, since the second before: GitHub's times are whole seconds.
    pub async fn seen(&self, number: u64) {
        let completed = self.previewed(number).await["completed_at"].clone();
        let completed: Timestamp = completed.as_str().unwrap().parse().unwrap();
        self.until("a second passed", async || {
            (Timestamp::now().as_second() > completed.as_second()).then_some(())
        })
        .await;
    }

    pub async fn previewed(&self, number: u64) -> Value {
        self.until(&format!("the preview of #{number}"), async || {
            let head = self.head(number);
            let there = self
                .forge
                .state()
                .by_full_name(CONFIG)?
                .checks
                .iter()
                .any(|check| check.sha == head);
            let checks = there.then(|| self.read(&format!("commits/{head}/check-runs")))?;
            checks["check_runs"]
                .as_array()?
                .iter()
                .find(|check| check["name"] == "windlass/preview" && check["status"] == "completed")
                .cloned()
        })
        .await
    }

    pub fn file(&self, path: &str) -> String {
        use base64::Engine as _;
        let content = self.read(&format!("contents/{path}"))["content"]
            .as_str()
            .unwrap_or_default()
            .to_string();
        String::from_utf8(
            base64::engine::general_purpose::STANDARD
                .decode(content)
                .unwrap(),
        )
        .unwrap()
    }
}
