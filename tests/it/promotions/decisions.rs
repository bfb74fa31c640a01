//! What people decide in Git.

use http::Method;
use serde_json::json;

use super::{STAGING, announce, event, promotion, pulls, push, rests, told};
use crate::support::lab::has;
use crate::support::{World, digest_of};

const PRODUCTION: &str = "apps/shop/production/kustomization.yaml";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_takes_back_is_not_proposed_again_until_a_newer_image_comes() {
    let world = World::new().await;
    let old = world.file(STAGING);
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    let reverted = push(&world, "Revert \"shop/staging: 1.1.0\"", STAGING, &old);
    let why = rests(&world, "shop.staging", "Reverted").await;
    has(
        &why,
        &[
            "ghcr.io/acme/shop 1.1.0 (565656565656)",
            &reverted[..12],
            "announce a newer image",
        ],
    );
    world.sync_status(&reverted, "success").await;
    world.quiet().await;
    assert_eq!(
        (pulls(&world, "shop/staging"), world.tip()),
        (1, reverted.clone())
    );
    // What was decided is no matter of one process.
    world.kill();
    world.start();
    world.settled().await;
    world.quiet().await;
    let tip = world.tip();
    assert_eq!((pulls(&world, "shop/staging"), &tip), (1, &reverted));
    has(
        &rests(&world, "shop.staging", "Reverted").await,
        &["565656565656"],
    );
    // Nor of its tag.
    let (status, body) = announce(
        &world,
        &event("ghcr.io/acme/shop", "1.1.0-final", &digest_of("1.1.0")),
    )
    .await;
    assert_eq!(
        (status, told(&body, "shop")["state"].as_str()),
        (200, Some("Reverted")),
        "{body}"
    );
    has(
        told(&body, "shop")["message"].as_str().unwrap(),
        &["1.1.0-final (the same image as 1.1.0, 565656565656)"],
    );

    world.announce("1.2.0").await;
    let newer = world.pull_request("staging").await;
    assert_ne!(newer, number);
    // What comes next there is merged once a person says so.
    let held = format!(
        "windlass holds shop/staging until `/resume`: 1.1.0 (565656565656) was reverted by {}",
        &reverted[..12]
    );
    world.gate_says(newer, &held).await;
    world.comment("bob", newer, "/resume");
    let merged = world.merged(newer).await;
    world.sync_status(&merged, "success").await;
    assert_eq!(rests(&world, "shop.staging", "Merged").await, "");
    // That there was a newer one makes it no better.
    let (status, body) = world.announce("1.1.0").await;
    assert_eq!(
        (status, told(&body, "shop")["state"].as_str()),
        (200, Some("Reverted")),
        "{body}"
    );
    world.quiet().await;
    assert_eq!(pulls(&world, "shop/staging"), 2);
    has(&world.file(STAGING), &["newTag: \"1.2.0\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preview_of_a_revert_says_what_is_decided_by_it() {
    let world = World::new().await;
    let (staging, production) = (world.file(STAGING), world.file(PRODUCTION));
    let (_, number) = world.up_to_review("1.1.0").await;
    world.approve("mia", number);
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    let files = [(STAGING, Some(&*staging)), (PRODUCTION, Some(&*production))];
    let revert = world.propose("bob", "revert", &files);
    world.previewed(revert).await;
    let text = world.conversation(revert);
    let notes: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("Once this is merged"))
        .collect();
    insta::assert_snapshot!(notes.join("\n"), @"
    Once this is merged, windlass does not propose `ghcr.io/acme/shop:1.1.0` for `shop/staging` again, and holds the stage: the next image is merged after `/resume`.
    Once this is merged, windlass does not propose `ghcr.io/acme/shop:1.1.0` for `shop/production` again, and proposes the next image that is announced.
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_was_taken_back_while_windlass_was_away_is_known_by_its_pull_request() {
    let world = World::new().await;
    let (_, number) = world.up_to_review("1.1.0").await;
    let old = world.file(PRODUCTION);
    world.quiet().await;
    world.kill();
    world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    let new = world.file(PRODUCTION);
    let reverted = push(&world, "Not that one", PRODUCTION, &old);
    world.start();
    has(
        &rests(&world, "shop.production", "Reverted").await,
        &[&reverted[..12]],
    );
    world.quiet().await;
    assert_eq!(pulls(&world, "shop/production"), 1);
    // A person who sets it again has decided as well.
    push(&world, "It was not that", PRODUCTION, &new);
    rests(&world, "shop.production", "Merged").await;
    // And so has one who puts another in its place.
    let other = new.replace(&digest_of("1.1.0"), &format!("sha256:{}", "77".repeat(32)));
    push(&world, "A build of mine", PRODUCTION, &other);
    rests(&world, "shop.production", "Reverted").await;
    world.quiet().await;
    assert_eq!(
        (pulls(&world, "shop/production"), world.file(PRODUCTION)),
        (1, other)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_while_the_next_image_waits_decides_on_what_it_takes_back() {
    let world = World::new().await;
    let old = world.file(PRODUCTION);
    let (_, number) = world.up_to_review("1.1.0").await;
    world.approve("bob", number);
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    rests(&world, "shop.production", "Merged").await;
    world.announce("1.2.0").await;
    let next = world
        .until("the next one is proposed", async || {
            world
                .pull_from("windlass/shop/production")
                .filter(|pull| pull["state"] == "open")?["number"]
                .as_u64()
        })
        .await;
    push(&world, "Back to what worked", PRODUCTION, &old);
    world
        .until("what is taken back is known", async || {
            let decided = promotion(&world, "shop.production").await["status"]["decided"].clone();
            decided
                .as_array()?
                .iter()
                .any(|one| one["digest"] == digest_of("1.1.0") && one["how"] == "Reverted")
                .then_some(())
        })
        .await;
    world
        .until(
            "the next one waits on, made for the base as it is now",
            async || {
                let pull = world.read(&format!("pulls/{next}"));
                (pull["state"] == "open" && pull["mergeable"] == true && pull["commits"] == 1)
                    .then_some(())
            },
        )
        .await;
    rests(&world, "shop.production", "Proposed").await;
    assert_eq!(pulls(&world, "shop/production"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_back_is_called_one_and_never_merges_by_itself() {
    let world = World::new().await;
    for tag in ["1.1.0", "1.2.0"] {
        world.announce(tag).await;
        let merged = world.merged(world.pull_request("staging").await).await;
        world.sync_status(&merged, "success").await;
    }
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let pull = world.read(&format!("pulls/{number}"));
    assert_eq!(pull["title"], "shop/staging: back to 1.1.0 (565656565656)");
    let body = pull["body"].as_str().unwrap();
    has(
        body,
        &[
            "Moves **shop/staging** back to an older image.",
            "`1.1.0` was announced before `1.2.0`, which `staging` has now",
        ],
    );
    world.previewed(number).await;
    let waits = world.gate_says(number, "0 of 1 approvals").await;
    has(
        &waits,
        &["this goes back: 1.1.0 was announced before 1.2.0"],
    );
    world.quiet().await;
    assert_eq!(world.read(&format!("pulls/{number}"))["merged"], false);
    world.approve("bob", number);
    world.merged(number).await;
    // From there the next one is a step forward again.
    world.announce("1.3.0").await;
    let next = world.pull_request("staging").await;
    world.merged(next).await;
    assert_eq!(
        world.read(&format!("pulls/{next}"))["title"],
        format!("shop/staging: 1.3.0 ({})", &digest_of("1.3.0")[7..19])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_holds_for_an_images_other_names_until_it_is_opened_again() {
    let world = World::new().await;
    let (_, number) = world.up_to_review("1.1.0-rc.1").await;
    world.as_user(
        "ada",
        Method::PATCH,
        &format!("pulls/{number}"),
        json!({"state": "closed"}),
    );
    has(
        &rests(&world, "shop.production", "Rejected").await,
        &[
            &format!("#{number} was closed"),
            &format!("reopen #{number}"),
        ],
    );
    world
        .until("the comment says so", async || {
            let text = world.conversation(number);
            text.contains("**Closed** · `ghcr.io/acme/shop 1.1.0-rc.1 (")
                .then_some(())
        })
        .await;
    let gate = world.gate_status(number, "cancelled").await;
    has(&gate, &["which is not open any more"]);
    let before = world.file(STAGING);
    announce(
        &world,
        &event("ghcr.io/acme/shop", "1.1.0", &digest_of("1.1.0-rc.1")),
    )
    .await;
    let staging = world.pull_request("staging").await;
    world.merged(staging).await;
    assert_eq!(
        world.file(STAGING),
        before.replace("\"1.1.0-rc.1\"", "\"1.1.0\""),
        "the tag, and nothing else"
    );
    world
        .until("production says that it is the same image", async || {
            let status = promotion(&world, "shop.production").await["status"].clone();
            status["message"]
                .as_str()?
                .contains("1.1.0 (the same image as 1.1.0-rc.1")
                .then_some(())
        })
        .await;
    rests(&world, "shop.production", "Rejected").await;
    world.quiet().await;
    assert_eq!(pulls(&world, "shop/production"), 1);
    world.as_user(
        "ada",
        Method::PATCH,
        &format!("pulls/{number}"),
        json!({"state": "open"}),
    );
    rests(&world, "shop.production", "Proposed").await;
    assert_eq!(pulls(&world, "shop/production"), 1);
}
