//! What is measured and waited for: previews, requests, processor time, memory.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{ApiResource, DynamicObject};

use crate::support::World;

pub async fn metrics(world: &World) -> String {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.get(&world.windlass.metrics_url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
}

/// windlass's own measure of its last preview: seconds, and how many it made.
pub async fn previews(world: &World) -> (f64, u64) {
    let metrics = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .get(&world.windlass.metrics_url)
        .send()
        .await
        .unwrap();
    let text = metrics.text().await.unwrap();
    let read = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (
        read("windlass_preview_seconds_sum"),
        read("windlass_preview_seconds_count") as u64,
    )
}

pub async fn synced(world: &World, commit: &str) {
    wait(Duration::from_secs(900), async || {
        world
            .status(commit, "windlass/sync")
            .is_some_and(|(state, _)| state == "success")
    })
    .await;
}

pub async fn wait(most: Duration, done: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !done().await {
        assert!(
            started.elapsed() < most,
            "waited {} s in vain",
            most.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

pub fn quantile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * at).round() as usize]
}

/// Requests that windlass made to the API server, as it counts them.
pub async fn requests(world: &World) -> f64 {
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .get(&world.windlass.metrics_url)
        .send()
        .await
        .unwrap();
    let text = answer.text().await.unwrap();
    text.lines()
        .find_map(|line| {
            line.strip_prefix("windlass_cluster_requests_total ")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0.0)
}

/// windlass.yaml of the example, with all applications in one namespace, which it creates.
pub fn in_one_namespace(world: &World, namespace: &str) -> String {
    world.kubectl(&["create", "namespace", namespace]);
    world.file("windlass.yaml").replace(
        &format!("namespace: \"{}{{application}}-{{stage}}\"", world.prefix),
        &format!("namespace: {namespace}"),
    )
}

/// The Deployments of a namespace.
pub fn deployments(world: &World, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<Deployment>(&());
    Api::namespaced_with(world.client.clone(), namespace, &resource)
}

/// Processor time that the windlass that runs has taken, in seconds, without renderers that still run.
pub fn cpu(world: &World) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", world.pid().unwrap())).unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    // utime and stime, and those of renderers that ended, in hundredths of a second.
    fields[11..15]
        .iter()
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        / 100.0
}

/// Resident memory of the windlass that runs, in MiB.
pub fn resident(world: &World) -> f64 {
    windlass::judged_by::resident(world.pid().unwrap()).unwrap() as f64 / f64::from(1 << 20)
}
