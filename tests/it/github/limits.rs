//! GitHub's limits, enforced: windlass keeps below them, and sends nothing while it is limited.

use crate::paths::command::reply;
use crate::support::{Setup, World};

/// The budgets of `docs/scale.md`: one image in one stage, from its announcement to its receipt.
#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_an_image_has_a_budget() {
    let world = World::of_one_stage().await;
    let asked = world.life("1.5.0").await;
    let (reads, writes) = (asked.reads.len(), asked.writes.len());
    assert!(reads <= 25, "{reads} reads: {asked:#?}");
    assert!(writes <= 12, "{writes} writes: {asked:#?}");
}

/// The next stage's pull request, up to its review, costs less than another life.
#[tokio::test(flavor = "multi_thread")]
async fn the_lives_of_two_stages_have_a_budget() {
    let world = World::new().await;
    world.quiet().await;
    world.counted();
    world.up_to_review("1.5.0").await;
    world.quiet().await;
    let asked = world.counted();
    let (reads, writes) = (asked.reads.len(), asked.writes.len());
    assert!(reads <= 30, "{reads} reads: {asked:#?}");
    assert!(writes <= 18, "{writes} writes: {asked:#?}");
}

/// Open pull requests that a push does not change cost nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_asks_for_no_pull_request_that_it_does_not_change() {
    let world = World::new().await;
    let asked = world.push_beside(4).await;
    assert!(asked.reads.len() <= 4, "{asked:#?}");
    assert_eq!(asked.writes.len(), 1, "the commit's status: {asked:#?}");
}

/// A limit that GitHub sets is kept, and what waited for it is done afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_while_github_limits_the_installation() {
    let world = World::new().await;
    world.quiet().await;
    {
        let mut state = world.forge.state();
        state.quota.limits.content_per_minute = 2;
        state.quota.limits.minute = 5;
    }
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    // Dropping the world looks for requests that were sent all the same.
}

/// While what only shows waits for its turn, people get their answers.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_wait_for_previews() {
    let mut world = World::asleep(Setup::default()).await;
    let interval = ("WINDLASS_GITHUB_WRITE_INTERVAL", "3600000".to_string());
    world.windlass.environment.push(interval);
    world.start();
    let file = "apps/shop/staging/kustomization.yaml";
    let text = world.file(file);
    let propose = |branch: usize| {
        let text = format!("{text}commonAnnotations: {{change: \"{branch}\"}}\n");
        world.propose("bob", &format!("change-{branch}"), &[(file, Some(&text))])
    };
    let numbers: Vec<u64> = (0..10).map(propose).collect();
    let shown = |number: &&u64| world.conversation(**number).contains("1 of 2 applications");
    // A preview and its check run each: more than may follow each other.
    let page = world.windlass.metrics_url.replace("/metrics", "/");
    world
        .until("the page says that previews wait", async || {
            let page = world.http.get(&page).send().await.ok()?;
            let text = page.text().await.ok()?;
            text.contains("previews and progress wait").then_some(())
        })
        .await;
    let number = *numbers.iter().find(|number| !shown(number)).unwrap();
    let id = world.comment("bob", number, "/status");
    let answer = reply(&world, number, id).await;
    assert!(answer.contains("`shop/staging`"), "{answer}");
    assert!(!shown(&&number), "{}", world.conversation(number));
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_that_is_used_up_is_asked_again_in_its_next_hour_only() {
    let world = World::new().await;
    world.quiet().await;
    {
        let mut state = world.forge.state();
        state.quota.limits.graphql_per_hour = 1;
        state.quota.limits.hour = 15;
    }
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    // Dropping the world looks for requests that were sent all the same.
}
