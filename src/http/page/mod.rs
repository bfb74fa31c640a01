//! The page, and the same as JSON: what every application is at, and what happens. Read-only.
//!
//! Without a sign-in it is served with the metrics, at the address that the internet does not reach:
//! whoever reaches that may read the state of everything. A page of another origin cannot, see
//! [`from_here`]. With one it is served with the webhooks, and shows what each person may see.
//!
//! - `overview`, `application`, `pull`: what each page is made of
//! - `stream`: tells an open page that something changed
//! - `sessions`: who is signed in; `viewer`: who looks, and what they may see

mod application;
mod overview;
mod pull;
mod sessions;
mod stream;
mod viewer;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{Server, refusal};
use crate::controller::Writer;
use crate::domain::PullRequestKey;
use crate::github::PullSnapshot;
use crate::view::page::{self, Entry, Kind, Page, Pull};
use viewer::Viewer;

/// Lines of what happened, on each page.
const MOST_ACTIVITY: usize = 30;

pub use sessions::Sessions;

/// For people inside. With a sign-in it is elsewhere.
pub fn private(server: &Arc<Server>) -> Router<Arc<Server>> {
    let inside = axum::middleware::from_fn_with_state(server.clone(), from_here);
    pages().merge(files()).layer(inside)
}

/// For people who sign in.
pub fn public(server: &Arc<Server>) -> Router<Arc<Server>> {
    let signed_in = axum::middleware::from_fn_with_state(server.clone(), sessions::signed_in);
    pages()
        .layer(signed_in)
        .merge(files())
        .route(sessions::BACK, get(sessions::back))
        .route("/sign-out", post(sessions::sign_out))
        .layer(axum::middleware::map_response(guarded))
}

fn files() -> Router<Arc<Server>> {
    Router::new()
        .route("/page.css", get(style))
        .route("/page.js", get(script))
}

fn pages() -> Router<Arc<Server>> {
    Router::new()
        .route("/", get(overview::page))
        .route("/applications/{*title}", get(application::page))
        .route("/pulls/{owner}/{name}/{number}", get(pull::page))
        .route("/api/overview", get(overview::json))
        .route("/api/applications/{*title}", get(application::json))
        .route("/api/pulls/{owner}/{name}/{number}", get(pull::json))
        .route("/api/stream", get(stream::stream))
        .route("/api/openapi.json", get(described))
}

async fn described() -> Json<serde_json::Value> {
    Json(page::description())
}

async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        page::STYLE,
    )
}

async fn script() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
        page::SCRIPT,
    )
}

/// A name that somebody else's DNS points here (DNS rebinding) would let their page read ours: only
/// addresses, `localhost` and names inside a cluster or a private network are answered.
async fn from_here(
    State(server): State<Arc<Server>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(sessions) = &server.sessions {
        return Redirect::to(sessions.address()).into_response();
    }
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_private(host) {
        let why = "this address is for people inside: open it by an IP address, by localhost (kubectl port-forward) or by a name inside the cluster";
        return refusal(StatusCode::MISDIRECTED_REQUEST, why);
    }
    request.extensions_mut().insert(Viewer::Anybody);
    guarded(next.run(request).await).await
}

/// A page loads nothing from elsewhere, and nobody may frame it.
async fn guarded(mut response: Response) -> Response {
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a Host header is an address or a name that no public DNS has.
fn is_private(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let ends = [".localhost", ".local", ".svc", ".internal", ".test"];
    name.parse::<IpAddr>().is_ok()
        || !name.is_empty() && !name.contains('.')
        || ends.iter().any(|end| name.ends_with(end))
}

/// Why there is no page.
enum Missing {
    NotReady,
    Unknown(&'static str),
    Failed(String),
}

impl IntoResponse for Missing {
    fn into_response(self) -> Response {
        match self {
            Self::NotReady => refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "windlass is starting: it waits for its Lease, then reads GitHub",
            ),
            Self::Unknown(why) => refusal(StatusCode::NOT_FOUND, why),
            Self::Failed(why) => refusal(StatusCode::BAD_GATEWAY, why),
        }
    }
}

impl From<crate::cluster::Error> for Missing {
    fn from(error: crate::cluster::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

fn ready(server: &Server) -> Result<&Arc<Writer>, Missing> {
    server.ctx.get().ok_or(Missing::NotReady)
}

fn framed<T: Serialize>(
    (ctx, viewer): (&Writer, &Viewer),
    kind: Kind,
    title: String,
    body: T,
) -> Page<T> {
    Page {
        login: viewer.login().map(str::to_string),
        version: env!("CARGO_PKG_VERSION"),
        namespace: ctx.store.namespace().to_string(),
        now: page::seconds(ctx.now()),
        title,
        kind,
        body,
    }
}

fn html<T: Serialize>(page: &Page<T>) -> Html<String> {
    Html(page.html())
}

/// What happened last, of what `concerns` says.
fn activity(
    ctx: &Writer,
    concerns: impl Fn(&crate::domain::activity::Activity) -> bool,
) -> Vec<Entry> {
    let recent = ctx.activities.recent();
    let recent = recent.iter().filter(|activity| concerns(activity));
    recent
        .take(MOST_ACTIVITY)
        .map(|activity| Entry::new(activity))
        .collect()
}

/// An open pull request, with the last verdict on it.
fn pull(ctx: &Writer, key: &PullRequestKey, snapshot: &PullSnapshot) -> Pull {
    let judged = ctx.cache.pulls.verdicts.get(key);
    let url = ctx.github.repository(&key.repo).ok();
    let url = url.map(|repo| format!("{}/pull/{}", repo.html_url, key.number));
    let words = (snapshot.pull.title.as_str(), snapshot.pull.author(), url);
    Pull::new(key, words, judged.as_ref().map(|judged| &judged.verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_names_are_answered() {
        for host in [
            "localhost:8081",
            "127.0.0.1:8081",
            "10.1.2.3",
            "[::1]:8081",
            "windlass",
            "windlass.windlass.svc:8081",
            "windlass.windlass.svc.cluster.local",
        ] {
            assert!(is_private(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8081",
            "127.0.0.1.evil.example",
            ":8081",
        ] {
            assert!(!is_private(host), "{host}");
        }
    }
}
