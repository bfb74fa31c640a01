//! The HTTP face: webhooks and image events in, health and metrics out.
//!
//! A webhook is verified over its raw bytes, turned into hints, and answered;
//! the work happens in the loops. An image event is answered 2xx only once it
//! is durable: 200 with the pull request, or 202 with where to look.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, header};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;

use crate::cluster;
use crate::controller::promotion::{Rest, rest};
use crate::controller::queue::Outcome;
use crate::controller::{Base, Event, Writer};
use crate::domain::image::Candidate;
use crate::domain::{ApplicationKey, Hint, Name};
use crate::events::{Refusal, Sender, Verified};
use crate::github::webhook::{self, Payload};
use crate::listener::{Bodies, NotTaken};
use crate::telemetry::Metrics;

/// What the handlers need.
pub struct Server {
    /// Set once we hold the Lease and have read what there is.
    pub ctx: OnceLock<Arc<Writer>>,
    pub metrics: Arc<Metrics>,
    pub webhook_secrets: Vec<SecretString>,
    pub events_token: SecretString,
    /// Followed one after another by one task; a full channel makes GitHub wait.
    pub hints: mpsc::Sender<Hint>,
    pub bodies: Bodies,
    /// Of those who hold the events token.
    pub events: Bodies,
}

/// An image event is a few hundred bytes.
const MOST_EVENT: usize = 64 << 10;

/// CI waits this long for its pull request before it is told where to look.
const PATIENCE: Duration = Duration::from_secs(25);

pub fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/webhook", post(webhook_received))
        .route("/events/image", post(image_event))
        .route("/promotions/{application}/{stage}", get(promotion))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/", get(page))
        .with_state(server)
}

/// On a listener of its own: what an address on the internet leads to does not lead here, and who fills the other one does
/// not keep the node from seeing that we live.
pub fn metrics_router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(server)
}

async fn healthy() -> &'static str {
    "ok\n"
}

async fn ready(State(server): State<Arc<Server>>) -> Response {
    match server.ctx.get() {
        Some(_) => "ready\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "waits for the Lease\n").into_response(),
    }
}

async fn metrics(State(server): State<Arc<Server>>) -> Response {
    server
        .metrics
        .asked(crate::cluster::ANSWERS.load(std::sync::atomic::Ordering::Relaxed));
    if let Some(ctx) = server.ctx.get() {
        ctx.metrics.queue("promotion", ctx.promotions.pending());
        ctx.metrics.queue("pull_request", ctx.pulls.pending());
        ctx.metrics.queue("application", ctx.applications.pending());
        ctx.metrics.queue("commit", ctx.commits.pending());
    }
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        server.metrics.text(),
    )
        .into_response()
}

/// A page for a person who opened the address; it tells nothing about applications, since nobody has logged in.
async fn page() -> Html<&'static str> {
    Html(
        "<!doctype html><meta charset=utf-8><title>windlass</title><p>windlass is running. Its state: <code>kubectl get applications.windlass.dev,promotions.windlass.dev -A</code>, and each pull request's comment.\n",
    )
}

async fn webhook_received(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let unsigned = || {
        server.metrics.refused();
        refusal(
            StatusCode::UNAUTHORIZED,
            "the signature is missing or wrong: is the webhook secret the one that the App is registered with?",
        )
    };
    // Before a byte of the body is kept.
    let Some(signature) = webhook::signature(header("x-hub-signature-256")) else {
        return unsigned();
    };
    let body = match server.bodies.read(body, webhook::MOST_BYTES).await {
        Ok(body) => body,
        Err(why) => return not_taken(&server, why),
    };
    if !webhook::verified(&server.webhook_secrets, &body.bytes, &signature) {
        return unsigned();
    }
    // Another windlass holds the Lease: it must be the one to hear this.
    if server.ctx.get().is_none() {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "this replica does not hold the Lease",
        );
    }
    let Ok(payload) = serde_json::from_slice::<Payload>(&body.bytes) else {
        return refusal(StatusCode::BAD_REQUEST, "the body is not JSON");
    };
    drop(body);
    server.metrics.webhook();
    let hints = webhook::hints(header("x-github-event").unwrap_or_default(), &payload);
    let count = hints.len();
    for hint in hints {
        if server.hints.send(hint).await.is_err() {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "windlass is stopping");
        }
    }
    (StatusCode::ACCEPTED, Json(json!({"hints": count}))).into_response()
}

