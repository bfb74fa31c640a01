//! What each loop remembers to save requests: nothing in it is a truth of its own, and what is forgotten is asked for again.

use std::sync::{Mutex, PoisonError};

use super::{application, commit, config_repo, pull_request};

/// Each loop's own.
#[derive(Default)]
pub struct Caches {
    pub repositories: config_repo::Cache,
    pub applications: application::Cache,
    pub pulls: pull_request::Cache,
    pub commits: commit::Cache,
}

/// What is remembered by commit or by pull request, of which there are ever more: the last ones, so many of each kind. What
/// is forgotten is asked for again.
pub struct Recent<K, V>(moka::sync::Cache<K, V>);

const MOST_RECENT: u64 = 10_000;

impl<K: std::hash::Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Default
    for Recent<K, V>
{
    fn default() -> Self {
        Self(moka::sync::Cache::new(MOST_RECENT))
    }
}

impl<K, V> std::ops::Deref for Recent<K, V> {
    type Target = moka::sync::Cache<K, V>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

pub fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
