//! The caches of the loops. They only save requests: whatever is evicted is read again.

use std::sync::{Mutex, PoisonError};

use super::{
    application, authority, base_branch, branch_rules, commit, config_repo, promotion, pull_request,
};

/// One cache for each loop, one for config repositories and one for the rules of their branches.
#[derive(Default)]
pub struct Caches {
    pub repositories: config_repo::Cache,
    pub bases: base_branch::Cache,
    pub permissions: authority::Permissions,
    pub rules: branch_rules::Cache,
    pub promotions: promotion::Cache,
    pub applications: application::Cache,
    pub pulls: pull_request::Cache,
    pub commits: commit::Cache,
}

/// A bounded cache of values by commit or by pull request, whose number grows without end. Whatever
/// is evicted is read again.
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
