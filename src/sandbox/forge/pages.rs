//! What a person sees: each pull request with its rendered comments, and a box
//! to write as one of the users.

use std::collections::HashSet;

use http::Method;
use minijinja::Environment;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};
use serde_json::{Value, json};

use super::git::git;
use super::state::{Pull, Repository, Role, UserKind};
use super::{Call, Inner, Reply, ReplyBody};

const PAGE: &str = include_str!("../../../templates/forge.html");

impl Inner {
    pub(super) fn page(&self, call: &Call) -> Reply {
        let parts: Vec<&str> = call.path.trim_matches('/').split('/').collect();
        match (call.method.as_str(), &parts[..]) {
            ("GET", [""]) => self.index(),
            ("GET", ["_services", "token", ".well-known", "jwks"]) => self.actions_keys(),
            (
                "POST",
                ["settings", "apps", "new"] | ["organizations", _, "settings", "apps", "new"],
            ) => self.new_app(call),
            ("POST", ["settings", "apps", "create"]) => self.create_app(call),
            ("GET", ["login", "oauth", "authorize"]) => self.authorize(call),
            ("POST", ["login", "oauth", "access_token"]) => self.user_token(call),
            (_, ["apps", _, "installations", "new"]) => self.install_page(call),
            ("GET", ["_services", "pipelines", "token"]) => self.actions_request(call),
            ("GET", [owner, name]) | ("GET", [owner, name, "pulls"]) => {
                self.repository_page(owner, name)
            }
            ("GET", [owner, name, "pull", number]) => {
                self.pull_page(owner, name, number.split('#').next().unwrap_or_default())
            }
            ("POST", [owner, name, "pull", number]) => self.post(call, owner, name, number),
            _ => Reply {
                status: 404,
                body: ReplyBody::Text("text/plain; charset=utf-8", "Not Found".into()),
                headers: vec![],
            },
        }
    }

    fn render(&self, data: Value) -> Reply {
        let data = minijinja::Value::from(minijinja::value::Serde(&data));
        let mut environment = Environment::new();
        let page = environment
            .add_template("forge.html", PAGE)
            .and_then(|()| environment.get_template("forge.html")?.render(data));
        match page {
            Ok(text) => Reply {
                status: 200,
                body: ReplyBody::Text("text/html; charset=utf-8", text),
                headers: vec![("content-security-policy", "script-src 'none'".into())],
            },
            Err(error) => Reply {
                status: 500,
                body: ReplyBody::Text("text/plain; charset=utf-8", format!("{error:#}")),
                headers: vec![],
            },
        }
    }

    fn index(&self) -> Reply {
        let state = self.state();
        let repositories: Vec<_> = state
            .repositories
            .iter()
            .map(|repo| json!({"name": repo.full_name(), "open": repo.pulls.iter().filter(|pull| pull.open).count(), "pulls": repo.pulls.len()}))
            .collect();
        drop(state);
        self.render(json!({"page": "index", "title": "Forge", "repositories": repositories}))
    }

    fn repository_page(&self, owner: &str, name: &str) -> Reply {
        let state = self.state();
        let Some(repo) = state.repository(owner, name) else {
            return Reply::error(404, "Not Found");
        };
        let pulls: Vec<_> = repo
            .pulls
            .iter()
            .rev()
            .map(|pull| json!({"number": pull.number, "title": pull.title, "author": pull.author, "state": state_word(pull)}))
            .collect();
        let full = repo.full_name();
        let log = git(
            &self.repository_path(owner, name),
            &[
                "log",
                "--max-count=20",
                "--format=%h %an: %s",
                "refs/heads/main",
            ],
        )
        .unwrap_or_default();
        drop(state);
        self.render(json!({"page": "repository", "title": full, "repository": full, "pulls": pulls, "log": log}))
    }

