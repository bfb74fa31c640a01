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
    /// GitHub refuses GraphQL until then: it has an hour of its own.
    graphql_limited_until: Option<Instant>,
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
        let resource = headers.get("x-ratelimit-resource");
        if let Some(other) = resource.filter(|resource| *resource != "core") {
            let is_used_up = number("x-ratelimit-remaining") == Some(0);
            if let Some(reset) =
                number("x-ratelimit-reset").filter(|_| is_used_up && other == "graphql")
            {
                self.state().graphql_limited_until = Some(Instant::now() + until(reset));
            }
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
            state.limit(until(reset));
        }
    }

    /// For how long no GraphQL may be sent.
    pub fn graphql_limited(&self) -> Option<Duration> {
        let until = self.state().graphql_limited_until?;
        Some(until.saturating_duration_since(Instant::now())).filter(|wait| !wait.is_zero())
    }

    /// GitHub refused a request, since the installation is limited. None: it does not say for how
    /// long.
    pub fn limited(&self, wait: Option<Duration>) -> Duration {
        let wait = wait.unwrap_or(UNSAID);
        self.state().limit(wait);
        wait
    }

    /// For how long what only shows waits now: windlass keeps below GitHub's limits.
    pub fn paced(&self) -> Duration {
        let now = Instant::now();
        self.state()
            .wait_of(Lane::Show, now, self.interval, self.since)
    }

    /// The requests left in this hour, as GitHub last said; and for how long nothing is sent.
    pub fn standing(&self) -> (Option<u64>, Duration) {
        let state = self.state();
        let until = state.limited_until.max(state.graphql_limited_until);
        let limited = until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        });
        (state.remaining, limited)
    }
}

/// How long until a time that GitHub names, in seconds since 1970; at most the hour that it counts.
fn until(reset: u64) -> Duration {
    let now = jiff::Timestamp::now().as_second();
    let seconds = reset.saturating_sub(u64::try_from(now).unwrap_or_default());
    Duration::from_secs(seconds.min(HOUR.as_secs()))
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
            wait = wait.max(self.wait_of(lane, now, interval, since));
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

    /// How long a write has to wait for a slot of its lane.
    fn wait_of(
        &mut self,
        lane: Lane,
        now: Instant,
        interval: Duration,
        since: Instant,
    ) -> Duration {
        let burst = lane.burst();
        let wait = burst.map(|burst| self.wait_for_burst(now, interval, burst));
        let wait = wait.unwrap_or_default();
        match self.unlimited {
            true => wait,
            false => wait.max(self.wait_for_writes(now, lane, since)),
        }
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
mod tests;
