//! Check runs, which only the App makes.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::query::{linked, paginate};
use super::{Answer, Asked, body, not_found};
use crate::sandbox::forge::auth::Access;
use crate::sandbox::forge::git::resolve;
use crate::sandbox::forge::state::{CheckRun, Kind, State, whole};
use crate::sandbox::forge::{Inner, Reply};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckRequest {
    name: Option<String>,
    head_sha: Option<String>,
    status: Option<String>,
    conclusion: Option<String>,
    external_id: Option<String>,
    details_url: Option<String>,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    output: Option<CheckOutput>,
    actions: Option<Vec<CheckAction>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckOutput {
    title: Option<String>,
    summary: String,
    text: Option<String>,
    annotations: Option<Vec<Annotation>>,
}

/// What is shown at lines of a file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Annotation {
    path: String,
    start_line: u64,
    end_line: u64,
    start_column: Option<u64>,
    end_column: Option<u64>,
    annotation_level: String,
    title: Option<String>,
    message: String,
    raw_details: Option<String>,
}

/// A button; checked, and not kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckAction {
    label: String,
    description: String,
    identifier: String,
}

impl Asked<'_> {
    pub(super) fn check_runs(&self, reference: &str) -> Answer {
        self.read("checks", |shapes, repo| {
            let Some(sha) = resolve(&self.path(), reference) else {
                return Err(Reply::error(404, "Not Found"));
            };
            let name = self.query.get("check_name");
            let mut found: Vec<_> = repo
                .checks
                .iter()
                .rev()
                .filter(|check| check.sha == sha && name.is_none_or(|name| *name == check.name))
                .collect();
            if let Some(id) = self.query.get("app_id") {
                let id = id.parse().ok();
                found.retain(|check| shapes.maker(check)["id"].as_u64() == id);
            }
            if self.query.get("filter").map(String::as_str) != Some("all") {
                let mut seen = HashSet::new();
                found.retain(|check| seen.insert((check.app.clone(), check.name.clone())));
            }
            let all: Vec<_> = found
                .iter()
                .map(|check| shapes.check_run(repo, check))
                .collect();
            let total = all.len();
            let (page, link) = paginate(all, &self.query, self.call, self.inner.origin());
            Ok(linked(
                Reply::json(200, json!({"total_count": total, "check_runs": page})),
                link,
            ))
        })
    }

    pub(super) fn check_run(&self, id: &str) -> Answer {
        self.read("checks", |shapes, repo| {
            let check = repo.checks.iter().find(|check| check.id.to_string() == id);
            let check = check.ok_or_else(not_found)?;
            Ok(Reply::json(200, shapes.check_run(repo, check)))
        })
    }

    /// The button *Re-run*: the check run stays as it is, and its App is told.
    pub(super) fn rerequest(&self, id: &str) -> Answer {
        self.allow("checks", Access::Write)?;
        let mut state = self.inner.state();
        let repo = state.by_id(self.repo).ok_or_else(not_found)?;
        let check = repo.checks.iter().find(|check| check.id.to_string() == id);
        let check = check.ok_or_else(not_found)?;
        if check.app.is_some() {
            return Err(Reply::error(
                403,
                "This check run does not belong to the authenticated GitHub App",
            ));
        }
        let value = self.inner.shapes(&state).check_run(repo, check);
        self.inner.announce(
            &mut state,
            self.repo,
            "check_run",
            Some("rerequested"),
            &self.login,
            json!({"check_run": value}),
        );
        Ok(Reply::json(201, json!({})))
    }

    pub(super) fn create_check(&self) -> Answer {
        if !self.by_app() {
            return Err(Reply::error(403, "You must authenticate via a GitHub App."));
        }
        self.allow("checks", Access::Write)?;
        let request: CheckRequest = body(self.call)?;
        let (Some(name), Some(sha)) = (request.name.clone(), request.head_sha.clone()) else {
            return Err(Reply::error(
                422,
                "Invalid request.\n\n\"name\", \"head_sha\" weren't supplied.",
            ));
        };
        if resolve(&self.path(), &sha).as_deref() != Some(sha.as_str()) {
            return Err(Reply::error(422, format!("No commit found for SHA: {sha}")));
        }
        let mut state = self.inner.state();
        let at = state.now();
        if state.unseen.lacks(self.repo, &sha) {
            return Err(Reply::error(422, format!("No commit found for SHA: {sha}")));
        }
        let id = state.new_id();
        if request
            .output
            .as_ref()
            .is_some_and(|output| output.title.is_none())
        {
            return Err(Reply::error(
                422,
                "Invalid request.\n\n\"title\" wasn't supplied.",
            ));
        }
        let mut check = CheckRun {
            id,
            name,
            app: None,
            sha,
            status: "queued".into(),
            conclusion: None,
            external_id: String::new(),
            details_url: None,
            started_at: at,
            completed_at: None,
            title: None,
            summary: None,
            text: None,
            annotations: vec![],
        };
        fill(&mut check, request, at)?;
        let Some(repo) = state.repository_mut(self.repo) else {
            return Err(Reply::error(404, "Not Found"));
        };
        repo.checks.push(check);
        state.written(Kind::Check, id, None);
        self.answer_check(&mut state, id, 201, "created")
    }

    pub(super) fn update_check(&self, id: &str) -> Answer {
        if !self.by_app() {
            return Err(Reply::error(403, "You must authenticate via a GitHub App."));
        }
        self.allow("checks", Access::Write)?;
        let request: CheckRequest = body(self.call)?;
        let mut state = self.inner.state();
        let at = state.now();
        let before = self.stale_check(&state, id);
        let Some(repo) = state.repository_mut(self.repo) else {
            return Err(Reply::error(404, "Not Found"));
        };
        let Some(check) = repo
            .checks
            .iter_mut()
            .find(|check| check.id.to_string() == id && check.app.is_none())
        else {
            return Err(Reply::error(404, "Not Found"));
        };
        if let Some(name) = &request.name {
            check.name = name.clone();
        }
        fill(check, request, at)?;
        let id = check.id;
        state.written(Kind::Check, id, before);
        self.answer_check(&mut state, id, 200, "completed")
    }

    /// A check run as it is, where it will not be seen to change at once.
    fn stale_check(&self, state: &State, id: &str) -> Option<Value> {
        let repo = state.by_id(self.repo)?;
        let check = repo
            .checks
            .iter()
            .find(|check| check.id.to_string() == id)?;
        let shapes = self.inner.shapes(state);
        state
            .lags(Kind::Check)
            .then(|| shapes.check_run(repo, check))
    }

    fn answer_check(&self, state: &mut State, id: u64, status: u16, action: &str) -> Answer {
        let told = self
            .inner
            .announce_check(state, self.repo, id, action, &self.login);
        told.map(|value| Reply::json(status, value))
            .ok_or_else(not_found)
    }
}

