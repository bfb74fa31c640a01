//! One object as the server is asked about it: its manifest, what is live of it, what is sent, and
//! what was noted on the way.

use serde_json::Value;

use super::{AppScope, Asked, Prediction, Write};
use crate::domain::manifest::Manifest;
use crate::domain::plan::{Notes, Side};

/// What becomes a prediction once it is answered.
#[derive(Debug, Clone)]
pub struct Request {
    pub manifest: Manifest,
    pub live: Option<Value>,
    pub notes: Notes,
    pub write: Write,
}

impl Request {
    pub fn new(manifest: &Manifest, live: Option<Value>) -> Self {
        Self {
            manifest: manifest.clone(),
            live,
            notes: Notes::default(),
            write: Write {
                payload: manifest.value.clone(),
                ..Write::default()
            },
        }
    }

    pub fn predicts(self, after: Side) -> Prediction {
        Prediction {
            manifest: self.manifest,
            live: self.live,
            after,
            notes: self.notes,
            write: self.write,
        }
    }

    pub fn refused(self, why: impl Into<String>) -> Prediction {
        self.predicts(Side::Refused(why.into()))
    }

    /// Refused, and what is live is not shown: whoever writes a pull request could read by it what belongs to others.
    pub fn refused_unseen(self, why: impl Into<String>) -> Prediction {
        Self { live: None, ..self }.refused(why)
    }

    /// Whose fields they are is in the whole object, not in what the index keeps of it.
    pub async fn with_whole_live(mut self, scope: &AppScope<'_>) -> Asked<Self> {
        let is_stub = |live: &Value| live["metadata"]["resourceVersion"].is_null();
        if self.live.as_ref().is_some_and(is_stub) {
            let (key, version) = (&self.manifest.key, &self.manifest.version);
            self.live = scope.cluster.live(key, version).await?;
        }
        Ok(self)
    }
}
