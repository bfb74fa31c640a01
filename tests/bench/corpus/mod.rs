//! Two hundred generated applications, changed at random, previewed, merged
//! and synced: what the previews predicted against what came of it.
//!
//! Predicted is what `windlass plan --output json` says before the merge. After
//! the sync every object that was predicted to change, and every one that did
//! change, is held against it: the whole object, less status and what the
//! server keeps for itself. Each trap class is drawn in turn, so that all come
//! up often; how often is printed.
//!
//! - `application`: what is generated and changed; `others`: what others do meanwhile
//! - `prediction`: what the plan says; `score`: what it is held against

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use windlass::judged_by::{Action, Change};

mod application;
mod others;
mod prediction;
mod score;

pub use application::Dice;
use application::{Application, CLASSES, Class};
use others::{Round, others, release, tools};
pub use prediction::predicted;
pub use score::{live, score};

use crate::measures::synced;
use crate::results::Results;
use crate::support::{Setup, World};

const APPLICATIONS: usize = 200;
const ROUNDS: usize = 4;

/// `prediction_corpus`: the share of objects that came out as the plan said.
pub async fn corpus(results: &mut Results) {
    // The corpus writes namespaces, roles and custom resources of its own: everything is granted.
    let world = World::asleep(Setup {
        direct: true,
        projects: Some(crate::EVERYTHING.to_owned()),
        ..Setup::default()
    })
    .await;
    let many = world.namespace("corpus");
    world.kubectl(&["create", "namespace", &many]);
    // What an administrator grants for kinds that deploy/rbac.yaml does not list.
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": format!("{}corpus", world.prefix), "labels": {"windlass.dev/aggregate-to-windlass": "true"}}, "rules": [
            {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings", "clusterroles"], "verbs": ["get", "list", "watch", "create", "patch", "delete", "escalate", "bind"]},
            {"apiGroups": [format!("{}corpus.example", world.prefix)], "resources": ["*"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}]});
    world.with_file(&["apply"], &role.to_string());
    tools(&world);
    let own = format!("namespace: \"{}{{application}}-{{stage}}\"", world.prefix);
    let catalog = world
        .file("windlass.yaml")
        .replace(&own, &format!("namespace: {many}"));
    let mut dice = Dice(1);
    let mut applications: Vec<_> = (0..APPLICATIONS)
        .map(|number| Application::new(number, &mut dice))
        .collect();
    let gone: Vec<String> = ["staging", "production"]
        .iter()
        .flat_map(|stage| {
            ["kustomization", "namespace", "config", "secret"]
                .map(|file| format!("apps/shop/{stage}/{file}.yaml"))
        })
        .collect();
    let files_of = |applications: &[Application]| {
        applications
            .iter()
            .flat_map(|one| one.files(&world.prefix))
            .collect::<BTreeMap<_, _>>()
    };
    let first = files_of(&applications);
    let mut files: Vec<(&str, Option<&str>)> = first
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    files.extend(gone.iter().map(|path| (path.as_str(), None)));
    files.push(("windlass.yaml", Some(&catalog)));
    world.start();
    let commit = world.commit("The corpus", &files);
    confirm(&world, &["shop/staging", "shop/production"]).await;
    synced(&world, &commit).await;
    world.quiet().await;
    let mut drawn: BTreeMap<Class, usize> = BTreeMap::new();
    let (mut held, mut missed, mut turn) = (0usize, Vec::new(), 0usize);
    for turned in 0..ROUNDS {
        let before = files_of(&applications);
        let mut round = Round::default();
        for (number, application) in applications.iter_mut().enumerate() {
            for _ in 0..1 + dice.roll(2) {
                let class = CLASSES[turn % CLASSES.len()];
                turn += 1;
                // A stateful one has no Deployment that somebody scales.
                let none = application.stateful
                    && matches!(
                        class,
                        Class::Autoscaler | Class::ScaledByOthers | Class::HorizontalPodAutoscaler
                    );
                if none || class == Class::HashedConfigThatFails && application.fails {
                    continue;
                }
                *drawn.entry(class).or_default() += 1;
                round.draw(class, number, application);
                application.change(class, &mut dice);
                round.drawn(class, application);
            }
        }
        others(&world, &many, &round);
        world.quiet().await;
        let after = files_of(&applications);
        let mut changes: Vec<_> = after
            .iter()
            .filter(|(path, text)| before.get(*path) != Some(text))
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        changes.extend(
            before
                .keys()
                .filter(|path| !after.contains_key(*path))
                .map(|path| (path.as_str(), None)),
        );
        let branch = format!("corpus-{turned}");
        let number = world.propose("bob", &branch, &changes);
        crate::measures::wait(std::time::Duration::from_secs(300), async || {
            !world.comments(number).is_empty()
        })
        .await;
        world.previewed(number).await;
        // A Job that cannot be changed is recreated by a word that names just this change.
        let mut allowed = Vec::new();
        for change in predicted(&world, "main", &branch)
            .iter()
            .filter(|change| change.key.kind == "Job")
        {
            let word = change.problem.as_ref().and_then(|problem| {
                Some(
                    problem
                        .split_once("windlass.dev/recreate: ")?
                        .1
                        .split('`')
                        .next()?
                        .to_string(),
                )
            });
            let application = applications
                .iter_mut()
                .find(|one| one.name == change.key.name);
            if let (Some(word), Some(application)) = (word, application) {
                application.permission = word;
                allowed.extend(
                    application
                        .files(&world.prefix)
                        .into_iter()
                        .filter(|(path, _)| path.ends_with("/job.yaml")),
                );
            }
        }
        let allowed: Vec<_> = allowed
            .iter()
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        if !allowed.is_empty() {
            world
                .forge
                .push(
                    "acme/config",
                    &branch,
                    "bob",
                    "These may be recreated",
                    &allowed,
                )
                .unwrap();
            let head = world.head(number);
            let looked = async || {
                world
                    .forge
                    .state()
                    .by_full_name("acme/config")
                    .is_some_and(|repo| repo.checks.iter().any(|one| one.sha == head))
            };
            crate::measures::wait(std::time::Duration::from_secs(300), looked).await;
            world.previewed(number).await;
        }
        let plan = predicted(&world, "main", &branch);
        let was = live(&world);
        world.approve("mia", number);
        let merged = world.as_user(
            "ada",
            http::Method::PUT,
            &format!("pulls/{number}/merge"),
            json!({}),
        );
        release(&world, &many, &round.held_back).await;
        let failing: BTreeSet<_> = round
            .failing
            .iter()
            .map(|(number, _)| format!("c{number:03}"))
            .collect();
        rested(&world, merged["sha"].as_str().unwrap(), &failing).await;
        let is = live(&world);
        round.score(&many, &is, &plan, &mut held, &mut missed);
        // Where pods fail nothing is deleted until that is mended.
        let of_failing = |change: &&Change| {
            change.action == Action::Prune
                && failing
                    .iter()
                    .any(|name| change.key.name.starts_with(name.as_str()))
        };
        let (later, now): (Vec<_>, Vec<_>) = plan.iter().partition(of_failing);
        score(&now, &was, &is, &mut held, &mut missed);
        for (number, _) in &round.failing {
            applications[*number].fails = false;
        }
        let mended = files_of(&applications);
        let mended: Vec<_> = mended
            .iter()
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        let commit = world.commit("Mended", &mended);
        synced(&world, &commit).await;
        world.quiet().await;
        let mended = live(&world);
        score(&later, &mended, &mended, &mut held, &mut missed);
        println!(
            "round {}: {} predicted, {held} held so far, {} missed",
            turned + 1,
            plan.len(),
            missed.len()
        );
    }
    let log = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus.log");
    std::fs::write(&log, missed.join("\n")).unwrap();
    for (class, times) in &drawn {
        println!("  {class:?}: {times} times");
    }
    let least = drawn.values().min().copied().unwrap_or(0);
    results.add(
        "prediction_corpus_least_drawn",
        least as f64,
        "times, the class drawn least",
        "≥ 20",
        drawn.len() == CLASSES.len() && least >= 20,
    );
    results.note(
        "prediction_corpus_objects",
        (held + missed.len()) as f64,
        "objects",
    );
    let share = 100.0 * held as f64 / ((held + missed.len()) as f64).max(1.0);
    results.add(
        "prediction_corpus",
        share,
        "% came out as predicted",
        "≥ 99.5 %",
        share >= 99.5,
    );
    println!("misses are in {}", log.display());
}

