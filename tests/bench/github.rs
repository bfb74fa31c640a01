//! `github_*`: what windlass asks of GitHub, as the sandbox's forge counts it.

use std::time::Duration;

use crate::results::Results;
use crate::support::{Setup, World};

/// The settings `--resync` and `--delivery-scan` are this many times shorter, and so is the hour.
const FASTER: u64 = 60;

/// The lives of two images: `github_life_reads` and `github_life_writes`; the reads and writes of
/// the second one, when nothing is asked for the first time.
pub async fn life(results: &mut Results) -> (usize, usize) {
    let world = World::of_one_stage().await;
    let first = world.life("1.5.0").await;
    let second = world.life("1.6.0").await;
    let reads = first.reads.len().max(second.reads.len());
    let writes = first.writes.len().max(second.writes.len());
    results.add(
        "github_life_reads",
        reads as f64,
        "reads of an image's life in one stage",
        "≤ 25",
        reads <= 25,
    );
    results.add(
        "github_life_writes",
        writes as f64,
        "writes of an image's life in one stage",
        "≤ 12",
        writes <= 12,
    );
    (second.reads.len(), writes)
}

/// `github_idle_reads_per_hour`: an hour of nothing, in a minute.
pub async fn idle(results: &mut Results) {
    let world = World::with(Setup {
        resync: Some(600 / FASTER),
        delivery_scan: Some(300 / FASTER),
        ..Setup::default()
    })
    .await;
    world.quiet().await;
    world.forge.state().quota.counted.clear();
    tokio::time::sleep(Duration::from_secs(3600 / FASTER)).await;
    let counted = std::mem::take(&mut world.forge.state().quota.counted);
    // Answers of 304 as well: an hour is longer than a token lives, and an ETag dies with it.
    let (as_app, reads): (Vec<_>, Vec<_>) = counted
        .iter()
        .partition(|one| one.route.starts_with("/app"));
    results.note(
        "github_idle_reads_per_hour_as_app",
        as_app.len() as f64,
        "reads of the App itself, which has a limit of its own",
    );
    results.add(
        "github_idle_reads_per_hour",
        reads.len() as f64,
        "reads of an idle hour, one config repository",
        "≤ 15",
        reads.len() <= 15,
    );
}

/// `github_push_reads_60_open`: a push that changes none of sixty open pull requests.
pub async fn push(results: &mut Results) {
    let world = World::new().await;
    let asked = world.push_beside(60).await;
    let (reads, writes) = (asked.reads.len(), asked.writes.len());
    results.note(
        "github_push_writes_60_open",
        writes as f64,
        "writes of the same push",
    );
    results.add(
        "github_push_reads_60_open",
        reads as f64,
        "reads of a push with 60 open pull requests",
        "≤ 20",
        reads <= 20,
    );
}
