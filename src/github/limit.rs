//! The limits of one installation: GitHub counts requests for each of them, and so do we.
//!
//! Reads wait for their turn; writes also for a slot of their [`Lane`]. A wait of
//! more than some seconds is an error that says until when, so that the key goes
//! back into its queue and holds nothing up. While GitHub limits the
//! installation nothing is sent at all: requests meanwhile can prolong the limit,
//! and can get an App banned. What was written in the hour before a start is not
//! known: it counts as half of what an hour may have, evenly spread.
//! An Enterprise Server has no limits unless its administrator sets some: there only the
//! concurrency and the pauses after a burst hold.
//!
//! Limits: docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api.
//! Ours stay below them, since people and other clients of the installation
//! count too.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::enterprise;
use super::lane::Lane;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// GitHub allows 100 requests at the same time.
const AT_ONCE: usize = 50;
/// GitHub allows 900 points a minute: a read is one, a write five.
const POINTS_A_MINUTE: u32 = 800;
/// A request that would wait longer goes back into its queue.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a secondary limit lasts, if GitHub does not say.
const UNSAID: Duration = Duration::from_secs(60);

/// The limits of one installation, or of the App itself.
pub struct Limiter {
    turns: Semaphore,
    /// The time in which one more write of a burst becomes free.
    interval: Duration,
    /// When it began to count.
    since: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// GitHub refuses everything until then.
    limited_until: Option<Instant>,
    /// The requests left in this hour, as GitHub last said.
    remaining: Option<u64>,
    /// An Enterprise Server answered without telling of limits.
    unlimited: bool,
    /// The times of the writes of the last hour, oldest first.
    writes: VecDeque<Instant>,
    /// The points of the last minute, oldest first.
    points: VecDeque<(Instant, u32)>,
    /// Until when the bucket of the burst has to refill, to be full again.
    refilled: Option<Instant>,
}

/// The wait that is left is too long: the limit ends then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    pub wait: Duration,
}

impl Limiter {
    pub fn new(interval: Duration) -> Self {
        Self {
            turns: Semaphore::new(AT_ONCE),
            interval,
            since: Instant::now(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a request; `lane`: it is a write.
    pub async fn turn(&self, lane: Option<Lane>) -> Result<SemaphorePermit<'_>, Limited> {
        let started = Instant::now();
        loop {
            let wait = self.state().wait(lane, self.interval, self.since);
            if wait.is_zero() {
                break;
            }
            if started.elapsed() + wait > PATIENCE {
                return Err(Limited { wait });
            }
            tokio::time::sleep(wait).await;
        }
        // It is never closed.
        let turn = self.turns.acquire().await;
        turn.map_err(|_| Limited { wait: MINUTE })
    }

    /// Reads the limits from an answer's headers.
    pub fn answered(&self, headers: &HeaderMap) {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
        if headers
            .get("x-ratelimit-resource")
            .is_some_and(|resource| resource != "core")
        {
            return;
        }
        let Some(remaining) = number("x-ratelimit-remaining") else {
            let mut state = self.state();
            let is_enterprise = headers.contains_key(enterprise::VERSION);
            state.unlimited |= is_enterprise && state.remaining.is_none();
            return;
        };
        let mut state = self.state();
        state.unlimited = false;
        state.remaining = Some(remaining);
        if remaining == 0
            && let Some(reset) = number("x-ratelimit-reset")
        {
            let now = jiff::Timestamp::now().as_second();
            let seconds = reset.saturating_sub(u64::try_from(now).unwrap_or_default());
            state.limit(Duration::from_secs(seconds.min(HOUR.as_secs())));
        }
    }

    /// GitHub refused a request, since the installation is limited. None: it does not say for how
    /// long.
    pub fn limited(&self, wait: Option<Duration>) -> Duration {
        let wait = wait.unwrap_or(UNSAID);
        self.state().limit(wait);
        wait
    }

    /// The requests left in this hour, as GitHub last said; and for how long nothing is sent.
    pub fn standing(&self) -> (Option<u64>, Duration) {
        let state = self.state();
        let limited = state.limited_until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        });
        (state.remaining, limited)
    }
}

impl State {
    fn limit(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        self.limited_until = Some(self.limited_until.map_or(until, |known| known.max(until)));
    }

