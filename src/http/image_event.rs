//! Image events: answered 2xx only once they are durable: 200 with the pull request, or 202 with where to look.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::{Server, not_taken, refusal};
use crate::cluster;
use crate::controller::promotion::{Rest, rest};
use crate::controller::queue::Outcome;
use crate::controller::{Base, Error, Event, Writer};
use crate::domain::image::Candidate;
use crate::domain::{ApplicationKey, Name};
use crate::events::{Refusal, Sender, Verified};

/// An image event is a few hundred bytes.
const MOST_EVENT: usize = 64 << 10;

/// CI waits this long for its pull request before it is told where to look.
const PATIENCE: Duration = Duration::from_secs(25);

fn sender(server: &Server, headers: &HeaderMap) -> Result<Sender, Refusal> {
    Sender::verify(
        &server.events_token,
        headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()),
    )
}

pub async fn image_event(
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
    let mut offered = Offered::default();
    for base in ctx.bases() {
        match ctx.base(&base.repo.name, Instant::now()).await {
            Ok(base) => offer(ctx, verified, &base, &mut offered)
                .await
                .map_err(|error| try_again(&error))?,
            // One repository that cannot be read stops no other's images.
            Err(error) => {
                tracing::warn!(repo = %base.repo.name, %error, "a config repository could not be read for an image event");
                offered.unread = Some(error);
            }
        }
    }
    // What is proposed stays so, and is proposed again: it is only taken once everybody has it.
    if let Some(error) = offered.unread {
        return Err(try_again(&error));
    }
    if offered.taken.proposed.is_empty() {
        return Err(Box::new(offered.nowhere(verified.image())));
    }
    Ok(offered.taken)
}

fn try_again(error: &dyn std::fmt::Display) -> Box<Response> {
    let why = format!("{error}: try again");
    Box::new(refusal(StatusCode::SERVICE_UNAVAILABLE, why))
}

/// What came of offering an image to every application.
#[derive(Default)]
struct Offered {
    taken: Taken,
    /// Why some may not have it of this sender.
    forbidden: Option<Refusal>,
    /// Stages that come after others, which have it first.
    later: Vec<String>,
    /// Why a config repository could not be read.
    unread: Option<Error>,
}

/// Offers the image to the applications of one config repository.
async fn offer(
    ctx: &Writer,
    verified: &Verified,
    base: &Base,
    offered: &mut Offered,
) -> Result<(), cluster::Error> {
    let configured = base.configured();
    for target in configured.iter().flat_map(|configured| &configured.targets) {
        let key = target.key(&base.repo.name);
        let authorised = match verified.authorise(target) {
            None => continue,
            // Later stages are proposed once the earlier ones are healthy with it.
            Some(_) if !target.stage.after.is_empty() => {
                offered.later.push(key.title());
                continue;
            }
            Some(Err(why)) => {
                offered.taken.refuse(&key, why.to_string());
                offered.forbidden = Some(why);
                continue;
            }
            Some(Ok(authorised)) => authorised,
        };
        match kept(ctx, &key, &authorised.candidate).await {
            Ok(()) => {
                let outcomes = ctx.promotions.outcomes();
                ctx.emit(&Event::Candidate(key.clone()));
                offered.taken.proposed.push(Proposed {
                    key,
                    candidate: authorised.candidate,
                    outcomes,
                });
            }
            Err(cluster::Error::Refused { message, .. }) => offered.taken.refuse(&key, message),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Offered {
    /// The answer where nothing was proposed.
    fn nowhere(self, image: &str) -> Response {
        if let Some(why) = self.forbidden {
            return refusal(StatusCode::FORBIDDEN, why);
        }
        if !self.taken.refused.is_empty() {
            return answer(StatusCode::CONFLICT, self.taken.refused);
        }
        let why = match self.later.as_slice() {
            [] => format!(
                "no application uses `{image}`: name it under `images:` of an application in windlass.yaml"
            ),
            later => format!(
                "`{image}` is used only in stages that come after others ({}): a promotion begins in an earlier stage, so use the image there first",
                later.join(", ")
            ),
        };
        refusal(StatusCode::NOT_FOUND, why)
    }
}

impl Taken {
    fn refuse(&mut self, key: &ApplicationKey, why: String) {
        self.refused.push(told(key, "Refused", Some(why), None));
    }
}

/// Keeps a candidate. Two events at once: the one that was written later wins.
async fn kept(
    ctx: &Writer,
    key: &ApplicationKey,
    candidate: &Candidate,
) -> Result<(), cluster::Error> {
    let mut kept = ctx
        .to_store()
        .propose(key, std::slice::from_ref(candidate))
        .await;
    for _ in 0..3 {
        if matches!(kept, Err(cluster::Error::Stale { .. })) {
            kept = ctx
                .to_store()
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
    for proposed in taken.proposed {
        let key = proposed.key.clone();
        match tokio::time::timeout_at(deadline, proposed.rests(ctx)).await {
            Ok(Some(rest)) => all.push(told(&key, &rest.state, rest.message, rest.url)),
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

impl Proposed {
    /// Where the promotion rests. What it came to before is not this event's outcome: one reconcile from now on comes
    /// first. None: windlass stops.
    async fn rests(mut self, ctx: &Arc<Writer>) -> Option<Rest> {
        loop {
            match self.outcomes.recv().await {
                Ok(outcome) if outcome.key == self.key && outcome.error.is_none() => {
                    if let Some(rest) = rest(ctx, &self.key, Some(&self.candidate)).await {
                        return Some(rest);
                    }
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
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
pub async fn promotion(
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
