//! GitHub's clock and this machine's differ.

use jiff::SignedDuration;

use crate::doctor::doctor;
use crate::support::lab::has;
use crate::support::{Setup, World};

/// A world, not started, whose GitHub is so many seconds ahead.
async fn ahead(seconds: i64) -> World {
    let world = World::asleep(Setup::default()).await;
    world.forge.state().ahead = SignedDuration::from_secs(seconds);
    world
}

/// Whether an approval came after a preview is told by one clock. By windlass's, the prompt approvals
/// here would be from before the preview, which do not count.
#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_approval_counts_where_githubs_clock_is_behind() {
    let world = ahead(-50).await;
    world.start();
    world.settled().await;
    let (_, production) = world.up_to_review("1.1.0").await;
    world.approve("mia", production);
    world.merged(production).await;
}

/// An approval of the first preview does not count for the next one, however far ahead GitHub's
/// clock is.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_from_before_a_preview_does_not_count_where_githubs_clock_is_ahead() {
    let world = ahead(90).await;
    world.start();
    world.settled().await;
    world.kill();
    let greeting = world.file("apps/shop/production/config.yaml");
    let greeting = greeting.replace("hello", "good evening");
    let files = [("apps/shop/production/config.yaml", Some(greeting.as_str()))];
    let number = world.propose("ada", "greeting", &files);
    world.approve("mia", number);
    // A second of GitHub's: its times have no fractions.
    world
        .until("a second passes", async || {
            let review = world.read(&format!("pulls/{number}/reviews"))[0].clone();
            let at: jiff::Timestamp = review["submitted_at"].as_str()?.parse().ok()?;
            (world.forge.state().now() > at).then_some(())
        })
        .await;
    world.start();
    world.gate_says(number, "mia's does not count").await;
    world.approve("mia", number);
    world.gate_status(number, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_named() {
    let world = ahead(-130).await;
    world.start();
    let said = world
        .until("windlass says why it cannot begin", async || {
            let log = std::fs::read_to_string(world.windlass.log()).ok()?;
            let line = log.lines().find(|line| line.contains("clock"))?;
            Some(line.to_string())
        })
        .await;
    has(&said, &["s ahead of GitHub's"]);
    let (found, code) = doctor(&world);
    has(
        &found,
        &["GitHub does not answer the App", "s ahead of GitHub's"],
    );
    assert_eq!(code, 1);
    // It goes on by itself.
    world.forge.state().ahead = SignedDuration::ZERO;
    world.settled().await;
}
