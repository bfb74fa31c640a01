//! How often an object is set back before others are left to win for a while.

use jiff::SignedDuration;

/// An object is set back at most so often in [`FIGHT_WINDOW`]; then somebody else is at it too.
pub const MOST_HEALS: usize = 5;
pub const FIGHT_WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// How long nothing is set back after it was given up so often: ten minutes, and twice as long each time, up to a day.
pub fn truce(times: u32) -> SignedDuration {
    SignedDuration::from_mins(10 << times.min(8)).min(SignedDuration::from_hours(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truce_lasts_longer_each_time() {
        let minutes: Vec<_> = (0..10).map(|times| truce(times).as_mins()).collect();
        assert_eq!(minutes, [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]);
    }
}
