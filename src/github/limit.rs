//! The limits of one installation: GitHub counts requests for each of them, and so do we.
//!
//! Reads wait for their turn; writes also for a slot of their [`Lane`]. A wait of
//! more than some seconds is an error that says until when, so that the key goes
//! back into its queue and holds nothing up. While GitHub limits the
//! installation nothing is sent at all: requests meanwhile can prolong the limit,
//! and can get an App banned.
//!
//! Limits: docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api.
//! Ours stay below them, since people and other clients of the installation
//! count too.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::domain::pull_request::GATE_CONTEXT;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// GitHub allows 100 requests at the same time.
const AT_ONCE: usize = 50;
/// GitHub allows 900 points a minute: a read is one, a write five.
const POINTS_A_MINUTE: u32 = 800;
/// A request that would wait longer goes back into its queue.
const PATIENCE: Duration = Duration::from_secs(10);
/// Writes that may follow each other without a pause.
const BURST: u32 = 20;
/// How long a secondary limit lasts, if GitHub does not say.
const UNSAID: Duration = Duration::from_secs(60);

/// What a write is for: the more urgent it is, the more of the limits it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Somebody waits for it: reactions, replies.
    Acknowledge,
    /// It changes what happens: branches, pull requests, merges, verdicts, statuses.
    Decide,
    /// It only shows: previews, progress, deployments.
    Show,
}

impl Lane {
    /// The lane of a write, by its path below the repository.
    pub fn of(method: &str, path: &str, body: &Value) -> Self {
        // A preview has a check run; the verdict has one that others wait for.
        let is_preview = path.starts_with("check-runs") && body["name"] != GATE_CONTEXT;
        if path.ends_with("/reactions") || method == "POST" && path.ends_with("/comments") {
            Self::Acknowledge
        } else if is_preview
            || path.starts_with("deployments")
            || method == "PATCH" && path.starts_with("issues/comments")
        {
            Self::Show
        } else {
            Self::Decide
        }
    }

    /// The most writes in a minute and in an hour, all lanes counted. GitHub allows about 80 and
    /// 500 that create content.
    fn most(self) -> (usize, usize) {
        match self {
            Self::Acknowledge => (75, 480),
            Self::Decide => (65, 440),
            Self::Show => (50, 380),
        }
    }
}

/// The limits of one installation, or of the App itself.
pub struct Limiter {
    turns: Semaphore,
    /// The time in which one more write of a burst becomes free.
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// GitHub refuses everything until then.
    limited_until: Option<Instant>,
    /// The requests left in this hour, as GitHub last said.
    remaining: Option<u64>,
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
            let wait = self.state().wait(lane, self.interval);
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
            return;
        };
        let mut state = self.state();
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
    fn wait(&mut self, lane: Option<Lane>, interval: Duration) -> Duration {
        let now = Instant::now();
        if let Some(until) = self.limited_until {
            if until > now {
                return until - now;
            }
            self.limited_until = None;
        }
        let cost = if lane.is_some() { 5 } else { 1 };
        let mut wait = self.wait_for_points(now, cost);
        if let Some(lane) = lane {
            wait = wait.max(self.wait_for_writes(now, lane));
            // Somebody waits for an answer: it goes at once.
            if lane != Lane::Acknowledge {
                wait = wait.max(self.wait_for_burst(now, interval));
            }
        }
        if wait.is_zero() {
            self.points.push_back((now, cost));
            if lane.is_some() {
                self.writes.push_back(now);
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

    fn wait_for_writes(&mut self, now: Instant, lane: Lane) -> Duration {
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
    }

    fn wait_for_burst(&self, now: Instant, interval: Duration) -> Duration {
        let ahead = self.refilled.map_or(Duration::ZERO, |at| {
            (at + interval).saturating_duration_since(now)
        });
        ahead.saturating_sub(interval * BURST)
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

    #[test]
    fn a_write_has_the_lane_of_its_path() {
        for (method, path, lane) in [
            ("POST", "issues/comments/7/reactions", Lane::Acknowledge),
            ("POST", "issues/7/comments", Lane::Acknowledge),
            ("PATCH", "issues/comments/7", Lane::Show),
            ("POST", "deployments/7/statuses", Lane::Show),
            ("POST", "git/refs", Lane::Decide),
            ("PUT", "pulls/7/merge", Lane::Decide),
            ("POST", "statuses/abc", Lane::Decide),
        ] {
            assert_eq!(
                Lane::of(method, path, &Value::Null),
                lane,
                "{method} {path}"
            );
        }
        for (name, lane) in [
            (GATE_CONTEXT, Lane::Decide),
            ("windlass/preview", Lane::Show),
        ] {
            let body = serde_json::json!({"name": name});
            assert_eq!(Lane::of("POST", "check-runs", &body), lane, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn writes_keep_below_both_limits_and_leave_room_for_answers() {
        let limiter = Limiter::new(Duration::ZERO);
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

    #[tokio::test(start_paused = true)]
    async fn after_a_burst_writes_keep_the_interval() {
        let limiter = Limiter::new(SECOND);
        let started = Instant::now();
        for _ in 0..BURST {
            drop(limiter.turn(Some(Lane::Decide)).await.unwrap());
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        for _ in 0..5 {
            drop(limiter.turn(Some(Lane::Decide)).await.unwrap());
        }
        assert_eq!(started.elapsed().as_secs(), 5);
        drop(limiter.turn(Some(Lane::Acknowledge)).await.unwrap());
        assert_eq!(started.elapsed().as_secs(), 5, "an answer goes at once");
        tokio::time::advance(MINUTE).await;
        let later = Instant::now();
        for _ in 0..BURST {
            drop(limiter.turn(Some(Lane::Decide)).await.unwrap());
        }
        assert_eq!(later.elapsed(), Duration::ZERO);
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
