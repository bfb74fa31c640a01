//! `plan_50_of_500` and `plan_500_of_500`: previews beside `kubectl diff`.

use std::process::Command;
use std::time::Instant;

use serde_json::json;

use crate::deployment;
use crate::measures::{cpu, median, previews, synced};
use crate::results::Results;
use crate::support::{Setup, World, plane};

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
    for (changed, name, goal) in [
        (50, "plan_50_of_500", 10.0),
        (OBJECTS, "plan_500_of_500", 4.0),
    ] {
        let text = file(changed);
        let (mut ours, mut theirs, mut own) = (Vec::new(), Vec::new(), Vec::new());
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
        }
        let (ours, theirs) = (median(&mut ours), median(&mut theirs));
        results.note(&format!("{name}_windlass"), ours, "s");
        results.note(&format!("{name}_kubectl"), theirs, "s");
        // From the webhook to the check run, the comment's text included.
        results.note(
            &format!("{name}_windlass_cpu"),
            median(&mut own),
            "s of CPU",
        );
        results.add(
            name,
            theirs / ours,
            "times faster",
            &format!("≥ {goal}"),
            theirs / ours >= goal,
        );
    }
}
