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
mod looks;
#[path = "../it/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use support::{Setup, World, plane};

/// Requests in flight of the bare loop that is the floor.
const FLOOR_IN_FLIGHT: usize = 16;

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
        if wanted("plan") {
            plans(&mut results).await;
        }
        if wanted("sync") || wanted("idle") || wanted("preview") {
            syncs(&mut results, wanted("idle"), wanted("preview")).await;
        }
        if wanted("drift") {
            drift(&mut results).await;
        }
        if wanted("corpus") {
            corpus::corpus(&mut results).await;
        }
        if wanted("memory") {
            memory(&mut results).await;
        }
        if only.iter().any(|one| one == "looks") {
            looks::looks().await;
        }
    });
    results.print();
}

struct Results {
    lines: Vec<(String, f64, &'static str, String, bool)>,
    file: std::fs::File,
}

impl Results {
    fn new() -> Self {
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .unwrap()
            .join("bench");
        std::fs::create_dir_all(&folder).unwrap();
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("results.jsonl"))
            .unwrap();
        Self {
            lines: vec![],
            file,
        }
    }

    fn add(&mut self, name: &str, value: f64, unit: &'static str, goal: &str, holds: bool) {
        let value = (value * 1000.0).round() / 1000.0;
        println!(
            "{name}: {value} {unit} (goal {goal}: {})",
            if holds { "holds" } else { "missed" }
        );
        writeln!(
            self.file,
            "{}",
            json!({"name": name, "value": value, "unit": unit, "goal": goal, "holds": holds})
        )
        .unwrap();
        self.lines
            .push((name.into(), value, unit, goal.into(), holds));
    }

    fn note(&mut self, name: &str, value: f64, unit: &'static str) {
        self.add(name, value, unit, "none, a raw number", true);
    }

    fn print(&self) {
        println!("\n| name | value | goal | |\n|---|---|---|---|");
        for (name, value, unit, goal, holds) in &self.lines {
            println!(
                "| {name} | {value} {unit} | {goal} | {} |",
                if *holds { "held" } else { "**missed**" }
            );
        }
    }
}

