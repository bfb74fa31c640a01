//! Limits how many requests are in flight: fewer when the API server is overloaded.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many requests may be in flight at once. Each answer raises the limit by one; each time that
/// the server is unavailable or answers 429 the limit is halved.
pub(super) struct AdaptiveLimit {
    pub(super) limit: AtomicUsize,
    pub(super) in_flight: AtomicUsize,
    pub(super) released: Notify,
}

pub(super) const MOST_IN_FLIGHT: usize = 32;

pub(super) const FIRST_IN_FLIGHT: usize = 16;

impl AdaptiveLimit {
    /// Waits until another request may be sent.
    pub(super) async fn acquire(&self) -> InFlight<'_> {
        loop {
            let released = self.released.notified();
            let in_flight = self.in_flight.load(Ordering::SeqCst);
            if in_flight < self.limit.load(Ordering::SeqCst)
                && self
                    .in_flight
                    .compare_exchange(in_flight, in_flight + 1, Ordering::SeqCst, Ordering::SeqCst)
                    .is_ok()
            {
                return InFlight(self);
            }
            if in_flight >= self.limit.load(Ordering::SeqCst) {
                released.await;
            }
        }
    }

    /// Adapts the limit to the outcome of a request.
    pub(super) fn record(&self, overloaded: bool) {
        let change = |limit: usize| {
            Some(if overloaded {
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

pub(super) struct InFlight<'a>(&'a AdaptiveLimit);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.0.released.notify_one();
    }
}
