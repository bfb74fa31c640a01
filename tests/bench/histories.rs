//! `rollback_histories`: a hundred random pasts, each taken back to a random healthy commit of it:
//! what the rollback's preview predicted against what came of it.
//!
//! Each application gets a few random commits: images, replicas, values, objects that come and go.
//! Then `windlass rollback --to` opens a pull request for each of them. Predicted is what
//! `windlass plan` says of its branch before the merge; every object that was predicted to change,
//! and every one that did, is held against it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use windlass::judged_by::Change;

use crate::EVERYTHING;
use crate::corpus::{Dice, live, predicted, score};
use crate::measures::{in_one_namespace, synced, wait};
use crate::results::Results;
use crate::support::{Setup, World};

/// Each with a GitHub of its own: so many rollbacks in one hour would meet its limits.
const WORLDS: usize = 10;
const APPLICATIONS: usize = 10;
/// Commits of a history, after the first.
const COMMITS: usize = 4;

/// What an application has in Git.
#[derive(Clone)]
struct Application {
    name: String,
    image: usize,
    replicas: usize,
    value: usize,
    label: Option<usize>,
    /// ConfigMaps that come and go, with their values.
    configs: BTreeMap<usize, usize>,
    has_service: bool,
}

impl Application {
    fn new(number: usize) -> Self {
        Self {
            name: format!("h{number:02}"),
            image: 1,
            replicas: 1,
            value: 1,
            label: None,
            configs: BTreeMap::from([(0, 1)]),
            has_service: true,
        }
    }

    /// One or two random changes.
    fn change(&mut self, dice: &mut Dice) {
        for _ in 0..1 + dice.roll(2) {
            match dice.roll(7) {
                0 => self.image += 1,
                1 => self.replicas = dice.roll(4),
                2 => self.value += 1,
                3 => self.label = (dice.roll(2) == 0).then(|| dice.roll(100)),
                4 => {
                    self.configs.insert(dice.roll(5), dice.roll(100));
                }
                5 => {
                    self.configs.remove(&dice.roll(5));
                }
                _ => self.has_service = !self.has_service,
            }
        }
    }

    fn file(&self) -> (String, String) {
        let Self {
            name,
            image,
            replicas,
            value,
            ..
        } = self;
        let label = self.label.map_or(String::new(), |label| {
            format!(", labels: {{team: t{label}}}")
        });
        let mut text = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}{label}}}\nspec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n        - {{name: app, image: 'app:{image}', env: [{{name: VALUE, value: '{value}'}}]}}\n"
        );
        for (config, value) in &self.configs {
            text.push_str(&format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-{config}}}\ndata: {{value: '{value}'}}\n"));
        }
        if self.has_service {
            text.push_str(&format!("---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}\n"));
        }
        (format!("apps/{name}/production/all.yaml"), text)
    }
}

pub async fn histories(results: &mut Results) {
    let mut dice = Dice(7);
    let (mut held, mut missed, mut histories) = (0, Vec::new(), 0);
    for number in 0..WORLDS {
        histories += world(&mut dice, &mut held, &mut missed).await;
        println!(
            "world {}: {histories} histories, {held} objects as predicted, {} not",
            number + 1,
            missed.len()
        );
    }
    for miss in &missed {
        println!("  {miss}");
    }
    results.note(
        "rollback_histories",
        histories as f64,
        "random histories taken back",
    );
    let share = 100.0 * held as f64 / ((held + missed.len()) as f64).max(1.0);
    results.add(
        "rollback_predicted",
        share,
        "% of their objects came out as predicted",
        "100 %",
        missed.is_empty() && histories >= 95,
    );
}

/// Some applications with their pasts, each taken back; how many.
async fn world(dice: &mut Dice, held: &mut usize, missed: &mut Vec<String>) -> usize {
    let world = World::asleep(Setup {
        direct: true,
        projects: Some(EVERYTHING.to_owned()),
        ..Setup::default()
    })
    .await;
    let own = world.namespace("histories");
    let catalog = in_one_namespace(&world, &own);
    world.start();
    let mut all: Vec<_> = (0..APPLICATIONS).map(Application::new).collect();
    commit(&world, &all, Some(&catalog)).await;
    for _ in 0..COMMITS {
        for application in &mut all {
            application.change(dice);
        }
        commit(&world, &all, None).await;
    }
    let pulls = begin(&world, &all, dice).await;
    let mut plan = Vec::new();
    for (name, _) in &pulls {
        let branch = format!("windlass/{name}/production");
        plan.extend(predicted(&world, "main", &branch));
    }
    let plan: Vec<&Change> = plan.iter().collect();
    let was = live(&world);
    for (_, number) in &pulls {
        world.approve("mia", *number);
    }
    for (_, number) in &pulls {
        let merged = world.merged(*number).await;
        synced(&world, &merged).await;
    }
    world.quiet().await;
    score(&plan, &was, &live(&world), held, missed);
    pulls.len()
}

/// Commits what the applications have, and waits until that is synced.
async fn commit(world: &World, all: &[Application], catalog: Option<&str>) {
    let files: Vec<_> = all.iter().map(Application::file).collect();
    let mut files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    files.extend(catalog.map(|text| ("windlass.yaml", Some(text))));
    let commit = world.commit("Random changes", &files);
    wait(Duration::from_secs(300), async || {
        confirm(world).await;
        let said = world.status(&commit, "windlass/sync");
        said.is_some_and(|(state, _)| state == "success")
    })
    .await;
    world.quiet().await;
}

/// Confirms the deletions that wait.
async fn confirm(world: &World) {
    for object in world.applications().await {
        if object["status"]["confirm"].is_string() {
            let spec = &object["spec"];
            let text = |name: &str| spec[name].as_str().unwrap_or_default().to_string();
            world.windlass(&[
                "confirm-prune",
                &format!("{}/{}", text("application"), text("stage")),
            ]);
        }
    }
}

/// Begins a rollback of each application to a random commit that it was healthy with; the pull
/// requests, by application.
async fn begin(world: &World, all: &[Application], dice: &mut Dice) -> Vec<(String, u64)> {
    let objects = world.applications().await;
    let mut begun = Vec::new();
    for application in all {
        let found = objects
            .iter()
            .find(|object| object["spec"]["application"] == application.name.as_str());
        let status = found
            .map(|object| object["status"].clone())
            .unwrap_or_default();
        let history = status["history"].as_array().cloned().unwrap_or_default();
        let other: Vec<&Value> = history
            .iter()
            .filter(|past| past["inputs"] != status["inputs"])
            .collect();
        if other.is_empty() {
            continue;
        }
        let to = other[dice.roll(other.len())]["revision"]
            .as_str()
            .unwrap_or_default();
        world.windlass(&[
            "rollback",
            &format!("{}/production", application.name),
            "--to",
            to,
        ]);
        begun.push(application.name.clone());
    }
    let mut pulls = Vec::new();
    for name in begun {
        let number = world
            .titled_from(&format!("windlass/{name}/production"), "Roll back ")
            .await;
        world.previewed(number).await;
        pulls.push((name, number));
    }
    pulls
}
