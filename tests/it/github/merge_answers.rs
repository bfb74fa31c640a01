//! What GitHub may answer to a merge, besides doing it: what it refuses is said in the
//! verdict, what passes is tried again, and nothing is tried in a loop.

use http::Method;
use serde_json::json;

use super::{half_a_minute, merge_queue, on_main};
use crate::support::World;

const MERGE: (&str, &str) = ("PUT", "pulls/*/merge");

/// The attempts to merge since the last call.
fn attempts(world: &World) -> usize {
    world
        .asked()
        .get("PUT pulls/*/merge")
        .copied()
        .unwrap_or_default()
}

/// An image comes through, and each answer of GitHub's was met.
async fn lands(world: &World) {
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    assert_eq!(world.github_failures_left(), Vec::<String>::new());
}

/// The base moved meanwhile (409), or the head did: what is there now is looked at, and merged.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_or_base_that_moved_is_looked_at_again() {
    let world = World::new().await;
    for (status, words) in [
        (
            409,
            "Head branch was modified. Review and try the merge again.",
        ),
        (
            405,
            "Base branch was modified. Review and try the merge again.",
        ),
    ] {
        world.github_answers(MERGE, status, Some(words), 1);
    }
    lands(&world).await;
}

/// The App lost a permission (403): the verdict names it, and there is no loop.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_without_the_permission_is_told() {
    let world = World::new().await;
    let words = "Resource not accessible by integration";
    world.github_answers(MERGE, 403, Some(words), 100);
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let verdict = world.gate_says(number, "refused the merge").await;
    insta::assert_snapshot!(verdict, @"all gates passed; GitHub waits: GitHub refused the merge: the App lacks the permission contents=write");
    half_a_minute(&world).await;
    assert!(attempts(&world) <= 2);
    // A person gives it back, and says something there: it is tried again.
    world.forge.state().faults.failures.clear();
    world.comment("bob", number, "/preview");
    world.merged(number).await;
}

/// GitHub is away for a moment (502). What it does although its answer is lost, the crash stories have.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_fails_for_a_moment_is_tried_again() {
    let world = World::new().await;
    world.github_answers(MERGE, 502, None, 2);
    lands(&world).await;
}

/// The merge queue throws it out, since a check of the group fails; it goes in again once checks are green.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_merge_queue_throws_out_goes_in_again_later() {
    let world = World::new().await;
    on_main(&world, merge_queue(&["ci"]));
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let says = |sha: &str, state: &str| {
        let body = json!({"state": state, "context": "ci"});
        world.as_user("bob", Method::POST, &format!("statuses/{sha}"), body);
    };
    let group = || {
        let state = world.forge.state();
        let queue = &state.by_full_name("acme/config")?.queue;
        let entry = queue.iter().find(|entry| entry.number == number)?;
        Some(entry.group.as_ref()?.head_sha.clone())
    };
    let queued = || world.until("its group is there", async || group());
    says(&world.head(number), "success");
    says(&queued().await, "failure");
    let verdict = world.gate_says(number, "took it out").await;
    insta::assert_snapshot!(verdict, @"all gates passed; GitHub waits: GitHub refused the merge: the merge queue took it out: its checks on the group say why");
    // Somebody mends the check, and it runs again on the head.
    says(&world.head(number), "success");
    says(&queued().await, "success");
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
}

/// Check runs of other Apps, as every App with the permission hears of: nothing is asked for them.
#[tokio::test(flavor = "multi_thread")]
async fn check_runs_of_others_cost_nothing_and_are_not_taken_for_ours() {
    let world = World::new().await;
    let (_, number) = world.up_to_review("1.1.0").await;
    world.previewed(number).await;
    world.quiet().await;
    let head = world.head(number);
    world.asked();
    for name in ["build", "windlass/gate", "windlass/preview"] {
        let conclusion = Some("failure");
        world
            .forge
            .foreign_check("acme/config", "github-actions", name, &head, conclusion)
            .unwrap();
    }
    world.quiet().await;
    let asked = world.asked();
    assert!(asked.values().sum::<usize>() <= 10, "{asked:?}");
    world.approve("bob", number);
    world.merged(number).await;
}
