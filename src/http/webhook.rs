//! Webhooks: verified over the raw bytes, turned into hints, and answered. The work happens in the
//! loops.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::{Server, not_taken, refusal};
use crate::github::webhook::{self, Payload};

pub async fn webhook_received(
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
    // Before any byte of the body is read.
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
    // Another replica holds the Lease: GitHub has to deliver the webhook to that one.
    let Some(ctx) = server.ctx.get() else {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "this replica does not hold the Lease",
        );
    };
    let Ok(payload) = serde_json::from_slice::<Payload>(&body.bytes) else {
        return refusal(StatusCode::BAD_REQUEST, "the body is not JSON");
    };
    drop(body);
    server.metrics.webhook();
    let event = header("x-github-event").unwrap_or_default();
    let hint = webhook::hint(event, &payload, ctx.github.own_login());
    let count = usize::from(hint.is_some());
    if let Some(hint) = hint {
        ctx.process_hint(hint);
    }
    (StatusCode::ACCEPTED, Json(json!({"hints": count}))).into_response()
}
