//! The page: one address whose content follows what is done, and what its buttons do.
//!
//! It is on this machine alone, and hands out nothing secret. What changes something has to carry a
//! secret of our page; other names in the `Host` header are refused, as another site's DNS could
//! point here.

use std::sync::Arc;

use axum::extract::{Form, Query, State};
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
    Router::new()
        .route("/", get(page))
        .route("/created", get(created))
        .route("/propose", post(propose))
        .route("/done", post(done))
        .layer(middleware::from_fn(of_this_machine))
        .with_state(setup)
}

async fn of_this_machine(
    request: axum::extract::Request,
    next: middleware::Next,
) -> Result<Response, StatusCode> {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    match name {
        "127.0.0.1" | "localhost" | "[::1]" => Ok(next.run(request).await),
        _ => Err(StatusCode::MISDIRECTED_REQUEST),
    }
}

async fn page(State(setup): State<Arc<Setup>>) -> Response {
    let done = setup.done.lock().await;
    let back = format!("{}/created", setup.page);
    let (address, preview_only) = (setup.args.url.as_deref(), setup.args.preview_only);
    let manifest = manifest(&setup.name, address, preview_only, &back);
    let mut page = SetupPage {
        version: env!("CARGO_PKG_VERSION"),
        secret: setup.secret.clone(),
        registration: setup.registration(),
        owner: setup.args.organization.clone(),
        name: setup.name.clone(),
        address: setup.args.url.clone(),
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
    if let Some((app, kept)) = &done.app {
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
        pull: pull.map(|(_, url)| url.clone()),
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
    // A reload.
    if done.app.is_none() {
        let code = back.code.unwrap_or_default();
        let registered = register(&setup.api_url, &code, &setup.outgoing).await;
        let kept = match registered {
            Ok(app) => {
                let takes_events = !setup.args.preview_only;
                let kept = setup.keep.keep(&app, takes_events).await;
                kept.map(|kept| (app, kept))
            }
            Err(error) => Err(error),
        };
        match kept {
            Ok((app, kept)) => {
                tell(format_args!(
                    "The App {} is registered, and its credentials are kept.",
                    app.slug
                ));
                (done.app, done.error) = (Some((app, kept)), None);
            }
            Err(error) => done.error = Some(format!("{error:#}")),
        }
    }
    Redirect::to("/").into_response()
}

/// A button of our page.
#[derive(Deserialize)]
struct Button {
    secret: String,
    #[serde(default)]
    repository: String,
}

async fn propose(
    State(setup): State<Arc<Setup>>,
    headers: HeaderMap,
    Form(button): Form<Button>,
) -> Response {
    if button.secret != setup.secret || !is_from_us(&setup, &headers) {
        return forbidden();
    }
    let mut done = setup.done.lock().await;
    let Some((app, _)) = &done.app else {
        return Redirect::to("/").into_response();
    };
    let proposed = match button.repository.parse() {
        Ok(repo) => setup.propose(app, &repo).await,
        Err(why) => Err(why.into()),
    };
    match proposed {
        Ok(url) => {
            tell(format_args!("The first pull request: {url}"));
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
    if button.secret != setup.secret || !is_from_us(&setup, &headers) {
        return forbidden();
    }
    setup.stop.cancel();
    let text = "Done: the terminal says what to do next. You can close this page.";
    (StatusCode::OK, text).into_response()
}

/// Whether a form was sent by our page.
fn is_from_us(setup: &Setup, headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN);
    let origin = origin.and_then(|origin| origin.to_str().ok());
    origin.is_none_or(|origin| origin == setup.page)
}

fn forbidden() -> Response {
    let text = "This request is not from the page of this windlass setup: start there.";
    (StatusCode::FORBIDDEN, text).into_response()
}