    fn pull_page(&self, owner: &str, name: &str, number: &str) -> Reply {
        let state = self.state();
        let Some(repo) = state.repository(owner, name) else {
            return Reply::error(404, "Not Found");
        };
        let Some(pull) = repo
            .pulls
            .iter()
            .find(|pull| pull.number.to_string() == number)
        else {
            return Reply::error(404, "Not Found");
        };
        let users: Vec<_> = state
            .users
            .values()
            .filter(|user| user.kind == UserKind::User && repo.role(&user.login) > Role::None)
            .map(|user| json!({"login": user.login, "role": repo.role(&user.login).name()}))
            .collect();
        let data = json!({
            "page": "pull", "title": format!("#{} {}", pull.number, pull.title), "repository": repo.full_name(), "number": pull.number,
            "name": pull.title, "author": pull.author, "state": state_word(pull), "head": pull.head.branch, "base": pull.base.branch,
            "diff": diff(&self.repository_path(owner, name), pull), "body": markdown(pull.body.as_deref().unwrap_or_default()), "thread": thread(repo, pull), "statuses": statuses(repo, pull), "users": users, "open": pull.open,
        });
        drop(state);
        self.render(data)
    }

    /// A comment, a review or a merge from the page's box.
    fn post(&self, call: &Call, owner: &str, name: &str, number: &str) -> Reply {
        let form = super::rest::parse_query(&String::from_utf8_lossy(&call.body));
        let field = |key: &str| form.get(key).cloned().unwrap_or_default();
        // The page acts as one of the users, on their word: only for a page of our own.
        let from = call
            .headers
            .get("origin")
            .and_then(|value| value.to_str().ok());
        if from.is_some_and(|from| {
            from != self.origin() && from != self.origin().replace("127.0.0.1", "localhost")
        }) {
            return Reply::error(403, "Cross-origin requests are refused");
        }
        let token = self.state().token_of(&field("user"));
        let pull = format!("pulls/{number}");
        let (method, path, body) = match field("action").as_str() {
            "approve" => (
                Method::POST,
                format!("{pull}/reviews"),
                json!({"event": "APPROVE"}),
            ),
            "merge" => (Method::PUT, format!("{pull}/merge"), json!({})),
            "close" => (Method::PATCH, pull, json!({"state": "closed"})),
            "reopen" => (Method::PATCH, pull, json!({"state": "open"})),
            _ => (
                Method::POST,
                format!("issues/{number}/comments"),
                json!({"body": field("body")}),
            ),
        };
        let mut headers = http::HeaderMap::new();
        for (name, value) in [
            ("authorization", format!("Bearer {token}")),
            ("user-agent", "page".into()),
        ] {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        }
        let call = Call {
            method,
            path: format!("/api/v3/repos/{owner}/{name}/{path}"),
            query: String::new(),
            headers,
            body: body.to_string().into(),
        };
        let reply = self.api(&call, self.authenticate(&call));
        if reply.status >= 300 {
            return reply;
        }
        Reply::empty(303).with("location", format!("/{owner}/{name}/pull/{number}"))
    }
}

/// What a pull request changes, as coloured lines.
fn diff(repository: &std::path::Path, pull: &Pull) -> String {
    let range = format!("{}...{}", pull.base.sha, pull.head.sha);
    let text = git(repository, &["diff", &range]).unwrap_or_default();
    text.split_inclusive('\n').map(coloured).collect()
}

/// Comments and reviews, in the order of their times.
fn thread(repo: &Repository, pull: &Pull) -> Vec<Value> {
    let mut thread: Vec<_> = repo
            .comments
            .iter()
            .filter(|comment| comment.issue == pull.number)
            .map(|comment| {
                let reactions: Vec<_> = comment.reactions.iter().map(|reaction| emoji(&reaction.content)).collect();
                json!({"id": comment.id, "author": comment.user, "at": comment.created_at.to_string(), "html": markdown(&comment.body),
                    "reactions": reactions, "edited": comment.updated_at != comment.created_at})
            })
            .collect();
    thread.extend(pull.reviews.iter().map(|review| {
            json!({"id": review.id, "author": review.user, "at": review.submitted_at.to_string(), "review": review.state, "html": markdown(&review.body)})
        }));
    thread.sort_by_key(|entry| (entry["at"].to_string(), entry["id"].as_u64()));
    thread
}

