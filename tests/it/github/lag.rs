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

/// A comment that GitHub answered by an error, and made all the same, goes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_comment_of_ours_is_deleted() {
    let world = World::new().await;
    let number = crate::paths::command::pull_request(&world).await;
    world.quiet().await;
    let first = world.comments(number)[0]["id"].clone();
    {
        let mut state = world.forge.state();
        let id = state.new_id();
        let repo = state.by_full_name_mut("acme/config").unwrap();
        let found = repo.comments.iter().find(|one| one.issue == number);
        let mut again = found.unwrap().clone();
        again.id = id;
        repo.comments.push(again);
    }
    assert_eq!(world.comments(number).len(), 2);
    world.comment("bob", number, "/why");
    let left = world
        .until(
            "the second one is gone, and the answer is there",
            async || {
                let comments = world.comments(number);
                let sticky = |one: &&serde_json::Value| {
                    one["body"].as_str().unwrap().contains("windlass:sticky")
                };
                let stickies: Vec<_> = comments.iter().filter(sticky).collect();
                (comments.len() == 3 && stickies.len() == 1).then(|| stickies[0]["id"].clone())
            },
        )
        .await;
    assert_eq!(left, first);
}
