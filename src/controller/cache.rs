//! The caches of the loops. They only save requests: whatever is evicted is read again.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{
    application, authority, base_branch, branch_rules, commit, config_repo, promotion, pull_request,
};
use crate::domain::finding::Finding;

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
    /// What the installation stands on, as it was when the server became ready.
    pub findings: Mutex<Vec<Finding>>,
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

/// What was read of GitHub, each value for as long as nothing says that it changed: a webhook, a
/// list, or a write of ours that failed.
pub struct Kept<K, V> {
    values: Recent<K, Read<V>>,
    /// When a value last changed, as far as we heard: a read that began before does not count.
    changed: Recent<K, Instant>,
}

/// A kept value, and when its read began.
pub struct Read<V> {
    pub value: Arc<V>,
    at: Instant,
}

/// How old a value may be that a write is decided from.
const FRESH: Duration = Duration::from_secs(20);
/// After this time a value is read again, whatever happened.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl<V> Clone for Read<V> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            at: self.at,
        }
    }
}

impl<V> Read<V> {
    /// Whether a write may be decided from it.
    pub fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH
    }
}

impl<K, V> Default for Kept<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn default() -> Self {
        Self {
            values: Recent::default(),
            changed: Recent::default(),
        }
    }
}

impl<K, V> Kept<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The value, if nothing changed since.
    pub fn get(&self, key: &K) -> Option<Read<V>> {
        let known = self.values.get(key)?;
        let changed = self.changed.get(key);
        let is_outdated = changed.is_some_and(|at| known.at <= at) || known.at.elapsed() > LONGEST;
        (!is_outdated).then_some(known)
    }

    /// Keeps a value whose read began at this time.
    pub fn insert(&self, key: &K, value: Arc<V>, at: Instant) -> Read<V> {
        let read = Read { value, at };
        self.values.insert(key.clone(), read.clone());
        read
    }

    /// It changed: what was read before does not count any more.
    pub fn touch(&self, key: &K) {
        self.changed.insert(key.clone(), Instant::now());
        self.values.invalidate(key);
    }

    /// Puts what we wrote into the value; it stays as old as it is.
    pub fn update(&self, key: &K, change: impl FnOnce(&mut V))
    where
        V: Clone,
    {
        if let Some(mut read) = self.values.get(key) {
            change(Arc::make_mut(&mut read.value));
            self.values.insert(key.clone(), read);
        }
    }

    /// All values, also outdated ones.
    pub fn iter(&self) -> impl Iterator<Item = (Arc<K>, Arc<V>)> {
        let all = self.values.iter();
        all.map(|(key, read)| (key, read.value))
    }
}

pub fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
