//! `restart_100_apps_50_pulls`: a start with an empty cache, with everything to do.

use std::time::{Duration, Instant};

use crate::measures::{cpu, in_one_namespace, synced, wait};
use crate::results::Results;
use crate::support::{Setup, World};
use crate::{EVERYTHING, deployment};

const APPLICATIONS: usize = 100;
const PULLS: usize = 50;

/// GitHub's limits for writes make the first previews slow.
const PATIENCE: Duration = Duration::from_secs(900);

fn kustomization(namespace: &str, tag: &str) -> String {
    format!(
        "namespace: {namespace}\nresources: [all.yaml]\nimages: [{{name: web, newTag: \"{tag}\"}}]\n"
    )
}

fn path(application: usize) -> String {
    format!("apps/app-{application:03}/staging/kustomization.yaml")
}

/// 100 applications are synced, 50 pull requests are open. windlass is killed and its cache deleted;
/// meanwhile `main` gets a commit, and somebody opens one more pull request. The time is from its
/// start until the commit is synced and healthy and the pull request has its preview. The open ones
/// have theirs already: GitHub would not take 50 comments in that time.
pub async fn restart(results: &mut Results) {
    let world = World::asleep(Setup {
        direct: true,
        projects: Some(EVERYTHING.to_owned()),
        ..Setup::default()
    })
    .await;
    let many = world.namespace("restart");
    let catalog = in_one_namespace(&world, &many);
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
        wait(PATIENCE, async || !world.comments(*number).is_empty()).await;
    }
    world.quiet().await;
    world.kill();
    std::fs::remove_dir_all(world.cache()).unwrap();
    let text = kustomization(&many, "3");
    let number = world.propose("bob", "one-more", &[(&path(PULLS), Some(&text))]);
    let last = kustomization(&many, "4");
    let commit = world.commit("another", &[(&path(APPLICATIONS - 1), Some(&last))]);
    let started = Instant::now();
    world.start();
    let synced = async {
        crate::measures::synced(&world, &commit).await;
        started.elapsed().as_secs_f64()
    };
    let previewed = async {
        wait(PATIENCE, async || !world.comments(number).is_empty()).await;
        started.elapsed().as_secs_f64()
    };
    let (sync, preview) = tokio::join!(synced, previewed);
    results.note("restart_first_sync", sync, "s");
    results.note("restart_first_preview", preview, "s");
    results.note("restart_cpu", cpu(&world), "s of CPU");
    let all = sync.max(preview);
    results.add("restart_100_apps_50_pulls", all, "s", "< 10 s", all < 10.0);
}
