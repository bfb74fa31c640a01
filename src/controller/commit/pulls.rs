//! The pull requests that a commit came by.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::controller::{Reader, Result};
use crate::domain::CommitKey;

/// GitHub tells of a merge's pull request a while after the merge: that there is none is believed for so long.
const NO_PULLS_FOR: Duration = Duration::from_secs(30);

/// A commit came by a pull request: GitHub tells that later when it is asked about the commit.
pub fn record_pull_request(ctx: &Reader, key: &CommitKey, number: u64) {
    record_pull_requests(ctx, key, &[number], false);
}

/// Adds pull requests to those that are known of a commit. `asked`: GitHub was just asked about it.
fn record_pull_requests(ctx: &Reader, key: &CommitKey, numbers: &[u64], asked: bool) -> Vec<u64> {
    let entry = ctx
        .cache
        .commits
        .pulls_of
        .entry(key.clone())
        .and_upsert_with(|known| {
            let (at, mut pulls) =
                known.map_or_else(|| (Instant::now(), Vec::new()), |known| known.into_value());
            // What was told meanwhile stays.
            pulls.extend(
                numbers
                    .iter()
                    .filter(|number| !pulls.contains(number))
                    .copied()
                    .collect::<Vec<_>>(),
            );
            (if asked { Instant::now() } else { at }, pulls)
        });
    entry.into_value().1
}

/// The merged pull requests that a commit came by.
pub async fn pulls_of(ctx: &Arc<Reader>, key: &CommitKey) -> Result<Vec<u64>> {
    let known = ctx.cache.commits.pulls_of.get(key);
    if let Some((at, pulls)) = known
        && (!pulls.is_empty() || at.elapsed() < NO_PULLS_FOR)
    {
        return Ok(pulls);
    }
    let found = ctx.github.pulls_with(&key.repo, &key.commit).await?;
    let merged: Vec<_> = found
        .iter()
        .filter(|pull| pull.merged_at.is_some())
        .map(|pull| pull.number)
        .collect();
    Ok(record_pull_requests(ctx, key, &merged, true))
}
