//! `rollback_p50`: from `/rollback` in a thread until the stage is healthy with what it had before,
//! its merged commit's status included.

use std::time::{Duration, Instant};

use crate::results::Results;
use crate::support::World;

const ROUNDS: usize = 5;
const GOAL: Duration = Duration::from_secs(60);

/// Rolls back one image after the other in a stage that merges without a review.
pub async fn rollback(results: &mut Results) {
    let world = World::of_one_stage().await;
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let tag = format!("2.{round}.0");
        world.announce(&tag).await;
        let number = world
            .titled("staging", &format!("shop/staging: {tag}"))
            .await;
        let merged = world.merged(number).await;
        world.sync_status(&merged, "success").await;
        world.quiet().await;
        let started = Instant::now();
        world.comment("bob", number, "/rollback");
        let back = world.titled("staging", "Roll back shop/staging").await;
        let merged = world.merged(back).await;
        world.sync_status(&merged, "success").await;
        times.push(started.elapsed());
        world.comment("bob", back, "/resume");
        world.quiet().await;
    }
    times.sort();
    let p50 = times[times.len() / 2];
    results.note(
        "rollback_max",
        times[times.len() - 1].as_secs_f64(),
        "the slowest of them, in seconds",
    );
    results.add(
        "rollback_p50",
        p50.as_secs_f64(),
        "seconds from /rollback to healthy again",
        "< 60",
        p50 < GOAL,
    );
}
