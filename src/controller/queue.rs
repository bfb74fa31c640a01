//! Keys that wait for a reconcile: each at most once, each by one task at a time.
//!
//! If a key waits already, putting it may only make it due earlier. If it is
//! being reconciled, it is reconciled again afterwards. After an error the pause
//! before the next try doubles. A panic ends only its own reconcile.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::{DEBOUNCE, Error, Kind, Result};
use crate::traces;

/// When a key is reconciled again without an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// At the next event.
    Idle,
    After(Duration),
}

impl Requeue {
    /// At the earlier of two times; None: only at this one.
    pub fn or_after(self, pause: Option<Duration>) -> Self {
        match (self, pause) {
            (Self::After(a), Some(b)) => Self::After(a.min(b)),
            (Self::Idle, Some(pause)) => Self::After(pause),
            (this, None) => this,
        }
    }
}

/// The outcome of a reconcile, for those who wait for it.
#[derive(Debug, Clone)]
pub struct Outcome<K> {
    pub key: K,
    pub error: Option<String>,
}

pub struct Queue<K> {
    name: &'static str,
    entries: Mutex<HashMap<K, Entry>>,
    wake: Notify,
    outcomes: broadcast::Sender<Outcome<K>>,
}

#[derive(Default)]
struct Entry {
    due: Option<Instant>,
    running: bool,
    failures: u32,
}

/// Keys that one loop reconciles at the same time.
const CONCURRENCY: usize = 16;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_REFUSED: Duration = Duration::from_secs(3600);

