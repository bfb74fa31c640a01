//! The limits for all renderings of one pull request's head together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is left for the renderings of one pull request's head, which may have any number of
/// applications.
#[derive(Debug)]
pub struct Budget {
    /// Milliseconds of run time, and bytes of output.
    time: AtomicU64,
    output: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            time: (3 * 60 * 1000).into(),
            output: (128 << 20).into(),
        }
    }
}

impl Budget {
    /// Deducts a rendering. False: the budget is used up.
    pub(super) fn take(&self, time: Duration, output: usize) -> bool {
        let take = |of: &AtomicU64, amount: u64| {
            of.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                Some(left.saturating_sub(amount))
            })
            .is_ok_and(|left| left > amount)
        };
        let time = take(
            &self.time,
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        );
        take(&self.output, output as u64) && time
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.time.load(Ordering::SeqCst) == 0 || self.output.load(Ordering::SeqCst) == 0
    }
}
