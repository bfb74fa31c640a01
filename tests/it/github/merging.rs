//! Merging as GitHub's rules want it: shown before it is refused, tried by what is allowed.

use http::Method;
use serde_json::json;
use windlass::sandbox::forge::state::Rule;

use super::{GREETING, change, half_a_minute, merge_queue, on_main};
use crate::support::World;

fn count(asked: &std::collections::BTreeMap<String, usize>, what: &str) -> usize {
    asked.get(what).copied().unwrap_or_default()
}

/// A review that GitHub demands is waited for, in words and without a request.
#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_rules_demand_is_waited_for() {
    let world = World::new().await;
    on_main(
        &world,
        Rule {
            approvals: 1,
            ..Rule::default()
        },
    );
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let verdict = world.gate_status(number, "success").await;
    insta::assert_snapshot!(verdict, @"all gates passed; GitHub waits: the branch's rules require an approval: 0 given");
    world.quiet().await;
    world.asked();
    half_a_minute(&world).await;
    assert_eq!(
        world.asked(),
        [].into(),
        "nothing is asked while nothing happens"
    );
    world.approve("bob", number);
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
}

/// What GitHub refuses for a reason that nobody told us of is tried seldom, and flips nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_merge_is_tried_seldom_and_flips_no_verdict() {
    let world = World::new().await;
    world.github_fails("GET", "/rules/branches/*", 404, 1000);
    on_main(
        &world,
        Rule {
            approvals: 1,
            ..Rule::default()
        },
    );
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let verdict = world.gate_says(number, "GitHub refused").await;
    assert!(
        verdict.starts_with("all gates passed; GitHub waits"),
        "{verdict}"
    );
    half_a_minute(&world).await;
    let asked = world.asked();
    assert!(count(&asked, "PUT pulls/*/merge") <= 2, "{asked:?}");
    assert!(
        count(&asked, "POST check-runs") + count(&asked, "PATCH check-runs/*") <= 4,
        "{asked:?}"
    );
    assert_eq!(world.verdict(&world.head(number)).unwrap().0, "success");
}

/// Squash only, as many repositories are (`cases/26`).
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_merge_commits() {
    let world = World::new().await;
    change(&world, |repo| {
        (repo.allow_merge_commit, repo.allow_rebase_merge) = (false, false);
    });
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    let commit = world.read(&format!("git/commits/{merged}"));
    assert_eq!(commit["parents"].as_array().unwrap().len(), 1);
}

/// A linear history, by the rules of the branch.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_with_a_linear_history() {
    let world = World::new().await;
    on_main(
        &world,
        Rule {
            required_linear_history: true,
            ..Rule::default()
        },
    );
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
}

/// Two promotions open, and a rule that every head contains the tip: the second one is rebuilt.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_behind_is_rebuilt_where_rules_want_it() {
    let world = World::new().await;
    on_main(
        &world,
        Rule {
            status_checks: vec!["windlass/gate".into()],
            strict: true,
            ..Rule::default()
        },
    );
    world.up_to_review("1.1.0").await;
    let number = world.pull_request("production").await;
    let before = world.head(number);
    world.commit("A word", &[("README.md", Some("# A word\n"))]);
    world
        .until("it is rebuilt", async || {
            (world.head(number) != before).then_some(())
        })
        .await;
    world.previewed(number).await;
    world.approve("bob", number);
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
}

/// The repository's merge queue merges, after the group was looked at as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_queue_is_used_and_its_group_is_previewed() {
    let world = World::new().await;
    on_main(&world, merge_queue(&["windlass/gate", "windlass/preview"]));
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    let checks = world.read(&format!("commits/{merged}/check-runs"));
    let gate = checks["check_runs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == "windlass/gate")
        .unwrap();
    assert_eq!(
        gate["output"]["title"],
        "the changes of this merge group can be applied together"
    );
}

/// "Rebase and merge" brings several commits, of which the last one changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_progress_of_a_rebased_pull_request_is_that_of_all_its_commits() {
    let world = World::new().await;
    let text = world.file(GREETING).replace("hello", "rebased");
    let number = world.propose("mia", "change", &[(GREETING, Some(&text))]);
    let word = [("README.md", Some("# A word\n"))];
    world
        .forge
        .push("acme/config", "change", "mia", "And a word", &word)
        .unwrap();
    world.previewed(number).await;
    world.approve("bob", number);
    world.gate_status(number, "success").await;
    world.as_user(
        "mia",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({"sha": world.head(number), "merge_method": "rebase"}),
    );
    let merged = world.merged(number).await;
    let status = world.sync_status(&merged, "success").await;
    insta::assert_snapshot!(status, @"shop/staging is synced and healthy");
    let stored = world.config_map("staging", "shop").await.unwrap();
    assert_eq!(stored["data"]["greeting"], "rebased");
    let comment = world
        .until("the comment says so", async || {
            let all = world.comments(number);
            let text = all.first()?["body"].as_str()?.to_string();
            text.contains("Synced").then_some(text)
        })
        .await;
    assert!(comment.contains("shop/staging"), "{comment}");
}

/// What waits in the queue leaves it when somebody holds its stage.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_takes_it_out_of_the_merge_queue() {
    let world = World::new().await;
    on_main(&world, merge_queue(&["ci"]));
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let passed = json!({"state": "success", "context": "ci"});
    let status = format!("statuses/{}", world.head(number));
    world.as_user("bob", Method::POST, &status, passed);
    let queued = |wanted: bool| {
        let world = &world;
        async move {
            let what = if wanted {
                "it is queued"
            } else {
                "it left the queue"
            };
            world
                .until(what, async || {
                    let state = world.forge.state();
                    let queue = &state.by_full_name("acme/config")?.queue;
                    (queue.iter().any(|entry| entry.number == number) == wanted).then_some(())
                })
                .await;
        }
    };
    queued(true).await;
    world.comment("bob", number, "/hold not now");
    queued(false).await;
    world.comment("bob", number, "/resume");
    queued(true).await;
}

/// A draft waits, and goes on as soon as somebody marks it as ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_draft_waits_until_it_is_ready() {
    let world = World::new().await;
    let (_, number) = world.up_to_review("1.1.0").await;
    let set = |draft: bool| {
        let mut state = world.forge.state();
        let repo = state.by_full_name_mut("acme/config").unwrap();
        let pull = repo.pulls.iter_mut().find(|pull| pull.number == number);
        pull.unwrap().draft = draft;
    };
    set(true);
    world.comment("bob", number, "/preview");
    world.approve("mia", number);
    let verdict = world.gate_says(number, "draft").await;
    insta::assert_snapshot!(verdict, @"is a draft: mark it as ready for review");
    set(false);
    world.comment("bob", number, "/why");
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
}