fn not_taken(server: &Server, why: NotTaken) -> Response {
    server.metrics.refused();
    match why {
        NotTaken::TooLong => refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
        NotTaken::TooSlow => refusal(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
        NotTaken::Busy => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "too much is being received just now: try again",
        ),
        NotTaken::Broken => refusal(StatusCode::BAD_REQUEST, "the body broke off"),
    }
}

fn refusal(status: StatusCode, why: impl ToString) -> Response {
    (status, Json(json!({"error": why.to_string()}))).into_response()
}

fn sender(server: &Server, headers: &HeaderMap) -> Result<Sender, Refusal> {
    Sender::verify(
        &server.events_token,
        headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()),
    )
}

async fn image_event(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let sender = match sender(&server, &headers) {
        Ok(sender) => sender,
        Err(why) => {
            server.metrics.refused();
            return refusal(StatusCode::UNAUTHORIZED, why);
        }
    };
    let body = match server.events.read(body, MOST_EVENT).await {
        Ok(body) => body,
        Err(why) => return not_taken(&server, why),
    };
    let verified = match sender.event(&body.bytes) {
        Ok(verified) => verified,
        Err(why) => return refusal(StatusCode::UNPROCESSABLE_ENTITY, why),
    };
    let Some(ctx) = server.ctx.get() else {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "this windlass is not ready: try again",
        );
    };
    match propose(ctx, &verified).await {
        Ok(taken) => {
            server.metrics.image_event();
            outcome(ctx, taken).await
        }
        Err(response) => *response,
    }
}

/// What an event came to, application by application.
#[derive(Default)]
struct Taken {
    proposed: Vec<Proposed>,
    /// What is told of those where it comes to nothing.
    refused: Vec<Value>,
}

/// A promotion that was put to be looked at, and the outcomes of looks from then on.
struct Proposed {
    key: ApplicationKey,
    candidate: Candidate,
    outcomes: broadcast::Receiver<Outcome<ApplicationKey>>,
}

fn told(key: &ApplicationKey, state: &str, message: Option<String>, url: Option<String>) -> Value {
    json!({"application": key.application, "stage": key.stage, "state": state, "pull_request": url, "message": message})
}

/// Keeps the candidate for every first stage that uses the image; whoever waits for it is told its keys.
async fn propose(ctx: &Writer, verified: &Verified) -> Result<Taken, Box<Response>> {
    let fail = |error: &dyn std::fmt::Display| {
        Box::new(refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{error}: try again"),
        ))
    };
    let (mut taken, mut forbidden, mut later, mut unread) =
        (Taken::default(), None, Vec::new(), None);
    for base in ctx.bases() {
        let base = match ctx.base(&base.repo.name, Instant::now()).await {
            Ok(base) => base,
            // One repository that cannot be read stops no other's images.
            Err(error) => {
                tracing::warn!(repo = %base.repo.name, %error, "a config repository could not be read for an image event");
                unread = Some(error);
                continue;
            }
        };
        for target in base
            .configured()
            .into_iter()
            .flat_map(|configured| &configured.targets)
        {
            let (key, authorised) = (target.key(&base.repo.name), verified.authorise(target));
            match authorised {
                None => {}
                // Later stages are proposed once the earlier ones are healthy with it.
                Some(_) if !target.stage.after.is_empty() => later.push(key.title()),
                Some(Err(why)) => {
                    taken
                        .refused
                        .push(told(&key, "Refused", Some(why.to_string()), None));
                    forbidden = Some(why);
                }
                Some(Ok(authorised)) => match kept(ctx, &key, &authorised.candidate).await {
                    Ok(()) => {
                        let outcomes = ctx.promotions.outcomes();
                        ctx.emit(&Event::Candidate(key.clone()));
                        taken.proposed.push(Proposed {
                            key,
                            candidate: authorised.candidate,
                            outcomes,
                        });
                    }
                    Err(cluster::Error::Refused { message, .. }) => {
                        taken
                            .refused
                            .push(told(&key, "Refused", Some(message), None))
                    }
                    Err(error) => return Err(fail(&error)),
                },
            }
        }
    }
    // What is proposed stays so, and is proposed again: it is only taken once everybody has it.
    if let Some(error) = unread {
        return Err(fail(&error));
    }
    if !taken.proposed.is_empty() {
        return Ok(taken);
    }
    let image = verified.image();
    Err(Box::new(match forbidden {
        Some(why) => refusal(StatusCode::FORBIDDEN, why),
        None if !taken.refused.is_empty() => answer(StatusCode::CONFLICT, taken.refused),
        None if !later.is_empty() => {
            let later = later.join(", ");
            let why = format!(
                "`{image}` is used only in stages that come after others ({later}): it begins where it is used before them"
            );
            refusal(StatusCode::NOT_FOUND, why)
        }
        None => {
            let why = format!(
                "no application uses `{image}`: name it under `images:` of an application in windlass.yaml"
            );
            refusal(StatusCode::NOT_FOUND, why)
        }
    }))
}