impl Inner {
    /// Announces a check run, and its suite when that is completed by it.
    pub(in crate::sandbox::forge) fn announce_check(
        &self,
        state: &mut State,
        repository: u64,
        id: u64,
        action: &str,
        sender: &str,
    ) -> Option<Value> {
        let repo = state.by_id(repository)?;
        let check = repo.checks.iter().find(|check| check.id == id)?;
        let completed = check.status == "completed";
        let action = if completed { "completed" } else { action };
        let shapes = self.shapes(state);
        let value = shapes.check_run(repo, check);
        let suite = completed.then(|| shapes.check_suite(repo, check));
        let mut announce = |event: &str, action: &str, more: Value| {
            self.announce(state, repository, event, Some(action), sender, more);
        };
        announce("check_run", action, json!({"check_run": value}));
        if let Some(suite) = suite.filter(|suite| suite["status"] == "completed") {
            announce("check_suite", "completed", json!({"check_suite": suite}));
        }
        Some(value)
    }
}

fn invalid(message: String) -> Reply {
    Reply::error(422, format!("Invalid request.\n\n{message}"))
}

/// Refuses more buttons and annotations than there may be, and longer words on them.
fn bounded(request: &CheckRequest) -> Result<(), Reply> {
    let actions = request.actions.as_deref().unwrap_or_default();
    let annotations = request.output.as_ref();
    let annotations = annotations.and_then(|output| output.annotations.as_ref());
    for (count, most) in [(actions.len(), 3), (annotations.map_or(0, Vec::len), 50)] {
        if count > most {
            return Err(invalid(format!(
                "No more than {most} items are allowed; {count} were supplied."
            )));
        }
    }
    for action in actions {
        for (text, most) in [
            (&action.label, 20),
            (&action.description, 40),
            (&action.identifier, 20),
        ] {
            let count = text.chars().count();
            if count > most {
                return Err(invalid(format!(
                    "Only {most} characters are allowed; {count} were supplied."
                )));
            }
        }
    }
    Ok(())
}

fn fill(check: &mut CheckRun, request: CheckRequest, at: Timestamp) -> Result<(), Reply> {
    bounded(&request)?;
    if let Some(status) = request.status {
        if !["queued", "in_progress", "completed"].contains(&status.as_str()) {
            return Err(invalid(format!(
                "{status} is not a member of [\"queued\", \"in_progress\", \"completed\"]."
            )));
        }
        if status == "completed" && request.conclusion.is_none() {
            return Err(invalid("Missing required key: conclusion".into()));
        }
        check.status = status;
    }
    if let Some(conclusion) = request.conclusion {
        let known = [
            "action_required",
            "cancelled",
            "failure",
            "neutral",
            "success",
            "skipped",
            "timed_out",
        ];
        if !known.contains(&conclusion.as_str()) {
            return Err(invalid(format!(
                "{conclusion} is not a member of {known:?}."
            )));
        }
        check.conclusion = Some(conclusion);
        check.status = "completed".into();
        check.completed_at = Some(request.completed_at.map_or(at, whole));
    }
    if let Some(output) = request.output {
        for text in [Some(&output.summary), output.text.as_ref()]
            .into_iter()
            .flatten()
        {
            if text.len() > 65_535 {
                return Err(invalid(
                    "Only 65535 characters are allowed; more were supplied.".into(),
                ));
            }
        }
        check.title = output.title.or(check.title.take());
        check.summary = Some(output.summary);
        check.text = output.text;
        annotate(check, output.annotations.unwrap_or_default())?;
    }
    if let Some(external_id) = request.external_id {
        check.external_id = external_id;
    }
    if request.details_url.is_some() {
        check.details_url = request.details_url;
    }
    if let Some(started) = request.started_at {
        check.started_at = whole(started);
    }
    Ok(())
}

/// Adds annotations to those that a check run has.
fn annotate(check: &mut CheckRun, annotations: Vec<Annotation>) -> Result<(), Reply> {
    for annotation in annotations {
        let level = annotation.annotation_level.as_str();
        if !["notice", "warning", "failure"].contains(&level) {
            return Err(invalid(format!(
                "{level} is not a member of [\"notice\", \"warning\", \"failure\"]."
            )));
        }
        check.annotations.push(json!(annotation));
    }
    Ok(())
}
