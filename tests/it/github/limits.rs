//! GitHub's limits, enforced: windlass keeps below them, and sends nothing while it is limited.

use crate::support::World;

/// The budgets of `docs/scale.md`: what an image's life asks of GitHub.
#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_an_image_has_a_budget() {
    let world = World::new().await;
    world.quiet().await;
    world.asked();
    world.announce("1.5.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    world
        .previewed(world.pull_request("production").await)
        .await;
    world.quiet().await;
    let asked = world.asked();
    let count = |read: bool| -> usize {
        let matching = asked
            .iter()
            .filter(|(what, _)| what.starts_with("GET") == read);
        matching.map(|(_, count)| count).sum()
    };
    // Two pull requests: one from its opening to its rollout, one up to its review.
    let (reads, writes) = (count(true), count(false));
    assert!(reads <= 25, "{reads} reads: {asked:#?}");
    assert!(writes <= 30, "{writes} writes: {asked:#?}");
}

/// One image in one stage, from its announcement to its receipt.
#[tokio::test(flavor = "multi_thread")]
async fn one_life_has_a_budget() {
    let world = World::of_one_stage().await;
    for tag in ["1.5.0", "1.6.0"] {
        let asked = world.life(tag).await;
        println!("{} {} {asked:#?}", asked.reads.len(), asked.writes.len());
    }
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