/// Waits until a commit came to its end: all that it changed is healthy, but for what fails.
async fn rested(world: &World, commit: &str, failing: &BTreeSet<String>) {
    if failing.is_empty() {
        synced(world, commit).await;
        return world.quiet().await;
    }
    let rests = |object: &Value| {
        let name = object["spec"]["application"].as_str().unwrap_or_default();
        let status = &object["status"];
        match failing.contains(name) {
            true => {
                status["health"] == "Degraded" && status["failures"].to_string().contains(commit)
            }
            false => status["sync"] == "Synced" && status["health"] == "Healthy",
        }
    };
    let ended = async || {
        let told = world.status(commit, "windlass/sync");
        told.is_some_and(|(is, _)| is == "failure") && world.applications().await.iter().all(rests)
    };
    crate::measures::wait(std::time::Duration::from_secs(600), ended).await;
}

/// Confirms the deletions of applications that left Git.
async fn confirm(world: &World, applications: &[&str]) {
    for title in applications {
        let name = title.replace('/', ".");
        let waits = async || {
            let at = "jsonpath={.status.confirm}";
            let object = ["applications.windlass.dev", &name, "--ignore-not-found"];
            !world
                .kubectl(&[&["-n", &world.home(), "get"], &object[..], &["-o", at]].concat())
                .is_empty()
        };
        crate::measures::wait(std::time::Duration::from_secs(300), waits).await;
        world.windlass(&["confirm-prune", title]);
    }
}
