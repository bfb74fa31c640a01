//! The REST endpoints.
//!
//! Two tables: method and path → permission → answer. Status codes and messages
//! are GitHub's (docs.github.com, and the threads that quote them).
//!
//! - [`app`], [`deliveries`], [`users`]: what lies outside of a repository
//! - [`refs`], [`branches`], [`git_data`], [`contents`]: what git holds; [`moved`]: under new names
//! - [`statuses`], [`checks`], [`deployments`]: what is said of commits
//! - [`pulls`], [`open`], [`merge`], [`reviews`], [`line_comments`]: pull requests; [`issues`], [`comments`]: their threads
//! - [`lag`]: as of a while ago; [`query`]: query strings, and the pages of lists

mod app;
mod branches;
mod checks;
mod comments;
mod contents;
mod deliveries;
mod deployments;
mod git_data;
mod issues;
mod lag;
mod line_comments;
mod merge;
mod moved;
mod open;
mod pulls;
mod query;
mod refs;
mod reviews;
mod statuses;
mod users;

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::auth::{Access, Auth, may};
use super::json::Shapes;
use super::state::{Kind, Repository};
use super::{Call, Inner, Reply};
use query::{linked, paginate, percent_decode};

pub(super) use query::parse_query;

type Answer = Result<Reply, Reply>;

/// A request below one repository.
struct Asked<'a> {
    inner: &'a Inner,
    call: &'a Call,
    auth: &'a Auth,
    repo: u64,
    owner: String,
    name: String,
    /// Who acts: the user, or the App's bot.
    login: String,
    query: HashMap<String, String>,
}

impl Inner {
    pub(super) fn rest(&self, call: &Call, path: &str, auth: &Auth) -> Answer {
        let decoded: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(percent_decode)
            .collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let query = parse_query(&call.query);
        match (call.method.as_str(), &parts[..]) {
            ("GET", ["meta"]) => Ok(Reply::json(
                200,
                json!({"verifiable_password_authentication": false, "installed_version": "3.19.0"}),
            )),
            ("GET", ["rate_limit"]) if self.state().enterprise.is_some() => {
                Err(Reply::error(404, "Rate limiting is not enabled."))
            }
            ("GET", ["rate_limit"]) => Ok(Reply::json(200, self.rate_limit(auth))),
            ("GET", ["user"]) => self.authenticated_user(auth),
            (method, ["app", rest @ ..]) => self.app_endpoints(method, rest, call, auth, &query),
            ("GET", ["installation", "repositories"]) => {
                self.installation_repositories(call, auth, &query)
            }
            ("GET", ["orgs", organisation, "teams", team, "memberships", user]) => {
                self.team_membership(auth, organisation, team, user)
            }
            (_, ["repositories", id, rest @ ..]) => {
                let id = id.parse().map_err(|_| not_found())?;
                let full_name = self.state().by_id(id).map(|repo| repo.full_name());
                let full_name = full_name.ok_or_else(not_found)?;
                let (owner, name) = full_name.split_once('/').ok_or_else(not_found)?;
                self.repository_endpoints(call, auth, (owner, name), rest, query)
            }
            (_, ["repos", owner, name, rest @ ..]) => {
                self.repository_endpoints(call, auth, (owner, name), rest, query)
            }
            _ => Err(Reply::error(404, "Not Found")),
        }
    }

    fn repository_endpoints(
        &self,
        call: &Call,
        auth: &Auth,
        (owner, name): (&str, &str),
        rest: &[&str],
        query: HashMap<String, String>,
    ) -> Answer {
        let (repo, login) = {
            let state = self.state();
            let Some(repo) = state.repository(owner, name) else {
                return Err(state
                    .moved_to(owner, name)
                    .map_or_else(not_found, |repo| self.redirect(call, auth, repo, rest)));
            };
            if let (Auth::App, ["installation"]) = (auth, rest) {
                let found = state.installation_of(repo).ok_or_else(not_found)?;
                return Ok(Reply::json(200, self.shapes(&state).installation(found)));
            }
            may(auth, repo, "metadata", Access::Read)?;
            let login = if let Auth::User(login) = auth {
                login.clone()
            } else {
                state.app.bot()
            };
            (repo.id, login)
        };
        let asked = Asked {
            inner: self,
            call,
            auth,
            repo,
            owner: owner.into(),
            name: name.into(),
            login,
            query,
        };
        asked.answer(rest)
    }
}

