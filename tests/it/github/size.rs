//! Large repositories: what is fetched of them, and that nothing is answered wrongly for it.

use std::num::NonZeroU32;

use http::Method;
use serde_json::json;

use super::{GREETING, merge_queue, on_main};
use crate::paths::command::reply;
use crate::support::{Setup, World};

/// More commits than windlass looks back for the last change of an application.
const OLDER: usize = 120;

/// The mirror has one commit of each branch at first, so that nearly every question goes beyond it.
#[tokio::test(flavor = "multi_thread")]
async fn with_one_commit_of_each_branch_all_paths_end_as_with_all_of_them() {
    let world = World::asleep(Setup {
        fetch_depth: NonZeroU32::new(1),
        ..Setup::default()
    })
    .await;
    // A branch from long ago.
    let text = world.file(GREETING).replace("hello", "good day");
    let files = [(GREETING, Some(text.as_str()))];
    world
        .forge
        .push("acme/config", "old", "mia", "A greeting", &files)
        .unwrap();
    for number in 0..OLDER {
        let word = format!("{number}\n");
        world.commit("More", &[("README.md", Some(word.as_str()))]);
    }
    world.start();
    world.settled().await;
    assert!(is_cut(&world), "a start needs less than all of the history");
    let (_, production) = world.up_to_review("1.1.0").await;
    world.approve("mia", production);
    let merge = world.merged(production).await;
    world.sync_status(&merge, "success").await;
    let pull = json!({"title": "A greeting", "head": "old", "base": "main"});
    let old = world.as_user("mia", Method::POST, "pulls", pull);
    let old = old["number"].as_u64().unwrap();
    let check = world.previewed(old).await;
    insta::assert_snapshot!(check["output"]["title"].as_str().unwrap(), @"1 of 2 applications changes · 1 changed · verified by the cluster");
    let unknown = format!("/rollback to {}", "5".repeat(40));
    let asked = world.comment("bob", production, &unknown);
    let answer = reply(&world, production, asked).await;
    assert!(answer.contains("no commit or image"), "{answer}");
    world.comment("bob", production, "/rollback");
    let back = world
        .titled("production", "Roll back shop/production to ")
        .await;
    world.previewed(back).await;
    world.approve("mia", back);
    let merge = world.merged(back).await;
    world.sync_status(&merge, "success").await;
    on_main(&world, merge_queue(&["windlass/gate", "windlass/preview"]));
    world.announce("1.2.0").await;
    let next = world.titled("staging", "shop/staging: 1.2.0").await;
    let merge = world.merged(next).await;
    world.sync_status(&merge, "success").await;
}

fn is_cut(world: &World) -> bool {
    let mirror = world.cache().join("mirrors/acme/config.git");
    std::fs::read_to_string(mirror.join("shallow")).is_ok_and(|ends| !ends.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_config_repositories_are_fetched() {
    let world = World::new().await;
    world.up_to_review("1.1.0").await;
    world.kill();
    world.start();
    world.settled().await;
    world.announce("1.2.0").await;
    world.titled("staging", "shop/staging: 1.2.0").await;
    world.quiet().await;
    let fetched = world.forge.state().fetched.clone();
    let names: Vec<_> = fetched.keys().map(String::as_str).collect();
    assert_eq!(names, ["acme/config"]);
    assert!(world.forge.state().by_full_name("acme/shop").is_some());
}
