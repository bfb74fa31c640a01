//! Stop anywhere and run again: same end state.
//!
//! One story goes through all five paths. It is told once undisturbed, which
//! counts windlass's writes, to the forge and to the cluster. Then it is told
//! again for the writes: windlass is killed at the nth, once with the answer
//! received and the next write not made, once with the write made and its
//! answer lost; it is started again and the story goes on. The end state, all
//! that the forge and the cluster hold, must be the undisturbed one's.
//!
//! Of writes of one kind (the same request but for its numbers) the first two
//! and the last are taken; WINDLASS_CRASH_POINTS=all takes every one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http::Method;
use serde_json::{Value, json};
use windlass::sandbox::forge::WriteGate;
use windlass::sandbox::forge::git::git;

use crate::support::{Setup, World};

/// Worlds at the same time. They mostly wait: for rollouts, debounces and each other.
const AT_ONCE: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Received,
    Lost,
}

/// Counts writes; kills at one of them.
struct Gate {
    count: AtomicU64,
    at: Option<(u64, Answer)>,
    fired: AtomicBool,
    kill: Box<dyn Fn() + Send + Sync>,
    seen: Mutex<Vec<String>>,
}

impl Gate {
    fn fire(&self) {
        if !self.fired.swap(true, Ordering::SeqCst) {
            (self.kill)();
        }
    }
}

impl WriteGate for Gate {
    fn begin(&self, what: &str) -> Option<u64> {
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        self.seen.lock().unwrap().push(what.to_string());
        if self.at == Some((number - 1, Answer::Received)) && !self.fired.load(Ordering::SeqCst) {
            self.fire();
            return None;
        }
        Some(number)
    }

    fn end(&self, number: u64) -> bool {
        if self.at == Some((number, Answer::Lost)) && !self.fired.load(Ordering::SeqCst) {
            self.fire();
            return false;
        }
        true
    }
}

/// All five paths. Everything in it is done again or waited for until it is there, as people and CI do.
async fn story(world: &World) {
    world.settled().await;
    let (staging, production) = world.up_to_review("1.1.0").await;
    let asked = world.comment("bob", production, "/sync");
    let marker = format!("<!-- windlass:reply {asked} -->");
    world
        .until("the answer", async || {
            world
                .comments(production)
                .iter()
                .any(|c| c["body"].as_str().unwrap().starts_with(&marker))
                .then_some(())
        })
        .await;
    world.approve("bob", production);
    let commit = world.merged(production).await;
    world.sync_status(&commit, "success").await;

    // A person's change: one object goes, another changes.
    let overlay = "apps/shop/staging/kustomization.yaml";
    let without = world.file(overlay).replace("  - secret.yaml\n", "");
    let config = world
        .file("apps/shop/staging/config.yaml")
        .replace("hello", "goodbye");
    let commit = world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "Less",
            &[
                (overlay, Some(&without)),
                ("apps/shop/staging/secret.yaml", None),
                ("apps/shop/staging/config.yaml", Some(&config)),
            ],
        )
        .unwrap();
    // A Secret goes with somebody's word.
    let status = async || world.application("shop.staging").await["status"].clone();
    let confirm = world
        .until("the deletion asks", async || {
            status().await["confirm"].as_str().map(str::to_string)
        })
        .await;
    let confirm = format!("windlass.dev/confirm-prune={confirm}");
    world.kubectl(&[
        "-n",
        &world.home(),
        "annotate",
        "--overwrite",
        "applications.windlass.dev/shop.staging",
        &confirm,
    ]);
    world.sync_status(&commit, "success").await;
    world.kubectl(&[
        "-n",
        &world.namespace("shop-production"),
        "patch",
        "configmap/shop",
        "--type=merge",
        "-p",
        r#"{"data":{"greeting":"hacked"}}"#,
    ]);
    world
        .until("the edit is reverted", async || {
            (world.config_map("production", "shop").await?["data"]["greeting"] == "hello")
                .then_some(())
        })
        .await;
    world
        .until("everything rests", async || {
            let promotions = world
                .list(
                    "windlass.dev/v1alpha1",
                    "Promotion",
                    "promotions",
                    &world.home(),
                )
                .await;
            let merged = promotions.len() == 2
                && promotions
                    .iter()
                    .all(|promotion| promotion["status"]["state"] == "Merged");
            let told = [staging, production].iter().all(|number| {
                world.comments(*number)[0]["body"]
                    .as_str()
                    .is_some_and(|body| body.contains("Synced, healthy"))
            });
            let branches = git(
                &world.forge.repository_path("acme", "config"),
                &["for-each-ref", "refs/heads"],
            )
            .unwrap_or_default();
            (merged && told && branches.lines().count() == 1).then_some(())
        })
        .await;
    world.settled().await;
    // Here too it may be killed, and is started again: what it still had to say is said.
    world.quiet().await;
}

