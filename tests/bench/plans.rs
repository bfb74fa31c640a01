//! `plan_50_of_500` and `plan_500_of_500`: previews beside `kubectl diff` and bare dry-runs.

use std::process::Command;
use std::time::Instant;

use futures::StreamExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::deployment;
use crate::measures::{cpu, deployments, median, previews, synced};
use crate::results::Results;
use crate::support::{Setup, World, plane};

/// Requests of the bare loop in flight.
const IN_FLIGHT: usize = 32;

/// `plan_50_of_500` and `plan_500_of_500`.
pub async fn plans(results: &mut Results) {
    const OBJECTS: usize = 500;
    let world = World::asleep(Setup {
        direct: true,
        ..Setup::default()
    })
    .await;
    let namespace = world.namespace("lab-staging");
    let file = |changed: usize| -> String {
        (0..OBJECTS)
            .map(|n| {
                format!(
                    "---\n{}",
                    deployment(
                        &format!("web-{n:03}"),
                        if n < changed { "web:2" } else { "web:1" },
                        0
                    )
                )
            })
            .collect()
    };
    let first = file(0);
    let space = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
    let files = [
        ("apps/lab/staging/all.yaml", Some(first.as_str())),
        ("apps/lab/staging/namespace.yaml", Some(space.as_str())),
    ];
    let commit = world.commit("500 objects", &files);
    world.start();
    synced(&world, &commit).await;
    for (changed, name) in [(50, "plan_50_of_500"), (OBJECTS, "plan_500_of_500")] {
        let text = file(changed);
        let (mut ours, mut theirs, mut own) = (Vec::new(), Vec::new(), Vec::new());
        let mut floors = Vec::new();
        for round in 0..5 {
            let (before, count) = previews(&world).await;
            let spent = cpu(&world);
            let branch = format!("bench-{changed}-{round}");
            let number = world.propose(
                "bob",
                &branch,
                &[
                    ("apps/lab/staging/all.yaml", Some(&text)),
                    ("ROUND", Some(&branch)),
                ],
            );
            world.previewed(number).await;
            let (after, now) = previews(&world).await;
            assert!(now > count);
            ours.push((after - before) / (now - count) as f64);
            own.push(cpu(&world) - spent);
            world.as_user(
                "bob",
                http::Method::PATCH,
                &format!("pulls/{number}"),
                json!({"state": "closed"}),
            );
            let local = std::env::temp_dir().join(format!("{}diff.yaml", world.prefix));
            std::fs::write(&local, &text).unwrap();
            let started = Instant::now();
            let _ = Command::new(plane().tools().program("kubectl").unwrap())
                .args([
                    "--kubeconfig",
                    plane().kubeconfig().to_str().unwrap(),
                    "-n",
                    &namespace,
                    "diff",
                    "--server-side",
                    "--force-conflicts",
                ])
                .args([
                    "--field-manager",
                    "windlass/lab/staging",
                    "-f",
                    local.to_str().unwrap(),
                ])
                .output()
                .unwrap();
            theirs.push(started.elapsed().as_secs_f64());
            floors.push(bare(&world, &namespace, &text).await);
        }
        let (ours, theirs, floor) = (median(&mut ours), median(&mut theirs), median(&mut floors));
        results.note(&format!("{name}_windlass"), ours, "s");
        results.note(&format!("{name}_kubectl"), theirs, "s");
        results.note(&format!("{name}_bare"), floor, "s");
        // From the webhook to the check run, the comment's text included.
        results.note(
            &format!("{name}_windlass_cpu"),
            median(&mut own),
            "s of CPU",
        );
        let times = theirs / ours;
        match changed {
            OBJECTS => {
                results.note(&format!("{name}_times_kubectl"), times, "times faster");
                let beside = ours / floor;
                results.add(name, beside, "× bare dry-runs", "≤ 1.15", beside <= 1.15);
            }
            _ => results.add(name, times, "times faster", "≥ 20", times >= 20.0),
        }
    }
}

/// Seconds that dry-runs of all objects take, and nothing else.
async fn bare(world: &World, namespace: &str, text: &str) -> f64 {
    let api = deployments(world, namespace);
    let objects = windlass::judged_by::yaml::documents(text).unwrap();
    let parameters = PatchParams {
        dry_run: true,
        ..PatchParams::apply("windlass/lab/staging").force()
    };
    let started = Instant::now();
    let requests = objects.iter().map(|object| {
        let (api, parameters) = (api.clone(), parameters.clone());
        async move {
            let name = object["metadata"]["name"].as_str().unwrap();
            let patch = Patch::Apply(object);
            api.patch(name, &parameters, &patch).await.unwrap();
        }
    });
    futures::stream::iter(requests)
        .buffer_unordered(IN_FLIGHT)
        .collect::<Vec<_>>()
        .await;
    started.elapsed().as_secs_f64()
}
