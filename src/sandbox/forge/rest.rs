//! The REST endpoints, less those of pull requests ([`super::rest_pulls`]),
//! deployments ([`super::rest_deployments`]) and git objects ([`super::rest_git_data`]).
//!
//! One table: method and path → permission → answer. Status codes and messages
//! are GitHub's (docs.github.com, and the threads that quote them).

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::auth::{Access, Auth, may};
use super::git::{git, is_ancestor, read_blob, resolve};
use super::json::Shapes;
use super::state::{CheckRun, Repository, State, Status, now};
use super::{Call, Inner, Reply};

pub type Answer = Result<Reply, Reply>;

/// A request below one repository.
pub struct Asked<'a> {
    pub inner: &'a Inner,
    pub call: &'a Call,
    pub auth: &'a Auth,
    pub repo: u64,
    pub owner: String,
    pub name: String,
    /// Who acts: the user, or the App's bot.
    pub login: String,
    pub query: HashMap<String, String>,
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
            ("GET", ["rate_limit"]) => {
                let rate = json!({"limit": 5000, "remaining": 4999, "reset": now().as_second() + 3600, "used": 1});
                Ok(Reply::json(
                    200,
                    json!({"rate": rate, "resources": {"core": rate, "search": rate, "graphql": rate}}),
                ))
            }
            ("GET", ["user"]) => match auth {
                Auth::User(login) => {
                    let state = self.state();
                    let mut user = Shapes {
                        inner: self,
                        state: &state,
                    }
                    .user(login);
                    super::json::merge(
                        &mut user,
                        json!({"name": login, "company": null, "blog": null, "location": null, "email": null,
                        "hireable": null, "bio": null, "public_repos": 0, "public_gists": 0, "followers": 0, "following": 0,
                        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}),
                    );
                    Ok(Reply::json(200, user))
                }
                Auth::Anonymous => Err(Reply::error(401, "Requires authentication")),
                _ => Err(Reply::error(403, "Resource not accessible by integration")),
            },
            (method, ["app", rest @ ..]) => self.app_endpoints(method, rest, call, auth, &query),
            ("GET", ["installation", "repositories"]) => match auth {
                Auth::Installation { repositories, .. } => {
                    let state = self.state();
                    let shapes = Shapes {
                        inner: self,
                        state: &state,
                    };
                    let granted = state.repositories.iter().filter(|repo| {
                        repo.fork_of.is_none()
                            && repositories
                                .as_ref()
                                .is_none_or(|granted| granted.contains(&repo.id))
                    });
                    let all: Vec<_> = granted.map(|repo| shapes.repository(repo)).collect();
                    let total = all.len();
                    let (page, link) = paginate(all, &query, call, self.origin());
                    Ok(linked(
                        Reply::json(
                            200,
                            json!({"total_count": total, "repository_selection": "all", "repositories": page}),
                        ),
                        link,
                    ))
                }
                _ => Err(Reply::error(403, "Resource not accessible by integration")),
            },
            ("GET", ["orgs", organisation, "teams", team, "memberships", user]) => match auth {
                Auth::Installation { permissions, .. } if permissions.contains_key("members") => {
                    let state = self.state();
                    let members = state
                        .teams
                        .get(&(organisation.to_string(), team.to_string()));
                    if !members.is_some_and(|members| {
                        members
                            .iter()
                            .any(|member| member.eq_ignore_ascii_case(user))
                    }) {
                        return Err(Reply::error(404, "Not Found"));
                    }
                    let url = format!(
                        "{}/api/v3/orgs/{organisation}/teams/{team}/memberships/{user}",
                        self.origin()
                    );
                    Ok(Reply::json(
                        200,
                        json!({"url": url, "role": "member", "state": "active"}),
                    ))
                }
                _ => Err(Reply::error(403, "Resource not accessible by integration")),
            },
            (_, ["repos", owner, name, rest @ ..]) => {
                self.repository_endpoints(call, auth, (owner, name), rest, query)
            }
            _ => Err(Reply::error(404, "Not Found")),
        }
    }

    fn app_endpoints(
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
        let mut state = self.state();
        let shapes = Shapes {
            inner: self,
            state: &state,
        };
        match (method, rest) {
            ("GET", []) => Ok(Reply::json(200, shapes.app())),
            ("GET", ["installations"]) => Ok(Reply::json(200, json!([shapes.installation()]))),
            ("POST", ["installations", id, "access_tokens"]) => {
                if id.parse() != Ok(state.app.installation) {
                    return Err(Reply::error(404, "Not Found"));
                }
                let wanted: TokenRequest = if call.body.is_empty() {
                    TokenRequest::default()
                } else {
                    body(call)?
                };
                // PyGithub sends an empty object where it asks for all.
                let permissions = match wanted.permissions.filter(|asked| !asked.is_empty()) {
                    None => state.app.permissions.clone(),
                    Some(asked) => {
                        let granted = |name: &str, access: &str| match state
                            .app
                            .permissions
                            .get(name)
                            .map(String::as_str)
                        {
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
                        asked
                            .into_iter()
                            .chain([("metadata".to_string(), "read".to_string())])
                            .collect()
                    }
                };
                let mut repositories = wanted.repository_ids;
                if let Some(names) = wanted.repositories {
                    let ids: Vec<_> = state
                        .repositories
                        .iter()
                        .filter(|repo| names.contains(&repo.name))
                        .map(|repo| repo.id)
                        .collect();
                    if ids.len() < names.len() {
                        return Err(Reply::error(
                            422,
                            "There is at least one repository that does not exist or is not accessible to the parent installation.",
                        ));
                    }
                    repositories.get_or_insert_default().extend(ids);
                }
                let selection = if repositories.is_some() {
                    "selected"
                } else {
                    "all"
                };
                let (token, expires) = state.mint(permissions.clone(), repositories);
                Ok(Reply::json(
                    201,
                    json!({"token": token, "expires_at": super::state::whole(expires).to_string(), "permissions": permissions, "repository_selection": selection}),
                ))
            }
            ("GET", ["hook", "deliveries"]) => {
                let failed = |delivery: &&super::state::Delivery| match query
                    .get("status")
                    .map(String::as_str)
                {
                    Some("failure") => delivery.status_code.is_none_or(|code| code >= 400),
                    Some("success") => delivery.status_code.is_some_and(|code| code < 400),
                    _ => true,
                };
                let per_page = query
                    .get("per_page")
                    .and_then(|n| n.parse().ok())
                    .unwrap_or(30usize)
                    .min(100);
                let before = query
                    .get("cursor")
                    .and_then(|cursor| cursor.parse::<u64>().ok())
                    .unwrap_or(u64::MAX);
                let found: Vec<_> = state
                    .deliveries
                    .iter()
                    .rev()
                    .filter(failed)
                    .filter(|delivery| delivery.id < before)
                    .take(per_page + 1)
                    .collect();
                let more = found.len() > per_page;
                let page: Vec<_> = found
                    .iter()
                    .take(per_page)
                    .map(|delivery| shapes.delivery(delivery))
                    .collect();
                let link = more.then(|| {
                    let cursor = page.last().map(|delivery| delivery["id"].to_string()).unwrap_or_default();
                    format!("<{}/api/v3/app/hook/deliveries?per_page={per_page}&cursor={cursor}>; rel=\"next\"", self.origin())
                });
                Ok(linked(Reply::json(200, Value::Array(page)), link))
            }
            ("GET", ["hook", "deliveries", id]) => match state
                .deliveries
                .iter()
                .find(|delivery| delivery.id.to_string() == *id)
            {
                Some(delivery) => Ok(Reply::json(200, shapes.full_delivery(delivery))),
                None => Err(Reply::error(404, "Not Found")),
            },
            ("POST", ["hook", "deliveries", id, "attempts"]) => {
                let Some(delivery) = state
                    .deliveries
                    .iter()
                    .find(|delivery| delivery.id.to_string() == *id)
                else {
                    return Err(Reply::error(404, "Not Found"));
                };
                let again = super::state::Outgoing {
                    guid: delivery.guid.clone(),
                    event: delivery.event.clone(),
                    action: delivery.action.clone(),
                    repository: delivery.repository,
                    payload: delivery.payload.clone(),
                    redelivery: true,
                };
                state.outbox.push_back(again);
                state.wake.notify_one();
                Ok(Reply::json(202, json!({})))
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
            let repo = state
                .repository(owner, name)
                .ok_or_else(|| Reply::error(404, "Not Found"))?;
            if let (Auth::App, ["installation"]) = (auth, rest) {
                return Ok(Reply::json(
                    200,
                    Shapes {
                        inner: self,
                        state: &state,
                    }
                    .installation(),
                ));
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
        match (call.method.as_str(), rest) {
            ("GET", []) => asked.read("metadata", |shapes, repo| {
                Ok(Reply::json(200, shapes.full_repository(repo)))
            }),
            ("GET", ["git", "ref", reference @ ..]) => asked.get_ref(&reference.join("/")),
            ("POST", ["git", "refs"]) => asked.create_ref(),
            ("PATCH", ["git", "refs", reference @ ..]) => asked.update_ref(&reference.join("/")),
            ("DELETE", ["git", "refs", reference @ ..]) => asked.delete_ref(&reference.join("/")),
            ("GET", ["git", "commits", sha]) => {
                asked.read("contents", |shapes, repo| {
                    match resolve(&asked.path(), sha) {
                        Some(sha) => Ok(Reply::json(200, shapes.git_commit(repo, &sha))),
                        None => Err(Reply::error(404, "Not Found")),
                    }
                })
            }
            ("POST", ["git", "commits"]) => asked.create_commit(),
            ("POST", ["git", "trees"]) => asked.create_tree(),
            ("GET", ["git", "trees", name]) => asked.tree(name),
            ("GET", ["git", "blobs", sha]) => asked.blob(sha),
            ("GET", ["contents", path @ ..]) => asked.contents(&path.join("/")),
            ("GET", ["activity"]) => asked.activity(),
            ("GET", ["branches", branch @ ..]) => asked.branch(&branch.join("/")),
            ("GET", ["rules", "branches", branch @ ..]) => asked.rules(&branch.join("/")),
            ("GET", ["collaborators", user, "permission"]) => asked.permission(user),
            ("POST", ["statuses", sha]) => asked.create_status(sha),
            ("GET", ["commits", reference, "status"]) => asked.combined_status(reference),
            ("GET", ["commits", reference, "statuses"]) => asked.statuses(reference),
            ("GET", ["commits", reference, "check-runs"]) => asked.check_runs(reference),
            ("GET", ["commits", sha, "pulls"]) => asked.pulls_of(sha),
            ("POST", ["check-runs"]) => asked.create_check(),
            ("PATCH", ["check-runs", id]) => asked.update_check(id),
            ("POST", ["deployments"]) => asked.create_deployment(),
            ("GET", ["deployments"]) => asked.deployments(),
            ("GET", ["deployments", id]) => asked.deployment(id),
            ("POST", ["deployments", id, "statuses"]) => asked.create_deployment_status(id),
            ("GET", ["deployments", id, "statuses"]) => asked.deployment_statuses(id),
            (method, [area @ ("pulls" | "issues"), rest @ ..]) => {
                asked.pull_endpoints(method, area, rest)
            }
            _ => Err(Reply::error(404, "Not Found")),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    repositories: Option<Vec<String>>,
    repository_ids: Option<Vec<u64>>,
    permissions: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefRequest {
    #[serde(rename = "ref")]
    reference: String,
    sha: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefUpdate {
    sha: String,
    #[serde(default)]
    force: bool,
}

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckRequest {
    name: Option<String>,
    head_sha: Option<String>,
    status: Option<String>,
    conclusion: Option<String>,
    external_id: Option<String>,
    details_url: Option<String>,
    started_at: Option<jiff::Timestamp>,
    completed_at: Option<jiff::Timestamp>,
    output: Option<CheckOutput>,
    #[serde(rename = "actions")]
    _actions: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckOutput {
    title: Option<String>,
    summary: String,
    text: Option<String>,
    #[serde(rename = "annotations")]
    _annotations: Option<Vec<Value>>,
}

impl Asked<'_> {
    pub fn path(&self) -> std::path::PathBuf {
        self.inner.repository_path(&self.owner, &self.name)
    }

    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    pub fn allow(&self, permission: &str, access: Access) -> Result<(), Reply> {
        let state = self.inner.state();
        match state.by_id(self.repo) {
            Some(repo) => may(self.auth, repo, permission, access),
            None => Err(Reply::error(404, "Not Found")),
        }
    }

    /// A read-only answer from the state.
    pub fn read(
        &self,
        permission: &str,
        answer: impl FnOnce(&Shapes<'_>, &Repository) -> Answer,
    ) -> Answer {
        self.allow(permission, Access::Read)?;
        let state = self.inner.state();
        let repo = state
            .by_id(self.repo)
            .ok_or_else(|| Reply::error(404, "Not Found"))?;
        answer(
            &Shapes {
                inner: self.inner,
                state: &state,
            },
            repo,
        )
    }

    pub fn by_app(&self) -> bool {
        !matches!(self.auth, Auth::User(_))
    }

    pub fn list(&self, items: Vec<Value>) -> Answer {
        let (page, link) = paginate(items, &self.query, self.call, self.inner.origin());
        Ok(linked(Reply::json(200, Value::Array(page)), link))
    }

    fn get_ref(&self, reference: &str) -> Answer {
        self.read("contents", |shapes, repo| {
            match resolve(&self.path(), &format!("refs/{reference}")) {
                Some(sha) => Ok(Reply::json(
                    200,
                    shapes.git_ref(repo, &format!("refs/{reference}"), &sha),
                )),
                None => Err(Reply::error(404, "Not Found")),
            }
        })
    }

    fn create_ref(&self) -> Answer {
        self.allow("contents", Access::Write)?;
        let request: RefRequest = body(self.call)?;
        if !request.reference.starts_with("refs/") || request.reference.matches('/').count() < 2 {
            return Err(Reply::error(
                422,
                "Reference name must start with 'refs/' and have at least two slashes.",
            ));
        }
        if resolve(&self.path(), &request.sha).is_none() {
            return Err(Reply::error(422, "Object does not exist"));
        }
        if git(
            &self.path(),
            &[
                "update-ref",
                &request.reference,
                &request.sha,
                &"0".repeat(40),
            ],
        )
        .is_err()
        {
            // Otherwise another one is in its way, as `a` is in that of `a/b`, or it cannot be a name.
            let exists = resolve(&self.path(), &request.reference).is_some();
            return Err(Reply::error(
                422,
                if exists {
                    "Reference already exists"
                } else {
                    "Reference update failed"
                },
            ));
        }
        if let Some(branch) = request.reference.strip_prefix("refs/heads/") {
            self.inner.moved(
                &self.full_name(),
                branch,
                None,
                Some(&request.sha),
                &self.login,
            );
        }
        let state = self.inner.state();
        let repo = state
            .by_id(self.repo)
            .ok_or_else(|| Reply::error(404, "Not Found"))?;
        Ok(Reply::json(
            201,
            Shapes {
                inner: self.inner,
                state: &state,
            }
            .git_ref(repo, &request.reference, &request.sha),
        ))
    }

    fn update_ref(&self, reference: &str) -> Answer {
        self.allow("contents", Access::Write)?;
        let request: RefUpdate = body(self.call)?;
        let full = format!("refs/{reference}");
        let Some(before) = resolve(&self.path(), &full) else {
            return Err(Reply::error(422, "Reference does not exist"));
        };
        if resolve(&self.path(), &request.sha).is_none() {
            return Err(Reply::error(422, "Object does not exist"));
        }
        if !request.force && !is_ancestor(&self.path(), &before, &request.sha) {
            return Err(Reply::error(422, "Update is not a fast forward"));
        }
        // Somebody else moved it meanwhile.
        git(&self.path(), &["update-ref", &full, &request.sha, &before])
            .map_err(|_| Reply::error(422, "Reference cannot be updated"))?;
        if let Some(branch) = reference.strip_prefix("heads/") {
            self.inner.moved(
                &self.full_name(),
                branch,
                Some(&before),
                Some(&request.sha),
                &self.login,
            );
        }
        self.get_ref(reference)
    }

    fn delete_ref(&self, reference: &str) -> Answer {
        self.allow("contents", Access::Write)?;
        let full = format!("refs/{reference}");
        let Some(before) = resolve(&self.path(), &full) else {
            return Err(Reply::error(422, "Reference does not exist"));
        };
        let default = self
            .inner
            .state()
            .by_id(self.repo)
            .map(|repo| format!("heads/{}", repo.default_branch));
        if default.as_deref() == Some(reference) {
            return Err(Reply::error(422, "Cannot delete the default branch"));
        }
        git(&self.path(), &["update-ref", "-d", &full, &before])
            .map_err(|error| Reply::error(409, error.to_string()))?;
        if let Some(branch) = reference.strip_prefix("heads/") {
            self.inner
                .moved(&self.full_name(), branch, Some(&before), None, &self.login);
        }
        Ok(Reply::empty(204))
    }

    fn contents(&self, path: &str) -> Answer {
        self.read("contents", |shapes, repo| {
            let reference = self.query.get("ref").cloned().unwrap_or_else(|| repo.default_branch.clone());
            let object = format!("{reference}:{path}");
            let kind = git(&self.path(), &["cat-file", "-t", &object]).map_err(|_| Reply::error(404, "Not Found"))?;
            let url = |path: &str| format!("{}/contents/{path}?ref={reference}", shapes.repo_url(repo));
            let entry = |path: &str, kind: &str, sha: &str, size: usize| {
                let git_url = format!("{}/git/{}s/{sha}", shapes.repo_url(repo), if kind == "dir" { "tree" } else { "blob" });
                json!({"name": path.rsplit('/').next(), "path": path, "sha": sha, "size": size, "url": url(path), "html_url": url(path),
                    "git_url": git_url, "download_url": null, "type": kind, "_links": {"self": url(path), "git": git_url, "html": url(path)}})
            };
            if kind == "tree" {
                let listing = git(&self.path(), &["ls-tree", "--long", &object]).unwrap_or_default();
                let entries: Vec<_> = listing
                    .lines()
                    .filter_map(|line| {
                        let (facts, name) = line.split_once('\t')?;
                        let facts: Vec<_> = facts.split_whitespace().collect();
                        let full = if path.is_empty() { name.to_string() } else { format!("{path}/{name}") };
                        Some(entry(&full, if facts[1] == "tree" { "dir" } else { "file" }, facts[2], facts[3].parse().unwrap_or(0)))
                    })
                    .collect();
                return Ok(Reply::json(200, Value::Array(entries)));
            }
            let sha = git(&self.path(), &["rev-parse", &object]).unwrap_or_default();
            let content = read_blob(&self.path(), &sha).unwrap_or_default();
            let mut value = entry(path, "file", &sha, content.len());
            value["content"] = BASE64.encode(&content).into();
            value["encoding"] = "base64".into();
            Ok(Reply::json(200, value))
        })
    }

    fn branch(&self, branch: &str) -> Answer {
        self.read("contents", |shapes, repo| {
            let Some(sha) = resolve(&self.path(), &format!("refs/heads/{branch}")) else {
                return Err(Reply::error(404, "Branch not found"));
            };
            let url = format!("{}/branches/{branch}", shapes.repo_url(repo));
            let protected = repo.rules.iter().any(|rule| rule.branch == branch);
            Ok(Reply::json(
                200,
                json!({"name": branch, "commit": shapes.commit(repo, &sha), "_links": {"html": url, "self": url}, "protected": protected,
                "protection": {"enabled": protected}, "protection_url": format!("{url}/protection")}),
            ))
        })
    }

    fn rules(&self, branch: &str) -> Answer {
        self.read("metadata", |_, repo| {
            let mut rules = Vec::new();
            for rule in repo.rules.iter().filter(|rule| rule.branch == branch) {
                let source = json!({"ruleset_source_type": "Repository", "ruleset_source": self.full_name(), "ruleset_id": 1});
                let mut add = |kind: &str, parameters: Value| {
                    let mut value = source.clone();
                    value["type"] = kind.into();
                    value["parameters"] = parameters;
                    rules.push(value);
                };
                if rule.approvals > 0 {
                    add(
                        "pull_request",
                        json!({"required_approving_review_count": rule.approvals, "dismiss_stale_reviews_on_push": false,
                        "require_code_owner_review": false, "require_last_push_approval": false, "required_review_thread_resolution": false,
                        "allowed_merge_methods": ["merge", "squash", "rebase"]}),
                    );
                }
                if !rule.status_checks.is_empty() {
                    let checks: Vec<_> = rule.status_checks.iter().map(|context| json!({"context": context})).collect();
                    add("required_status_checks", json!({"required_status_checks": checks, "strict_required_status_checks_policy": false}));
                }
            }
            self.list(rules)
        })
    }

    /// The moves of branches, newest first.
    fn activity(&self) -> Answer {
        self.read("contents", |shapes, repo| {
            let wanted = self.query.get("ref").map(|name| name.trim_start_matches("refs/heads/").to_string());
            let none = "0".repeat(40);
            let told = repo.activity.iter().rev().filter(|one| wanted.as_ref().is_none_or(|branch| *branch == one.branch)).map(|one| {
                let kind = match (&one.before, &one.after) {
                    (None, _) => "branch_creation",
                    (_, None) => "branch_deletion",
                    _ if one.forced => "force_push",
                    _ => "push",
                };
                json!({"id": one.id, "node_id": super::json::node_id("PSH", one.id), "before": one.before.as_ref().unwrap_or(&none),
                    "after": one.after.as_ref().unwrap_or(&none), "ref": format!("refs/heads/{}", one.branch),
                    "timestamp": one.at.to_string(), "activity_type": kind, "actor": shapes.user(&one.actor)})
            });
            self.list(told.collect())
        })
    }

    fn permission(&self, user: &str) -> Answer {
        self.read("metadata", |shapes, repo| {
            if !shapes
                .state
                .users
                .get(user)
                .is_some_and(|known| known.kind == super::state::UserKind::User)
            {
                return Err(Reply::error(404, format!("{user} is not a user")));
            }
            let role = repo.role(user);
            let mut account = shapes.user(user);
            account["role_name"] = role.name().into();
            Ok(Reply::json(
                200,
                json!({"permission": role.permission(), "role_name": role.name(), "user": account}),
            ))
        })
    }

    fn create_status(&self, sha: &str) -> Answer {
        self.allow("statuses", Access::Write)?;
        let request: StatusRequest = body(self.call)?;
        let invalid = |field: &str, message: &str| {
            Reply::json(
                422,
                json!({"message": format!("Validation Failed: {message}"), "documentation_url": "https://docs.github.com/rest", "status": "422",
                "errors": [{"resource": "Status", "code": "custom", "field": field, "message": message}]}),
            )
        };
        if !["error", "failure", "pending", "success"].contains(&request.state.as_str()) {
            return Err(invalid("state", "state is not included in the list"));
        }
        if request
            .description
            .as_ref()
            .is_some_and(|text| text.chars().count() > 140)
        {
            return Err(invalid(
                "description",
                "description is too long (maximum is 140 characters)",
            ));
        }
        if request.context.chars().count() > 255 {
            return Err(invalid(
                "context",
                "context is too long (maximum is 255 characters)",
            ));
        }
        if resolve(&self.path(), sha).as_deref() != Some(sha) {
            return Err(Reply::error(422, format!("No commit found for SHA: {sha}")));
        }
        let mut state = self.inner.state();
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
            return Err(invalid(
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
            created_at: now(),
        });
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
            Shapes {
                inner: self.inner,
                state: &state,
            }
            .status(repo, status),
        ))
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
        let shapes = Shapes {
            inner: self.inner,
            state,
        };
        let mut payload = shapes.simple_status(repo, status);
        super::json::merge(
            &mut payload,
            json!({"sha": status.sha, "name": self.full_name(), "branches": [], "commit": shapes.commit(repo, &status.sha)}),
        );
        self.inner
            .announce(state, self.repo, "status", None, &self.login, payload);
    }

    /// The newest status of each context.
    pub fn latest<'a>(&self, repo: &'a Repository, sha: &str) -> Vec<&'a Status> {
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

    fn combined_status(&self, reference: &str) -> Answer {
        self.read("statuses", |shapes, repo| {
            let Some(sha) = resolve(&self.path(), reference) else { return Err(Reply::error(404, "Not Found")) };
            let latest = self.latest(repo, &sha);
            let has = |states: &[&str]| latest.iter().any(|status| states.contains(&status.state.as_str()));
            let state = if has(&["error", "failure"]) {
                "failure"
            } else if latest.is_empty() || has(&["pending"]) {
                "pending"
            } else {
                "success"
            };
            let all: Vec<_> = latest.iter().map(|status| shapes.simple_status(repo, status)).collect();
            let total = all.len();
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

    fn statuses(&self, reference: &str) -> Answer {
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

    fn check_runs(&self, reference: &str) -> Answer {
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
            // There is one App.
            if self
                .query
                .get("app_id")
                .is_some_and(|id| *id != shapes.state.app.id.to_string())
            {
                found.clear();
            }
            if self.query.get("filter").map(String::as_str) != Some("all") {
                let mut seen = std::collections::HashSet::new();
                found.retain(|check| seen.insert(check.name.clone()));
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

    fn create_check(&self) -> Answer {
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
        let id = state.new_id();
        let mut check = CheckRun {
            id,
            name,
            sha,
            status: "queued".into(),
            conclusion: None,
            external_id: String::new(),
            details_url: None,
            started_at: now(),
            completed_at: None,
            title: None,
            summary: None,
            text: None,
        };
        fill(&mut check, request)?;
        let Some(repo) = state.repository_mut(self.repo) else {
            return Err(Reply::error(404, "Not Found"));
        };
        repo.checks.push(check);
        self.answer_check(&mut state, id, 201, "created")
    }

    fn update_check(&self, id: &str) -> Answer {
        if !self.by_app() {
            return Err(Reply::error(403, "You must authenticate via a GitHub App."));
        }
        self.allow("checks", Access::Write)?;
        let request: CheckRequest = body(self.call)?;
        let mut state = self.inner.state();
        let Some(repo) = state.repository_mut(self.repo) else {
            return Err(Reply::error(404, "Not Found"));
        };
        let Some(check) = repo
            .checks
            .iter_mut()
            .find(|check| check.id.to_string() == id)
        else {
            return Err(Reply::error(404, "Not Found"));
        };
        if let Some(name) = &request.name {
            check.name = name.clone();
        }
        fill(check, request)?;
        let id = check.id;
        self.answer_check(&mut state, id, 200, "completed")
    }

    fn answer_check(&self, state: &mut State, id: u64, status: u16, action: &str) -> Answer {
        let find = |repo: &Repository| repo.checks.iter().position(|check| check.id == id);
        let repo = state
            .by_id(self.repo)
            .ok_or_else(|| Reply::error(404, "Not Found"))?;
        let index = find(repo).ok_or_else(|| Reply::error(404, "Not Found"))?;
        let action = if repo.checks[index].status == "completed" {
            "completed"
        } else {
            action
        };
        let value = Shapes {
            inner: self.inner,
            state,
        }
        .check_run(repo, &repo.checks[index]);
        self.inner.announce(
            state,
            self.repo,
            "check_run",
            Some(action),
            &self.login,
            json!({"check_run": value}),
        );
        Ok(Reply::json(status, value))
    }
}

fn fill(check: &mut CheckRun, request: CheckRequest) -> Result<(), Reply> {
    let invalid = |message: String| Reply::error(422, format!("Invalid request.\n\n{message}"));
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
        check.completed_at = Some(request.completed_at.map_or_else(now, super::state::whole));
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
    }
    if let Some(external_id) = request.external_id {
        check.external_id = external_id;
    }
    if request.details_url.is_some() {
        check.details_url = request.details_url;
    }
    if let Some(started) = request.started_at {
        check.started_at = super::state::whole(started);
    }
    Ok(())
}

pub fn not_found() -> Reply {
    Reply::error(404, "Not Found")
}

pub fn invalid(resource: &str, errors: Value) -> Reply {
    Reply::json(
        422,
        json!({"message": "Validation Failed", "errors": errors, "documentation_url": format!("https://docs.github.com/rest/{resource}"), "status": "422"}),
    )
}

/// The request's body in its own type; an unknown field is refused.
pub fn body<T: DeserializeOwned>(call: &Call) -> Result<T, Reply> {
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

pub fn parse_query(query: &str) -> HashMap<String, String> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (
                percent_decode(key),
                percent_decode(&value.replace('+', " ")),
            )
        })
        .collect()
}

pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// One page, 30 by default and 100 at most, and the `Link` header.
fn paginate(
    items: Vec<Value>,
    query: &HashMap<String, String>,
    call: &Call,
    origin: &str,
) -> (Vec<Value>, Option<String>) {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let per_page = number("per_page").unwrap_or(30).clamp(1, 100);
    let page = number("page").unwrap_or(1).max(1);
    let last = items.len().div_ceil(per_page).max(1);
    let mut rels = Vec::new();
    let mut rel = |name: &str, page: usize| {
        let mut pairs: Vec<_> = query
            .iter()
            .filter(|(key, _)| *key != "page")
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.sort();
        pairs.push(format!("page={page}"));
        rels.push(format!(
            "<{origin}{}?{}>; rel=\"{name}\"",
            call.path,
            pairs.join("&")
        ));
    };
    if page > 1 {
        rel("prev", page - 1);
    }
    if page < last {
        rel("next", page + 1);
        rel("last", last);
    }
    if page > 1 {
        rel("first", 1);
    }
    let link = (!rels.is_empty()).then(|| rels.join(", "));
    (
        items
            .into_iter()
            .skip((page - 1) * per_page)
            .take(per_page)
            .collect(),
        link,
    )
}

fn linked(reply: Reply, link: Option<String>) -> Reply {
    match link {
        Some(link) => reply.with("link", link),
        None => reply,
    }
}
