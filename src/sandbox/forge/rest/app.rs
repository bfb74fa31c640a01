//! The App as it sees itself: its installation, and the tokens that it gets.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::{Value, json};

use super::query::{linked, paginate};
use super::{Answer, body, not_found};
use crate::sandbox::forge::auth::Auth;
use crate::sandbox::forge::json::selection;
use crate::sandbox::forge::state::{Installation, State, whole};
use crate::sandbox::forge::{Call, Inner, Reply};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    repositories: Option<Vec<String>>,
    repository_ids: Option<Vec<u64>>,
    permissions: Option<BTreeMap<String, String>>,
}

impl Inner {
    pub(super) fn app_endpoints(
        &self,
        method: &str,
        rest: &[&str],
        call: &Call,
        auth: &Auth,
        query: &HashMap<String, String>,
    ) -> Answer {
        if !matches!(auth, Auth::App) {
            return Err(Reply::error(401, "A JSON web token could not be decoded"));
        }
        match (method, rest) {
            ("GET", []) => Ok(Reply::json(200, self.shapes(&self.state()).app())),
            ("GET", ["installations"]) => Ok(self.installations(call, query)),
            ("GET", ["installations", id]) => {
                let state = self.state();
                let found = id.parse().ok().and_then(|id| state.installation(id));
                let found = found.ok_or_else(not_found)?;
                Ok(Reply::json(200, self.shapes(&state).installation(found)))
            }
            ("POST", ["installations", id, "access_tokens"]) => self.create_token(id, call),
            ("GET", ["hook", "deliveries"]) => self.deliveries(query),
            ("GET", ["hook", "deliveries", id]) => self.delivery(id),
            ("POST", ["hook", "deliveries", id, "attempts"]) => self.redeliver(id),
            _ => Err(Reply::error(404, "Not Found")),
        }
    }

    fn installations(&self, call: &Call, query: &HashMap<String, String>) -> Reply {
        let state = self.state();
        let shapes = self.shapes(&state);
        let all = state.installations.iter();
        let all = all.map(|one| shapes.installation(one)).collect();
        let (page, link) = paginate(all, query, call, self.origin());
        linked(Reply::json(200, Value::Array(page)), link)
    }

    fn create_token(&self, installation: &str, call: &Call) -> Answer {
        let mut state = self.state();
        let found = installation.parse().ok();
        let installation = found.and_then(|id| state.installation(id)).cloned();
        let installation = installation.ok_or_else(not_found)?;
        if installation.suspended {
            return Err(Reply::error(403, "This installation has been suspended"));
        }
        let wanted: TokenRequest = if call.body.is_empty() {
            TokenRequest::default()
        } else {
            body(call)?
        };
        let accepted = state.accepted(&installation);
        let permissions = granted_permissions(accepted, wanted.permissions)?;
        let mut repositories = wanted.repository_ids;
        if let Some(ids) = &repositories {
            let reached = |id: &u64| {
                let repo = state.by_id(*id);
                repo.is_some_and(|repo| state.reaches(&installation, repo))
            };
            if !ids.iter().all(reached) {
                return Err(not_reached());
            }
        }
        if let Some(names) = wanted.repositories {
            let ids = ids_of(&state, &installation, &names)?;
            repositories.get_or_insert_default().extend(ids);
        }
        let selection = if repositories.is_some() {
            "selected"
        } else {
            selection(&installation)
        };
        let (token, expires) = state.mint(installation.id, permissions.clone(), repositories);
        Ok(Reply::json(
            201,
            json!({"token": token, "expires_at": whole(expires).to_string(), "permissions": permissions, "repository_selection": selection}),
        ))
    }

    pub(super) fn installation_repositories(
        &self,
        call: &Call,
        auth: &Auth,
        query: &HashMap<String, String>,
    ) -> Answer {
        match auth {
            Auth::Installation {
                installation,
                repositories,
                ..
            } => {
                let state = self.state();
                let chosen = state.installation(*installation).map_or("all", selection);
                let shapes = self.shapes(&state);
                let granted = state.repositories.iter().filter(|repo| {
                    repo.fork_of.is_none()
                        && repositories
                            .as_ref()
                            .is_none_or(|granted| granted.contains(&repo.id))
                });
                let all: Vec<_> = granted.map(|repo| shapes.repository(repo)).collect();
                let total = all.len();
                let (page, link) = paginate(all, query, call, self.origin());
                Ok(linked(
                    Reply::json(
                        200,
                        json!({"total_count": total, "repository_selection": chosen, "repositories": page}),
                    ),
                    link,
                ))
            }
            _ => Err(Reply::error(403, "Resource not accessible by integration")),
        }
    }
}

/// The permissions of a token that asks for these; None: for all.
fn granted_permissions(
    accepted: BTreeMap<String, String>,
    asked: Option<BTreeMap<String, String>>,
) -> Result<BTreeMap<String, String>, Reply> {
    // PyGithub sends an empty object where it asks for all.
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return Ok(accepted);
    };
    let granted = |name: &str, access: &str| match accepted.get(name).map(String::as_str) {
        Some("write" | "admin") => true,
        Some("read") => access == "read",
        _ => false,
    };
    if asked.iter().any(|(name, access)| !granted(name, access)) {
        return Err(Reply::error(
            422,
            "The permissions requested are not granted to this installation.",
        ));
    }
    Ok(asked
        .into_iter()
        .chain([("metadata".to_string(), "read".to_string())])
        .collect())
}

/// The repositories of these names, all of which must be there.
fn ids_of(state: &State, installation: &Installation, names: &[String]) -> Result<Vec<u64>, Reply> {
    let ids: Vec<_> = state
        .repositories
        .iter()
        .filter(|repo| names.contains(&repo.name) && state.reaches(installation, repo))
        .map(|repo| repo.id)
        .collect();
    if ids.len() < names.len() {
        return Err(not_reached());
    }
    Ok(ids)
}

fn not_reached() -> Reply {
    Reply::error(
        422,
        "There is at least one repository that does not exist or is not accessible to the parent installation.",
    )
}
