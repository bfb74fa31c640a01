//! Webhooks: what happened is told to the App, asynchronously and signed.
//!
//! GitHub does not retry by itself; what was not delivered stands in the App's
//! delivery log for three days.
//!
//! - here: how an event is announced; [`moves`]: what follows from the move of a branch
//! - [`delivery`]: how events get to the App

mod delivery;
mod moves;

use serde_json::{Value, json};

use super::Inner;
use super::json::{merge, node_id};
use super::state::{Installation, Outgoing, Pull, Repository, State, random_hex};

pub(super) use delivery::deliver;

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
        // Who may write checks hears of all of them, other Apps' as well (community/210531).
        let unasked = event.starts_with("check_")
            && state.app.permissions.get("checks").map(String::as_str) == Some("write");
        if !unasked && !state.app.events.iter().any(|heard| heard == event) {
            return;
        }
        let Some(found) = state.by_id(repo) else {
            return;
        };
        let Some(installation) = state.installation_of(found).filter(|one| !one.suspended) else {
            return;
        };
        let id = installation.id;
        // An App subscribes to these by that permission alone ([WH] merge-group).
        if event == "merge_group" && !state.app.permissions.contains_key("merge_queues") {
            return;
        }
        let shapes = self.shapes(state);
        let mut payload = json!({
            "sender": shapes.user(sender), "repository": shapes.repository(found),
            "installation": {"id": id, "node_id": node_id("Installation", id)},
        });
        merge(&mut payload, more);
        send(state, id, Some(repo), event, action, payload);
    }

    /// Queues one event about an installation: the App hears all of them.
    pub(super) fn announce_installation(
        &self,
        state: &mut State,
        installation: &Installation,
        event: &str,
        action: &str,
        more: Value,
    ) {
        let shapes = self.shapes(state);
        let account = shapes.state.account(installation);
        let mut payload = json!({"sender": shapes.user(&account), "installation": shapes.installation(installation)});
        merge(&mut payload, more);
        send(state, installation.id, None, event, Some(action), payload);
    }

    pub(super) fn announce_review(
        &self,
        state: &mut State,
        repository: u64,
        number: u64,
        review: u64,
        (action, sender): (&str, &str),
        more: Value,
    ) {
        let Some((repo, pull)) = find(state, repository, number) else {
            return;
        };
        let Some(review) = pull.reviews.iter().find(|one| one.id == review) else {
            return;
        };
        let shapes = self.shapes(state);
        let mut told = shapes.review(repo, pull, review);
        told["state"] = review.state.to_lowercase().into();
        let mut payload = json!({"review": told, "pull_request": shapes.pull_simple(repo, pull)});
        merge(&mut payload, more);
        self.announce(
            state,
            repository,
            "pull_request_review",
            Some(action),
            sender,
            payload,
        );
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
        let shapes = self.shapes(state);
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
}

fn send(
    state: &mut State,
    installation: u64,
    repository: Option<u64>,
    event: &str,
    action: Option<&str>,
    mut payload: Value,
) {
    if let Some(action) = action {
        payload["action"] = action.into();
    }
    state.outbox.push_back(Outgoing {
        guid: guid(),
        event: event.into(),
        action: action.map(str::to_string),
        installation: Some(installation),
        repository,
        payload,
        redelivery: false,
    });
    state.wake.notify_one();
}

pub(super) fn find(state: &State, repository: u64, number: u64) -> Option<(&Repository, &Pull)> {
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
