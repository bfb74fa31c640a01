//! The limits at the door: what a request costs, how it is refused, and what is noted of it.

use http::Method;
use serde_json::{Value, json};

use super::auth::Auth;
use super::state::{Caller, Cost, Counted, Over, Rate};
use super::{Call, Inner, Reply};

/// What creates content, by method and the end of the route. The first five raise notifications
/// (`x-github.triggersNotification` in GitHub's description); that the others are counted is an
/// assumption.
const CONTENT: &[(&str, &str)] = &[
    ("POST", "/pulls"),
    ("POST", "/issues/*/comments"),
    ("POST", "/pulls/*/comments"),
    ("POST", "/pulls/*/reviews"),
    ("PUT", "/pulls/*/merge"),
    ("POST", "/statuses/*"),
    ("POST", "/check-runs"),
];

/// Segments of paths that are followed by a name.
const BEFORE_NAMES: &[&str] = &[
    "collaborators",
    "commits",
    "memberships",
    "orgs",
    "statuses",
    "teams",
    "trees",
];

/// Ends of paths that are followed by a name with slashes in it.
const BEFORE_PATHS: &[&[&str]] = &[
    &["git", "ref"],
    &["git", "refs"],
    &["contents"],
    &["branches"],
];

/// A request that is being answered: counted as long as it is.
pub(super) struct Flight<'a> {
    inner: &'a Inner,
    caller: Caller,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.inner.state().quota.used(&self.caller).in_flight -= 1;
    }
}

impl Inner {
    pub(super) fn take_off(&self, caller: Caller) -> Flight<'_> {
        self.state().quota.used(&caller).in_flight += 1;
        Flight {
            inner: self,
            caller,
        }
    }

    /// Counts a request, or refuses it in GitHub's words.
    pub(super) fn admit(&self, call: &Call, caller: &Caller) -> Result<(), Reply> {
        if self.state().enterprise.is_some() {
            return Ok(());
        }
        let cost = cost(call);
        let what = format!("{} {}", call.method, call.path);
        let over = self.state().quota.admit(caller, &cost, &what);
        over.map_err(|over| refusal(&over, &cost, caller))
    }

    /// Notes what the App asked, and what it was answered.
    pub(super) fn count(&self, call: &Call, caller: &Caller, status: u16) {
        let mut state = self.state();
        state.requests += u64::from(status != 304);
        if status == 304 {
            state.quota.refund(caller, is_graphql(call));
        }
        if caller.is_app() {
            let (route, repository) = route(&call.path);
            state.quota.counted.push(Counted {
                method: call.method.to_string(),
                route,
                repository,
                write: is_write(call),
                status,
            });
        }
    }

    /// An answer with the headers that tell of the hourly limit, or of the version of an Enterprise
    /// Server: that has none from the start (docs.github.com/enterprise-server, "Configuring rate
    /// limits").
    pub(super) fn rated(&self, call: &Call, caller: &Caller, reply: Reply) -> Reply {
        let enterprise = self.state().enterprise.clone();
        if let Some(version) = enterprise {
            return reply.with("x-github-enterprise-version", version);
        }
        let graphql = is_graphql(call);
        let Rate { limit, used, reset } = self.state().quota.rate(caller, graphql);
        reply
            .with("x-ratelimit-limit", limit.to_string())
            .with("x-ratelimit-remaining", (limit - used).to_string())
            .with("x-ratelimit-used", used.to_string())
            .with("x-ratelimit-reset", reset.to_string())
            .with(
                "x-ratelimit-resource",
                if graphql { "graphql" } else { "core" },
            )
    }

    /// `GET /rate_limit`.
    pub(super) fn rate_limit(&self, auth: &Auth) -> Value {
        let mut state = self.state();
        let caller = caller(auth);
        let mut told = |graphql: bool| {
            let Rate { limit, used, reset } = state.quota.rate(&caller, graphql);
            json!({"limit": limit, "remaining": limit - used, "reset": reset, "used": used})
        };
        let (core, graphql) = (told(false), told(true));
        let search = json!({"limit": 30, "remaining": 30, "reset": core["reset"], "used": 0});
        json!({"rate": core, "resources": {"core": core, "search": search, "graphql": graphql}})
    }
}

/// Who asks, as limits tell them apart.
pub(super) fn caller(auth: &Auth) -> Caller {
    match auth {
        Auth::App => Caller::App,
        Auth::Installation { installation, .. } => Caller::Installation(*installation),
        Auth::User(login) => Caller::User(login.clone()),
        Auth::Anonymous => Caller::Nobody,
    }
}

