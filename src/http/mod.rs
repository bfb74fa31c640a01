//! The HTTP server: webhooks and image events in; health, metrics and the page out.
//!
//! A webhook is verified over its raw bytes, turned into hints, and answered;
//! the work happens in the loops. An image event is answered 2xx only once it
//! is stored: 200 with the pull request, or 202 with a status URL.

mod health;
mod image_event;
pub mod listener;
mod page;
mod verdict;
mod webhook;

use std::sync::{Arc, OnceLock};

use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use secrecy::SecretString;
use serde_json::json;

use crate::controller::Writer;
use crate::events::Senders;
use crate::telemetry::Metrics;
use listener::{Bodies, NotTaken};
pub use page::Sessions;

/// The state of the handlers.
pub struct Server {
    /// Set once this replica holds the Lease and has finished its first resync.
    pub ctx: OnceLock<Arc<Writer>>,
    pub metrics: Arc<Metrics>,
    pub webhook_secrets: Vec<SecretString>,
    /// None: no image events are taken.
    pub senders: Option<Senders>,
    pub bodies: Bodies,
    /// The budget of senders that hold the events token.
    pub events: Bodies,
    /// Who is signed in to the page. None: it is served to people inside alone.
    pub sessions: Option<Sessions>,
}

pub fn router(server: Arc<Server>) -> Router {
    let pages = match &server.sessions {
        Some(_) => page::public(&server),
        None => Router::new().route("/", get(running)),
    };
    Router::new()
        .route("/webhook", post(webhook::webhook_received))
        .route("/events/image", post(image_event::image_event))
        .route(
            "/promotions/{application}/{stage}",
            get(image_event::promotion),
        )
        .route("/healthz", get(health::healthy))
        .route("/readyz", get(health::ready))
        .merge(pages)
        .with_state(server)
}

/// On a listener of its own: metrics, verdicts and the page are not exposed with the public address, and a flood of
/// requests there does not fail the liveness probe.
pub fn metrics_router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthy))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/verdicts/{owner}/{name}/{number}", get(verdict::verdict))
        .merge(page::private(&server))
        .with_state(server)
}

/// A page for a person who opened the address; it shows nothing about applications, since nobody
/// has logged in.
async fn running() -> Html<&'static str> {
    Html(
        "<!doctype html><meta charset=utf-8><title>windlass</title><p>windlass is running. Its state: <code>kubectl get applications.windlass.dev,promotions.windlass.dev -A</code>, and each pull request's comment.\n",
    )
}

pub fn not_taken(server: &Server, why: NotTaken) -> Response {
    server.metrics.refused();
    match why {
        NotTaken::TooLong => refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
        NotTaken::TooSlow => refusal(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        ),
        NotTaken::Busy => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "too much is being received just now: try again",
        ),
        NotTaken::Broken => refusal(StatusCode::BAD_REQUEST, "the body was cut off"),
    }
}

pub fn refusal(status: StatusCode, why: impl ToString) -> Response {
    (status, Json(json!({"error": why.to_string()}))).into_response()
}
