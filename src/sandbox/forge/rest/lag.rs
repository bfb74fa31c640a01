//! Answers as a copy gives them that lags behind: for the App alone.

use serde_json::Value;

use super::{Answer, Asked, not_found};
use crate::sandbox::forge::ReplyBody;
use crate::sandbox::forge::state::Kind;

impl Asked<'_> {
    /// The answer to a read, as of a while ago: a list, a list in an object, or one thing.
    pub(super) fn lagging(&self, kind: Kind, answer: Answer) -> Answer {
        let mut reply = answer?;
        let ReplyBody::Json(value) = &mut reply.body else {
            return Ok(reply);
        };
        if !self.by_app() || !self.inner.state().unseen.hides(kind) {
            return Ok(reply);
        }
        let read = |items: Vec<Value>| self.inner.state().unseen.read(kind, items);
        let inner = ["check_runs", "statuses"]
            .into_iter()
            .find(|name| value[*name].is_array());
        if let Value::Array(items) = value {
            *items = read(std::mem::take(items));
        } else if let Some(name) = inner {
            let items = value[name].as_array().cloned().unwrap_or_default();
            let before = items.len();
            let items = read(items);
            let total = value["total_count"].as_u64().unwrap_or_default();
            value["total_count"] = (total - (before - items.len()) as u64).into();
            if name == "statuses" {
                value["state"] = combined(&items).into();
            }
            value[name] = items.into();
        } else {
            let mut items = read(vec![value.take()]);
            *value = items.pop().ok_or_else(not_found)?;
        }
        Ok(reply)
    }
}

/// What the newest statuses of each context come to.
pub(super) fn combined(statuses: &[Value]) -> &'static str {
    let has = |states: &[&str]| {
        let state = |status: &Value| status["state"].as_str().unwrap_or_default().to_string();
        statuses
            .iter()
            .any(|status| states.contains(&state(status).as_str()))
    };
    if has(&["error", "failure"]) {
        "failure"
    } else if statuses.is_empty() || has(&["pending"]) {
        "pending"
    } else {
        "success"
    }
}
