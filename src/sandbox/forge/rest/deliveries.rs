//! The log of webhook deliveries, and deliveries made again.

use std::collections::HashMap;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::Answer;
use super::query::linked;
use crate::sandbox::forge::state::{Delivery, Outgoing, now};
use crate::sandbox::forge::{Inner, Reply};

/// Hours that the log is kept (docs.github.com: three days).
const KEPT: i64 = 72;

fn is_kept(delivery: &&Delivery) -> bool {
    delivery.delivered_at > now() - SignedDuration::from_hours(KEPT)
}

impl Inner {
    pub(super) fn deliveries(&self, query: &HashMap<String, String>) -> Answer {
        let state = self.state();
        let shapes = self.shapes(&state);
        let failed = |delivery: &&Delivery| match query.get("status").map(String::as_str) {
            Some("failure") => delivery.status_code.is_none_or(|code| code >= 400),
            Some("success") => delivery.status_code.is_some_and(|code| code < 400),
            _ => true,
        };
        let per_page = query
            .get("per_page")
            .and_then(|n| n.parse().ok())
            .unwrap_or(30usize)
            .min(100);
        let before = query
            .get("cursor")
            .and_then(|cursor| cursor.parse::<u64>().ok())
            .unwrap_or(u64::MAX);
        let found: Vec<_> = state
            .deliveries
            .iter()
            .rev()
            .filter(is_kept)
            .filter(failed)
            .filter(|delivery| delivery.id < before)
            .take(per_page + 1)
            .collect();
        let more = found.len() > per_page;
        let page: Vec<_> = found
            .iter()
            .take(per_page)
            .map(|delivery| shapes.delivery(delivery))
            .collect();
        let link = more.then(|| {
            let cursor = page
                .last()
                .map(|delivery| delivery["id"].to_string())
                .unwrap_or_default();
            let status = query.get("status").map(|status| format!("&status={status}"));
            format!(
                "<{}/api/v3/app/hook/deliveries?per_page={per_page}{}&cursor={cursor}>; rel=\"next\"",
                self.origin(),
                status.unwrap_or_default()
            )
        });
        Ok(linked(Reply::json(200, Value::Array(page)), link))
    }

    pub(super) fn delivery(&self, id: &str) -> Answer {
        let state = self.state();
        match state
            .deliveries
            .iter()
            .filter(is_kept)
            .find(|delivery| delivery.id.to_string() == id)
        {
            Some(delivery) => Ok(Reply::json(
                200,
                self.shapes(&state).full_delivery(delivery),
            )),
            None => Err(Reply::error(404, "Not Found")),
        }
    }

    pub(super) fn redeliver(&self, id: &str) -> Answer {
        let mut state = self.state();
        let Some(delivery) = state
            .deliveries
            .iter()
            .filter(is_kept)
            .find(|delivery| delivery.id.to_string() == id)
        else {
            return Err(Reply::error(404, "Not Found"));
        };
        let again = Outgoing {
            guid: delivery.guid.clone(),
            event: delivery.event.clone(),
            action: delivery.action.clone(),
            installation: delivery.installation,
            repository: delivery.repository,
            payload: delivery.payload.clone(),
            redelivery: true,
        };
        state.outbox.push_back(again);
        state.wake.notify_one();
        Ok(Reply::json(202, json!({})))
    }
}
