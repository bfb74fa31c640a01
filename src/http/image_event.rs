//! Image events. The answer is 2xx only once the event is stored: 200 with the pull request, or 202
//! with a status URL.

use std::collections::BTreeSet;
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
use crate::controller::promotion::{Settled, settled};
use crate::controller::queue::Outcome;
use crate::controller::{Base, Error, Event, Writer};
use crate::domain::image::Candidate;
use crate::domain::{Name, RepoName, StageKey};
use crate::events::{Refusal, Sender, Senders, Verified};

/// An image event is a few hundred bytes.
const MOST_EVENT: usize = 64 << 10;

/// CI waits this long for its pull request before it gets the status URL instead.
const PATIENCE: Duration = Duration::from_secs(25);

/// The answer of a server that has no token for events.
const PREVIEW_ONLY: &str =
    "this windlass only previews pull requests (--preview-only): it takes no image events";

async fn sender(senders: &Senders, headers: &HeaderMap) -> Result<Sender, Refusal> {
    let given = headers.get(header::AUTHORIZATION);
    senders
        .verify(given.and_then(|value| value.to_str().ok()))
        .await
}

/// The answer to a sender that was not verified.
fn unverified(server: &Server, why: &Refusal) -> Response {
    server.metrics.refused();
    let status = match why {
        Refusal::NoKeys(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNAUTHORIZED,
    };
    refusal(status, why)
}

pub async fn image_event(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(senders) = &server.senders else {
        return refusal(StatusCode::NOT_FOUND, PREVIEW_ONLY);
    };
    let sender = match sender(senders, &headers).await {
        Ok(sender) => sender,
        Err(why) => return unverified(&server, &why),
    };
    let body = match server.events.read(body, MOST_EVENT).await {
        Ok(body) => body,
        Err(why) => return not_taken(&server, why),
    };
    let verified = match senders.event(&sender, &body.bytes) {
        Ok(verified) => verified,
        Err(why @ Refusal::Replayed) => return unverified(&server, &why),
        Err(why) => return refusal(StatusCode::UNPROCESSABLE_ENTITY, why),
    };
    let Some(ctx) = server.ctx.get() else {
        return refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "this windlass is not ready: try again",
        );
    };
    match propose(ctx, &verified).await {
        Ok(accepted) => {
            server.metrics.image_event();
            outcome(ctx, accepted).await
        }
        Err(response) => *response,
    }
}

/// The outcome of an event, by application.
#[derive(Default)]
struct Accepted {
    proposed: Vec<Proposed>,
    /// The answers for applications that refused it.
    refused: Vec<Value>,
}

/// A promotion that was put into the queue, and the outcomes of its reconciles from then on.
struct Proposed {
    key: StageKey,
    candidate: Candidate,
    outcomes: broadcast::Receiver<Outcome<StageKey>>,
}

fn promotion_json(
    key: &StageKey,
    state: &str,
    message: Option<String>,
    url: Option<String>,
) -> Value {
    json!({"application": key.application, "stage": key.stage, "state": state, "pull_request": url, "message": message})
}

/// Stores the candidate for every first stage that uses the image.
async fn propose(ctx: &Writer, verified: &Verified) -> Result<Accepted, Box<Response>> {
    let mut offered = Offered::default();
    for base in ctx.bases() {
        match ctx.base(&base.repo.name, Instant::now()).await {
            Ok(base) => offer(ctx, verified, &base, &mut offered)
                .await
                .map_err(|error| try_again(&error))?,
            // One repository that cannot be read stops no other's images.
            Err(error) => {
                tracing::warn!(repo = %base.repo.name, %error, "a config repository could not be read for an image event");
                match uses(&base, verified) {
                    true => offered.unread = Some(error),
                    false => offered.unread_else = Some(error),
                }
            }
        }
    }
    // The stored candidates stay, and a retry stores them again: the event only succeeds if every
    // repository was read that used the image when it was last read.
    if let Some(error) = offered.unread {
        return Err(try_again(&error));
    }
    if offered.accepted.proposed.is_empty() {
        // It may use the image by now.
        if let (true, Some(error)) = (offered.is_unknown(), &offered.unread_else) {
            return Err(try_again(error));
        }
        return Err(Box::new(offered.into_refusal(verified.image())));
    }
    Ok(offered.accepted)
}

