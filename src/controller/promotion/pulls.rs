//! The pull requests from a promotion's branch, read once for as long as nothing says that they
//! changed: the reconcile of one of them, the list of open ones, or a write of ours.

use std::sync::Arc;

use tokio::time::Instant;

use crate::controller::cache::{Kept, Read, Recent};
use crate::controller::{Reader, Result};
use crate::domain::{CommitSha, RepoName, StageKey};
use crate::github::Pull;

/// The cache of the promotion loop.
#[derive(Default)]
pub struct Cache {
    /// The pull requests from a promotion's branch, newest first.
    pulls: Kept<StageKey, Vec<Pull>>,
    /// Promotions of which GitHub refused the last step.
    refused: Recent<StageKey, ()>,
}

impl Cache {
    /// The list changed: it is read again.
    pub fn touch(&self, key: &StageKey) {
        self.pulls.touch(key);
    }

    /// Notes that GitHub refused a step, and whether it refused the one before as well.
    pub fn note_refusal(&self, key: &StageKey) -> bool {
        let before = self.refused.contains_key(key);
        self.refused.insert(key.clone(), ());
        before
    }

    /// Whether GitHub refused the last step.
    pub fn was_refused(&self, key: &StageKey) -> bool {
        self.refused.contains_key(key)
    }

    /// GitHub took the last step.
    pub fn note_success(&self, key: &StageKey) {
        self.refused.invalidate(key);
    }

    /// A pull request as it is now, by an answer of GitHub.
    pub fn show(&self, key: &StageKey, pull: Pull) {
        self.pulls.update(key, |known| {
            match known.iter_mut().find(|known| known.number == pull.number) {
                Some(known) => *known = pull,
                None => known.insert(0, pull),
            }
        });
    }
}

/// The pull requests from a promotion's branch.
pub async fn of(ctx: &Arc<Reader>, key: &StageKey) -> Result<Read<Vec<Pull>>> {
    let pulls = &ctx.cache.promotions.pulls;
    if let Some(known) = pulls.get(key) {
        return Ok(known);
    }
    let started = Instant::now();
    let found = ctx.github.pulls_from(&key.repo, &key.branch()).await?;
    Ok(pulls.insert(key, Arc::new(found), started))
}

/// Compares what is known of the promotions of a repository with the list of its open pull
/// requests.
pub fn compare(ctx: &Reader, repo: &RepoName, open: &[Pull]) {
    let cache = &ctx.cache.promotions;
    let heads = |pulls: &[Pull], branch: &str| -> Vec<(u64, CommitSha)> {
        let of_branch = pulls
            .iter()
            .filter(|pull| pull.is_open() && pull.head.branch == branch);
        of_branch
            .map(|pull| (pull.number, pull.head.sha.clone()))
            .collect()
    };
    for (key, known) in cache.pulls.iter().filter(|(key, _)| key.repo == *repo) {
        let branch = key.branch();
        if heads(&known, &branch) != heads(open, &branch) {
            cache.touch(&key);
        }
    }
}

/// A pull request was read: if it is from a promotion's branch, the list has to show it so.
pub fn seen(ctx: &Reader, repo: &RepoName, pull: &Pull) {
    let Some(key) = StageKey::of_branch(repo, &pull.head.branch) else {
        return;
    };
    let cache = &ctx.cache.promotions;
    let Some(known) = cache.pulls.get(&key) else {
        return;
    };
    let shown = known.value.iter().find(|known| known.number == pull.number);
    let same =
        |known: &Pull| known.is_as(pull) && known.title == pull.title && known.body == pull.body;
    if !shown.is_some_and(same) {
        cache.touch(&key);
    }
}
