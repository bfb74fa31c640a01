//! The dry-run request of one object: its manifest, the live object, the payload, and the notes so
//! far.

use super::{AppScope, ClusterResult, Prediction, Write};
use crate::domain::Live;
use crate::domain::manifest::Manifest;
use crate::domain::plan::{Notes, Side};

/// It becomes a prediction once the server has answered.
#[derive(Debug, Clone)]
pub struct Request {
    pub manifest: Manifest,
    pub live: Option<Live>,
    pub notes: Notes,
    pub write: Write,
}

impl Request {
    pub fn new(manifest: &Manifest, live: Option<Live>) -> Self {
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

    /// Refused, and the live object is not shown: a pull request's author could otherwise read
    /// objects of others.
    pub fn refused_unseen(self, why: impl Into<String>) -> Prediction {
        Self { live: None, ..self }.refused(why)
    }

    /// Reads the whole object in place of a placeholder from the index, which has no managed
    /// fields.
    pub async fn with_whole_live(mut self, scope: &AppScope<'_>) -> ClusterResult<Self> {
        let is_placeholder = |live: &Live| live.resource_version().is_none();
        if self.live.as_ref().is_some_and(is_placeholder) {
            let (key, version) = (&self.manifest.key, &self.manifest.version);
            self.live = scope.cluster.live(key, version).await?;
        }
        Ok(self)
    }
}
