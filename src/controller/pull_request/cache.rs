//! What is remembered of pull requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::shown::ShownPreview;
use crate::controller::cache::Recent;
use crate::domain::{ApplicationKey, CommitSha, PullRequestKey};

/// What is remembered of pull requests.
#[derive(Default)]
pub struct Cache {
    pub previews: Previews,
    /// When something last became different of an application that previews tell of: see [`super::anew`].
    pub changed: Mutex<HashMap<ApplicationKey, Instant>>,
    /// Heads that are not fetched, with the reason.
    pub too_large: Recent<(PullRequestKey, CommitSha), String>,
    /// Comments whose commands we have answered.
    pub answered: Recent<u64, ()>,
    /// Why GitHub refused to merge a head.
    pub refusals: Recent<PullRequestKey, (CommitSha, String)>,
}

/// Previews, by their size: as text they are what takes memory.
pub struct Previews(moka::sync::Cache<PullRequestKey, Arc<ShownPreview>>);

/// Bytes of previews that are remembered.
const MOST_PREVIEWED: u64 = 64 << 20;

impl Default for Previews {
    fn default() -> Self {
        let weight = |_: &PullRequestKey, shown: &Arc<ShownPreview>| {
            u32::try_from(shown.size()).unwrap_or(u32::MAX)
        };
        Self(
            moka::sync::Cache::builder()
                .weigher(weight)
                .max_capacity(MOST_PREVIEWED)
                .build(),
        )
    }
}

impl std::ops::Deref for Previews {
    type Target = moka::sync::Cache<PullRequestKey, Arc<ShownPreview>>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