/// What was said of the head and of the merge commit.
fn statuses(repo: &Repository, pull: &Pull) -> Vec<Value> {
    let mut statuses = Vec::new();
    for sha in [
        Some(&pull.head.sha),
        pull.merged.as_ref().map(|merged| &merged.sha),
    ]
    .into_iter()
    .flatten()
    {
        let mut seen = HashSet::new();
        for status in repo
            .statuses
            .iter()
            .rev()
            .filter(|status| status.sha == *sha)
        {
            if seen.insert(&status.context) {
                statuses.push(json!({"name": status.context, "state": status.state, "text": status.description, "sha": sha[..12]}));
            }
        }
        for check in repo.checks.iter().filter(|check| check.sha == *sha) {
            statuses.push(json!({"name": check.name, "state": check.conclusion.as_ref().unwrap_or(&check.status), "text": check.title, "sha": sha[..12]}));
        }
    }
    statuses
}

fn state_word(pull: &Pull) -> &'static str {
    match (pull.open, pull.merged.is_some()) {
        (true, _) => "open",
        (false, true) => "merged",
        (false, false) => "closed",
    }
}

fn emoji(content: &str) -> &'static str {
    match content {
        "+1" => "👍",
        "-1" => "👎",
        "laugh" => "😄",
        "confused" => "😕",
        "heart" => "❤️",
        "hooray" => "🎉",
        "rocket" => "🚀",
        _ => "👀",
    }
}

/// GitHub-flavoured Markdown, near enough to look at: tables, alerts, and of raw HTML only what
/// GitHub keeps of it here.
pub fn markdown(text: &str) -> String {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM;
    let mut in_diff = false;
    let events = Parser::new_ext(text, options).flat_map(|event| match event {
        Event::Html(raw) => vec![Event::Html(sanitised(&raw).into())],
        Event::InlineHtml(raw) => vec![Event::InlineHtml(sanitised(&raw).into())],
        Event::Start(Tag::CodeBlock(pulldown_cmark::CodeBlockKind::Fenced(ref language)))
            if language.as_ref() == "diff" =>
        {
            in_diff = true;
            vec![event]
        }
        Event::End(TagEnd::CodeBlock) => {
            in_diff = false;
            vec![event]
        }
        Event::Text(ref text) if in_diff => text
            .split_inclusive('\n')
            .map(|line| Event::Html(coloured(line).into()))
            .collect(),
        other => vec![other],
    });
    let mut out = String::new();
    html::push_html(&mut out, events);
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn coloured(line: &str) -> String {
    let class = match line.as_bytes().first() {
        Some(b'+') => "add",
        Some(b'-') => "del",
        Some(b'@') => "hunk",
        _ => return escaped(line),
    };
    format!("<span class=\"{class}\">{}</span>", escaped(line))
}

/// Keeps the tags that our comments use, without attributes; comments are dropped; the rest is
/// shown as text.
fn sanitised(raw: &str) -> String {
    let mut out = String::new();
    let mut rest = raw;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        if rest.starts_with("<!--") {
            rest = rest.find("-->").map_or("", |end| &rest[end + 3..]);
            continue;
        }
        let Some(end) = rest.find('>') else { break };
        let tag = &rest[..=end];
        let known = [
            "details",
            "details open",
            "/details",
            "summary",
            "/summary",
            "code",
            "/code",
            "sub",
            "/sub",
            "br",
            "br/",
            "b",
            "/b",
            "i",
            "/i",
        ];
        if known.contains(&&tag[1..tag.len() - 1]) {
            out.push_str(tag)
        } else {
            out.push_str(&escaped(tag))
        }
        rest = &rest[end + 1..];
    }
    out.push_str(&escaped(rest));
    out
}
