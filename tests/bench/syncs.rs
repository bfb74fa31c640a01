//! `sync_200x4`, `idle_requests` and `preview_p50`: 200 applications beside a bare loop.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use windlass::judged_by::Live;

use crate::measures::{
    cpu, deployments, in_one_namespace, median, quantile, requests, synced, wait,
};
use crate::results::Results;
use crate::support::{Setup, World};
use crate::{EVERYTHING, deployment};

/// Requests in flight of the bare loop that is the floor.
const FLOOR_IN_FLIGHT: usize = 16;

const APPLICATIONS: usize = 200;

const BETWEEN_PREVIEWS: Duration = Duration::from_secs(5);

/// The files of 200 kustomize applications × (Deployment, Service, ConfigMap, ServiceAccount).
fn applications(world: &World, image: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for n in 0..APPLICATIONS {
        let name = format!("app-{n:03}");
        let folder = format!("apps/{name}/staging");
        files.push((
            format!("{folder}/kustomization.yaml"),
            format!(
                "namespace: {}\nresources: [deployment.yaml, rest.yaml]\nimages:\n  - name: web\n    newTag: \"{image}\"\n",
                world.namespace("many")
            ),
        ));
        files.push((
            format!("{folder}/deployment.yaml"),
            deployment(&name, "web", 1),
        ));
        files.push((
            format!("{folder}/rest.yaml"),
            format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: \"1\"}}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}}}\n"),
        ));
    }
    files
}

/// `sync_200x4`, then with the same 200 applications `idle_requests` and `preview_p50`.
pub async fn syncs(results: &mut Results, idle: bool, preview: bool) {
    let world = World::asleep(Setup {
        direct: true,
        projects: Some(EVERYTHING.to_owned()),
        ..Setup::default()
    })
    .await;
    let many = world.namespace("many");
    // All of them go into one namespace that is there already: the floor's patches are the same.
    let catalog = in_one_namespace(&world, &many);
    let push = |message: &str, files: &[(String, String)]| {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        world.commit(message, &files)
    };
    let shop: Vec<_> = ["staging", "production"]
        .iter()
        .flat_map(|stage| {
            ["kustomization", "namespace", "config", "secret"]
                .map(|file| format!("apps/shop/{stage}/{file}.yaml"))
        })
        .collect();
    let gone: Vec<_> = shop.iter().map(|path| (path.as_str(), None)).collect();
    world.commit("No shop", &gone);
    let mut files = applications(&world, "1");
    files.push(("windlass.yaml".into(), catalog));
    world.start();
    let started = Instant::now();
    let commit = push("200 applications", &files);
    synced(&world, &commit).await;
    results.note(
        "create_200x4_windlass",
        started.elapsed().as_secs_f64(),
        "s",
    );
    let (mut times, mut spent) = (Vec::new(), Vec::new());
    for image in ["2", "3", "4"] {
        let before = cpu(&world);
        let files: Vec<_> = applications(&world, image)
            .into_iter()
            .filter(|(path, _)| path.ends_with("kustomization.yaml"))
            .collect();
        let commit = push(&format!("image {image}"), &files);
        let started = Instant::now();
        synced(&world, &commit).await;
        times.push(started.elapsed().as_secs_f64());
        spent.push(cpu(&world) - before);
    }
    let ours = median(&mut times);
    results.note("sync_200x4_windlass", ours, "s");
    results.note("sync_200x4_windlass_cpu", median(&mut spent), "s of CPU");
    if idle {
        // Counted where windlass counts its requests; tests/it/idle.rs counts the same at the wire.
        world.quiet().await;
        let before = requests(&world).await;
        let asked_of_forge = world.forge.state().requests;
        tokio::time::sleep(Duration::from_secs(300)).await;
        let after = requests(&world).await;
        let leases = 300.0 / 5.0 * 2.0;
        let beyond = (after - before - leases).max(0.0)
            + (world.forge.state().requests - asked_of_forge) as f64;
        results.note(
            "idle_requests_with_leases",
            after - before,
            "requests in 5 min",
        );
        // Watches are opened anew now and then, which is what an open watch costs.
        results.add(
            "idle_requests",
            beyond,
            "requests in 5 min",
            "0 beyond open watches and the Lease",
            beyond <= 12.0,
        );
    }
    if preview {
        let mut times = Vec::new();
        for round in 0..20 {
            let path = format!("apps/app-{round:03}/staging/kustomization.yaml");
            let text = applications(&world, "9")
                .into_iter()
                .find(|(known, _)| *known == path)
                .unwrap()
                .1;
            let branch = format!("preview-{round}");
            world
                .forge
                .push(
                    "acme/config",
                    &branch,
                    "bob",
                    &branch,
                    &[(&path, Some(&text))],
                )
                .unwrap();
            let started = Instant::now();
            let pull = world.as_user(
                "bob",
                http::Method::POST,
                "pulls",
                json!({"title": branch, "head": branch, "base": "main"}),
            );
            let number = pull["number"].as_u64().unwrap();
            wait(Duration::from_secs(60), async || {
                !world.comments(number).is_empty()
            })
            .await;
            times.push(started.elapsed().as_secs_f64());
            // GitHub takes so many writes a minute, which is not what is measured.
            tokio::time::sleep(BETWEEN_PREVIEWS).await;
        }
        let (p50, p95) = (median(&mut times), quantile(&mut times, 0.95));
        results.add("preview_p95", p95, "s", "< 0.8 s", p95 < 0.8);
        results.add("preview_p50", p50, "s", "< 0.4 s", p50 < 0.4);
    }
    // The floor: one bare loop with the same patches, then waiting for the same rollouts.
    world.kill();
    let mut times = Vec::new();
    for image in ["5", "6", "7"] {
        times.push(floor(&world, &many, image).await);
    }
    let floor = median(&mut times);
    results.note("sync_200x4_floor", floor, "s");
    results.add(
        "sync_200x4",
        ours / floor,
        "× the floor",
        "≤ 1.3",
        ours / floor <= 1.3,
    );
}

