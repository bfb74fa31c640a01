//! `/reject` and `/promote`: which images go where.

use super::command;
use crate::support::World;

async fn is_open(world: &World, number: u64, open: bool) {
    let state = if open { "open" } else { "closed" };
    world
        .until(&format!("#{number} is {state}"), async || {
            (world.read(&format!("pulls/{number}"))["state"] == state).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_is_proposed_again_only_when_somebody_promotes_it() {
    let world = World::new().await;
    let (staging, production) = world.up_to_review("1.1.0").await;
    assert_eq!(
        command(&world, "bob", production, "/reject 1.0.9").await,
        "- `shop/production`: not done. No image `1.0.9` was announced for it"
    );
    assert_eq!(
        command(&world, "bob", production, "/reject 5656565").await,
        "- `1.1.0` is not proposed for `shop/production` any more"
    );
    is_open(&world, production, false).await;
    world.quiet().await;
    let object = |name: &'static str| {
        let world = &world;
        async move {
            let home = world.home();
            let object = world.get(
                "windlass.dev/v1alpha1",
                "Promotion",
                "promotions",
                &home,
                name,
            );
            object.await.unwrap()["status"].clone()
        }
    };
    let status = object("shop.production").await;
    assert_eq!(status["state"], "Rejected", "{status}");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("`/reject` rejected it"),
        "{status}"
    );
    assert_eq!(
        command(&world, "bob", staging, "/promote 1.1.0 to nowhere").await,
        "Not done: no application of this pull request goes to a stage `nowhere`."
    );
    assert_eq!(
        command(&world, "bob", staging, "/promote 1.1.0 to production").await,
        "- `1.1.0` (565656565656) is proposed for `shop/production`"
    );
    let again = newer(&world, production).await;
    world.previewed(again).await;
    world.approve("mia", again);
    world.merged(again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_is_passed_over_for_one_image_and_the_verdict_says_by_whom() {
    let world = World::new().await;
    let (_, production) = world.up_to_review("1.1.0").await;
    world.windlass(&["pause", "shop/staging"]);
    world.announce("1.2.0").await;
    let staging = world.titled("staging", "shop/staging: 1.2.0").await;
    world.merged(staging).await;
    assert_eq!(
        command(
            &world,
            "bob",
            staging,
            "/promote 1.2.0 to production --skip staging its cluster is down, and this is urgent"
        )
        .await,
        "- `1.2.0` (171717171717) is proposed for `shop/production`"
    );
    world
        .until("the pull request proposes it", async || {
            let pull = world.read(&format!("pulls/{production}"));
            pull["title"].as_str()?.contains("1.2.0").then_some(())
        })
        .await;
    world.previewed(production).await;
    world.approve("mia", production);
    world.merged(production).await;
    let title = world.gate_status(production, "success").await;
    assert_eq!(title, "all gates passed: windlass merges this head");
    let head = world.head(production);
    let checks = world.read(&format!("commits/{head}/check-runs"));
    let checks = checks["check_runs"].as_array().unwrap();
    let gate = checks.iter().find(|check| check["name"] == "windlass/gate");
    let summary = gate.unwrap()["output"]["summary"].as_str().unwrap();
    assert!(
        summary.contains("bob passed over staging: its cluster is down, and this is urgent"),
        "{summary}"
    );
}

/// An image that an earlier stage has left behind: the answer says so, and with `--skip` it is
/// proposed and stays proposed, though the stage runs another one.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_image_than_the_stage_before_runs_needs_a_skip() {
    let world = World::new().await;
    let (_, production) = world.up_to_review("1.1.0").await;
    world.announce("1.2.0").await;
    let staging = world.titled("staging", "shop/staging: 1.2.0").await;
    world.merged(staging).await;
    world.titled("production", "shop/production: 1.2.0").await;
    insta::assert_snapshot!(
        command(&world, "bob", staging, "/promote 1.1.0 to production").await, @"- `shop/production`: not done. `staging` does not run `1.1.0` (565656565656) and nothing takes it there, so it would wait for ever: announce the image again, or add `--skip staging REASON` to the command"
    );
    let skip = "/promote 1.1.0 to production --skip staging customers wait for it";
    command(&world, "bob", staging, skip).await;
    world.titled("production", "shop/production: 1.1.0").await;
    world.quiet().await;
    let title = world.read(&format!("pulls/{production}"))["title"].clone();
    assert!(title.as_str().unwrap().contains("1.1.0"), "{title}");
    world.previewed(production).await;
    world.approve("mia", production);
    world.merged(production).await;
    // What staging runs comes next.
    world.titled("production", "shop/production: 1.2.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_closed_or_reverted_is_proposed_again_on_demand() {
    let world = World::new().await;
    let (staging, production) = world.up_to_review("1.1.0").await;
    let closed = serde_json::json!({"state": "closed"});
    world.as_user(
        "bob",
        http::Method::PATCH,
        &format!("pulls/{production}"),
        closed,
    );
    world.quiet().await;
    command(&world, "bob", staging, "/promote 1.1.0 to production").await;
    let again = newer(&world, production).await;
    world.seen(again).await;
    world.approve("mia", again);
    let merge = world.merged(again).await;
    world.sync_status(&merge, "success").await;
    let file = "apps/shop/production/kustomization.yaml";
    let before = world.file(file).replace("1.1.0", "1.0.0").replace(
        &crate::support::digest_of("1.1.0"),
        &windlass::sandbox::example::first_digest(),
    );
    let revert = world.commit("Revert", &[(file, Some(&before))]);
    world.sync_status(&revert, "success").await;
    world.quiet().await;
    command(&world, "bob", staging, "/promote 1.1.0 to production").await;
    let third = newer(&world, again).await;
    world.seen(third).await;
    world.approve("mia", third);
    world.merged(third).await;
}

/// The next open pull request of production.
async fn newer(world: &World, than: u64) -> u64 {
    world
        .until("a new pull request", async || {
            let pull = world.pull_from("windlass/shop/production")?;
            let number = pull["number"].as_u64()?;
            (number > than && pull["state"] == "open").then_some(number)
        })
        .await
}
