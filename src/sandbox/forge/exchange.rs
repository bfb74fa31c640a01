//! A request taken apart, its answer before it is put on the wire, and what listens to both.

use std::sync::Arc;

use axum::body::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::state::Outgoing;

/// Called with every exchange.
pub type Observer = dyn Fn(&Exchange) + Send + Sync;

/// What listens on the wire: for tests.
#[derive(Default, Clone)]
pub struct Wire {
    /// Sees every API exchange after it was handled.
    pub observer: Option<Arc<Observer>>,
    /// Stands before and after each write of the App's.
    pub writes: Option<Arc<dyn WriteGate>>,
}

/// Stands round writes; may end the writer at any of them.
pub trait WriteGate: Send + Sync {
    /// Before a write is done: its number. None: it is not done, and the connection is cut.
    fn begin(&self, what: &str) -> Option<u64>;
    /// After it was done, before it is answered; false: the connection is cut.
    fn end(&self, number: u64) -> bool;
}

/// One request and its answer.
pub struct Exchange {
    pub method: String,
    /// Below `/api/v3`, or `/graphql`; of a webhook (method `WEBHOOK`) its event and action:
    /// `issue-comment-created`.
    pub path: String,
    pub query: String,
    pub request: Option<Value>,
    pub status: u16,
    pub response: Option<Value>,
    /// Whether the App or one of its installations asked.
    pub by_app: bool,
}

impl Exchange {
    /// A webhook, which has no answer of GitHub's.
    pub fn webhook(outgoing: &Outgoing) -> Self {
        let name = match &outgoing.action {
            Some(action) => format!("{}-{action}", outgoing.event),
            None => outgoing.event.clone(),
        };
        Self {
            method: "WEBHOOK".into(),
            path: name.replace('_', "-"),
            query: String::new(),
            request: Some(outgoing.payload.clone()),
            status: 0,
            response: None,
            by_app: false,
        }
    }
}

/// A request taken apart.
pub struct Call {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An answer before it is put on the wire.
pub struct Reply {
    pub status: u16,
    pub body: ReplyBody,
    pub headers: Vec<(&'static str, String)>,
}

pub enum ReplyBody {
    Json(Value),
    Text(&'static str, String),
    Bytes(String, Vec<u8>),
    Empty,
}

impl Reply {
    pub fn json(status: u16, value: Value) -> Self {
        Self {
            status,
            body: ReplyBody::Json(value),
            headers: Vec::new(),
        }
    }

    pub fn empty(status: u16) -> Self {
        Self {
            status,
            body: ReplyBody::Empty,
            headers: Vec::new(),
        }
    }

    /// GitHub's shape of an error.
    pub fn error(status: u16, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self::json(
            status,
            json!({"message": message, "documentation_url": "https://docs.github.com/rest", "status": status.to_string()}),
        )
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
