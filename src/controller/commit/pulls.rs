//! The pull requests that merged a commit.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::controller::{Reader, Result};
use crate::domain::CommitKey;

/// GitHub links a merge to its pull request after a while: the answer "none" is cached for this
/// long.
const NO_PULLS_FOR: Duration = Duration::from_secs(30);

/// Records that a pull request merged a commit, before GitHub links the two.
pub fn record_pull_request(ctx: &Reader, key: &CommitKey, number: u64) {
    record_pull_requests(ctx, key, &[number], false);
}

/// Adds pull requests to the known ones of a commit. `complete`: the numbers are GitHub's current
/// answer.
fn record_pull_requests(
    ctx: &Reader,
    key: &CommitKey,
    numbers: &[u64],
    complete: bool,
) -> Vec<u64> {
    let entry = ctx
        .cache
        .commits
        .pulls_of
        .entry(key.clone())
        .and_upsert_with(|known| {
            let (at, mut pulls) =
                known.map_or_else(|| (Instant::now(), Vec::new()), |known| known.into_value());
            // Pull requests that were recorded meanwhile stay.
            pulls.extend(
                numbers
                    .iter()
                    .filter(|number| !pulls.contains(number))
                    .copied()
                    .collect::<Vec<_>>(),
            );
            (if complete { Instant::now() } else { at }, pulls)
        });
    entry.into_value().1
}

/// The pull requests that merged a commit.
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
