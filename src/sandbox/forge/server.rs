//! From the socket to what answers, with what is common to all answers of the API.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extract};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::auth::Auth;
use super::limits::{caller, is_write};
use super::state::Caller;
use super::{Call, Exchange, Inner, Reply, ReplyBody};

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
    let at = inner.state().now();
    let outcome = tokio::task::spawn_blocking(move || inner.dispatch(&call)).await;
    match outcome {
        Ok(Some(reply)) => put_on_wire(reply, at),
        // A cut connection: the body fails before it has begun.
        Ok(None) => Response::new(Body::from_stream(futures::stream::once(async {
            Err::<Bytes, _>(std::io::Error::other("cut"))
        }))),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn put_on_wire(reply: Reply, at: Timestamp) -> Response {
    let mut builder = Response::builder()
        .status(reply.status)
        .header("date", at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
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
        let auth = self.authenticate(call);
        if !call.path.starts_with("/api/") {
            if !call.path.contains(".git/") {
                return Some(self.page(call));
            }
            let by_app = auth.as_ref().map_or(Caller::Nobody, caller).is_app();
            let is_push = call.path.ends_with("/git-receive-pack");
            return self.gated(call, by_app && is_push, || self.smart_http(call));
        }
        let caller = auth.as_ref().map_or(Caller::Nobody, caller);
        let by_app = caller.is_app();
        let _flight = self.take_off(caller);
        let is_write = is_write(call) && by_app;
        self.gated(call, is_write, || self.api(call, auth))
    }

    /// Answers, through the gate that stands round the App's writes. None: the connection is to be
    /// cut.
    fn gated(&self, call: &Call, is_write: bool, answer: impl FnOnce() -> Reply) -> Option<Reply> {
        let gate = is_write.then(|| self.wire().writes).flatten();
        let Some(gate) = gate else {
            return Some(answer());
        };
        let number = gate.begin(&format!("{} {}", call.method, call.path))?;
        let reply = answer();
        gate.end(number).then_some(reply)
    }

    /// REST and GraphQL, with what is common to all answers; each exchange is shown to the
    /// observer.
    pub(super) fn api(&self, call: &Call, auth: Result<Auth, Reply>) -> Reply {
        let caller = auth.as_ref().map_or(Caller::Nobody, caller);
        // What is not GitHub's API's own word is held against no description of it.
        let failure = caller
            .is_app()
            .then(|| self.state().faults.fail(call))
            .flatten();
        if let Some(failure) = failure {
            self.count(call, &caller, failure.status);
            return failure;
        }
        let reply = match self.admit(call, &caller) {
            Ok(()) => self.answer(call, auth),
            Err(refusal) => refusal,
        };
        if call.method != Method::GET {
            self.settle_queues();
        }
        // Redirects are described once for all operations.
        if !matches!(reply.status, 301 | 307) {
            self.observe(call, &reply, caller.is_app());
        }
        let reply = unless_known(call, reply);
        self.count(call, &caller, reply.status);
        self.rated(call, &caller, reply)
            .with("x-github-api-version-selected", "2022-11-28")
    }

    fn observe(&self, call: &Call, reply: &Reply, by_app: bool) {
        if let Some(observer) = self.wire().observer {
            let response = if let ReplyBody::Json(value) = &reply.body {
                Some(value.clone())
            } else {
                None
            };
            observer(&Exchange {
                method: call.method.to_string(),
                path: self.described(&call.path),
                query: call.query.clone(),
                request: serde_json::from_slice(&call.body).ok(),
                status: reply.status,
                response,
                by_app,
            });
        }
    }

    /// A path as GitHub's description has it: without the API's own, and by a repository's name.
    fn described(&self, path: &str) -> String {
        let path = path
            .strip_prefix("/api/v3")
            .or_else(|| path.strip_prefix("/api"))
            .unwrap_or(path);
        let Some(by_id) = path.strip_prefix("/repositories/") else {
            return path.to_string();
        };
        let (id, rest) = by_id.split_once('/').unwrap_or((by_id, ""));
        let state = self.state();
        let repo = id.parse().ok().and_then(|id| state.by_id(id));
        let named = repo.map(|repo| format!("/repos/{}/{rest}", repo.full_name()));
        named.map_or(path.to_string(), |named| named.trim_end_matches('/').into())
    }

    fn answer(&self, call: &Call, auth: Result<Auth, Reply>) -> Reply {
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
        // The code is what authorises it.
        let path = call.path.strip_prefix("/api/v3/app-manifests/");
        if let Some(code) = path.and_then(|path| path.strip_suffix("/conversions"))
            && call.method == Method::POST
        {
            return self.convert(code);
        }
        let auth = match auth.and_then(|auth| self.settled(call).map(|()| auth)) {
            Ok(auth) => auth,
            Err(reply) => return reply,
        };
        let admitted = self.admitted(&auth);
        if call.path == "/api/graphql" {
            return match admitted {
                Ok(()) => self.graphql(call, &auth),
                Err(reply) => in_graphql(reply),
            };
        }
        if let Err(reply) = admitted {
            return reply;
        }
        match call.path.strip_prefix("/api/v3") {
            Some(path) => self.rest(call, path, &auth).unwrap_or_else(|reply| reply),
            None => Reply::error(404, "Not Found"),
        }
    }
}

/// A refusal as GraphQL tells it.
fn in_graphql(reply: Reply) -> Reply {
    let ReplyBody::Json(value) = reply.body else {
        return reply;
    };
    let error = json!({"type": "FORBIDDEN", "message": value["message"]});
    Reply::json(200, json!({"data": null, "errors": [error]}))
}

/// The answer with its entity tag; without its body where the caller has it.
fn unless_known(call: &Call, reply: Reply) -> Reply {
    let Some(etag) = etag(call, &reply) else {
        return reply;
    };
    let known = call.headers.get("if-none-match");
    if known.is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return Reply::empty(304).with("etag", etag);
    }
    reply.with("etag", etag)
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
