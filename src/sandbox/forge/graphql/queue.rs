//! `enqueuePullRequest` and `dequeuePullRequest`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, argument, failure};
use crate::sandbox::forge::Inner;
use crate::sandbox::forge::auth::{Access, Auth, may};
use crate::sandbox::forge::json::node_id;
use crate::sandbox::forge::queue::queue_method;
use crate::sandbox::forge::rules::{Way, violations};
use crate::sandbox::forge::state::{Pull, QueueEntry, Repository, State, now};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Enqueue {
    pull_request_id: String,
    expected_head_oid: Option<String>,
    #[serde(default)]
    jump: Option<bool>,
    client_mutation_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Dequeue {
    /// The pull request's.
    id: String,
    client_mutation_id: Option<String>,
}

impl Inner {
    pub(super) fn enqueue(&self, input: Value, auth: &Auth) -> Result<Value, Failure> {
        let input: Enqueue = argument(input)?;
        let mut state = self.state();
        let (repo, pull) = queueable(&state, &input.pull_request_id, auth)?;
        let login = match auth {
            Auth::User(login) => login.clone(),
            _ => state.app.bot(),
        };
        self.check_enqueue(&state, repo, pull, input.expected_head_oid.as_deref())?;
        let repository = repo.id;
        let entry = QueueEntry {
            id: 0,
            number: pull.number,
            head: pull.head.sha.clone(),
            base: pull.base.branch.clone(),
            enqueuer: login,
            jump: input.jump.unwrap_or_default(),
            at: now(),
            group: None,
        };
        let id = self.add_entry(&mut state, repository, entry);
        let shapes = self.shapes(&state);
        let told = state.by_id(repository).and_then(|repo| {
            let entry = repo.queue.iter().find(|entry| entry.id == id)?;
            Some(shapes.queue_entry(repo, entry))
        });
        Ok(json!({"clientMutationId": input.client_mutation_id, "mergeQueueEntry": told}))
    }

    /// Whether the pull request may wait in the queue: all but the checks of its group is there.
    fn check_enqueue(
        &self,
        state: &State,
        repo: &Repository,
        pull: &Pull,
        expected: Option<&str>,
    ) -> Result<(), Failure> {
        let refused = |words: String| Err(failure("UNPROCESSABLE", words));
        if repo.queue.iter().any(|entry| entry.number == pull.number) {
            return refused("Pull request is already in the queue".into());
        }
        if queue_method(repo, &pull.base.branch).is_none() {
            return refused("Merge queue is not enabled for this branch".into());
        }
        if !pull.open {
            return refused("Pull request is closed".into());
        }
        if pull.draft {
            return refused("Pull request is in draft state".into());
        }
        if expected.is_some_and(|expected| expected != pull.head.sha) {
            return refused("Head branch was modified. Review and try the merge again.".into());
        }
        let path = self.repository_path(&repo.owner, &repo.name);
        let found = violations(&path, state, repo, pull, Way::Queue);
        match found.is_empty() {
            true => Ok(()),
            false => refused(format!("Pull request {}", found.join(" "))),
        }
    }

    pub(super) fn dequeue(&self, input: Value, auth: &Auth) -> Result<Value, Failure> {
        let input: Dequeue = argument(input)?;
        let (repository, id, told) = {
            let state = self.state();
            let (repo, pull) = queueable(&state, &input.id, auth)?;
            let entry = repo
                .queue
                .iter()
                .find(|entry| entry.number == pull.number)
                .ok_or_else(|| failure("UNPROCESSABLE", "Pull request is not in the queue"))?;
            let told = self.shapes(&state).queue_entry(repo, entry);
            (repo.id, entry.id, told)
        };
        self.remove_entry(repository, id, "MANUAL");
        Ok(json!({"clientMutationId": input.client_mutation_id, "mergeQueueEntry": told}))
    }
}

/// A pull request by its node id, whose queue the caller may use.
fn queueable<'a>(
    state: &'a State,
    id: &str,
    auth: &Auth,
) -> Result<(&'a Repository, &'a Pull), Failure> {
    let missing = || {
        failure(
            "NOT_FOUND",
            format!("Could not resolve to a node with the global id of '{id}'"),
        )
    };
    let found = state.repositories.iter().find_map(|repo| {
        let mut pulls = repo.pulls.iter();
        let pull = pulls.find(|pull| node_id("PullRequest", pull.id) == id)?;
        Some((repo, pull))
    });
    let (repo, pull) = found.ok_or_else(missing)?;
    may(auth, repo, "metadata", Access::Read).map_err(|_| missing())?;
    for permission in ["pull_requests", "contents"] {
        may(auth, repo, permission, Access::Write)
            .map_err(|_| failure("FORBIDDEN", "Resource not accessible by integration"))?;
    }
    Ok((repo, pull))
}
