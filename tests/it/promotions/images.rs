//! Images that stop no other.

use serde_json::json;

use super::{STAGING, announce, event, promotion, pulls, push, rests, told};
use crate::support::lab::{has, has_not};
use crate::support::{Setup, World, digest_of};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_set_stops_no_other_and_goes_with_its_rule() {
    let world = World::asleep(Setup::default()).await;
    let before = world.file("windlass.yaml");
    let with = before.replacen(
        "    images:\n",
        "    images:\n      ghcr.io/acme/worker: { source: acme/shop }\n",
        1,
    );
    push(&world, "And a worker", "windlass.yaml", &with);
    world.start();
    world.settled().await;
    let (status, body) = announce(
        &world,
        &event("ghcr.io/acme/worker", "2.0.0", &digest_of("2.0.0")),
    )
    .await;
    assert_eq!(status, 409, "{body}");
    has(
        told(&body, "shop")["message"].as_str().unwrap(),
        &["no file in apps/shop/staging sets `ghcr.io/acme/worker`"],
    );
    let (status, body) = world.announce("1.1.0").await;
    assert_eq!(status, 200, "{body}");
    assert!(told(&body, "shop")["pull_request"].is_string(), "{body}");
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    assert_eq!(
        world.read(&format!("pulls/{number}"))["title"],
        "shop/staging: 1.1.0 (565656565656)"
    );
    world.sync_status(&merged, "success").await;
    // The stage after it is stopped no more than this one.
    assert!(world.pull_request("production").await > number);
    has(
        &rests(&world, "shop.staging", "Failed").await,
        &[
            "ghcr.io/acme/worker 2.0.0",
            "no file in apps/shop/staging sets",
        ],
    );
    push(&world, "No worker", "windlass.yaml", &before);
    let note = rests(&world, "shop.staging", "Merged").await;
    has(
        &note,
        &[
            "ghcr.io/acme/worker 2.0.0",
            "windlass.yaml does not name the image",
        ],
    );
    has_not(&note, &["no file"]);
    world
        .until("its candidate is dropped", async || {
            let candidates = promotion(&world, "shop.staging").await["spec"]["candidates"].clone();
            (candidates.as_array()?.len() == 1 && candidates[0]["image"] == "ghcr.io/acme/shop")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_taken_out_of_the_manifests_is_dropped_with_a_note() {
    let world = World::new().await;
    world.announce("1.1.0").await;
    let merged = world.merged(world.pull_request("staging").await).await;
    world.sync_status(&merged, "success").await;
    rests(&world, "shop.staging", "Merged").await;
    let text = world.file(STAGING);
    let without = text.split("images:\n").next().unwrap();
    // The base has another image by now.
    let base = "apps/shop/base/deployment.yaml";
    let other = world.file(base).replace("ghcr.io/acme/shop", "other");
    let files = [(STAGING, Some(without)), (base, Some(other.as_str()))];
    let taken_out = world.commit("No images", &files);
    has(
        &rests(&world, "shop.staging", "Reverted").await,
        &["1.1.0", "reverted by", &taken_out[..12]],
    );
    world
        .until("it is no candidate any more", async || {
            (promotion(&world, "shop.staging").await["spec"]["candidates"] == json!([]))
                .then_some(())
        })
        .await;
    world.quiet().await;
    assert_eq!(pulls(&world, "shop/staging"), 1);
}