/// Keeps a candidate. Two events at once: the one that was written later wins.
async fn kept(
    ctx: &Writer,
    key: &ApplicationKey,
    candidate: &Candidate,
) -> Result<(), cluster::Error> {
    let mut kept = ctx
        .to_home()
        .propose(key, std::slice::from_ref(candidate))
        .await;
    for _ in 0..3 {
        if matches!(kept, Err(cluster::Error::Stale { .. })) {
            kept = ctx
                .to_home()
                .propose(key, std::slice::from_ref(candidate))
                .await;
        }
    }
    kept.map(drop)
}

/// Waits until every promotion rests, and tells where.
async fn outcome(ctx: &Arc<Writer>, taken: Taken) -> Response {
    let deadline = Instant::now() + PATIENCE;
    let mut all = Vec::new();
    let mut resting = true;
    for Proposed {
        key,
        candidate,
        mut outcomes,
    } in taken.proposed
    {
        // What an earlier look left is not this event's outcome: one look from now on comes first.
        let look = async {
            loop {
                match outcomes.recv().await {
                    Ok(outcome) if outcome.key == key && outcome.error.is_none() => {
                        if let Some(rest) = rest(ctx, &key, Some(&candidate)).await {
                            return Some(rest);
                        }
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        };
        match tokio::time::timeout_at(deadline, look).await {
            Ok(Some(Rest {
                state,
                message,
                url,
            })) => all.push(told(&key, &state, message, url)),
            _ => {
                resting = false;
                let url = format!("/promotions/{}/{}", key.application, key.stage);
                all.push(json!({"application": key.application, "stage": key.stage, "state": "Waiting", "status_url": url}));
            }
        }
    }
    all.extend(taken.refused);
    // One that cannot have it says nothing of those that do.
    let refused = all
        .iter()
        .all(|one| matches!(one["state"].as_str(), Some("Failed" | "Refused")));
    let status = match (resting, refused) {
        (false, _) => StatusCode::ACCEPTED,
        (true, true) => StatusCode::CONFLICT,
        (true, false) => StatusCode::OK,
    };
    answer(status, all)
}

fn answer(status: StatusCode, all: Vec<Value>) -> Response {
    let url = all
        .iter()
        .find_map(|one| one["pull_request"].as_str())
        .map(str::to_string);
    (
        status,
        Json(json!({"pull_request": url, "promotions": all})),
    )
        .into_response()
}

/// Where a promotion stands, for CI that was answered 202.
async fn promotion(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    Path((application, stage)): Path<(String, String)>,
) -> Response {
    if let Err(why) = sender(&server, &headers) {
        return refusal(StatusCode::UNAUTHORIZED, why);
    }
    let (Ok(application), Ok(stage)) = (application.parse::<Name>(), stage.parse::<Name>()) else {
        return refusal(StatusCode::NOT_FOUND, "no such promotion");
    };
    let key = |base: &Arc<Base>| ApplicationKey {
        repo: base.repo.name.clone(),
        application: application.clone(),
        stage: stage.clone(),
    };
    let Some(ctx) = server.ctx.get() else {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "this windlass is not ready: try again",
        );
    };
    let bases = ctx.bases();
    let Some(key) = bases
        .iter()
        .map(key)
        .find(|key| bases.iter().any(|base| base.target(key).is_some()))
    else {
        return refusal(StatusCode::NOT_FOUND, "no such promotion");
    };
    match rest(ctx, &key, None).await {
        Some(Rest {
            state,
            message,
            url,
        }) => Json(told(&key, &state, message, url)).into_response(),
        None => (StatusCode::ACCEPTED, Json(json!({"state": "Waiting"}))).into_response(),
    }
}