fn deployment(name: &str, image: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n        - name: app\n          image: {image}\n          ports: [{{containerPort: 8080, protocol: TCP}}]\n          env: [{{name: A, value: \"1\"}}, {{name: B, value: \"2\"}}]\n          resources: {{requests: {{cpu: 10m, memory: 16Mi}}}}\n"
    )
}

async fn metrics(world: &World) -> String {
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
async fn previews(world: &World) -> (f64, u64) {
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

async fn synced(world: &World, commit: &str) {
    wait(Duration::from_secs(900), async || {
        world
            .status(commit, "windlass/sync")
            .is_some_and(|(state, _)| state == "success")
    })
    .await;
}

async fn wait(most: Duration, done: impl AsyncFn() -> bool) {
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

/// `plan_50_of_500` and `plan_500_of_500`.
async fn plans(results: &mut Results) {
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
    let commit = world
        .forge
        .push("acme/config", "main", "ada", "500 objects", &files)
        .unwrap();
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

fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

fn quantile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * at).round() as usize]
}

const APPLICATIONS: usize = 200;

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

/// Settings that grant a bench all that it writes: namespaces, roles, custom resources.
const EVERYTHING: &str = "projects:\n  acme:\n    repositories: [acme/config]\n    otherNamespaces: ['*']\n    kinds: ['*']\n";

/// `sync_200x4`, then with the same 200 applications `idle_requests` and `preview_p50`.
async fn syncs(results: &mut Results, idle: bool, preview: bool) {
    let world = World::asleep(Setup {
        direct: true,
        projects: Some(EVERYTHING.to_owned()),
        ..Setup::default()
    })
    .await;
    let many = world.namespace("many");
    world.kubectl(&["create", "namespace", &many]);
    // All of them go into one namespace that is there already: the floor's patches are the same.
    let catalog = world.file("windlass.yaml").replace(
        &format!("namespace: \"{}{{application}}-{{stage}}\"", world.prefix),
        &format!("namespace: {many}"),
    );
    let push = |message: &str, files: &[(String, String)]| {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        world
            .forge
            .push("acme/config", "main", "ada", message, &files)
            .unwrap()
    };
    let shop: Vec<_> = ["staging", "production"]
        .iter()
        .flat_map(|stage| {
            ["kustomization", "namespace", "config", "secret"]
                .map(|file| format!("apps/shop/{stage}/{file}.yaml"))
        })
        .collect();
    let gone: Vec<_> = shop.iter().map(|path| (path.as_str(), None)).collect();
    world
        .forge
        .push("acme/config", "main", "ada", "No shop", &gone)
        .unwrap();
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
    results.note(
        "sync_200x4_windlass_cpu",
        median(&mut spent),
        "s of CPU, renderers included",
    );
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
        }
        let (p50, p95) = (median(&mut times), quantile(&mut times, 0.95));
        results.note("preview_p95", p95, "s");
        results.add("preview_p50", p50, "s", "< 3 s", p50 < 3.0);
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

/// Requests that windlass made to the API server, as it counts them.
async fn requests(world: &World) -> f64 {
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

async fn floor(world: &World, namespace: &str, image: &str) -> f64 {
    let resource = ApiResource {
        group: "apps".into(),
        version: "v1".into(),
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        plural: "deployments".into(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), namespace, &resource);
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
            && windlass::judged_by::health::assess(&value).0
                == windlass::judged_by::health::Health::Healthy
        {
            healthy.insert(name);
        }
    }
    started.elapsed().as_secs_f64()
}

/// `drift_p50`: a hand edit until it is reverted, 100 times.
async fn drift(results: &mut Results) {
    // Each object is edited five times: one more within the minute would be a fight.
    const OBJECTS: usize = 20;
    let world = World::with(Setup {
        direct: true,
        ..Setup::default()
    })
    .await;
    let namespace = world.namespace("lab-staging");
    let objects: String = (0..OBJECTS)
        .map(|n| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n}}}\ndata: {{greeting: hello}}\n"))
        .collect();
    let text =
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n{objects}");
    let commit = world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "Objects",
            &[("apps/lab/staging/all.yaml", Some(&text))],
        )
        .unwrap();
    synced(&world, &commit).await;
    let resource = ApiResource {
        group: String::new(),
        version: "v1".into(),
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        plural: "configmaps".into(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &namespace, &resource);
    let mut times = Vec::new();
    for round in 0..100 {
        let name = format!("c{}", round % OBJECTS);
        let edit = json!({"data": {"greeting": format!("by hand {round}")}});
        let parameters = PatchParams {
            field_manager: Some("kubectl-edit".into()),
            ..PatchParams::default()
        };
        api.patch(&name, &parameters, &Patch::Merge(&edit))
            .await
            .unwrap();
        let started = Instant::now();
        while api.get(&name).await.unwrap().data["data"]["greeting"] != "hello" {
            assert!(started.elapsed() < Duration::from_secs(30));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.push(started.elapsed().as_secs_f64());
    }
    let (p50, p99) = (median(&mut times), quantile(&mut times, 0.99));
    results.note("drift_p99", p99, "s");
    results.add("drift_p50", p50, "s", "< 1 s", p50 < 1.0);
}

/// `memory_10k`: what 10,000 managed objects cost.
async fn memory(results: &mut Results) {
    const OBJECTS: usize = 10_000;
    const APPLICATIONS: usize = 20;
    let world = World::with(Setup {
        direct: true,
        ..Setup::default()
    })
    .await;
    let idle = resident(&world);
    let mut files = Vec::new();
    for application in 0..APPLICATIONS {
        let name = format!("lab{application}");
        let namespace = world.namespace(&format!("{name}-staging"));
        let objects: String = (0..OBJECTS / APPLICATIONS)
            .map(|n| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n:04}}}\ndata: {{a: \"{n}\", b: some text that is a little longer}}\n"))
            .collect();
        files.push((
            format!("apps/{name}/staging/all.yaml"),
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n{objects}"),
        ));
    }
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let commit = world
        .forge
        .push("acme/config", "main", "ada", "10,000 objects", &files)
        .unwrap();
    synced(&world, &commit).await;
    results.note("memory_10k_after_sync", resident(&world) - idle, "MiB");
    // As after any restart.
    world.kill();
    world.start();
    wait(Duration::from_secs(60), async || world.is_running()).await;
    world.quiet().await;
    let above = resident(&world) - idle;
    results.add("memory_10k", above, "MiB", "< 64 MiB", above < 64.0);
}

/// Processor time that the windlass that runs has taken, in seconds.
fn cpu(world: &World) -> f64 {
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
fn resident(world: &World) -> f64 {
    windlass::judged_by::resident(world.pid().unwrap()).unwrap() as f64 / f64::from(1 << 20)
}
