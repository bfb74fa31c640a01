//! GitHub as it is: its rules, its limits, reads that lag, names that change.

mod clocks;
mod enterprise;
mod installations;
mod lag;
mod limits;
mod merge_answers;
mod merging;
mod names;
mod refusals;
mod size;

use std::time::{Duration, Instant};

use windlass::sandbox::example::CONFIG;
use windlass::sandbox::forge::state::{MergeMethod, Repository, Rule};

use crate::support::World;

/// The file whose greeting the stories change, and that runs as a ConfigMap.
const GREETING: &str = "apps/shop/staging/config.yaml";

/// Pushes another greeting to a branch of a repository; the commit.
fn greet(world: &World, repository: &str, branch: &str, text: &str) -> String {
    let files = [(GREETING, Some(text))];
    world
        .forge
        .push(repository, branch, "ada", "Another greeting", &files)
        .unwrap()
}

/// Waits until the greeting runs.
async fn runs(world: &World, greeting: &str) {
    world
        .until(&format!("the greeting {greeting} runs"), async || {
            let stored = world.config_map("staging", "shop").await?;
            (stored["data"]["greeting"] == greeting).then_some(())
        })
        .await;
}

/// Half a minute, in which something must not happen.
pub async fn half_a_minute(world: &World) {
    let started = Instant::now();
    world
        .until("half a minute passed", async || {
            (started.elapsed() > Duration::from_secs(30)).then_some(())
        })
        .await;
}

/// The rule of a merge queue that asks for these checks.
fn merge_queue(checks: &[&'static str]) -> Rule {
    Rule {
        status_checks: checks.iter().map(|check| (*check).into()).collect(),
        merge_queue: Some(MergeMethod::Merge),
        ..Rule::default()
    }
}

/// A rule of the config repository's default branch.
pub fn on_main(world: &World, rule: Rule) {
    change(world, |repo| {
        repo.rules.push(Rule {
            branch: "main".into(),
            ..rule
        });
    });
}

fn change(world: &World, change: impl FnOnce(&mut Repository)) {
    let mut state = world.forge.state();
    change(state.by_full_name_mut(CONFIG).expect("a repository"));
}
