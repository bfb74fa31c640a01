//! Who may command, and how often a command counts.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::lab::has;

#[tokio::test(flavor = "multi_thread")]
async fn commands_ask_what_the_stage_asks() {
    let world = World::new().await;
    let file = "apps/shop/production/config.yaml";
    let number = world.propose(
        "bob",
        "mine",
        &[(file, Some(&world.file(file).replace("hello", "hi")))],
    );
    world.gate_status(number, "pending").await;
    let reply = async |login: &str, text: &str| {
        let comment = world.comment(login, number, text);
        let marker = format!("<!-- windlass:reply {comment} -->");
        world
            .until("the reply", async || {
                world
                    .comments(number)
                    .iter()
                    .filter_map(|c| c["body"].as_str())
                    .find(|body| body.starts_with(&marker))
                    .map(str::to_string)
            })
            .await
    };
    has(
        &reply("bob", "/sync").await,
        &["not done. `bob` may not decide that for this stage"],
    );
    has(&reply("mia", "/sync").await, &["is being synced"]);
    has(
        &reply("mia", "/confirm-prune").await,
        &["works only on a merged pull request"],
    );
    has(
        &reply("mia", "/adopt").await,
        &["works only on a merged pull request"],
    );
    world
        .forge
        .state()
        .by_full_name_mut("acme/config")
        .unwrap()
        .pulls
        .iter_mut()
        .for_each(|pull| pull.draft = true);
    has(&reply("mia", "/sync").await, &["a draft must not do that"]);
    // One long line neither stops the verdict nor is quoted whole.
    let long = reply("mia", &format!("/sync {}", "`".repeat(30_000))).await;
    assert!(long.len() < 2_000, "{}", long.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_deleted_repeats_nothing() {
    let world = World::new().await;
    let (_, number) = world.up_to_review("1.1.0").await;
    let asked = world.comment("mia", number, "/sync");
    let marker = format!("<!-- windlass:reply {asked} -->");
    let reply = async |but: &Value| {
        let found = |c: &Value| c["body"].as_str().unwrap().starts_with(&marker) && c["id"] != *but;
        world
            .until("a reply", async || {
                world.comments(number).into_iter().find(|c| found(c))
            })
            .await
    };
    let first = reply(&Value::Null).await;
    has(first["body"].as_str().unwrap(), &["is being synced"]);
    {
        let mut state = world.forge.state();
        state
            .by_full_name_mut("acme/config")
            .unwrap()
            .comments
            .retain(|comment| json!(comment.id) != first["id"]);
    }
    world.comment("bob", number, "/why");
    has(
        reply(&first["id"]).await["body"].as_str().unwrap(),
        &["was done when windlass first saw this comment"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_of_a_comment_is_carried_out() {
    let world = World::new().await;
    let (staging, _) = world.up_to_review("1.1.0").await;
    let asked = world.comment("mia", staging, "/sync\n/adopt");
    let marker = format!("<!-- windlass:reply {asked} -->");
    let reply = world
        .until("a reply", async || {
            world
                .comments(staging)
                .into_iter()
                .find(|c| c["body"].as_str().unwrap().starts_with(&marker))
        })
        .await;
    has(
        reply["body"].as_str().unwrap(),
        &["is being synced", "Nothing waits to be adopted"],
    );
    let kept = world.application("shop.staging").await["metadata"]["annotations"]["windlass.dev/handled-commands"].clone();
    assert_eq!(kept, format!("{asked}-sync"));
}
