//! Stop anywhere and run again: same end state.
//!
//! One story goes through all five paths. It is told once undisturbed, which
//! counts windlass's writes, to the forge and to the cluster. Then it is told
//! again for the writes: windlass is killed at the nth, once with the answer
//! received and the next write not made, once with the write made and its
//! answer lost; it is started again and the story goes on. The end state, all
//! that the forge and the cluster hold, must be the undisturbed one's.
//!
//! Of writes of one kind (the same request but for its numbers) the first two
//! and the last are taken; WINDLASS_CRASH_POINTS=all takes every one.
//!
//! - `story`: the five paths; `end_state`: what is compared
//! - `gate`: counts writes, and kills at one of them

mod end_state;
mod gate;
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use self::end_state::end_state;
use self::gate::{Answer, Gate};
use self::story::story;
use crate::support::{Setup, World};

/// Worlds at the same time. They mostly wait: for rollouts, debounces and each other.
const AT_ONCE: usize = 6;

/// Tells the story with windlass killed at one write; the end state and the writes.
async fn told(at: Option<(u64, Answer)>) -> (String, Vec<String>) {
    let world = World::asleep(Setup::default()).await;
    let gate = Arc::new(Gate {
        count: AtomicU64::new(0),
        at,
        fired: AtomicBool::new(false),
        kill: Box::new(world.killer()),
        seen: Mutex::default(),
    });
    world.gate(gate.clone());
    world.start();
    let keep = async {
        let mut interval = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            interval.tick().await;
            if !world.is_running() {
                world.start();
            }
        }
    };
    tokio::select! {
        () = story(&world) => {}
        () = keep => {}
    }
    let seen = gate.seen.lock().unwrap().clone();
    (end_state(&world).await, seen)
}

/// The numbers of the first two and of the last write of each kind.
fn sample(writes: &[String]) -> BTreeSet<u64> {
    let mut kinds: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (number, write) in (1..).zip(writes) {
        // Ids, commits and stages are what tells two writes of a kind apart.
        let words = write.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let kind = words.filter(|word| {
            !word.bytes().any(|b| b.is_ascii_digit())
                && !word.contains("staging")
                && !word.contains("production")
        });
        kinds
            .entry(kind.collect::<Vec<_>>().join(" "))
            .or_default()
            .push(number);
    }
    kinds
        .values()
        .flat_map(|all| all.iter().take(2).chain(all.last()))
        .copied()
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_at_any_write_the_end_is_the_same() {
    let started = Instant::now();
    let (undisturbed, writes) = told(None).await;
    let total = writes.len() as u64;
    assert!(
        total > 30,
        "the story has only {total} writes:\n{}",
        writes.join("\n")
    );
    let _ = std::fs::write(
        concat!(env!("CARGO_TARGET_TMPDIR"), "/writes.txt"),
        writes.join("\n"),
    );
    let points: Vec<_> = (1..=total)
        .flat_map(|n| [(n, Answer::Received), (n, Answer::Lost)])
        .collect();
    // To look into one point: WINDLASS_CRASH_POINTS=71,72
    let only = std::env::var("WINDLASS_CRASH_POINTS").ok();
    let sampled = sample(&writes);
    let wanted = |n: u64| match only.as_deref() {
        None => sampled.contains(&n),
        Some("all") => true,
        Some(only) => only.split(',').any(|one| one == n.to_string()),
    };
    let points: Vec<_> = points.into_iter().filter(|(n, _)| wanted(*n)).collect();
    let next = Arc::new(Mutex::new(points.clone().into_iter()));
    let (undisturbed, failures) = (Arc::new(undisturbed), Arc::new(Mutex::new(Vec::new())));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (next, undisturbed, failures) =
                (next.clone(), undisturbed.clone(), failures.clone());
            // A thread and a runtime each: a story blocks now and then, on git and kubectl.
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()
                    .unwrap();
                loop {
                    let Some(point) = next.lock().unwrap().next() else {
                        return;
                    };
                    let (end, seen) = runtime.block_on(told(Some(point)));
                    if end != *undisturbed {
                        let what = seen.get(point.0 as usize - 1).cloned().unwrap_or_default();
                        let diff: Vec<_> =
                            similar::TextDiff::from_lines(undisturbed.as_str(), &end)
                                .iter_all_changes()
                                .filter(|change| change.tag() != similar::ChangeTag::Equal)
                                .map(|change| format!("{}{}", change.tag(), change.value()))
                                .collect();
                        failures.lock().unwrap().push(format!(
                            "killed at write {} ({what}), answer {:?}:\n{}",
                            point.0,
                            point.1,
                            diff.concat()
                        ));
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("every story comes to its end");
    }
    let summary = format!(
        "crash points: {} (of {total} writes, each with its answer received and lost), {} s",
        points.len(),
        started.elapsed().as_secs()
    );
    let _ = std::fs::write(
        concat!(env!("CARGO_TARGET_TMPDIR"), "/crash.txt"),
        format!("{summary}\n"),
    );
    let failures = failures.lock().unwrap();
    assert!(
        failures.is_empty(),
        "{summary}\n{} differ:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}
