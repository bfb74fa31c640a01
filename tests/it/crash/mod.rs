//! Stop anywhere and run again: same end state.
//!
//! One story goes through all five paths, in three parts. It is told once
//! undisturbed, which counts windlass's writes, to the forge and to the cluster.
//! Then it is told again for the writes: windlass is killed at one write of each
//! part, once with the answer received and the next write not made, once with the
//! write made and its answer lost; it is started again and the story goes on. Once
//! windlass rests after a part, all that the forge and the cluster hold must be
//! what the undisturbed telling left there, before the next part may kill it again.
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
use std::sync::{Arc, Mutex};
use std::time::Instant;

use self::end_state::end_state;
use self::gate::{Answer, Gate, Point};
use crate::support::{Setup, World};

/// Worlds at the same time. They mostly wait: for rollouts, debounces and each other.
const AT_ONCE: usize = 6;

/// Parts of the story.
const PARTS: usize = 3;

/// A part that was told: what it left behind, and the writes on the way.
struct Told {
    end: String,
    writes: Vec<String>,
}

/// Tells the story, with windlass killed at these writes.
async fn told(points: [Option<Point>; PARTS]) -> [Told; PARTS] {
    let world = World::asleep(Setup::default()).await;
    let gate = Arc::new(Gate::new(world.killer()));
    world.gate(gate.clone());
    let [first, second, third] = points;
    gate.enter(first);
    world.start();
    let tell = async {
        story::first_sync(&world).await;
        let synced = rested(&world, &gate).await;
        gate.enter(second);
        let pulls = story::promotion(&world).await;
        let promoted = rested(&world, &gate).await;
        gate.enter(third);
        story::changes(&world, pulls).await;
        [synced, promoted, rested(&world, &gate).await]
    };
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
        told = tell => told,
        () = keep => unreachable!("windlass is kept running for as long as the story is told"),
    }
}

/// What a part left behind, once windlass rests: killed late, it still says what it had to say.
async fn rested(world: &World, gate: &Gate) -> Told {
    world.quiet().await;
    if gate.kill_at_the_end() {
        world.quiet().await;
    }
    Told {
        end: end_state(world).await,
        writes: gate.writes(),
    }
}

/// The numbers of the first two and of the last write of each kind.
fn sample(writes: &[&String]) -> BTreeSet<u64> {
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

/// A point of the whole story: its part, and the point there.
type PartPoint = (usize, Point);

/// The points to kill at. WINDLASS_CRASH_POINTS=71,72 takes these writes of the undisturbed telling.
fn points(undisturbed: &[Told; PARTS]) -> Vec<PartPoint> {
    let only = std::env::var("WINDLASS_CRASH_POINTS").ok();
    let writes: Vec<_> = undisturbed.iter().flat_map(|part| &part.writes).collect();
    let sampled = sample(&writes);
    let wanted = |n: u64| match only.as_deref() {
        None => sampled.contains(&n),
        Some("all") => true,
        Some(only) => only.split(',').any(|one| one == n.to_string()),
    };
    let numbers = undisturbed.iter().enumerate().flat_map(|(part, told)| {
        let numbers = 1..=told.writes.len() as u64;
        numbers.map(move |number| (part, number))
    });
    (1..)
        .zip(numbers)
        .filter(|(overall, _)| wanted(*overall))
        .flat_map(|(_, (part, number))| {
            [Answer::Received, Answer::Lost].map(|answer| (part, (number, answer)))
        })
        .collect()
}

/// As few tellings as take all points, each with at most one of a part.
fn tellings(points: &[PartPoint]) -> Vec<[Option<Point>; PARTS]> {
    let mut tellings: Vec<[Option<Point>; PARTS]> = Vec::new();
    for (part, point) in points {
        match tellings.iter_mut().find(|telling| telling[*part].is_none()) {
            Some(telling) => telling[*part] = Some(*point),
            None => {
                let mut telling = [None; PARTS];
                telling[*part] = Some(*point);
                tellings.push(telling);
            }
        }
    }
    tellings
}

/// How the first part that ended otherwise differs. What comes after it may be a consequence.
fn difference(
    undisturbed: &[Told; PARTS],
    points: &[Option<Point>; PARTS],
    told: &[Told; PARTS],
) -> Option<String> {
    let part = (0..PARTS).find(|part| told[*part].end != undisturbed[*part].end)?;
    let before: u64 = undisturbed[..part]
        .iter()
        .map(|told| told.writes.len() as u64)
        .sum();
    let killed = match points[part] {
        Some((number, answer)) => {
            let what = told[part].writes.get(number as usize - 1);
            let what = what.map(String::as_str).unwrap_or_default();
            format!(
                "killed at write {} ({what}), answer {answer:?}",
                before + number
            )
        }
        None => "not killed in this part".to_string(),
    };
    let diff = similar::TextDiff::from_lines(&undisturbed[part].end, &told[part].end);
    let changes: String = diff
        .iter_all_changes()
        .filter(|change| change.tag() != similar::ChangeTag::Equal)
        .map(|change| format!("{}{}", change.tag(), change.value()))
        .collect();
    let earlier = &points[..part];
    Some(format!("{killed} (before it: {earlier:?}):\n{changes}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_at_any_write_the_end_is_the_same() {
    let started = Instant::now();
    let undisturbed = told([None; PARTS]).await;
    let writes: Vec<_> = undisturbed
        .iter()
        .flat_map(|told| told.writes.clone())
        .collect();
    let (total, listed) = (writes.len(), writes.join("\n"));
    assert!(total > 30, "the story has only {total} writes:\n{listed}");
    let _ = std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/writes.txt"), listed);
    let points = points(&undisturbed);
    let next = Arc::new(Mutex::new(tellings(&points).into_iter()));
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
                    let Some(points) = next.lock().unwrap().next() else {
                        return;
                    };
                    let ended = runtime.block_on(told(points));
                    let failure = difference(&undisturbed, &points, &ended);
                    failures.lock().unwrap().extend(failure);
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
