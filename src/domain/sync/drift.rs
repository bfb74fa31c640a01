//! Drift loops: how often drift is reverted before windlass pauses that.

use jiff::SignedDuration;

/// If an object is reverted more often than this within [`DRIFT_LOOP_WINDOW`], somebody else keeps
/// changing it.
pub const MOST_HEALS: usize = 5;
pub const DRIFT_LOOP_WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// How long reverting is paused after the `times`-th pause before: ten minutes, doubled each time,
/// at most a day.
pub fn drift_loop_backoff(times: u32) -> SignedDuration {
    SignedDuration::from_mins(10 << times.min(8)).min(SignedDuration::from_hours(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truce_lasts_longer_each_time() {
        let minutes: Vec<_> = (0..10)
            .map(|times| drift_loop_backoff(times).as_mins())
            .collect();
        assert_eq!(minutes, [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]);
    }
}
