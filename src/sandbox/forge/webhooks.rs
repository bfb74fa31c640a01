//! Webhooks: what happened is told to the App, asynchronously and signed.
//!
//! GitHub does not retry by itself; what was not delivered stands in the App's
//! delivery log for three days.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::Inner;
use super::git::git;
use super::json::{CommitFacts, Shapes, merge};
use super::state::{Activity, Delivery, Outgoing, Pull, Repository, State, now, random_hex};

const ZERO: &str = "0000000000000000000000000000000000000000";

impl Inner {
    /// Queues one event about a repository, if the App hears it.
    pub(super) fn announce(
        &self,
        state: &mut State,
        repo: u64,
        event: &str,
        action: Option<&str>,
        sender: &str,
        more: Value,
    ) {
        let always = event.starts_with("installation");
        if !always && !state.app.events.iter().any(|heard| heard == event) {
            return;
        }
        let shapes = Shapes { inner: self, state };
        let mut payload = json!({
            "sender": shapes.user(sender),
            "installation": {"id": shapes.state.app.installation, "node_id": super::json::node_id("Installation", shapes.state.app.installation)},
        });
        if let Some(repo) = shapes.state.by_id(repo) {
            payload["repository"] = shapes.repository(repo);
        }
        if let Some(action) = action {
            payload["action"] = action.into();
        }
        merge(&mut payload, more);
        state.outbox.push_back(Outgoing {
            guid: guid(),
            event: event.into(),
            action: action.map(str::to_string),
            repository: Some(repo),
            payload,
            redelivery: false,
        });
        state.wake.notify_one();
    }

    /// A branch moved: pull requests follow it, and `push` and `pull_request` events go out.
    pub fn moved(
        &self,
        full_name: &str,
        branch: &str,
        before: Option<&str>,
        after: Option<&str>,
        login: &str,
    ) {
        let mut state = self.state();
        let Some(repo) = state.by_full_name(full_name) else {
            return;
        };
        let id = repo.id;
        let path = self.repository_path(&repo.owner, &repo.name);
        let shapes = Shapes {
            inner: self,
            state: &state,
        };
        let listed = match (before, after) {
            (Some(before), Some(after)) => git(
                &path,
                &["rev-list", "--max-count=20", &format!("{before}..{after}")],
            )
            .unwrap_or_default(),
            (None, Some(after)) => after.to_string(),
            _ => String::new(),
        };
        let commits: Vec<Value> = listed
            .lines()
            .map(|sha| self.push_commit(&shapes, repo, sha))
            .collect();
        let forced = matches!((before, after), (Some(before), Some(after)) if !super::git::is_ancestor(&path, before, after));
        let push = json!({
            "ref": format!("refs/heads/{branch}"), "before": before.unwrap_or(ZERO), "after": after.unwrap_or(ZERO),
            "created": before.is_none(), "deleted": after.is_none(), "forced": forced, "base_ref": null,
            "compare": format!("{}/{full_name}/compare", self.origin()), "head_commit": commits.first().cloned(), "commits": commits,
            "pusher": {"name": login, "email": format!("{login}@users.noreply.github.com")},
        });
        self.announce(&mut state, id, "push", None, login, push);
        let move_id = state.new_id();
        if let Some(repo) = state.repository_mut(id) {
            repo.activity.push(Activity {
                id: move_id,
                branch: branch.into(),
                before: before.map(str::to_string),
                after: after.map(str::to_string),
                forced,
                actor: login.into(),
                at: now(),
            });
        }
        let mut follow = Vec::new();
        for repo in &mut state.repositories {
            let base_moved = repo.id == id;
            for pull in repo.pulls.iter_mut().filter(|pull| pull.open) {
                if base_moved
                    && pull.base.branch == branch
                    && let Some(after) = after
                {
                    pull.base.sha = after.into();
                    pull.mergeability_known = false;
                }
                if pull.head.repository == id && pull.head.branch == branch {
                    follow.push((repo.id, pull.number));
                }
            }
        }
        for (repository, number) in follow {
            self.follow(&mut state, repository, number, before, after, login);
        }
    }

    /// The head of a pull request moved or went away. GitHub closes one whose head is gone or has nothing its base lacks.
    fn follow(
        &self,
        state: &mut State,
        repository: u64,
        number: u64,
        before: Option<&str>,
        after: Option<&str>,
        login: &str,
    ) {
        let Some(repo) = state.by_id(repository) else {
            return;
        };
        let path = self.repository_path(&repo.owner, &repo.name);
        let Some(pull) = repo.pulls.iter().find(|pull| pull.number == number) else {
            return;
        };
        let base = format!("refs/heads/{}", pull.base.branch);
        if let Some(head) = state.by_id(pull.head.repository)
            && head.id != repository
            && let Some(after) = after
        {
            let from = self
                .repository_path(&head.owner, &head.name)
                .display()
                .to_string();
            let _ = git(&path, &["fetch", "--quiet", &from, after]);
        }
        if let Some(after) = after {
            let _ = git(
                &path,
                &["update-ref", &format!("refs/pull/{number}/head"), after],
            );
        }
        let nothing_left = after.is_some_and(|after| super::git::is_ancestor(&path, after, &base));
        let Some(pull) = state
            .repository_mut(repository)
            .and_then(|repo| repo.pulls.iter_mut().find(|pull| pull.number == number))
        else {
            return;
        };
        pull.updated_at = now();
        pull.mergeability_known = false;
        if let Some(after) = after {
            pull.head.sha = after.into();
        }
        let close = after.is_none() || nothing_left;
        if close {
            pull.open = false;
            pull.closed_at = Some(now());
        }
        let (action, more) = if close {
            ("closed", json!({}))
        } else {
            (
                "synchronize",
                json!({"before": before.unwrap_or(ZERO), "after": after.unwrap_or(ZERO)}),
            )
        };
        self.announce_pull(state, repository, number, action, login, more);
    }

