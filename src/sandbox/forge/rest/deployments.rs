//! Deployments and their statuses.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Asked, body, invalid, not_found};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::auth::Access;
use crate::sandbox::forge::git::resolve;
use crate::sandbox::forge::state::{Deployment, DeploymentStatus, Repository, State, now};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeploymentRequest {
    #[serde(rename = "ref")]
    reference: String,
    task: Option<String>,
    /// Taken, and not done.
    #[serde(rename = "auto_merge")]
    _auto_merge: Option<bool>,
    /// None: all contexts that the commit has.
    required_contexts: Option<Vec<String>>,
    payload: Option<Value>,
    environment: Option<String>,
    description: Option<String>,
    #[serde(default)]
    transient_environment: bool,
    production_environment: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct DeploymentStatusRequest {
    state: String,
    /// The older name of `log_url`.
    target_url: Option<String>,
    log_url: Option<String>,
    description: Option<String>,
    environment: Option<String>,
    environment_url: Option<String>,
    auto_inactive: Option<bool>,
}

const STATES: [&str; 7] = [
    "error",
    "failure",
    "inactive",
    "in_progress",
    "queued",
    "pending",
    "success",
];

fn find<'a>(repo: &'a Repository, id: &str) -> Result<&'a Deployment, Reply> {
    repo.deployments
        .iter()
        .find(|deployment| deployment.id.to_string() == id)
        .ok_or_else(not_found)
}