fn is_graphql(call: &Call) -> bool {
    call.path.ends_with("/graphql")
}

/// Where the App's writes are told from reads: any method that is not safe, and GraphQL mutations.
pub(super) fn is_write(call: &Call) -> bool {
    !call.path.ends_with("/access_tokens")
        && !matches!(call.method, Method::GET | Method::HEAD)
        && (!is_graphql(call) || String::from_utf8_lossy(&call.body).contains("mutation"))
}

fn opens_pull(call: &Call) -> bool {
    is_graphql(call) && String::from_utf8_lossy(&call.body).contains("createPullRequest")
}

fn cost(call: &Call) -> Cost {
    let (route, _) = route(&call.path);
    Cost {
        graphql: is_graphql(call),
        write: is_write(call) || call.path.ends_with("/access_tokens"),
        content: opens_pull(call)
            || CONTENT.iter().any(|(method, end)| {
                call.method == *method
                    && ["/repos/*/*", "/repositories/*"]
                        .iter()
                        .any(|start| route.strip_prefix(start) == Some(end))
            }),
        free: route == "/rate_limit",
    }
}

/// The words: of the hourly limits, of GraphQL's in a body of 200, and of the secondary ones.
fn refusal(over: &Over, cost: &Cost, caller: &Caller) -> Reply {
    if !over.limit.is_primary() {
        return Reply::json(
            403,
            json!({"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
                "documentation_url": "https://docs.github.com/free-pro-team@latest/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}),
        )
        .with("retry-after", over.retry_after.max(1).to_string());
    }
    let message = match caller {
        Caller::Installation(id) => format!("API rate limit exceeded for installation ID {id}."),
        _ => "API rate limit exceeded.".into(),
    };
    if cost.graphql {
        return Reply::json(
            200,
            json!({"errors": [{"type": "RATE_LIMITED", "message": message}]}),
        );
    }
    Reply::json(
        403,
        json!({"message": message, "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"}),
    )
}

/// A path with `*` for names and numbers, and the repository that it names.
fn route(path: &str) -> (String, Option<String>) {
    let path = path
        .strip_prefix("/api/v3")
        .or_else(|| path.strip_prefix("/api"))
        .unwrap_or(path);
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let repository = match &parts[..] {
        ["repos", owner, name, ..] => Some(format!("{owner}/{name}")),
        _ => None,
    };
    let mut out = String::new();
    for (at, part) in parts.iter().enumerate() {
        let before = &parts[..at];
        out.push('/');
        if at > 1 && BEFORE_PATHS.iter().any(|end| before.ends_with(end)) {
            out.push('*');
            break;
        }
        let name = repository.is_some() && (at == 1 || at == 2);
        let named = before
            .last()
            .is_some_and(|last| BEFORE_NAMES.contains(last));
        let number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        out.push_str(if name || named || number { "*" } else { part });
    }
    (out, repository)
}

#[cfg(test)]
mod tests {
    use super::route;

    #[test]
    fn a_route_has_no_names_and_no_numbers() {
        let sha = "a".repeat(40);
        for (path, expected) in [
            ("/api/v3/repos/acme/config", "/repos/*/*"),
            (
                "/api/v3/repos/acme/pulls/pulls/7/merge",
                "/repos/*/*/pulls/*/merge",
            ),
            ("/api/v3/repos/a/b/git/ref/heads/x", "/repos/*/*/git/ref/*"),
            (
                "/api/v3/repos/a/b/contents/x/y.yaml",
                "/repos/*/*/contents/*",
            ),
            (
                "/api/v3/repos/a/b/rules/branches/main",
                "/repos/*/*/rules/branches/*",
            ),
            (
                "/api/v3/repos/a/b/collaborators/mia/permission",
                "/repos/*/*/collaborators/*/permission",
            ),
            ("/api/v3/repositories/12/pulls", "/repositories/*/pulls"),
            (
                "/api/v3/app/installations/3/access_tokens",
                "/app/installations/*/access_tokens",
            ),
            ("/api/graphql", "/graphql"),
            (
                &format!("/api/v3/repos/a/b/commits/{sha}/status"),
                "/repos/*/*/commits/*/status",
            ),
        ] {
            assert_eq!(route(path).0, expected);
        }
    }
}