/// Everything that the forge and the cluster hold, less what may differ: times, commits and ids (scrubbed), how often a
/// status was posted on the way to its last state, the order of unrelated comments, resource versions and generations.
async fn end_state(world: &World) -> String {
    let mut out = String::new();
    let path = world.forge.repository_path("acme", "config");
    // Commits of one second come in no order of their own.
    out.push_str(&git(&path, &["log", "--topo-order", "--format=%an: %s", "main"]).unwrap());
    out.push_str(&format!(
        "\ntree {}\n",
        git(&path, &["ls-tree", "-r", "main"]).unwrap()
    ));
    out.push_str(
        &git(
            &path,
            &["for-each-ref", "--format=%(refname)", "refs/heads"],
        )
        .unwrap(),
    );
    for number in 1..=world.read("pulls?state=all").as_array().unwrap().len() as u64 {
        out.push_str(&format!("\n\n#{number} {}", world.conversation(number)));
        let pull = world.read(&format!("pulls/{number}"));
        for commit in [&pull["head"]["sha"], &pull["merge_commit_sha"]] {
            let commit = commit.as_str().unwrap_or_default();
            let status = world.read(&format!("commits/{commit}/status"));
            for status in status["statuses"].as_array().into_iter().flatten() {
                out.push_str(&format!(
                    "\n{} {} {}",
                    status["context"], status["state"], status["description"]
                ));
            }
            let checks = world.as_user(
                "ada",
                Method::GET,
                &format!("commits/{commit}/check-runs?filter=all"),
                Value::Null,
            );
            for check in checks["check_runs"].as_array().into_iter().flatten() {
                out.push_str(&format!(
                    "\n{} {} {}",
                    check["name"], check["conclusion"], check["output"]["title"]
                ));
            }
        }
    }
    for stage in ["staging", "production"] {
        let namespace = world.namespace(&format!("shop-{stage}"));
        for (version, kind, plural) in [
            ("apps/v1", "Deployment", "deployments"),
            ("v1", "Service", "services"),
            ("v1", "ConfigMap", "configmaps"),
            ("v1", "Secret", "secrets"),
        ] {
            let mut objects = world.list(version, kind, plural, &namespace).await;
            objects.retain(|object| object["metadata"]["name"] != "kube-root-ca.crt");
            for object in &mut objects {
                object.as_object_mut().unwrap().remove("status");
                let metadata = object["metadata"].as_object_mut().unwrap();
                for field in [
                    "uid",
                    "resourceVersion",
                    "creationTimestamp",
                    "generation",
                    "managedFields",
                ] {
                    metadata.remove(field);
                }
                metadata
                    .get_mut("annotations")
                    .and_then(Value::as_object_mut)
                    .map(|a| a.remove("deployment.kubernetes.io/revision"));
                for address in ["clusterIP", "clusterIPs"] {
                    object["spec"]
                        .as_object_mut()
                        .map(|spec| spec.remove(address));
                }
            }
            out.push_str(&format!(
                "\n{kind}: {}",
                serde_json::to_string_pretty(&objects).unwrap()
            ));
        }
    }
    for object in world.applications().await {
        let status = &object["status"];
        let mut inventory = status["inventory"].clone();
        for entry in inventory.as_array_mut().into_iter().flatten() {
            let line = entry.as_str().unwrap();
            assert!(line.contains(" uid="), "{line} has no uid");
            *entry = line
                .split(' ')
                .filter(|word| !word.starts_with("uid="))
                .collect::<Vec<_>>()
                .join(" ")
                .into();
        }
        out.push_str(&format!(
            "\n{} {} {} {} {}",
            object["metadata"]["name"],
            status["sync"],
            status["health"],
            status["message"],
            inventory
        ));
    }
    let mut promotions = world
        .list(
            "windlass.dev/v1alpha1",
            "Promotion",
            "promotions",
            &world.home(),
        )
        .await;
    promotions.sort_by_key(|promotion| promotion["metadata"]["name"].to_string());
    for promotion in promotions {
        let (spec, status) = (&promotion["spec"], &promotion["status"]);
        out.push_str(&format!(
            "\n{} {} {} {}",
            promotion["metadata"]["name"],
            json!(spec["candidates"]),
            status["state"],
            status["pullRequest"]
        ));
    }
    // The owner label is made from the repository's id, which differs from forge to forge.
    let owner = world.forge.state().by_full_name("acme/config").unwrap().id;
    let mut text = world.scrub(&out);
    for stage in ["staging", "production"] {
        let key = windlass::judged_by::ApplicationKey {
            repo: "acme/config".parse().unwrap(),
            application: "shop".parse().unwrap(),
            stage: stage.parse().unwrap(),
        };
        text = text.replace(&key.owner_label(owner), "(owner)");
    }
    text
}

