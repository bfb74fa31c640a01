//! How many requests are in flight: fewer where the server has too much to do.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many requests are in flight at once: more while the server answers, half as many each time that it asks for
/// a pause.
pub(super) struct AdaptiveLimit {
    pub(super) limit: AtomicUsize,
    pub(super) busy: AtomicUsize,
    pub(super) freed: Notify,
}

pub(super) const MOST_IN_FLIGHT: usize = 32;

pub(super) const FIRST_IN_FLIGHT: usize = 16;

impl AdaptiveLimit {
    pub(super) async fn turn(&self) -> Turn<'_> {
        loop {
            let freed = self.freed.notified();
            let busy = self.busy.load(Ordering::SeqCst);
            if busy < self.limit.load(Ordering::SeqCst)
                && self
                    .busy
                    .compare_exchange(busy, busy + 1, Ordering::SeqCst, Ordering::SeqCst)
                    .is_ok()
            {
                return Turn(self);
            }
            if busy >= self.limit.load(Ordering::SeqCst) {
                freed.await;
            }
        }
    }

    pub(super) fn learn(&self, pressed: bool) {
        let change = |limit: usize| {
            Some(if pressed {
                (limit / 2).max(2)
            } else {
                (limit + 1).min(MOST_IN_FLIGHT)
            })
        };
        let _ = self
            .limit
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
    }
}

pub(super) struct Turn<'a>(&'a AdaptiveLimit);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
        self.0.freed.notify_one();
    }
}
