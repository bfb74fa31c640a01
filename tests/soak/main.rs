//! `make soak`: for an hour, people who mean harm do all that they can at once,
//! and one who means well goes on working. What must hold: windlass never ends,
//! it and its renderers together stay under the limit that `deploy/` sets, and
//! what is deployed is deployed in its usual time. `docs/security.md` has the
//! figures.
//!
//! Bounded in count and time; everything stays on this machine.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program for the terminal of whoever develops windlass"
)]
#![allow(dead_code, reason = "of the stories' support a part is used")]

#[path = "../it/support/mod.rs"]
mod support;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use support::{Setup, World};
use windlass::judged_by::resident;

/// What the container may take (`deploy/deployment.yaml`).
const LIMIT: u64 = 1 << 30;

fn main() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(soak());
}

async fn soak() {
    let minutes: u64 = std::env::var("SOAK_MINUTES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(60);
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    let world = Arc::new(
        World::with(Setup {
            direct: true,
            ..Setup::default()
        })
        .await,
    );
    let pid = world.pid().unwrap();
    let (peak, over) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let watched = {
        let (peak, over) = (peak.clone(), over.clone());
        std::thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                peak.fetch_max(family(pid), Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(50));
            }
        })
    };
    let attacks = [
        std::thread::spawn({
            let world = world.clone();
            move || webhooks(&world, until)
        }),
        std::thread::spawn({
            let world = world.clone();
            move || labels(&world, until)
        }),
    ];
    let heads = tokio::task::spawn_blocking({
        let world = world.clone();
        move || heads(&world, until)
    });
    let (mut rounds, mut slowest, mut total) = (0u32, Duration::ZERO, Duration::ZERO);
    while Instant::now() < until {
        let started = Instant::now();
        let tag = format!("9.{rounds}.0");
        // Its digest is one that no other round has: what was announced before is a step back, and
        // waits for a person.
        let digest = format!("sha256:{rounds:064x}");
        let mut event = support::image_event(&tag);
        event["digest"] = digest.as_str().into();
        world
            .until("the event is taken", async || {
                world
                    .event(&event, Some(&world.windlass.events_token))
                    .await
                    .filter(|(status, _)| ![503, 202].contains(status))
            })
            .await;
        world
            .until("the image is deployed", async || {
                let image =
                    world.deployment("staging").await["spec"]["template"]["spec"]["containers"][0]
                        ["image"]
                        .clone();
                image
                    .as_str()
                    .is_some_and(|image| image.ends_with(&digest))
                    .then_some(())
            })
            .await;
        (rounds, slowest, total) = (
            rounds + 1,
            slowest.max(started.elapsed()),
            total + started.elapsed(),
        );
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let heads = heads.await.unwrap();
    let floods: Vec<u64> = attacks
        .into_iter()
        .map(|attack| attack.join().unwrap())
        .collect();
    over.store(true, Ordering::SeqCst);
    watched.join().unwrap();
    let peak = peak.load(Ordering::SeqCst);
    println!(
        "soak: {minutes} min, {heads} hostile heads, {} webhook connections, {} labelled objects; {rounds} images deployed, {:.1} s each on average, {:.1} s at most; {} MiB at most of {} MiB",
        floods[0],
        floods[1],
        total.as_secs_f64() / f64::from(rounds.max(1)),
        slowest.as_secs_f64(),
        peak >> 20,
        LIMIT >> 20
    );
    assert!(
        world.is_running() && world.pid() == Some(pid),
        "windlass ended"
    );
    assert!(peak < LIMIT, "more than the container may take");
    assert!(
        slowest < Duration::from_secs(60),
        "what is deployed waited for what is hostile"
    );
}

