//! From the socket to what answers, with what is common to all answers of the API.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extract};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};

use super::{Call, Exchange, Inner, Reply, ReplyBody};

/// Where the App's writes are told from reads: any method that is not safe, and GraphQL mutations.
fn is_write(call: &Call) -> bool {
    let graphql = call.path.ends_with("/graphql");
    let token = call.path.ends_with("/access_tokens");
    !token
        && !matches!(call.method, Method::GET | Method::HEAD)
        && (!graphql || String::from_utf8_lossy(&call.body).contains("mutation"))
}

pub(super) async fn serve(Extract(inner): Extract<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 64 << 20).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let call = Call {
        method: parts.method,
        path: parts.uri.path().to_string(),
        query: parts.uri.query().unwrap_or_default().to_string(),
        headers: parts.headers,
        body,
    };
    let outcome = tokio::task::spawn_blocking(move || inner.dispatch(&call)).await;
    match outcome {
        Ok(Some(reply)) => put_on_wire(reply),
        // A cut connection: the body fails before it has begun.
        Ok(None) => Response::new(Body::from_stream(futures::stream::once(async {
            Err::<Bytes, _>(std::io::Error::other("cut"))
        }))),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn put_on_wire(reply: Reply) -> Response {
    let mut builder = Response::builder()
        .status(reply.status)
        .header("x-github-request-id", "0000:0000:0000");
    for (name, value) in reply.headers {
        builder = builder.header(name, value);
    }
    let (kind, body) = match reply.body {
        ReplyBody::Json(value) => (
            Some("application/json; charset=utf-8".to_string()),
            Body::from(value.to_string()),
        ),
        ReplyBody::Text(kind, text) => (Some(kind.to_string()), Body::from(text)),
        ReplyBody::Bytes(kind, bytes) => (Some(kind), Body::from(bytes)),
        ReplyBody::Empty => (None, Body::empty()),
    };
    if let Some(kind) = kind {
        builder = builder.header("content-type", kind);
    }
    builder
        .body(body)
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

impl Inner {
    /// None: the connection is to be cut.
    fn dispatch(&self, call: &Call) -> Option<Reply> {
        if !call.path.starts_with("/api/") {
            return Some(if call.path.contains(".git/") {
                self.smart_http(call)
            } else {
                self.page(call)
            });
        }
        let gate = (is_write(call) && self.asked_by_app(call))
            .then(|| self.wire().writes)
            .flatten();
        let what = format!("{} {}", call.method, call.path);
        let Some(gate) = gate else {
            return Some(self.api(call));
        };
        let number = gate.begin(&what)?;
        let reply = self.api(call);
        gate.end(number).then_some(reply)
    }

    /// REST and GraphQL, with what is common to all answers; each exchange is shown to the
    /// observer.
    pub(super) fn api(&self, call: &Call) -> Reply {
        // What is not GitHub's API's own word is held against no description of it.
        if self.asked_by_app(call)
            && let Some(failure) = self.state().faults.fail(call)
        {
            return failure;
        }
        let mut reply = self.answer(call);
        if call.method != Method::GET {
            self.settle_queues();
        }
        self.observe(call, &reply);
        if let Some(etag) = etag(call, &reply) {
            if call
                .headers
                .get("if-none-match")
                .is_some_and(|known| known.as_bytes() == etag.as_bytes())
            {
                return Reply::empty(304).with("etag", etag);
            }
            reply = reply.with("etag", etag);
        }
        let (limit, remaining, reset) = self.state().spend_rate(
            call.headers
                .get("authorization")
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default(),
        );
        reply
            .with("x-ratelimit-limit", limit.to_string())
            .with("x-ratelimit-remaining", remaining.to_string())
            .with("x-ratelimit-used", (limit - remaining).to_string())
            .with("x-ratelimit-reset", reset.to_string())
            .with(
                "x-ratelimit-resource",
                if call.path.ends_with("/graphql") {
                    "graphql"
                } else {
                    "core"
                },
            )
            .with("x-github-api-version-selected", "2022-11-28")
    }

    fn observe(&self, call: &Call, reply: &Reply) {
        let by_app = self.asked_by_app(call);
        if let Some(observer) = self.wire().observer {
            let response = if let ReplyBody::Json(value) = &reply.body {
                Some(value.clone())
            } else {
                None
            };
            observer(&Exchange {
                method: call.method.to_string(),
                path: call
                    .path
                    .strip_prefix("/api/v3")
                    .or_else(|| call.path.strip_prefix("/api"))
                    .unwrap_or(&call.path)
                    .to_string(),
                query: call.query.clone(),
                request: serde_json::from_slice(&call.body).ok(),
                status: reply.status,
                response,
                by_app,
            });
        }
    }

    fn answer(&self, call: &Call) -> Reply {
        if !call.headers.contains_key("user-agent") {
            return Reply::error(
                403,
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.",
            );
        }
        if let Some(version) = call.headers.get("x-github-api-version")
            && !["2022-11-28", "2026-03-10"].contains(&version.to_str().unwrap_or_default())
        {
            return Reply::error(
                410,
                format!(
                    "API version {} is no longer supported",
                    version.to_str().unwrap_or_default()
                ),
            );
        }
        let auth = match self.authenticate(call) {
            Ok(auth) => auth,
            Err(reply) => return reply,
        };
        if call.path == "/api/graphql" {
            return self.graphql(call, &auth);
        }
        match call.path.strip_prefix("/api/v3") {
            Some(path) => self.rest(call, path, &auth).unwrap_or_else(|reply| reply),
            None => Reply::error(404, "Not Found"),
        }
    }
}

/// Of answers that can be asked for again. It depends on the token (github/docs#34689), so it dies
/// with it.
fn etag(call: &Call, reply: &Reply) -> Option<String> {
    let ReplyBody::Json(value) = &reply.body else {
        return None;
    };
    if call.method != Method::GET || reply.status != 200 {
        return None;
    }
    let mut hash = Sha256::new();
    hash.update(
        call.headers
            .get("authorization")
            .map(|v| v.as_bytes())
            .unwrap_or_default(),
    );
    hash.update(value.to_string());
    Some(format!("\"{}\"", hex::encode(hash.finalize())))
}
