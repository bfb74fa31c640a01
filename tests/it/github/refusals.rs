//! What GitHub refuses is told where somebody waits for it.

use windlass::sandbox::forge::state::Rule;

use super::change;
use crate::support::World;

/// A ruleset that lets nobody create branches: CI is told, with GitHub's words.
#[tokio::test(flavor = "multi_thread")]
async fn ci_is_told_that_github_lets_us_propose_nothing() {
    let world = World::new().await;
    change(&world, |repo| {
        repo.rules.push(Rule {
            branch: "~ALL".into(),
            restrict_creation: true,
            ..Rule::default()
        });
    });
    let event = crate::support::image_event("1.1.0");
    world
        .until("the event is refused, with the reason", async || {
            let token = Some(world.windlass.events_token.as_str());
            let (_, answer) = world.event(&event, token).await?;
            let told = answer.to_string();
            told.contains("GitHub refuses").then_some(())
        })
        .await;
    // Once it is allowed, it is proposed.
    change(&world, |repo| repo.rules.clear());
    world.announce("1.1.0").await;
    world.pull_request("staging").await;
}
