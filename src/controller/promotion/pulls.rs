//! The pull requests from a promotion's branch, read once for as long as nothing says that they
//! changed: the reconcile of one of them, the list of open ones, or a write of ours.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::controller::cache::Recent;
use crate::controller::{Reader, Result, key_of_branch};
use crate::domain::{ApplicationKey, RepoName};
use crate::github::Pull;

/// How old the list may be that a write is decided from.
const RECENT: Duration = Duration::from_secs(20);
/// After this time the list is read again, whatever happened.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The cache of the promotion loop.
#[derive(Default)]
pub struct Cache {
    pulls: Recent<ApplicationKey, Arc<Pulls>>,
    /// When they last changed, as far as we heard.
    changed: Recent<ApplicationKey, Instant>,
    /// Promotions of which GitHub refused the last step.
    refused: Recent<ApplicationKey, ()>,
}

/// The pull requests from a branch, newest first.
pub struct Pulls {
    pub found: Vec<Pull>,
    read: Instant,
}

impl Pulls {
    /// Whether a write may be decided from it.
    pub fn is_recent(&self) -> bool {
        self.read.elapsed() < RECENT
    }
}

impl Cache {
    fn get(&self, key: &ApplicationKey) -> Option<Arc<Pulls>> {
        let known = self.pulls.get(key)?;
        let changed = self.changed.get(key);
        let outdated = changed.is_some_and(|at| known.read <= at) || known.read.elapsed() > LONGEST;
        (!outdated).then_some(known)
    }

    /// The list changed: it is read again.
    pub fn touch(&self, key: &ApplicationKey) {
        self.changed.insert(key.clone(), Instant::now());
        self.pulls.invalidate(key);
    }

    /// GitHub refused a step. Whether it refused the one before as well.
    pub fn is_refused_again(&self, key: &ApplicationKey) -> bool {
        let before = self.refused.contains_key(key);
        self.refused.insert(key.clone(), ());
        before
    }

    pub fn is_accepted(&self, key: &ApplicationKey) {
        self.refused.invalidate(key);
    }

    /// A pull request as it is now, by an answer of GitHub.
    pub fn show(&self, key: &ApplicationKey, pull: Pull) {
        let Some(known) = self.pulls.get(key) else {
            return;
        };
        let mut found = known.found.clone();
        match found.iter_mut().find(|known| known.number == pull.number) {
            Some(known) => *known = pull,
            None => found.insert(0, pull),
        }
        let read = known.read;
        self.pulls
            .insert(key.clone(), Arc::new(Pulls { found, read }));
    }
}

/// The pull requests from a promotion's branch.
pub async fn of(ctx: &Arc<Reader>, key: &ApplicationKey) -> Result<Arc<Pulls>> {
    if let Some(known) = ctx.cache.promotions.get(key) {
        return Ok(known);
    }
    let read = Instant::now();
    let found = ctx.github.pulls_from(&key.repo, &key.branch()).await?;
    let pulls = Arc::new(Pulls { found, read });
    ctx.cache
        .promotions
        .pulls
        .insert(key.clone(), pulls.clone());
    Ok(pulls)
}

/// Compares what is known of the promotions of a repository with the list of its open pull
/// requests.
pub fn compare(ctx: &Reader, repo: &RepoName, open: &[Pull]) {
    let cache = &ctx.cache.promotions;
    let of_branch = |key: &ApplicationKey| {
        let branch = key.branch();
        open.iter()
            .filter(move |pull| pull.head.branch == branch)
            .map(|pull| (pull.number, pull.head.sha.clone()))
            .collect::<Vec<_>>()
    };
    for (key, known) in cache.pulls.iter().filter(|(key, _)| key.repo == *repo) {
        let known_open = known.found.iter().filter(|pull| pull.is_open());
        let known_open: Vec<_> = known_open
            .map(|pull| (pull.number, pull.head.sha.clone()))
            .collect();
        if known_open != of_branch(&key) {
            cache.touch(&key);
        }
    }
}

/// A pull request was read: if it is from a promotion's branch, the list has to show it so.
pub fn seen(ctx: &Reader, repo: &RepoName, pull: &Pull) {
    let Some(key) = key_of_branch(repo, &pull.head.branch) else {
        return;
    };
    let Some(known) = ctx.cache.promotions.pulls.get(&key) else {
        return;
    };
    let shown = known.found.iter().find(|known| known.number == pull.number);
    let same =
        |known: &Pull| known.is_as(pull) && known.title == pull.title && known.body == pull.body;
    if !shown.is_some_and(same) {
        ctx.cache.promotions.touch(&key);
    }
}
