//! The head of a fork, before somebody who may write names its commit: only the list of its files is
//! read, so that a change of a text for people is not held up.

use std::sync::Arc;

use crate::controller::cache::locked;
use crate::controller::{Base, Reader, Result};
use crate::domain::PullRequestKey;
use crate::domain::catalog::{FILE, is_own};

/// GitHub lists no more files of a pull request.
const MOST_FILES: usize = 3_000;

/// Whether a pull request certainly changes nothing that any application is rendered from.
pub async fn touches_nothing(ctx: &Arc<Reader>, key: &PullRequestKey, base: &Base) -> Result<bool> {
    let Some(configured) = base.configured() else {
        return Ok(false);
    };
    let files = ctx.github.files_of(key).await?;
    if files.len() >= MOST_FILES {
        return Ok(false);
    }
    let names = files
        .into_iter()
        .flat_map(|file| file.previous_filename.into_iter().chain([file.filename]));
    let names: Vec<String> = names.collect();
    let known = locked(&ctx.cache.repositories.changes);
    let is_read = |name: &str| {
        configured.targets.iter().any(|target| {
            let is_below = |place: &str| is_own(place, name);
            let inputs = known.get(&target.key(&key.repo));
            let inputs = inputs.filter(|known| known.base == base.commit);
            let reads = inputs.map(|known| match &known.inputs {
                Ok(Some(inputs)) => inputs.reads(name),
                _ => true,
            });
            // What it reads is not known yet: it may be this.
            is_below(&target.path)
                || target.chart.as_deref().is_some_and(is_below)
                || reads.unwrap_or(true)
        })
    };
    Ok(!names
        .iter()
        .any(|name| name == FILE || is_read(name) || configured.catalog.may_place(name)))
}
