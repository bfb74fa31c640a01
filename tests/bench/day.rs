//! `github_day_200x3x2`: a day of 200 services × 3 stages × 2 releases, against the
//! limiter that windlass uses, on a paused clock.
//!
//! Each image goes through the stages one after the other. A stage is the reads and
//! writes that the life of an image was measured to take, in their order and their
//! lanes; a rollout takes a minute. What is limited is tried again when it is told to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use windlass::judged_by::Lane::{self, Decide, Show};
use windlass::judged_by::Limiter;

use crate::results::Results;

const SERVICES: usize = 200;
const STAGES: usize = 3;
const RELEASES: usize = 2;
const HOUR: Duration = Duration::from_secs(3600);
/// Images are announced within these hours of the day.
const WORKING_HOURS: f64 = 10.0;
/// Between two requests: the answer, and the pause that gathers events into one look.
const BETWEEN: Duration = Duration::from_millis(300);
const ROLLOUT: Duration = Duration::from_secs(60);
/// A limit was met if something waited longer: the key went back into its queue.
const MET: Duration = Duration::from_secs(10);

/// The writes of a life up to the merge, and from the rollout's end.
const BEFORE: [Lane; 6] = [Decide, Show, Show, Decide, Decide, Decide];
const AFTER: [Lane; 5] = [Decide, Show, Show, Decide, Show];

/// The longest wait of each lane.
#[derive(Default)]
struct Waits(Mutex<[(&'static str, Duration); 2]>);

impl Waits {
    fn note(&self, lane: Option<Lane>, waited: Duration) {
        let at = usize::from(lane == Some(Show));
        let mut waits = self.0.lock().unwrap();
        waits[at].0 = ["decide", "show"][at];
        waits[at].1 = waits[at].1.max(waited);
    }

    fn longest(&self) -> Duration {
        let waits = self.0.lock().unwrap();
        waits[0].1.max(waits[1].1)
    }
}

/// A generator of numbers from 0 to 1 (splitmix64): every run plays the same day.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
    }
}

async fn request(limiter: &Limiter, lane: Option<Lane>, waits: &Waits) {
    let asked = Instant::now();
    loop {
        match limiter.turn(lane).await {
            Ok(turn) => {
                waits.note(lane, asked.elapsed());
                sleep(BETWEEN).await;
                drop(turn);
                return;
            }
            Err(limited) => sleep(limited.wait).await,
        }
    }
}

/// An image's life in one stage. `reads`: all of them, before the first write.
async fn life(limiter: &Limiter, reads: usize, waits: &Waits) {
    for _ in 0..reads {
        request(limiter, None, waits).await;
    }
    for lane in BEFORE {
        request(limiter, Some(lane), waits).await;
    }
    sleep(ROLLOUT).await;
    for lane in AFTER {
        request(limiter, Some(lane), waits).await;
    }
}

/// Plays images that are announced at these times; the time at which the last one is done.
async fn play(announced: Vec<Duration>, stages: usize, reads: usize, waits: &Arc<Waits>) -> f64 {
    let limiter = Arc::new(Limiter::new(Duration::from_secs(1)));
    // It has run for long.
    sleep(HOUR).await;
    let started = Instant::now();
    let mut images = JoinSet::new();
    for at in announced {
        let (limiter, waits) = (limiter.clone(), waits.clone());
        images.spawn(async move {
            sleep(at).await;
            for _ in 0..stages {
                life(&limiter, reads, &waits).await;
            }
        });
    }
    images.join_all().await;
    started.elapsed().as_secs_f64() / HOUR.as_secs_f64()
}

/// The most images an hour, each in one stage, that meet no limit in a working day.
async fn most(reads: usize) -> u32 {
    let mut held = 0;
    for an_hour in 20..100 {
        let mut chance = Chance(an_hour.into());
        let count = an_hour * WORKING_HOURS as u32;
        // One in each slot, at any time in it.
        let slot = WORKING_HOURS * HOUR.as_secs_f64() / f64::from(count);
        let times = (0..count).map(|n| (f64::from(n) + chance.next()) * slot);
        let waits = Arc::default();
        play(
            times.map(Duration::from_secs_f64).collect(),
            1,
            reads,
            &waits,
        )
        .await;
        if waits.longest() > MET {
            break;
        }
        held = an_hour;
    }
    held
}

/// `reads` and `writes`: of a life, as measured; the model has as many.
pub async fn day(results: &mut Results, reads: usize, writes: usize) {
    let modelled = BEFORE.len() + AFTER.len();
    assert_eq!(
        modelled, writes,
        "the model has the writes that are measured"
    );
    let an_hour = most(reads).await;
    let mut chance = Chance(1);
    let images = SERVICES * RELEASES;
    let day = HOUR.mul_f64(WORKING_HOURS);
    let announced = (0..images).map(|_| day.mul_f64(chance.next())).collect();
    let waits = Arc::default();
    let over = play(announced, STAGES, reads, &waits).await;
    for (lane, longest) in *waits.0.lock().unwrap() {
        results.note(
            &format!("github_day_200x3x2_wait_{lane}"),
            longest.as_secs_f64() / 60.0,
            "min, the longest wait",
        );
    }
    results.note(
        "github_day_200x3x2_over",
        over,
        "h after the first image, when all stages have all of them",
    );
    results.add(
        "github_day_200x3x2",
        an_hour.into(),
        "images an hour, in one stage each, without meeting a limit",
        "≥ 30",
        an_hour >= 30,
    );
}