impl Asked<'_> {
    pub(super) fn create_deployment(&self) -> Answer {
        self.allow("deployments", Access::Write)?;
        let request: DeploymentRequest = body(self.call)?;
        let payload = request.payload.unwrap_or_else(|| json!({}));
        if !payload.is_object() && !payload.is_string() {
            return Err(Reply::error(
                422,
                "Invalid request.\n\nFor 'properties/payload', the value is not an object or a string.",
            ));
        }
        let Some(sha) = resolve(&self.path(), &request.reference) else {
            return Err(Reply::error(
                422,
                format!("No ref found for: {}", request.reference),
            ));
        };
        let mut state = self.inner.state();
        let id = state.new_id();
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        self.require_contexts(
            repo,
            &sha,
            &request.reference,
            request.required_contexts.as_deref(),
        )?;
        let (environment, at) = (
            request.environment.unwrap_or_else(|| "production".into()),
            now(),
        );
        repo.deployments.push(Deployment {
            id,
            sha,
            reference: request.reference,
            task: request.task.unwrap_or_else(|| "deploy".into()),
            payload,
            original_environment: environment.clone(),
            production: request
                .production_environment
                .unwrap_or(environment == "production"),
            environment,
            description: request.description,
            transient: request.transient_environment,
            creator: self.login.clone(),
            by_app: self.by_app(),
            created_at: at,
            updated_at: at,
            statuses: vec![],
        });
        let repo = state.by_id(self.repo).ok_or_else(not_found)?;
        let deployment = repo.deployments.last().ok_or_else(not_found)?;
        Ok(Reply::json(
            201,
            self.inner.shapes(&state).deployment(repo, deployment),
        ))
    }

    /// Whether what was said of the commit lets it be deployed; `required` is None: all of it.
    fn require_contexts(
        &self,
        repo: &Repository,
        sha: &str,
        reference: &str,
        required: Option<&[String]>,
    ) -> Result<(), Reply> {
        let contexts = self.contexts(repo, sha);
        let passed = match required {
            None => contexts.iter().all(|(_, state)| *state == "success"),
            Some(required) => required
                .iter()
                .all(|name| contexts.contains(&(name.as_str(), "success"))),
        };
        if passed {
            return Ok(());
        }
        let contexts: Vec<_> = contexts
            .iter()
            .map(|(context, state)| json!({"context": context, "state": state}))
            .collect();
        Err(Reply::json(
            409,
            json!({"message": format!("Conflict: Commit status checks failed for {}.", reference),
                    "errors": [{"contexts": contexts, "resource": "Deployment", "field": "required_contexts", "code": "invalid"}],
                    "documentation_url": "https://docs.github.com/rest/deployments/deployments#create-a-deployment", "status": "409"}),
        ))
    }

    /// What was said of a commit, by statuses and by check runs: names and states.
    fn contexts<'a>(&self, repo: &'a Repository, sha: &str) -> Vec<(&'a str, &'a str)> {
        let statuses = self
            .latest(repo, sha)
            .into_iter()
            .map(|status| (status.context.as_str(), status.state.as_str()));
        let mut seen = HashSet::new();
        let newest = repo
            .checks
            .iter()
            .rev()
            .filter(|check| check.sha == sha && seen.insert(check.name.as_str()));
        statuses
            .chain(newest.map(|check| {
                (
                    check.name.as_str(),
                    check.conclusion.as_deref().unwrap_or("pending"),
                )
            }))
            .collect()
    }

    pub(super) fn deployments(&self) -> Answer {
        self.read("deployments", |shapes, repo| {
            let is = |field: &str, value: &str| {
                self.query.get(field).is_none_or(|wanted| wanted == value)
            };
            let wanted = |deployment: &&Deployment| {
                is("sha", &deployment.sha)
                    && is("ref", &deployment.reference)
                    && is("task", &deployment.task)
                    && is("environment", &deployment.environment)
            };
            self.list(
                repo.deployments
                    .iter()
                    .rev()
                    .filter(wanted)
                    .map(|deployment| shapes.deployment(repo, deployment))
                    .collect(),
            )
        })
    }

    pub(super) fn deployment(&self, id: &str) -> Answer {
        self.read("deployments", |shapes, repo| {
            Ok(Reply::json(200, shapes.deployment(repo, find(repo, id)?)))
        })
    }

    pub(super) fn deployment_statuses(&self, id: &str) -> Answer {
        self.read("deployments", |shapes, repo| {
            let deployment = find(repo, id)?;
            self.list(
                deployment
                    .statuses
                    .iter()
                    .rev()
                    .map(|status| shapes.deployment_status(repo, deployment, status))
                    .collect(),
            )
        })
    }

    pub(super) fn create_deployment_status(&self, id: &str) -> Answer {
        self.allow("deployments", Access::Write)?;
        let request: DeploymentStatusRequest = body(self.call)?;
        if !STATES.contains(&request.state.as_str()) {
            return Err(Reply::error(
                422,
                format!(
                    "Invalid request.\n\n{} is not a member of {STATES:?}.",
                    request.state
                ),
            ));
        }
        if request
            .description
            .as_ref()
            .is_some_and(|text| text.chars().count() > 140)
        {
            return Err(invalid(
                "deployments/statuses#create-a-deployment-status",
                json!([{"resource": "DeploymentStatus", "code": "custom", "field": "description",
                    "message": "description is too long (maximum is 140 characters)"}]),
            ));
        }
        let mut state = self.inner.state();
        let repo = state.by_id(self.repo).ok_or_else(not_found)?;
        let index = repo
            .deployments
            .iter()
            .position(|deployment| deployment.id.to_string() == id)
            .ok_or_else(not_found)?;
        self.add_deployment_status(&mut state, index, &request)?;
        let repo = state.by_id(self.repo).ok_or_else(not_found)?;
        if request.state == "success" && request.auto_inactive.unwrap_or(true) {
            let inactive = DeploymentStatusRequest {
                state: "inactive".into(),
                ..Default::default()
            };
            for earlier in superseded(repo, index) {
                self.add_deployment_status(&mut state, earlier, &inactive)?;
            }
        }
        let repo = state.by_id(self.repo).ok_or_else(not_found)?;
        let deployment = &repo.deployments[index];
        let status = deployment.statuses.last().ok_or_else(not_found)?;
        Ok(Reply::json(
            201,
            self.inner
                .shapes(&state)
                .deployment_status(repo, deployment, status),
        ))
    }

    fn add_deployment_status(
        &self,
        state: &mut State,
        index: usize,
        request: &DeploymentStatusRequest,
    ) -> Result<(), Reply> {
        let (id, at) = (state.new_id(), now());
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let deployment = repo.deployments.get_mut(index).ok_or_else(not_found)?;
        if let Some(environment) = &request.environment {
            deployment.environment = environment.clone();
        }
        deployment.updated_at = at;
        deployment.statuses.push(DeploymentStatus {
            id,
            state: request.state.clone(),
            description: request.description.clone().unwrap_or_default(),
            environment: deployment.environment.clone(),
            log_url: request
                .log_url
                .clone()
                .or_else(|| request.target_url.clone())
                .unwrap_or_default(),
            environment_url: request.environment_url.clone().unwrap_or_default(),
            creator: self.login.clone(),
            by_app: self.by_app(),
            created_at: at,
        });
        Ok(())
    }
}

/// The earlier deployments that a successful one makes inactive: those of its environment that
/// succeeded, unless the environment is transient or people use it (docs.github.com,
/// `auto_inactive`).
fn superseded(repo: &Repository, index: usize) -> Vec<usize> {
    let newest = &repo.deployments[index];
    let earlier = repo
        .deployments
        .iter()
        .take(index)
        .enumerate()
        .filter(|(_, deployment)| {
            let succeeded = deployment
                .statuses
                .last()
                .is_some_and(|status| status.state == "success");
            succeeded
                && !deployment.transient
                && !deployment.production
                && deployment.environment == newest.environment
        });
    earlier.map(|(index, _)| index).collect()
}