/// Whether an application of a config repository uses the image of an event, as it was last read.
fn uses(base: &Base, verified: &Verified) -> bool {
    if matches!(base.configuration, Some(Err(_))) {
        return true;
    }
    let mut targets = base
        .configured()
        .into_iter()
        .flat_map(|configured| &configured.targets);
    targets.any(|target| target.image(verified.image()).is_some())
}

fn try_again(error: &dyn std::fmt::Display) -> Box<Response> {
    let why = format!("{error}: try again");
    Box::new(refusal(StatusCode::SERVICE_UNAVAILABLE, why))
}

/// The result of offering an image to every application.
#[derive(Default)]
struct Offered {
    accepted: Accepted,
    /// Why this sender may not offer it to some.
    forbidden: Option<Refusal>,
    /// Stages that come after others, which get the image first.
    later: Vec<String>,
    /// Why a config repository could not be read that uses the image, or one that did not.
    unread: Option<Error>,
    unread_else: Option<Error>,
}

/// Offers the image to the applications of one config repository.
async fn offer(
    ctx: &Writer,
    verified: &Verified,
    base: &Base,
    offered: &mut Offered,
) -> Result<(), cluster::Error> {
    let configured = base.configured();
    let mut offered_to = BTreeSet::new();
    for target in configured.iter().flat_map(|configured| &configured.targets) {
        if target.image(verified.image()).is_none() {
            continue;
        }
        let key = target.key(&base.repo.name).of_stage();
        // All clusters of a stage get it at once.
        if !offered_to.insert(key.clone()) {
            continue;
        }
        let id_of = |repo: &RepoName| {
            let known = ctx.github.repository(repo);
            known.ok().map(|known| known.id)
        };
        let clusters = base.targets_of(&key).into_iter();
        let judged = clusters.filter_map(|target| verified.authorise(target, id_of));
        // Each that uses it has to allow it.
        let judged = judged.reduce(Result::and);
        let authorised = match judged {
            None => continue,
            // Later stages are proposed once the earlier ones are healthy with it.
            Some(_) if !target.stage.after.is_empty() => {
                offered.later.push(key.title());
                continue;
            }
            Some(Err(why)) => {
                offered.accepted.refuse(&key, why.to_string());
                offered.forbidden = Some(why);
                continue;
            }
            Some(Ok(authorised)) => authorised,
        };
        match store_candidate(ctx, &key, &authorised.candidate).await {
            Ok(()) => {
                let outcomes = ctx.promotions.outcomes();
                ctx.emit(&Event::Candidate(key.clone()));
                offered.accepted.proposed.push(Proposed {
                    key,
                    candidate: authorised.candidate,
                    outcomes,
                });
            }
            Err(cluster::Error::Refused { message, .. }) => offered.accepted.refuse(&key, message),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Offered {
    /// Whether no application is known that uses the image.
    fn is_unknown(&self) -> bool {
        self.forbidden.is_none() && self.accepted.refused.is_empty() && self.later.is_empty()
    }

    /// The answer where nothing was proposed.
    fn into_refusal(self, image: &str) -> Response {
        if let Some(why) = self.forbidden {
            return refusal(StatusCode::FORBIDDEN, why);
        }
        if !self.accepted.refused.is_empty() {
            return answer(StatusCode::CONFLICT, self.accepted.refused);
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

impl Accepted {
    fn refuse(&mut self, key: &StageKey, why: String) {
        self.refused
            .push(promotion_json(key, "Refused", Some(why), None));
    }
}

/// Stores a candidate. Of two events at once, the one that is written later wins.
async fn store_candidate(
    ctx: &Writer,
    key: &StageKey,
    candidate: &Candidate,
) -> Result<(), cluster::Error> {
    let mut stored = ctx
        .to_store()
        .propose(key, std::slice::from_ref(candidate))
        .await;
    for _ in 0..3 {
        if matches!(stored, Err(cluster::Error::Stale { .. })) {
            stored = ctx
                .to_store()
                .propose(key, std::slice::from_ref(candidate))
                .await;
        }
    }
    stored.map(drop)
}

/// Waits until every promotion is settled, and answers with their states.
async fn outcome(ctx: &Arc<Writer>, accepted: Accepted) -> Response {
    let deadline = Instant::now() + PATIENCE;
    let mut all = Vec::new();
    let mut all_settled = true;
    for proposed in accepted.proposed {
        let key = proposed.key.clone();
        match tokio::time::timeout_at(deadline, proposed.wait_until_settled(ctx)).await {
            Ok(Some(settled)) => all.push(promotion_json(
                &key,
                &settled.state,
                settled.message,
                settled.url,
            )),
            _ => {
                all_settled = false;
                let url = format!("/promotions/{}/{}", key.application, key.stage);
                all.push(json!({"application": key.application, "stage": key.stage, "state": "Waiting", "status_url": url}));
            }
        }
    }
    all.extend(accepted.refused);
    // It is a conflict only if every application refused it.
    let refused = all
        .iter()
        .all(|promotion| matches!(promotion["state"].as_str(), Some("Failed" | "Refused")));
    let status = match (all_settled, refused) {
        (false, _) => StatusCode::ACCEPTED,
        (true, true) => StatusCode::CONFLICT,
        (true, false) => StatusCode::OK,
    };
    answer(status, all)
}

impl Proposed {
    /// The state of the settled promotion. An earlier state is not this event's outcome: it waits
    /// for a reconcile from now on. None: windlass stops.
    async fn wait_until_settled(mut self, ctx: &Arc<Writer>) -> Option<Settled> {
        loop {
            match self.outcomes.recv().await {
                Ok(outcome) if outcome.key == self.key => {
                    let settled = settled(ctx, &self.key, Some(&self.candidate)).await;
                    // After an error only what the error itself reported is an outcome.
                    let is_outcome = |settled: &Settled| {
                        outcome.error.is_none() || outcome.error == settled.message
                    };
                    if let Some(settled) = settled.filter(is_outcome) {
                        return Some(settled);
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
        .find_map(|promotion| promotion["pull_request"].as_str())
        .map(str::to_string);
    (
        status,
        Json(json!({"pull_request": url, "promotions": all})),
    )
        .into_response()
}

/// The state of a promotion, for CI that was answered 202.
pub async fn promotion(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    Path((application, stage)): Path<(String, String)>,
) -> Response {
    let Some(senders) = &server.senders else {
        return refusal(StatusCode::NOT_FOUND, PREVIEW_ONLY);
    };
    let sender = match sender(senders, &headers).await {
        Ok(sender) => sender,
        Err(why) => return unverified(&server, &why),
    };
    let (Ok(application), Ok(stage)) = (application.parse::<Name>(), stage.parse::<Name>()) else {
        return refusal(StatusCode::NOT_FOUND, "no such promotion");
    };
    let key = |base: &Arc<Base>| StageKey {
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
    let Some(key) = bases.iter().map(key).find(|key| {
        let target = bases.iter().find_map(|base| base.lead(key));
        target.is_some_and(|target| sender.may_follow(target))
    }) else {
        return refusal(StatusCode::NOT_FOUND, "no such promotion");
    };
    match settled(ctx, &key, None).await {
        Some(Settled {
            state,
            message,
            url,
        }) => Json(promotion_json(&key, &state, message, url)).into_response(),
        None => (StatusCode::ACCEPTED, Json(json!({"state": "Waiting"}))).into_response(),
    }
}