    pub(super) fn announce_pull(
        &self,
        state: &mut State,
        repository: u64,
        number: u64,
        action: &str,
        sender: &str,
        more: Value,
    ) {
        let Some((repo, pull)) = find(state, repository, number) else {
            return;
        };
        let shapes = Shapes { inner: self, state };
        let mut payload = json!({"number": number, "pull_request": shapes.pull(repo, pull, None)});
        merge(&mut payload, more);
        self.announce(
            state,
            repository,
            "pull_request",
            Some(action),
            sender,
            payload,
        );
    }

    fn push_commit(&self, shapes: &Shapes<'_>, repo: &Repository, sha: &str) -> Value {
        let facts = CommitFacts::read(self, repo, sha);
        json!({
            "id": sha, "tree_id": facts.tree, "distinct": true, "message": facts.message, "timestamp": facts.date,
            "url": format!("{}/commits/{sha}", shapes.repo_url(repo)),
            "author": {"name": facts.author.name, "email": facts.author.email}, "committer": {"name": facts.committer.name, "email": facts.committer.email},
            "added": [], "removed": [], "modified": [],
        })
    }
}

pub fn find(state: &State, repository: u64, number: u64) -> Option<(&Repository, &Pull)> {
    let repo = state.by_id(repository)?;
    Some((repo, repo.pulls.iter().find(|pull| pull.number == number)?))
}

fn guid() -> String {
    let hex = random_hex(32);
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// Sends what is in the outbox, each once, with the faults that are asked for.
pub(super) async fn deliver(inner: Arc<Inner>) {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .no_proxy()
        .build()
        .unwrap_or_default();
    let wake = inner.state().wake.clone();
    let mut waited = false;
    loop {
        let (batch, target) = take(&inner, waited);
        let Some((url, secret)) = target.filter(|_| !batch.is_empty()) else {
            // What is held back to be reordered goes out after a while all the same.
            waited = tokio::time::timeout(Duration::from_millis(300), wake.notified())
                .await
                .is_err();
            continue;
        };
        for (outgoing, lost) in batch {
            if let Some(observer) = inner.wire().observer {
                let name = outgoing
                    .action
                    .iter()
                    .fold(outgoing.event.clone(), |event, action| {
                        format!("{event}-{action}")
                    })
                    .replace('_', "-");
                let request = Some(outgoing.payload.clone());
                observer(&super::Exchange {
                    method: "WEBHOOK".into(),
                    path: name,
                    query: String::new(),
                    request,
                    status: 0,
                    response: None,
                    by_app: false,
                });
            }
            let started = Instant::now();
            let status = if lost {
                None
            } else {
                send(&inner, &client, &url, &secret, &outgoing).await
            };
            let mut state = inner.state();
            let id = state.new_id();
            state.deliveries.push(Delivery {
                id,
                guid: outgoing.guid,
                event: outgoing.event,
                action: outgoing.action,
                repository: outgoing.repository,
                payload: outgoing.payload,
                delivered_at: now(),
                redelivery: outgoing.redelivery,
                duration: started.elapsed().as_millis() as u64,
                status_code: status,
            });
        }
    }
}

type Batch = Vec<(Outgoing, bool)>;

fn take(inner: &Inner, waited: bool) -> (Batch, Option<(String, String)>) {
    let mut state = inner.state();
    let target = state
        .app
        .webhook_url
        .clone()
        .map(|url| (url, state.app.webhook_secret.clone()));
    let wait_for = state.faults.reorder.unwrap_or(1);
    if target.is_none() || (state.outbox.len() < wait_for && !waited) {
        return (Vec::new(), target);
    }
    let mut batch: Batch = Vec::new();
    while let Some(outgoing) = state.outbox.pop_front() {
        state.faults.count += 1;
        let lost = state
            .faults
            .lose_every
            .is_some_and(|every| state.faults.count.is_multiple_of(every));
        batch.push((outgoing.clone(), lost));
        if state.faults.duplicate && !lost {
            batch.push((outgoing, false));
        }
    }
    if state.faults.reorder.is_some() {
        batch.reverse();
    }
    (batch, target)
}

async fn send(
    inner: &Inner,
    client: &reqwest::Client,
    url: &str,
    secret: &str,
    outgoing: &Outgoing,
) -> Option<u16> {
    let body = outgoing.payload.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(body.as_bytes());
    let (app, user_agent) = (
        inner.state().app.id,
        format!("GitHub-Hookshot/{}", &random_hex(7)),
    );
    let answer = client
        .post(url)
        .header("content-type", "application/json")
        .header("user-agent", user_agent)
        .header("x-github-event", &outgoing.event)
        .header("x-github-delivery", &outgoing.guid)
        .header("x-github-hook-id", "1")
        .header("x-github-hook-installation-target-id", app.to_string())
        .header("x-github-hook-installation-target-type", "integration")
        .header(
            "x-hub-signature-256",
            format!("sha256={}", hex::encode(mac.finalize().into_bytes())),
        )
        .body(body)
        .send()
        .await;
    answer.ok().map(|answer| answer.status().as_u16())
}
