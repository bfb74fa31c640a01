//! GitHub answers reads from copies that lag behind its writes and its webhooks.

use serde_json::Value;

use super::GREETING;
use crate::support::World;

/// A push whose branch is not there yet when its webhook comes (rancher/fleet#4842).
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_lags_behind_its_webhook_is_fetched_again() {
    let world = World::new().await;
    world.quiet().await;
    world.forge.state().faults.lag.refs = 3;
    let text = world.file(GREETING).replace("hello", "late");
    let commit = world.commit("Late", &[(GREETING, Some(&text))]);
    world.sync_status(&commit, "success").await;
}

/// Comments and check runs of ours that lists do not show yet are not written twice.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_not_written_again_because_a_list_lags() {
    let world = World::new().await;
    {
        let mut state = world.forge.state();
        let lag = &mut state.faults.lag;
        (lag.comments, lag.checks, lag.statuses) = (3, 3, 3);
    }
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    world.quiet().await;
    let ours = |comment: &&Value| comment["user"]["login"] == "windlass[bot]";
    assert_eq!(world.comments(number).iter().filter(ours).count(), 1);
    let head = world.head(number);
    let state = world.forge.state();
    let repo = state.by_full_name("acme/config").unwrap();
    let runs = repo
        .checks
        .iter()
        .filter(|check| check.sha == head && check.name == "windlass/preview");
    assert_eq!(runs.count(), 1);
}

/// A review that the list does not show when its webhook comes counts a moment later.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_the_list_does_not_show_yet_is_answered() {
    let world = World::new().await;
    world.up_to_review("1.1.0").await;
    let number = world.pull_request("production").await;
    world.previewed(number).await;
    world.quiet().await;
    world.forge.state().faults.lag.comments = 2;
    let before = world.comments(number).len();
    world.comment("bob", number, "/why");
    world
        .until("it is answered", async || {
            let all = world.comments(number);
            let reply = all.get(before + 1)?["body"].as_str()?.to_string();
            reply.contains("approvals").then_some(())
        })
        .await;
}