impl Asked<'_> {
    /// The table of what lies below a repository.
    fn answer(&self, rest: &[&str]) -> Answer {
        match (self.call.method.as_str(), rest) {
            ("GET", []) => self.read("metadata", |shapes, repo| {
                Ok(Reply::json(200, shapes.full_repository(repo)))
            }),
            ("GET", ["git", "ref", reference @ ..]) => self.get_ref(&reference.join("/")),
            ("POST", ["git", "refs"]) => self.create_ref(),
            ("PATCH", ["git", "refs", reference @ ..]) => self.update_ref(&reference.join("/")),
            ("DELETE", ["git", "refs", reference @ ..]) => self.delete_ref(&reference.join("/")),
            ("GET", ["git", "commits", sha]) => self.git_commit(sha),
            ("POST", ["git", "commits"]) => self.create_commit(),
            ("POST", ["git", "trees"]) => self.create_tree(),
            ("GET", ["git", "trees", name]) => self.tree(name),
            ("GET", ["git", "blobs", sha]) => self.blob(sha),
            ("GET", ["contents", path @ ..]) => self.contents(&path.join("/")),
            ("GET", ["activity"]) => self.activity(),
            ("GET", ["branches", branch @ ..]) => self.branch(&branch.join("/")),
            ("GET", ["rules", "branches", branch @ ..]) => self.rules(&branch.join("/")),
            ("GET", ["collaborators", user, "permission"]) => self.permission(user),
            ("POST", ["statuses", sha]) => self.create_status(sha),
            ("GET", ["commits", reference, "status"]) => {
                self.lagging(Kind::Status, self.combined_status(reference))
            }
            ("GET", ["commits", reference, "statuses"]) => {
                self.lagging(Kind::Status, self.statuses(reference))
            }
            ("GET", ["commits", reference, "check-runs"]) => {
                self.lagging(Kind::Check, self.check_runs(reference))
            }
            ("GET", ["commits", sha, "pulls"]) => self.lagging(Kind::Pull, self.pulls_of(sha)),
            ("POST", ["check-runs"]) => self.create_check(),
            ("PATCH", ["check-runs", id]) => self.update_check(id),
            ("POST", ["deployments"]) => self.create_deployment(),
            ("GET", ["deployments"]) => self.deployments(),
            ("GET", ["deployments", id]) => self.deployment(id),
            ("POST", ["deployments", id, "statuses"]) => self.create_deployment_status(id),
            ("GET", ["deployments", id, "statuses"]) => self.deployment_statuses(id),
            (method, ["pulls", rest @ ..]) => self.pull_endpoints(method, rest),
            ("GET", ["check-runs", id]) => self.lagging(Kind::Check, self.check_run(id)),
            ("POST", ["check-runs", id, "rerequest"]) => self.rerequest(id),
            (method, ["issues", rest @ ..]) => self.issue_endpoints(method, rest),
            _ => Err(Reply::error(404, "Not Found")),
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.inner.repository_path(&self.owner, &self.name)
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    fn allow(&self, permission: &str, access: Access) -> Result<(), Reply> {
        let state = self.inner.state();
        match state.by_id(self.repo) {
            Some(repo) => may(self.auth, repo, permission, access),
            None => Err(Reply::error(404, "Not Found")),
        }
    }

    /// A read-only answer from the state.
    fn read(
        &self,
        permission: &str,
        answer: impl FnOnce(&Shapes<'_>, &Repository) -> Answer,
    ) -> Answer {
        self.allow(permission, Access::Read)?;
        let state = self.inner.state();
        let repo = state
            .by_id(self.repo)
            .ok_or_else(|| Reply::error(404, "Not Found"))?;
        answer(&self.inner.shapes(&state), repo)
    }

    fn by_app(&self) -> bool {
        !matches!(self.auth, Auth::User(_))
    }

    fn list(&self, items: Vec<Value>) -> Answer {
        let (page, link) = paginate(items, &self.query, self.call, self.inner.origin());
        Ok(linked(Reply::json(200, Value::Array(page)), link))
    }
}

fn not_found() -> Reply {
    Reply::error(404, "Not Found")
}

fn invalid(resource: &str, errors: Value) -> Reply {
    Reply::json(
        422,
        json!({"message": "Validation Failed", "errors": errors, "documentation_url": format!("https://docs.github.com/rest/{resource}"), "status": "422"}),
    )
}

/// The request's body in its own type; an unknown field is refused.
pub(super) fn body<T: DeserializeOwned>(call: &Call) -> Result<T, Reply> {
    if call.body.is_empty() {
        return Err(Reply::error(
            422,
            "Invalid request.\n\nFor 'links/0/schema', nil is not an object.",
        ));
    }
    let value: Value = serde_json::from_slice(&call.body)
        .map_err(|_| Reply::error(400, "Problems parsing JSON"))?;
    serde_json::from_value(value)
        .map_err(|error| Reply::error(422, format!("Invalid request.\n\n{error}")))
}
