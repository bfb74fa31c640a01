//! `make bench`: what windlass costs, as ratios to what stands beside it in the
//! same run on the same control plane. `docs/benchmarks.md` has the recipe and
//! the numbers; each figure is a line of `target/bench/results.jsonl`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program for the terminal of whoever develops windlass"
)]
#![allow(dead_code, reason = "of the stories' support a part is used")]

mod corpus;
mod day;
mod drift;
mod github;
mod histories;
mod looks;
mod measures;
mod memory;
mod plans;
mod restart;
mod results;
mod rollback;
mod size;
#[path = "../it/support/mod.rs"]
mod support;
mod syncs;
mod wide;

use self::results::Results;

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
    let mut results = Results::new();
    runtime.block_on(async {
        if wanted("plan_50") || wanted("plan_500") {
            plans::plans(&mut results).await;
        }
        if wanted("plan_829") {
            wide::wide(&mut results).await;
        }
        if wanted("sync") || wanted("idle") || wanted("preview") {
            syncs::syncs(&mut results, wanted("idle"), wanted("preview")).await;
        }
        if wanted("restart") {
            restart::restart(&mut results).await;
        }
        if wanted("drift") {
            drift::drift(&mut results).await;
        }
        if wanted("corpus") {
            corpus::corpus(&mut results).await;
        }
        if wanted("memory") {
            memory::memory(&mut results).await;
        }
        if only.iter().any(|one| one == "looks") {
            looks::looks().await;
        }
    });
    if wanted("github_idle") {
        runtime.block_on(github::idle(&mut results));
    }
    if wanted("github_push") {
        runtime.block_on(github::push(&mut results));
    }
    if wanted("rollback") {
        runtime.block_on(rollback::rollback(&mut results));
    }
    if wanted("rollback_histories") {
        runtime.block_on(histories::histories(&mut results));
    }
    // Large: only when it is asked for.
    for (name, whole) in [
        ("git_big_repository", false),
        ("git_big_repository_whole", true),
    ] {
        if only.iter().any(|one| one == name) {
            runtime.block_on(size::size(&mut results, whole));
        }
    }
    if wanted("github_life") {
        life(&runtime, &mut results);
    }
    results.print();
}

/// The lives of images, and a day of them: that needs a clock that is paused.
fn life(runtime: &tokio::runtime::Runtime, results: &mut Results) {
    let (reads, writes) = runtime.block_on(github::life(results));
    let paused = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    paused.block_on(day::day(results, reads, writes));
}

fn deployment(name: &str, image: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n        - name: app\n          image: {image}\n          ports: [{{containerPort: 8080, protocol: TCP}}]\n          env: [{{name: A, value: \"1\"}}, {{name: B, value: \"2\"}}]\n          resources: {{requests: {{cpu: 10m, memory: 16Mi}}}}\n"
    )
}

/// Settings that grant a bench all that it writes: namespaces, roles, custom resources.
const EVERYTHING: &str = "projects:\n  acme:\n    repositories: [acme/config]\n    otherNamespaces: ['*']\n    kinds: ['*']\n";
