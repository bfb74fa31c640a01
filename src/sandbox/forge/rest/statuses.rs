//! Commit statuses: made, listed, and combined.

use serde::Deserialize;
use serde_json::{Value, json};

use super::lag::combined;
use super::query::{linked, paginate};
use super::{Answer, Asked, body};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::auth::Access;
use crate::sandbox::forge::git::resolve;
use crate::sandbox::forge::json::merge;
use crate::sandbox::forge::state::{Kind, Repository, State, Status};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusRequest {
    state: String,
    #[serde(default = "default_context")]
    context: String,
    description: Option<String>,
    target_url: Option<String>,
}

fn default_context() -> String {
    "default".into()
}

impl Asked<'_> {
    pub(super) fn create_status(&self, sha: &str) -> Answer {
        self.allow("statuses", Access::Write)?;
        let request: StatusRequest = body(self.call)?;
        request.check()?;
        if resolve(&self.path(), sha).as_deref() != Some(sha) {
            return Err(Reply::error(422, format!("No commit found for SHA: {sha}")));
        }
        let mut state = self.inner.state();
        let at = state.now();
        if state.unseen.lacks(self.repo, sha) {
            return Err(Reply::error(422, format!("No commit found for SHA: {sha}")));
        }
        let before = self.stale_status(&state, sha, &request.context);
        let id = state.new_id();
        let Some(repo) = state.repository_mut(self.repo) else {
            return Err(Reply::error(404, "Not Found"));
        };
        let same = repo
            .statuses
            .iter()
            .filter(|status| {
                status.sha == sha && status.context.eq_ignore_ascii_case(&request.context)
            })
            .count();
        if same >= 1000 {
            return Err(invalid_status(
                "base",
                "This SHA and context has reached the maximum number of statuses.",
            ));
        }
        repo.statuses.push(Status {
            id,
            sha: sha.into(),
            state: request.state.clone(),
            context: request.context.clone(),
            description: request.description,
            target_url: request.target_url,
            creator: self.login.clone(),
            created_at: at,
        });
        state.written(Kind::Status, id, before);
        self.announce_status(&mut state, id);
        let repo = state
            .by_id(self.repo)
            .ok_or_else(|| Reply::error(404, "Not Found"))?;
        let status = repo
            .statuses
            .last()
            .ok_or_else(|| Reply::error(404, "Not Found"))?;
        Ok(Reply::json(
            201,
            self.inner.shapes(&state).status(repo, status),
        ))
    }

    /// What a context says, where it will not be seen to change at once.
    fn stale_status(&self, state: &State, sha: &str, context: &str) -> Option<Value> {
        let repo = state
            .by_id(self.repo)
            .filter(|_| state.lags(Kind::Status))?;
        let mut latest = self.latest(repo, sha).into_iter();
        let before = latest.rfind(|one| one.context.eq_ignore_ascii_case(context))?;
        Some(self.inner.shapes(state).status(repo, before))
    }

    fn announce_status(&self, state: &mut State, id: u64) {
        if !state.app.events.iter().any(|heard| heard == "status") {
            return;
        }
        let Some(repo) = state.by_id(self.repo) else {
            return;
        };
        let Some(status) = repo.statuses.iter().find(|status| status.id == id) else {
            return;
        };
        let shapes = self.inner.shapes(state);
        let mut payload = shapes.simple_status(repo, status);
        merge(
            &mut payload,
            json!({"sha": status.sha, "name": self.full_name(), "branches": [], "commit": shapes.commit(repo, &status.sha)}),
        );
        self.inner
            .announce(state, self.repo, "status", None, &self.login, payload);
    }

    /// The newest status of each context.
    pub(super) fn latest<'a>(&self, repo: &'a Repository, sha: &str) -> Vec<&'a Status> {
        let mut latest: Vec<&Status> = Vec::new();
        for status in repo
            .statuses
            .iter()
            .rev()
            .filter(|status| status.sha == sha)
        {
            if !latest
                .iter()
                .any(|known| known.context.eq_ignore_ascii_case(&status.context))
            {
                latest.push(status);
            }
        }
        latest
    }

    pub(super) fn combined_status(&self, reference: &str) -> Answer {
        self.read("statuses", |shapes, repo| {
            let Some(sha) = resolve(&self.path(), reference) else { return Err(Reply::error(404, "Not Found")) };
            let latest = self.latest(repo, &sha);
            let all: Vec<_> = latest.iter().map(|status| shapes.simple_status(repo, status)).collect();
            let (state, total) = (combined(&all), all.len());
            let (page, link) = paginate(all, &self.query, self.call, self.inner.origin());
            let url = format!("{}/commits/{sha}", shapes.repo_url(repo));
            Ok(linked(
                Reply::json(
                    200,
                    json!({"state": state, "sha": sha, "total_count": total, "statuses": page, "repository": shapes.repository(repo),
                "commit_url": url, "url": format!("{url}/status")}),
                ),
                link,
            ))
        })
    }

    pub(super) fn statuses(&self, reference: &str) -> Answer {
        self.read("statuses", |shapes, repo| {
            let Some(sha) = resolve(&self.path(), reference) else {
                return Err(Reply::error(404, "Not Found"));
            };
            self.list(
                repo.statuses
                    .iter()
                    .rev()
                    .filter(|status| status.sha == sha)
                    .map(|status| shapes.status(repo, status))
                    .collect(),
            )
        })
    }
}

impl StatusRequest {
    fn check(&self) -> Result<(), Reply> {
        if !["error", "failure", "pending", "success"].contains(&self.state.as_str()) {
            return Err(invalid_status("state", "state is not included in the list"));
        }
        if self
            .description
            .as_ref()
            .is_some_and(|text| text.chars().count() > 140)
        {
            return Err(invalid_status(
                "description",
                "description is too long (maximum is 140 characters)",
            ));
        }
        if self.context.chars().count() > 255 {
            return Err(invalid_status(
                "context",
                "context is too long (maximum is 255 characters)",
            ));
        }
        Ok(())
    }
}

fn invalid_status(field: &str, message: &str) -> Reply {
    Reply::json(
        422,
        json!({"message": format!("Validation Failed: {message}"), "documentation_url": "https://docs.github.com/rest", "status": "422",
        "errors": [{"resource": "Status", "code": "custom", "field": field, "message": message}]}),
    )
}
