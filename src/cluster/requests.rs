//! Requests to other reconcilers: changes of objects that they read.

use kube::api::{Patch, PatchParams};
use serde_json::Value;

use super::{Error, Result, Writer, refused};
use crate::domain::manifest::ResourceKey;

impl Writer<'_> {
    /// Merges a patch into an object that another reconciler reads: a request to it. The patch names
    /// the resourceVersion that it was made for.
    pub async fn merge(&self, key: &ResourceKey, version: &str, patch: &Value) -> Result<()> {
        let what = format!("request a sync of {key}");
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Err(Error::Stale { what });
        };
        let parameters = PatchParams {
            field_manager: Some("windlass".into()),
            ..PatchParams::default()
        };
        let request = self.writes(&resource, key);
        match self
            .call(
                &what,
                request.patch(&key.name, &parameters, &Patch::Merge(patch)),
            )
            .await?
        {
            Ok(_) => Ok(()),
            Err(status) if status.is_not_found() => Err(Error::Stale { what }),
            Err(status) => Err(refused(&what, &status)),
        }
    }
}
