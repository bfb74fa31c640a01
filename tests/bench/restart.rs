//! `restart_100_apps_50_pulls`: a start with an empty cache, with everything to do.

use std::time::{Duration, Instant};

use crate::measures::{cpu, synced, wait};
use crate::results::Results;
use crate::support::{Setup, World};
use crate::{EVERYTHING, deployment};

const APPLICATIONS: usize = 100;
const PULLS: usize = 50;

fn kustomization(namespace: &str, tag: &str) -> String {
    format!(
        "namespace: {namespace}\nresources: [all.yaml]\nimages: [{{name: web, newTag: \"{tag}\"}}]\n"
    )
}

fn path(application: usize) -> String {
    format!("apps/app-{application:03}/staging/kustomization.yaml")
}

/// 100 applications are synced, 50 pull requests are open and previewed. windlass is killed and its
/// cache deleted; meanwhile all 50 heads and `main` get a commit. The time is from its start until
/// the commit on `main` is synced and healthy and all 50 heads are previewed.
pub async fn restart(results: &mut Results) {
    let world = World::asleep(Setup {
        direct: true,
        projects: Some(EVERYTHING.to_owned()),
        ..Setup::default()
    })
    .await;
    let many = world.namespace("restart");
    world.kubectl(&["create", "namespace", &many]);
    let catalog = world.file("windlass.yaml").replace(
        &format!("namespace: \"{}{{application}}-{{stage}}\"", world.prefix),
        &format!("namespace: {many}"),
    );
    let mut files = vec![("windlass.yaml".to_string(), catalog)];
    for n in 0..APPLICATIONS {
        files.push((path(n), kustomization(&many, "1")));
        files.push((
            format!("apps/app-{n:03}/staging/all.yaml"),
            format!(
                "{}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: app-{n:03}}}\ndata: {{a: \"1\"}}\n",
                deployment(&format!("app-{n:03}"), "web", 0)
            ),
        ));
    }
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let commit = world.commit("100 applications", &files);
    world.start();
    synced(&world, &commit).await;
    let mut pulls = Vec::new();
    for n in 0..PULLS {
        let text = kustomization(&many, "2");
        let branch = format!("bump-{n:02}");
        pulls.push(world.propose("bob", &branch, &[(&path(n), Some(&text))]));
    }
    for number in &pulls {
        world.previewed(*number).await;
    }
    world.quiet().await;
    world.kill();
    std::fs::remove_dir_all(world.cache()).unwrap();
    for n in 0..PULLS {
        let text = kustomization(&many, "3");
        world
            .forge
            .push(
                "acme/config",
                &format!("bump-{n:02}"),
                "bob",
                "once more",
                &[(&path(n), Some(&text))],
            )
            .unwrap();
    }
    let last = kustomization(&many, "4");
    let commit = world.commit("another", &[(&path(APPLICATIONS - 1), Some(&last))]);
    let started = Instant::now();
    world.start();
    wait(Duration::from_secs(120), async || {
        world
            .status(&commit, "windlass/sync")
            .is_some_and(|(state, _)| state == "success")
    })
    .await;
    let sync = started.elapsed().as_secs_f64();
    for number in &pulls {
        world.previewed(*number).await;
    }
    let all = started.elapsed().as_secs_f64();
    results.note("restart_first_sync", sync, "s");
    results.note("restart_cpu", cpu(&world), "s of CPU");
    results.add("restart_100_apps_50_pulls", all, "s", "< 10 s", all < 10.0);
}
