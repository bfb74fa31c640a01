//! The cache of the pull request loop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use super::merge::Refusal;
use super::shown_preview::ShownPreview;
use super::snapshots::Snapshots;
use crate::controller::cache::Recent;
use crate::domain::gate::Verdict;
use crate::domain::pull_request::Source;
use crate::domain::{CommitSha, MergeGroup, PullRequestKey, TargetKey};

/// The cache of the pull request loop.
#[derive(Default)]
pub struct Cache {
    pub previews: Previews,
    pub snapshots: Snapshots,
    /// When something that previews show of an application last changed: see
    /// [`super::invalidate_previews`].
    pub changed: Mutex<HashMap<TargetKey, Instant>>,
    /// Heads that are too large to fetch, with the message.
    pub too_large: Recent<(PullRequestKey, CommitSha), String>,
    /// Texts whose commands we have answered: by whom they are, and when.
    pub answered: Recent<(PullRequestKey, Source), (String, Timestamp)>,
    /// Failures that we commented on: a read may not show our comment yet.
    pub reported_failures: Recent<(PullRequestKey, String), ()>,
    /// The last verdict on each open pull request, for those who ask windlass itself.
    pub verdicts: Recent<PullRequestKey, Arc<Judged>>,
    /// The head and the preview ([`ShownPreview::id`]) of which the approved plans were stored.
    pub recorded: Recent<PullRequestKey, (CommitSha, String)>,
    /// Merges that GitHub refused.
    pub refusals: Recent<PullRequestKey, Refusal>,
    /// When the checks of a merge queue's group were first asked for.
    pub groups: Recent<MergeGroup, Instant>,
    /// Heads that are in a merge queue.
    pub queued: Recent<PullRequestKey, (CommitSha, Instant)>,
}

/// A verdict, as it was evaluated.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    pub head: CommitSha,
    pub evaluated_at: Timestamp,
    pub verdict: Verdict,
}

/// Previews, bounded by their size: their texts take the most memory.
pub struct Previews(moka::sync::Cache<PullRequestKey, Arc<ShownPreview>>);

/// The most bytes of previews in the cache.
const MOST_PREVIEWED: u64 = 64 << 20;

impl Default for Previews {
    fn default() -> Self {
        let weight = |_: &PullRequestKey, preview: &Arc<ShownPreview>| {
            u32::try_from(preview.size()).unwrap_or(u32::MAX)
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