/// Tells the story with windlass killed at one write; the end state and the writes.
async fn told(at: Option<(u64, Answer)>) -> (String, Vec<String>) {
    let world = World::asleep(Setup::default()).await;
    let gate = Arc::new(Gate {
        count: AtomicU64::new(0),
        at,
        fired: AtomicBool::new(false),
        kill: Box::new(world.killer()),
        seen: Mutex::default(),
    });
    world.gate(gate.clone());
    world.start();
    let keep = async {
        let mut interval = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            interval.tick().await;
            if !world.is_running() {
                world.start();
            }
        }
    };
    tokio::select! {
        () = story(&world) => {}
        () = keep => {}
    }
    let seen = gate.seen.lock().unwrap().clone();
    (end_state(&world).await, seen)
}

/// The numbers of the first two and of the last write of each kind.
fn sample(writes: &[String]) -> BTreeSet<u64> {
    let mut kinds: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (number, write) in (1..).zip(writes) {
        // Ids, commits and stages are what tells two writes of a kind apart.
        let words = write.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let kind = words.filter(|word| {
            !word.bytes().any(|b| b.is_ascii_digit())
                && !word.contains("staging")
                && !word.contains("production")
        });
        kinds
            .entry(kind.collect::<Vec<_>>().join(" "))
            .or_default()
            .push(number);
    }
    kinds
        .values()
        .flat_map(|all| all.iter().take(2).chain(all.last()))
        .copied()
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_at_any_write_the_end_is_the_same() {
    let started = Instant::now();
    let (undisturbed, writes) = told(None).await;
    let total = writes.len() as u64;
    assert!(
        total > 30,
        "the story has only {total} writes:\n{}",
        writes.join("\n")
    );
    let _ = std::fs::write(
        concat!(env!("CARGO_TARGET_TMPDIR"), "/writes.txt"),
        writes.join("\n"),
    );
    let points: Vec<_> = (1..=total)
        .flat_map(|n| [(n, Answer::Received), (n, Answer::Lost)])
        .collect();
    // To look into one point: WINDLASS_CRASH_POINTS=71,72
    let only = std::env::var("WINDLASS_CRASH_POINTS").ok();
    let sampled = sample(&writes);
    let wanted = |n: u64| match only.as_deref() {
        None => sampled.contains(&n),
        Some("all") => true,
        Some(only) => only.split(',').any(|one| one == n.to_string()),
    };
    let points: Vec<_> = points.into_iter().filter(|(n, _)| wanted(*n)).collect();
    let next = Arc::new(Mutex::new(points.clone().into_iter()));
    let (undisturbed, failures) = (Arc::new(undisturbed), Arc::new(Mutex::new(Vec::new())));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (next, undisturbed, failures) =
                (next.clone(), undisturbed.clone(), failures.clone());
            // A thread and a runtime each: a story blocks now and then, on git and kubectl.
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()
                    .unwrap();
                loop {
                    let Some(point) = next.lock().unwrap().next() else {
                        return;
                    };
                    let (end, seen) = runtime.block_on(told(Some(point)));
                    if end != *undisturbed {
                        let what = seen.get(point.0 as usize - 1).cloned().unwrap_or_default();
                        let diff: Vec<_> =
                            similar::TextDiff::from_lines(undisturbed.as_str(), &end)
                                .iter_all_changes()
                                .filter(|change| change.tag() != similar::ChangeTag::Equal)
                                .map(|change| format!("{}{}", change.tag(), change.value()))
                                .collect();
                        failures.lock().unwrap().push(format!(
                            "killed at write {} ({what}), answer {:?}:\n{}",
                            point.0,
                            point.1,
                            diff.concat()
                        ));
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("every story comes to its end");
    }
    let summary = format!(
        "crash points: {} (of {total} writes, each with its answer received and lost), {} s",
        points.len(),
        started.elapsed().as_secs()
    );
    let _ = std::fs::write(
        concat!(env!("CARGO_TARGET_TMPDIR"), "/crash.txt"),
        format!("{summary}\n"),
    );
    let failures = failures.lock().unwrap();
    assert!(
        failures.is_empty(),
        "{summary}\n{} differ:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}