impl<K: Clone + Eq + Hash + Display + Send + Sync + 'static> Queue<K> {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            entries: Mutex::default(),
            wake: Notify::new(),
            outcomes: broadcast::channel(256).0,
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<K, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a key reconciled soon.
    pub fn put(&self, key: K) {
        self.put_after(key, DEBOUNCE);
    }

    fn put_after(&self, key: K, pause: Duration) {
        let due = Instant::now() + pause;
        let mut entries = self.entries();
        let entry = entries.entry(key).or_default();
        entry.due = Some(entry.due.map_or(due, |at| at.min(due)));
        self.wake.notify_one();
    }

    /// The outcomes of reconciles from now on. Subscribe, then put.
    pub fn outcomes(&self) -> broadcast::Receiver<Outcome<K>> {
        self.outcomes.subscribe()
    }

    /// How many keys are being reconciled, or will be without a further event, for example after an
    /// error. For the metrics.
    pub fn pending(&self) -> usize {
        self.entries()
            .values()
            .filter(|entry| entry.running || entry.due.is_some())
            .count()
    }

    /// Whether a key is being reconciled, or will be in a moment.
    pub fn is_busy(&self, key: &K) -> bool {
        let soon = Instant::now() + 2 * DEBOUNCE;
        self.entries()
            .get(key)
            .is_some_and(|entry| entry.running || entry.due.is_some_and(|due| due <= soon))
    }

    /// Takes the next due key. An error: until when to wait.
    fn take(&self) -> std::result::Result<K, Option<Instant>> {
        let mut entries = self.entries();
        let running = entries.values().filter(|entry| entry.running).count();
        let next = entries
            .iter()
            .filter(|(_, entry)| !entry.running)
            .filter_map(|(key, entry)| Some((entry.due?, key.clone())))
            .min_by_key(|(due, _)| *due);
        match next {
            Some((due, key)) if due <= Instant::now() && running < CONCURRENCY => {
                if let Some(entry) = entries.get_mut(&key) {
                    entry.running = true;
                    entry.due = None;
                }
                Ok(key)
            }
            Some((due, _)) if running < CONCURRENCY => Err(Some(due)),
            _ => Err(None),
        }
    }

    fn finish(&self, key: &K, outcome: Result<Requeue>) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(key) else {
            return;
        };
        entry.running = false;
        let pause = match &outcome {
            Ok(requeue) => {
                entry.failures = 0;
                match requeue {
                    Requeue::Idle => None,
                    Requeue::After(pause) => Some(*pause),
                }
            }
            Err(error) => {
                entry.failures += 1;
                let doubled =
                    Duration::from_millis(500 << entry.failures.min(7)).min(LONGEST_PAUSE);
                match error.kind() {
                    Kind::Stale if entry.failures < 5 => Some(Duration::from_millis(100)),
                    Kind::Stale | Kind::Transient => Some(doubled),
                    Kind::Refused => {
                        let doubled = Duration::from_millis(500 << entry.failures.min(13));
                        Some(doubled.min(LONGEST_REFUSED))
                    }
                    Kind::RateLimited(until) => Some(
                        Duration::try_from(until.duration_since(Timestamp::now()))
                            .unwrap_or(doubled)
                            .max(doubled),
                    ),
                    Kind::User => None,
                }
            }
        };
        if let Some(pause) = pause {
            let due = Instant::now() + pause;
            entry.due = Some(entry.due.map_or(due, |at| at.min(due)));
        }
        if entry.due.is_none() && entry.failures == 0 {
            entries.remove(key);
        }
        drop(entries);
        self.wake.notify_one();
        let error = outcome.err().map(|error| {
            match error.kind() {
                Kind::Stale => tracing::debug!(%key, %error, "reconciling again"),
                _ => tracing::warn!(key = %key, %error, "a reconcile failed"),
            }
            error.to_string()
        });
        let _ = self.outcomes.send(Outcome {
            key: key.clone(),
            error,
        });
    }

    /// Reconciles until `stop`; then waits for the running reconciles.
    pub async fn run<F>(self: &Arc<Self>, stop: CancellationToken, reconcile: impl Fn(K) -> F)
    where
        F: Future<Output = Result<Requeue>> + Send + 'static,
    {
        let tracker = TaskTracker::new();
        while !stop.is_cancelled() {
            let wait = match self.take() {
                Ok(key) => {
                    let span = tracing::info_span!(
                        "reconcile",
                        queue = self.name,
                        %key,
                        otel.status_code = tracing::field::Empty,
                    );
                    let (reconcile, of) = (reconcile(key.clone()), span.clone());
                    let reconcile = async move {
                        let outcome = reconcile.await;
                        if outcome
                            .as_ref()
                            .is_err_and(|error| error.kind() != Kind::Stale)
                        {
                            traces::failed(&of);
                        }
                        outcome
                    };
                    let task = tokio::spawn(reconcile.instrument(span));
                    let queue = self.clone();
                    tracker.spawn(async move {
                        let outcome = task.await.unwrap_or_else(|panic| {
                            Err(Error::Git(anyhow::anyhow!(
                                "a bug stopped this reconcile: {panic}"
                            )))
                        });
                        queue.finish(&key, outcome);
                    });
                    continue;
                }
                Err(wait) => wait,
            };
            let due = async {
                match wait {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.wake.notified() => {}
                () = stop.cancelled() => {}
            }
        }
        tracker.close();
        tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_one_look_and_a_panic_ends_only_its_own() {
        let queue = Arc::new(Queue::<String>::new("test"));
        let (reconciles, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        for _ in 0..10 {
            queue.put("a".into());
        }
        queue.put("panics".into());
        let mut outcomes = queue.outcomes();
        let (counted, running, token) = (reconciles.clone(), queue.clone(), stop.clone());
        let work = tokio::spawn(async move {
            running
                .run(token, move |key| {
                    let reconciles = counted.clone();
                    async move {
                        assert_ne!(key, "panics", "a bug");
                        reconciles.fetch_add(1, Ordering::SeqCst);
                        Ok(Requeue::Idle)
                    }
                })
                .await;
        });
        let mut errors = 0;
        for _ in 0..2 {
            errors += usize::from(outcomes.recv().await.unwrap().error.is_some());
        }
        assert_eq!((reconciles.load(Ordering::SeqCst), errors), (1, 1));
        queue.put("a".into());
        while outcomes.recv().await.unwrap().key != "a" {}
        assert_eq!(reconciles.load(Ordering::SeqCst), 2);
        stop.cancel();
        work.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_panics_each_time_is_tried_ever_more_seldom() {
        let queue = Arc::new(Queue::<String>::new("test"));
        let stop = CancellationToken::new();
        let mut outcomes = queue.outcomes();
        queue.put("panics".into());
        let (running, token) = (queue.clone(), stop.clone());
        let work =
            tokio::spawn(async move { running.run(token, |_| async { panic!("a bug") }).await });
        let (mut last, mut pauses) = (None, Vec::new());
        for _ in 0..9 {
            outcomes.recv().await.unwrap();
            pauses.extend(last.map(|last: Instant| last.elapsed().as_secs()));
            last = Some(Instant::now());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        stop.cancel();
        work.await.unwrap();
    }
}