    /// How long a request has to wait. Zero: it may be sent, and is counted.
    fn wait(&mut self, lane: Option<Lane>, interval: Duration, since: Instant) -> Duration {
        let now = Instant::now();
        if let Some(until) = self.limited_until {
            if until > now {
                return until - now;
            }
            self.limited_until = None;
        }
        let cost = if lane.is_some() { 5 } else { 1 };
        let mut wait = Duration::ZERO;
        if !self.unlimited {
            wait = self.wait_for_points(now, cost);
        }
        if let Some(lane) = lane {
            if !self.unlimited {
                wait = wait.max(self.wait_for_writes(now, lane, since));
            }
            if let Some(burst) = lane.burst() {
                wait = wait.max(self.wait_for_burst(now, interval, burst));
            }
        }
        if wait.is_zero() {
            if !self.unlimited {
                self.points.push_back((now, cost));
                self.writes.extend(lane.map(|_| now));
            }
            if lane.is_some() {
                self.refilled = Some(self.refilled.map_or(now, |at| at.max(now)) + interval);
            }
        }
        wait
    }

    fn wait_for_points(&mut self, now: Instant, cost: u32) -> Duration {
        while self
            .points
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) >= MINUTE)
        {
            self.points.pop_front();
        }
        let mut excess = (self.points.iter().map(|(_, points)| points).sum::<u32>() + cost)
            .saturating_sub(POINTS_A_MINUTE);
        for (at, points) in &self.points {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(*points);
            if excess == 0 {
                return MINUTE - now.duration_since(*at);
            }
        }
        Duration::ZERO
    }

    fn wait_for_writes(&mut self, now: Instant, lane: Lane, since: Instant) -> Duration {
        while self
            .writes
            .front()
            .is_some_and(|at| now.duration_since(*at) >= HOUR)
        {
            self.writes.pop_front();
        }
        let (a_minute, an_hour) = lane.most();
        let within = |window: Duration, most: usize| {
            // The write that has to leave the window first.
            let blocking = self.writes.len().checked_sub(most)?;
            let at = *self.writes.get(blocking)?;
            window.checked_sub(now.duration_since(at))
        };
        within(MINUTE, a_minute)
            .unwrap_or_default()
            .max(within(HOUR, an_hour).unwrap_or_default())
            .max(self.wait_for_former(now.duration_since(since), an_hour))
    }

    /// How long until enough of the writes that may have been before the start are an hour old.
    /// `elapsed`: since the start.
    fn wait_for_former(&self, elapsed: Duration, an_hour: usize) -> Duration {
        let former = u32::try_from(an_hour / 2).unwrap_or(u32::MAX);
        let left = an_hour.saturating_sub(self.writes.len() + 1);
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        (HOUR * former.saturating_sub(left) / former.max(1)).saturating_sub(elapsed)
    }

    fn wait_for_burst(&self, now: Instant, interval: Duration, burst: u32) -> Duration {
        let ahead = self.refilled.map_or(Duration::ZERO, |at| {
            (at + interval).saturating_duration_since(now)
        });
        ahead.saturating_sub(interval * burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Writes of a lane until one would have to wait for long: how many, and that wait.
    async fn writes(limiter: &Limiter, lane: Lane) -> (usize, Duration) {
        for count in 0.. {
            if let Err(Limited { wait }) = limiter.turn(Some(lane)).await {
                return (count, wait);
            }
        }
        unreachable!()
    }

    #[tokio::test(start_paused = true)]
    async fn writes_keep_below_both_limits_and_leave_room_for_answers() {
        let limiter = Limiter::new(Duration::ZERO);
        tokio::time::advance(HOUR).await;
        let (count, wait) = writes(&limiter, Lane::Show).await;
        assert_eq!((count, wait), (50, MINUTE));
        assert_eq!(writes(&limiter, Lane::Decide).await.0, 15);
        assert_eq!(writes(&limiter, Lane::Acknowledge).await.0, 10);
        // Each lane goes on until the hour's share of it is used.
        let mut total = 75;
        while limiter.turn(Some(Lane::Show)).await.is_ok() || {
            tokio::time::advance(MINUTE).await;
            limiter.state().writes.len() < 380
        } {
            total = limiter.state().writes.len();
        }
        assert_eq!(total, 380);
        tokio::time::advance(MINUTE).await;
        assert!(limiter.turn(Some(Lane::Acknowledge)).await.is_ok());
    }

    /// So many writes of a lane; how long they took.
    async fn written(limiter: &Limiter, lane: Lane, count: u32) -> u64 {
        let started = Instant::now();
        for _ in 0..count {
            drop(limiter.turn(Some(lane)).await.unwrap());
        }
        started.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_burst_writes_keep_the_interval() {
        let limiter = Limiter::new(SECOND);
        assert_eq!(written(&limiter, Lane::Decide, 40).await, 0);
        assert_eq!(written(&limiter, Lane::Decide, 5).await, 5);
        let at_once = written(&limiter, Lane::Acknowledge, 1).await;
        assert_eq!(at_once, 0, "an answer goes at once");
        tokio::time::advance(MINUTE).await;
        assert_eq!(written(&limiter, Lane::Decide, 40).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_decides_does_not_wait_behind_what_shows() {
        let limiter = Limiter::new(SECOND);
        assert_eq!(written(&limiter, Lane::Show, 20).await, 0);
        assert_eq!(written(&limiter, Lane::Show, 2).await, 2);
        assert_eq!(written(&limiter, Lane::Decide, 20).await, 0);
        // What shows waits until that has gone.
        let limited = limiter.turn(Some(Lane::Show)).await.err();
        assert_eq!(limited, Some(Limited { wait: 21 * SECOND }));
        assert_eq!(written(&limiter, Lane::Decide, 1).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_start_half_of_the_hour_counts_as_used() {
        let limiter = Limiter::new(Duration::ZERO);
        let used = async |lane: Lane, minutes: u32| {
            for _ in 0..minutes {
                writes(&limiter, lane).await;
                tokio::time::advance(MINUTE).await;
            }
            limiter.state().writes.len()
        };
        let soon = used(Lane::Show, 5).await;
        assert!((190..210).contains(&soon), "{soon}");
        // People's answers have a larger share.
        assert!(limiter.turn(Some(Lane::Acknowledge)).await.is_ok());
        let late = used(Lane::Show, 50).await;
        assert!((355..=380).contains(&late), "{late}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_enterprise_server_without_limits_has_only_pauses() {
        let limiter = Limiter::new(SECOND);
        let mut headers = HeaderMap::new();
        headers.insert(enterprise::VERSION, "3.17.0".parse().unwrap());
        limiter.answered(&headers);
        for _ in 0..2 * POINTS_A_MINUTE {
            drop(limiter.turn(None).await.unwrap());
        }
        assert_eq!(written(&limiter, Lane::Decide, 40).await, 0);
        assert_eq!(written(&limiter, Lane::Decide, 600).await, 600);
        // Limits that its administrator sets are told, and hold.
        headers.insert("x-ratelimit-remaining", 4_000.into());
        limiter.answered(&headers);
        headers.remove("x-ratelimit-remaining");
        limiter.answered(&headers);
        let (count, _) = writes(&limiter, Lane::Acknowledge).await;
        assert!(count < 480, "{count}");
    }

    #[tokio::test(start_paused = true)]
    async fn points_are_bounded_in_every_minute() {
        let limiter = Limiter::new(Duration::ZERO);
        for _ in 0..POINTS_A_MINUTE {
            drop(limiter.turn(None).await.unwrap());
        }
        assert_eq!(
            limiter.turn(None).await.err(),
            Some(Limited { wait: MINUTE })
        );
        tokio::time::advance(MINUTE).await;
        assert!(limiter.turn(None).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_while_github_limits_the_installation() {
        let limiter = Limiter::new(Duration::ZERO);
        assert_eq!(limiter.limited(None), UNSAID);
        assert_eq!(limiter.limited(Some(SECOND)), SECOND);
        assert_eq!(
            limiter.turn(None).await.err(),
            Some(Limited { wait: UNSAID }),
            "the longer one counts"
        );
        tokio::time::advance(UNSAID).await;
        assert!(limiter.turn(None).await.is_ok());
        let mut headers = HeaderMap::new();
        let reset = jiff::Timestamp::now().as_second() + 600;
        headers.insert("x-ratelimit-remaining", 0.into());
        headers.insert("x-ratelimit-reset", reset.into());
        limiter.answered(&headers);
        let wait = limiter.turn(None).await.err().unwrap().wait;
        assert!(wait > 590 * SECOND && wait <= 600 * SECOND, "{wait:?}");
    }
}
