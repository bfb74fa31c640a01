//! The verdict on an open pull request, as it was last evaluated: nothing is read for it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::{Server, refusal};
use crate::domain::PullRequestKey;

pub async fn verdict(
    State(server): State<Arc<Server>>,
    Path((owner, name, number)): Path<(String, String, String)>,
) -> Response {
    let Some(ctx) = server.ctx.get() else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "waiting for the Lease");
    };
    let repo = format!("{owner}/{name}").parse();
    let (Ok(repo), Ok(number)) = (repo, number.parse()) else {
        let why = "write /verdicts/OWNER/NAME/NUMBER, with the number of a pull request";
        return refusal(StatusCode::NOT_FOUND, why);
    };
    let key = PullRequestKey { repo, number };
    let Some(judged) = ctx.cache.pulls.verdicts.get(&key) else {
        let why = format!(
            "there is no verdict on {key}: it is not an open pull request into the base branch of a config repository, or was not looked at yet"
        );
        return refusal(StatusCode::NOT_FOUND, why);
    };
    let mut body = json!({"pullRequest": key.to_string()});
    if let (Value::Object(body), Ok(Value::Object(judged))) =
        (&mut body, serde_json::to_value(&*judged))
    {
        body.extend(judged);
    }
    Json(body).into_response()
}
