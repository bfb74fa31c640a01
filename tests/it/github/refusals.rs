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

/// A locked thread, or one that has as many comments as GitHub keeps.
#[tokio::test(flavor = "multi_thread")]
async fn a_comment_that_github_refuses_keeps_nothing_from_being_merged() {
    let world = World::new().await;
    world.github_fails("POST", "/issues/*/comments", 422, 1000);
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    assert_eq!(world.comments(number).len(), 0);
}

/// An App that may comment and not react.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_answered_though_github_refuses_the_reaction() {
    let world = World::new().await;
    world.github_fails("POST", "/issues/comments/*/reactions", 422, 1000);
    let number = crate::paths::command::pull_request(&world).await;
    let comment = world.comment("bob", number, "/why");
    let text = crate::paths::command::reply(&world, number, comment).await;
    assert!(text.contains("Not merged yet"), "{text}");
}

/// An answer that GitHub refuses stops nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_github_refuses_keeps_nothing_from_being_merged() {
    let world = World::new().await;
    let (_, number) = world.up_to_review("1.1.0").await;
    world.github_fails("POST", "/issues/*/comments", 422, 1000);
    world.comment("bob", number, "/why");
    world.approve("mia", number);
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
}
