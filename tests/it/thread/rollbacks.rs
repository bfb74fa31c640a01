//! Rollbacks: asked for in the thread, and begun by themselves.

use std::time::Instant;

use super::{command, until_status};
use crate::support::World;

const STAGING: &str = "apps/shop/staging/kustomization.yaml";

async fn image(world: &World, stage: &str) -> String {
    let deployment = world.deployment(stage).await;
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    let image = image.as_str().unwrap_or_default();
    image.split(['@', ':']).nth(1).unwrap_or_default().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_takes_a_stage_back_from_the_thread() {
    let world = World::new().await;
    let (_, production) = world.up_to_review("1.1.0").await;
    assert_eq!(
        command(&world, "bob", production, "/rollback").await,
        "- `shop/production`: not done. windlass knows no commit before the present one with which it was healthy: name one of those that `/history` lists"
    );
    world.approve("mia", production);
    let merge = world.merged(production).await;
    world.sync_status(&merge, "success").await;
    assert_eq!(
        command(&world, "bob", production, "/rollback to 0.9").await,
        "- `shop/production`: not done. It has no commit or image `0.9` in its past: `/history` lists those that were healthy"
    );
    let started = Instant::now();
    let answer = command(&world, "bob", production, "/rollback").await;
    assert!(
        answer.starts_with("- windlass opens a pull request that takes `shop/production` back to (hex), healthy on 2"),
        "{answer}"
    );
    let back = world
        .titled("production", "Roll back shop/production to ")
        .await;
    assert_ne!(back, production);
    world.previewed(back).await;
    assert_eq!(
        world.gate_status(back, "pending").await,
        "0 of 1 approvals (shop/production requires 1)"
    );
    // Who chose to go back is no second pair of eyes.
    world.approve("bob", back);
    world.gate_says(back, "bob's does not count").await;
    world.approve("mia", back);
    let merge = world.merged(back).await;
    world.sync_status(&merge, "success").await;
    let took = started.elapsed().as_secs();
    assert!(took < 90, "the way back took {took} s");
    assert_eq!(image(&world, "production").await, "1.0.0");
    let body = world.read(&format!("pulls/{back}"))["body"].clone();
    let body = world.scrub(body.as_str().unwrap());
    let (_, since) = body.split_once("healthy on ").unwrap();
    let (_, body) = since.split_once(". ").unwrap();
    insta::assert_snapshot!(body, @"
    `bob` asked for this in #2.

    All files that `shop/production` is rendered from become those of (hex), also files that it shares with others: the preview shows what that changes now.

    Until `/resume`, windlass merges nothing else into `shop/production` by itself. Close this pull request to stay where it is.
    ");
    // It stays so until somebody wants the image again.
    until_status(&world, "shop.production", "held", "rolled back to").await;
    world.quiet().await;
    assert_eq!(
        world.pull_from("windlass/shop/production").unwrap()["number"],
        back
    );
    command(&world, "bob", back, "/promote 1.1.0 to production").await;
    let again = world.titled("production", "shop/production: 1.1.0").await;
    world.previewed(again).await;
    world.approve("mia", again);
    world.gate_says(again, "bob holds shop/production").await;
    command(&world, "mia", again, "/resume").await;
    world.merged(again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_rolled_back_by_itself_and_held() {
    let world = World::new().await;
    let settings = world
        .file("windlass.yaml")
        .replace("    merge: auto ", "    rollback: auto\n    merge: auto ")
        .replace("    images:\n", "    healthTimeout: 15s\n    images:\n");
    world.commit("Roll back", &[("windlass.yaml", Some(&settings))]);
    let good = world.file(STAGING);
    let bad = good.clone()
        + "patches:\n  - patch: |\n      apiVersion: apps/v1\n      kind: Deployment\n      metadata: {name: shop}\n      spec: {template: {spec: {containers: [{name: shop, resources: {requests: {cpu: \"4000\"}}}]}}}\n";
    let failing = world.commit("More", &[(STAGING, Some(&bad))]);
    let back = world.titled("staging", "Roll back shop/staging to ").await;
    let merge = world.merged(back).await;
    world.sync_status(&merge, "success").await;
    assert_eq!(world.file(STAGING), good);
    world.sync_status(&failing, "failure").await;
    let held = until_status(&world, "shop.staging", "held", "windlass").await;
    assert!(
        held.contains(&format!("{} failed: not healthy 15s after", &failing[..12])),
        "{held}"
    );
    let pull = world.read(&format!("pulls/{back}"));
    let body = world.scrub(pull["body"].as_str().unwrap());
    assert!(
        body.contains(
            "windlass opened this by itself: (hex) failed: not healthy 15s after it was applied"
        ),
        "{body}"
    );
    // The pods of before never went.
    let told = world.conversation(back);
    let pods = "of this version still run, and those of the other one end";
    assert!(told.contains(pods) && !told.contains("· rolls"), "{told}");
    // The next image is proposed, and a person decides when to go on.
    world.announce("1.1.0").await;
    let next = world.titled("staging", "shop/staging: 1.1.0").await;
    world.gate_says(next, "windlass holds shop/staging").await;
    command(&world, "bob", next, "/resume").await;
    world.merged(next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_closes_a_rollback_stays_where_they_are() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let extra = "apps/shop/staging/extra.yaml";
    let changed = world.file(file).replace("greeting: hello", "greeting: hi");
    let listed = world
        .file(STAGING)
        .replace("  - config.yaml\n", "  - config.yaml\n  - extra.yaml\n");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: extra\ndata: {}\n";
    let before = world.tip();
    let commit = world.commit(
        "Greet",
        &[
            (file, Some(&changed)),
            (extra, Some(map)),
            (STAGING, Some(&listed)),
        ],
    );
    world.sync_status(&commit, "success").await;
    let number = world.propose(
        "bob",
        "readme",
        &[(file, Some(&changed.replace("hi", "hey")))],
    );
    world.previewed(number).await;
    let ask = format!("/rollback shop/staging to {}", &before[..10]);
    command(&world, "bob", number, &ask).await;
    let back = world.titled("staging", "Roll back shop/staging to ").await;
    world.as_user(
        "bob",
        http::Method::PATCH,
        &format!("pulls/{back}"),
        serde_json::json!({"state": "closed"}),
    );
    world
        .until("the rollback is over", async || {
            let object = world.application("shop.staging").await;
            object["metadata"]["annotations"]["windlass.dev/rollback"]
                .is_null()
                .then_some(())
        })
        .await;
    world.quiet().await;
    assert_eq!(world.tip(), commit);
    // A file that came later goes with its commit.
    command(&world, "bob", number, "/resume").await;
    command(&world, "bob", number, &ask).await;
    let back = world
        .until("another one", async || {
            let pull = world.pull_from("windlass/shop/staging")?;
            (pull["number"].as_u64() > Some(back)).then(|| pull["number"].as_u64().unwrap())
        })
        .await;
    // Somebody chose the commit, so that it is merged after an approval also where that is automatic.
    world
        .gate_says(back, "0 of 1 approvals (bob chose to go back to")
        .await;
    world.seen(back).await;
    world.approve("mia", back);
    let merge = world.merged(back).await;
    world.sync_status(&merge, "success").await;
    assert!(world.config_map("staging", "extra").await.is_none());
    let files = world.read("contents/apps/shop/staging");
    let names: Vec<_> = files
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "config.yaml",
            "kustomization.yaml",
            "namespace.yaml",
            "secret.yaml"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_ends_when_somebody_was_faster_and_one_that_was_closed_stays_closed() {
    let world = World::new().await;
    let (_, production) = world.up_to_review("1.1.0").await;
    world.approve("mia", production);
    let merge = world.merged(production).await;
    world.sync_status(&merge, "success").await;
    command(&world, "bob", production, "/rollback").await;
    let back = world
        .titled("production", "Roll back shop/production to ")
        .await;
    // A fix is merged meanwhile.
    let file = "apps/shop/production/config.yaml";
    let fix = world
        .file(file)
        .replace("greeting: hello", "greeting: fixed");
    let commit = world.commit("Fix", &[(file, Some(&fix))]);
    world
        .until("the rollback is closed", async || {
            (world.read(&format!("pulls/{back}"))["state"] == "closed").then_some(())
        })
        .await;
    world.sync_status(&commit, "success").await;
    world.quiet().await;
    assert_eq!(world.tip(), commit);
    // Closed by a person, with its branch deleted.
    command(&world, "bob", production, "/rollback").await;
    let again = world
        .until("another one", async || {
            let pull = world.pull_from("windlass/shop/production")?;
            (pull["number"].as_u64() > Some(back)).then(|| pull["number"].as_u64().unwrap())
        })
        .await;
    world.previewed(again).await;
    let closed = serde_json::json!({"state": "closed"});
    world.as_user(
        "bob",
        http::Method::PATCH,
        &format!("pulls/{again}"),
        closed,
    );
    world
        .until("the rollback is over", async || {
            let object = world.application("shop.production").await;
            let annotations = &object["metadata"]["annotations"];
            annotations["windlass.dev/rollback"].is_null().then_some(())
        })
        .await;
    world.quiet().await;
    let pull = world.pull_from("windlass/shop/production").unwrap();
    assert_eq!(
        (&pull["number"], &pull["state"]),
        (&again.into(), &"closed".into())
    );
    // Whom windlass does not know any better is told why at once.
    let first = command(&world, "bob", production, "/rollback to 0000000").await;
    assert!(
        first.contains("It has no commit or image `0000000` in its past"),
        "{first}"
    );
}
