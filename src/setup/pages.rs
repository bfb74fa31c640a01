//! The page: one address whose content follows what is done, and what its buttons do.
//!
//! It is on this machine alone, for who has the address that the terminal printed, and hands out
//! nothing secret. What changes something has to carry a secret of our page.

use std::sync::Arc;

use axum::extract::{Form, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use serde::Deserialize;

use super::{Done, Setup, tell};
use crate::domain::RepoName;
use crate::github::registration::{manifest, register};
use crate::view::{self, SetupPage, SetupRepository};

pub(super) fn router(setup: Arc<Setup>) -> Router {
    let ours = middleware::from_fn_with_state(setup.clone(), of_this_person);
    Router::new()
        .route("/", get(page))
        .route("/created", get(created))
        .route("/propose", post(propose))
        .route("/done", post(done))
        .layer(ours)
        .with_state(setup)
}

/// The cookie of who opened the address that the terminal printed.
const COOKIE: &str = "windlass-setup";

/// Only who has the key, and only by the page's own address: another site's DNS could point here,
/// and others of this machine can reach it.
async fn of_this_person(
    State(setup): State<Arc<Setup>>,
    Query(opened): Query<Opened>,
    request: Request,
    next: middleware::Next,
) -> Response {
    let header = |headers: &HeaderMap, name| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_string()
    };
    let host = header(request.headers(), header::HOST);
    let cookies = header(request.headers(), header::COOKIE);
    if format!("http://{host}") != setup.page {
        return StatusCode::MISDIRECTED_REQUEST.into_response();
    }
    if opened.key.as_deref() == Some(setup.key.as_str()) {
        let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax", setup.key);
        return ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response();
    }
    let wanted = format!("{COOKIE}={}", setup.key);
    if !cookies.split(';').any(|cookie| cookie.trim() == wanted) {
        let text = "Open the address that windlass setup printed in its terminal.";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

#[derive(Deserialize)]
struct Opened {
    key: Option<String>,
}

async fn page(State(setup): State<Arc<Setup>>) -> Response {
    let mut done = setup.done.lock().await;
    keep(&setup, &mut done).await;
    let back = format!("{}/created", setup.page);
    let (address, preview_only) = (setup.args.url.as_deref(), setup.args.preview_only);
    let manifest = manifest(&setup.name, address, preview_only, &back);
    let mut page = SetupPage {
        version: env!("CARGO_PKG_VERSION"),
        secret: setup.secret.clone(),
        registration: setup.registration(),
        owner: setup.args.organization.clone(),
        name: setup.name.clone(),
        address: setup
            .args
            .url
            .as_ref()
            .map(|url| url.trim_end_matches('/').into()),
        keeps_in: match (&setup.args.secret, &setup.args.folder) {
            (Some(secret), _) => format!("the Secret {secret}"),
            (None, folder) => format!("the folder {}", folder.display()),
        },
        permissions: view::permissions(&manifest),
        manifest: manifest.to_string(),
        preview_only,
        app: None,
        install: String::new(),
        repositories: Vec::new(),
        error: done.error.clone(),
        next: String::new(),
    };
    if let (Some(app), Some(kept)) = (&done.app, &done.kept) {
        page.app = Some(app.slug.clone());
        page.install = format!("{}/installations/new", app.html_url);
        page.next = view::set_up(&setup.next(&done, app, kept));
        match setup.repositories(app).await {
            Ok(all) => page.repositories = all.iter().map(|repo| shown(repo, &done)).collect(),
            Err(error) => page.error = Some(format!("{error:#}")),
        }
    }
    drop(done);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action *; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Html(view::setup(&page))).into_response()
}

fn shown(repo: &RepoName, done: &Done) -> SetupRepository {
    let name = repo.to_string();
    let pull = done.pulls.iter().find(|(known, _)| *known == name);
    SetupRepository {
        is_configured: pull.is_some_and(|(_, url)| url.is_none()),
        pull: pull.and_then(|(_, url)| url.clone()),
        name,
    }
}

/// What GitHub sends a person back with.
#[derive(Deserialize)]
struct Back {
    code: Option<String>,
    state: Option<String>,
}

/// GitHub sends the person back: the App is registered.
async fn created(State(setup): State<Arc<Setup>>, Query(back): Query<Back>) -> Response {
    // Another site could send somebody here with the code of an App of its own.
    if back.state.as_deref() != Some(setup.secret.as_str()) {
        return forbidden();
    }
    let mut done = setup.done.lock().await;
    // A reload has the same code, which is used up.
    if done.app.is_none() {
        let code = back.code.unwrap_or_default();
        match register(&setup.api_url, &code, &setup.outgoing).await {
            Ok(app) => {
                tell(format_args!("The App {} is registered.", app.slug));
                (done.app, done.error) = (Some(app), None);
            }
            Err(error) => done.error = Some(format!("{error:#}")),
        }
    }
    keep(&setup, &mut done).await;
    Redirect::to("/").into_response()
}

/// Keeps the credentials of a registered App, once more if that failed before.
async fn keep(setup: &Setup, done: &mut Done) {
    let (Some(app), None) = (&done.app, &done.kept) else {
        return;
    };
    match setup.keep.keep(app, !setup.args.preview_only).await {
        Ok(kept) => {
            tell(format_args!("Its credentials are kept."));
            (done.kept, done.error) = (Some(kept), None);
        }
        Err(error) => {
            done.error = Some(format!(
                "The App is registered, and its credentials cannot be kept: {error:#}. Mend that, and reload this page."
            ));
        }
    }
}

/// A button of our page.
#[derive(Deserialize)]
struct Button {
    secret: String,
    #[serde(default)]
    repository: String,
}

impl Button {
    /// Whether our page sent it.
    fn is_ours(&self, setup: &Setup, headers: &HeaderMap) -> bool {
        let origin = headers.get(header::ORIGIN);
        let origin = origin.and_then(|origin| origin.to_str().ok());
        self.secret == setup.secret && origin.is_none_or(|origin| origin == setup.page)
    }
}

async fn propose(
    State(setup): State<Arc<Setup>>,
    headers: HeaderMap,
    Form(button): Form<Button>,
) -> Response {
    if !button.is_ours(&setup, &headers) {
        return forbidden();
    }
    let mut done = setup.done.lock().await;
    let Some(app) = &done.app else {
        return Redirect::to("/").into_response();
    };
    let proposed = match button.repository.parse() {
        Ok(repo) => setup.propose(app, &repo).await,
        Err(why) => Err(why.into()),
    };
    match proposed {
        Ok(url) => {
            if let Some(url) = &url {
                tell(format_args!("The first pull request: {url}"));
            }
            done.pulls.push((button.repository, url));
            done.error = None;
        }
        Err(error) => done.error = Some(format!("{}: {error:#}", button.repository)),
    }
    Redirect::to("/").into_response()
}

async fn done(
    State(setup): State<Arc<Setup>>,
    headers: HeaderMap,
    Form(button): Form<Button>,
) -> Response {
    if !button.is_ours(&setup, &headers) {
        return forbidden();
    }
    setup.stop.cancel();
    let text = "Done: the terminal says what to do next. You can close this page.";
    (StatusCode::OK, text).into_response()
}

fn forbidden() -> Response {
    let text = "This request is not from the page of this windlass setup: start there. If GitHub has made an App meanwhile, delete it under Settings, Developer settings, GitHub Apps: its key is lost.";
    (StatusCode::FORBIDDEN, text).into_response()
}