/// Bytes that a process and its children take.
fn family(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let children =
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: u64 = children
        .flat_map(|all| {
            all.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .filter_map(resident)
        .sum();
    resident(pid).unwrap_or_default() + children
}

/// Half requests, bodies without a signature and with a wrong one; how many.
fn webhooks(world: &World, until: Instant) -> u64 {
    let address = world.windlass.url.trim_start_matches("http://").to_string();
    let mut count = 0;
    let body = vec![b'x'; 4 << 20];
    while Instant::now() < until {
        let mut held = Vec::new();
        for number in 0..60 {
            let Ok(mut stream) = std::net::TcpStream::connect(&address) else {
                continue;
            };
            let _ = stream.set_write_timeout(Some(Duration::from_millis(50)));
            let signature = if number % 3 == 0 {
                format!("x-hub-signature-256: sha256={}\r\n", "0".repeat(64))
            } else {
                String::new()
            };
            let head = format!(
                "POST /webhook HTTP/1.1\r\nhost: a\r\ncontent-length: 20000000\r\n{signature}\r\n"
            );
            let cut = if number % 3 == 1 { 40 } else { head.len() };
            if stream.write_all(&head.as_bytes()[..cut]).is_ok() && cut == head.len() {
                let _ = stream.write_all(&body);
            }
            count += 1;
            held.push(stream);
        }
        std::thread::sleep(Duration::from_secs(5));
    }
    count
}

/// Objects of a tenant that bear windlass's label and all the annotations that they hold; how many.
fn labels(world: &World, until: Instant) -> u64 {
    let namespace = world.namespace("tenant");
    world.kubectl(&["create", "namespace", &namespace]);
    let long = "x".repeat(250_000);
    let mut count = 0;
    while Instant::now() < until {
        if count < 400 {
            let items: Vec<_> = (0..10)
                .map(|number| {
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("flood-{}", count + number), "namespace": namespace,
                        "labels": {"windlass.dev/owner": format!("{:016x}", count + number)}, "annotations": {"flood": long}}})
                })
                .collect();
            let file = std::env::temp_dir().join(format!("{namespace}.json"));
            std::fs::write(
                &file,
                json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string(),
            )
            .unwrap();
            world.kubectl(&["create", "-f", file.to_str().unwrap()]);
            let _ = std::fs::remove_file(&file);
            count += 10;
        }
        std::thread::sleep(Duration::from_secs(3));
    }
    count
}

/// One hostile head after another; how many.
fn heads(world: &World, until: Instant) -> u64 {
    let mut count = 0;
    while Instant::now() < until {
        let name = format!("bomb-{}", count % 6);
        let path = |file: &str| format!("apps/{name}/staging/{file}");
        let files: Vec<(String, String)> = match count % 6 {
            // Memory, in a chart.
            0 => vec![
                (path("Chart.yaml"), "apiVersion: v2\nname: bomb\nversion: 0.1.0\n".into()),
                (path("templates/a.yaml"), "{{ $x := repeat 1500000000 \"x\" }}\nkind: {{ len $x }}\n".into()),
            ],
            // Time and output: each folder takes in the one before twice.
            1 => {
                let mut files = vec![(path("kustomization.yaml"), "resources: [d24]\n".to_string())];
                files.push((path("d0/kustomization.yaml"), "resources: [a.yaml]\n".into()));
                files.push((path("d0/a.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n".into()));
                for n in 1..=24 {
                    files.push((path(&format!("d{n}/kustomization.yaml")), "resources: [x, y]\n".to_string()));
                    for (side, prefix) in [("x", "x-"), ("y", "y-")] {
                        files.push((
                            path(&format!("d{n}/{side}/kustomization.yaml")),
                            format!("namePrefix: {prefix}\nresources: [../../d{}]\n", n - 1),
                        ));
                    }
                }
                files
            }
            // Nodes of YAML.
            2 => {
                vec![(path("a.yaml"), format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\nx: [{}]\n", "0,".repeat(4_000_000)))]
            }
            // Many applications at once.
            3 => (0..40)
                .map(|n| (format!("apps/many{n}/staging/kustomization.yaml"), format!("resources: [a.yaml]\n# {count}\n")))
                .chain(
                    (0..40)
                        .map(|n| (format!("apps/many{n}/staging/a.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n".into())),
                )
                .collect(),
            // Texts that nobody can read.
            4 => (0..12)
                .map(|n| {
                    let text = "    many words that nobody reads\n".repeat(8_000);
                    (
                        path(&format!("{n}.yaml")),
                        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a{n}}}\ndata:\n  a: |\n{text}"),
                    )
                })
                .collect(),
            // Aliases of aliases.
            _ => {
                let mut text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_string();
                for n in 1..12 {
                    let below = format!("*a{}, ", n - 1).repeat(9);
                    text.push_str(&format!("a{n}: &a{n} [{}]\n", below.trim_end_matches(", ")));
                }
                vec![(path("a.yaml"), text)]
            }
        };
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        let branch = format!("soak-{count}");
        if world
            .forge
            .push(
                "acme/config",
                &branch,
                "bob",
                &format!("Bomb {count}"),
                &files,
            )
            .is_ok()
        {
            let asked = json!({"title": branch, "head": branch, "base": "main"});
            if let Ok(pull) = world.try_as_user("bob", http::Method::POST, "pulls", asked) {
                // Closed after a while: an hour leaves no hundreds open.
                std::thread::sleep(Duration::from_secs(12));
                let number = pull["number"].as_u64().unwrap_or_default();
                let _ = world.try_as_user(
                    "bob",
                    http::Method::PATCH,
                    &format!("pulls/{number}"),
                    json!({"state": "closed"}),
                );
                count += 1;
            }
        }
    }
    count
}