async fn floor(world: &World, namespace: &str, image: &str) -> f64 {
    let api = deployments(world, namespace);
    let started = Instant::now();
    let patches = (0..APPLICATIONS).map(|n| {
        let (api, name) = (api.clone(), format!("app-{n:03}"));
        async move {
            let wanted: Value = serde_json::to_value(
                windlass::judged_by::yaml::documents(&deployment(
                    &name,
                    &format!("web:{image}"),
                    1,
                ))
                .unwrap()
                .remove(0),
            )
            .unwrap();
            api.patch(
                &name,
                &PatchParams::apply("floor").force(),
                &Patch::Apply(&wanted),
            )
            .await
            .unwrap();
        }
    });
    futures::stream::iter(patches)
        .buffer_unordered(FLOOR_IN_FLIGHT)
        .collect::<Vec<_>>()
        .await;
    // As cheap as waiting can be: one watch.
    let mut healthy = BTreeSet::new();
    let mut events = std::pin::pin!(kube::runtime::watcher(
        api,
        kube::runtime::watcher::Config::default()
    ));
    while healthy.len() < APPLICATIONS {
        use kube::runtime::watcher::Event::{Apply, InitApply};
        let Some(Ok(Apply(object) | InitApply(object))) = events.next().await else {
            continue;
        };
        let (name, mut value) = (
            object.metadata.name.clone().unwrap(),
            serde_json::to_value(&object).unwrap(),
        );
        value["kind"] = "Deployment".into();
        let new =
            value["spec"]["template"]["spec"]["containers"][0]["image"] == format!("web:{image}");
        if new
            && windlass::judged_by::health::assess(&Live::new(value)).0
                == windlass::judged_by::health::Health::Healthy
        {
            healthy.insert(name);
        }
    }
    started.elapsed().as_secs_f64()
}
