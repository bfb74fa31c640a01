//! `make test-peers`: Flux and Argo CD apply what windlass previewed, and every
//! object is compared with the preview. `docs/benchmarks.md` has the figures.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program for the terminal of whoever develops windlass"
)]
#![allow(dead_code, reason = "of the stories' support a part is used")]

#[path = "../bench/corpus/application/mod.rs"]
mod application;
mod argocd;
mod corpus;
mod files;
mod flux;
mod helm;
#[path = "../bench/measures.rs"]
mod measures;
#[path = "../bench/corpus/others.rs"]
mod others;
mod peer;
#[path = "../bench/corpus/prediction.rs"]
mod prediction;
mod programs;
mod requested;
#[path = "../bench/corpus/score.rs"]
mod score;
#[path = "../it/support/mod.rs"]
mod support;

use application::{Application, Dice};
use argocd::ArgoCd;
use corpus::{Corpus, Score};
use flux::Flux;
use helm::Helm;
use peer::Peer;
use support::{Setup, World};

const APPLICATIONS: usize = 32;
const ROUNDS: usize = 4;

const MODES: [&str; 4] = [
    "peers_flux_kustomization",
    HELM,
    "peers_argocd_ssa",
    "peers_argocd_csa",
];

const HELM: &str = "peers_flux_helmrelease";

/// What is requested of each.
const REQUESTS: [&str; 2] = ["peers_flux_requests", "peers_argocd_requests"];

/// The least share of objects that have to come out as predicted, in percent.
const LEAST: f64 = 99.5;

fn main() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|one| name.contains(one.as_str()));
    let mut failed = false;
    for name in MODES {
        if wanted(name) {
            let score = runtime.block_on(mode(name));
            failed |= !printed(name, &score);
        }
    }
    for name in REQUESTS {
        if wanted(name) {
            failed |= !runtime.block_on(requests(name));
        }
    }
    std::process::exit(i32::from(failed));
}

async fn mode(name: &str) -> Score {
    let world = World::asleep(Setup {
        direct: true,
        ..Setup::default()
    })
    .await;
    let (namespace, own) = (world.namespace("corpus"), world.namespace("peer"));
    world.kubectl(&["create", "namespace", &namespace]);
    world.kubectl(&["create", "namespace", &own]);
    let peer = peer(name, &world, &own, &namespace);
    let mut dice = Dice(1);
    let mut applications: Vec<_> = (0..count("PEERS_APPLICATIONS", APPLICATIONS))
        .map(|number| Application::new(number, &mut dice))
        .collect();
    for one in &mut applications {
        match name {
            HELM => one.how = 2,
            // Flux builds no charts from a Kustomization.
            "peers_flux_kustomization" => one.how %= 2,
            _ => {}
        }
    }
    let mut corpus = Corpus {
        world: &world,
        peer: &*peer,
        namespace,
        applications,
        dice,
        turn: 0,
        marked: Vec::new(),
    };
    corpus.marked = (0..corpus.applications.len())
        .map(|number| number % 4)
        .collect();
    corpus.begin().await;
    let mut score = Score::default();
    for round in 0..count("PEERS_ROUNDS", ROUNDS) {
        corpus.round(round, &mut score).await;
        println!(
            "{name}, round {}: {} held, {} missed",
            round + 1,
            score.held,
            score.missed.len()
        );
    }
    score
}

async fn requests(name: &str) -> bool {
    let world = World::asleep(Setup::default()).await;
    let (namespace, own) = (world.namespace("web-staging"), world.namespace("peer"));
    world.kubectl(&["create", "namespace", &namespace]);
    world.kubectl(&["create", "namespace", &own]);
    let peer = peer(name, &world, &own, &namespace);
    requested::requested(name, &world, &*peer, (&namespace, &own)).await
}

fn peer(name: &str, world: &World, own: &str, namespace: &str) -> Box<dyn Peer> {
    match name {
        HELM => Box::new(Helm::start(world, own, namespace)),
        _ if name.starts_with("peers_flux") => Box::new(Flux::start(world, own)),
        "peers_argocd_ssa" => {
            let options = &["ServerSideApply=true"];
            Box::new(ArgoCd::start(world, own, namespace, options))
        }
        _ => Box::new(ArgoCd::start(world, own, namespace, &[])),
    }
}

fn count(name: &str, usual: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

/// Prints a figure and what differed; whether it is good enough.
fn printed(name: &str, score: &Score) -> bool {
    let all = score.held + score.missed.len();
    let log = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
    std::fs::write(&log, score.missed.join("\n")).unwrap();
    for (class, times) in &score.drawn {
        println!("  {class:?}: {times} times");
    }
    for missed in &score.missed {
        println!("  {}", missed.chars().take(300).collect::<String>());
    }
    let share = 100.0 * score.held as f64 / (all as f64).max(1.0);
    println!(
        "{name}: {} of {all} objects as predicted ({share:.1} %); differences are in {}",
        score.held,
        log.display()
    );
    share >= LEAST
}
