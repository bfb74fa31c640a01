//! `/hold` and `/resume`.

use super::{command, reply, until_status};
use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_not_merged_until_somebody_resumes_it() {
    let world = World::new().await;
    let (staging, production) = world.up_to_review("1.1.0").await;
    assert_eq!(
        command(&world, "bob", production, "/hold").await,
        "It needs more words: `/hold [APPLICATION/STAGE …] [--for TIME] REASON`."
    );
    assert_eq!(
        command(&world, "bob", production, "/hold cancel").await,
        "`/resume` ends a hold."
    );
    // Stopped before it is merged, even in the same moment.
    let hold = world.comment("bob", production, "/hold the database moves, please wait");
    world.approve("mia", production);
    reply(&world, production, hold).await;
    world
        .gate_says(production, "bob holds shop/production")
        .await;
    assert_eq!(
        command(&world, "mia", production, "/why").await,
        "⏳ Not merged yet:\n\n- ✅ **preview**: the preview of (hex) is ready · since (time)\n- ✅ **approvals**: approved by mia (shop/production requires 1) · since (time)\n- ✅ **earlier stages**: staging healthy with exactly these digests · since (time)\n- ⏳ **holds**: bob holds shop/production until `/resume`: the database moves, please wait · since (time) · cleared by `/resume` of `shop/production`"
    );
    let held = until_status(&world, "shop.production", "held", "bob").await;
    assert_eq!(held, "bob: the database moves, please wait");
    assert!(world.windlass(&["status"]).contains("held by bob"));
    assert_eq!(
        command(&world, "mia", production, "/status").await,
        "| application | synced | health | commit | |\n|---|---|---|---|---|\n| `shop/production` | Synced | Healthy | (hex) | held by bob: the database moves, please wait |"
    );
    // A name is no reason, and who takes over a hold is told whose.
    assert_eq!(
        command(&world, "mia", production, "/hold shop").await,
        "- `shop/production`: not done. A hold needs a reason: `/hold shop/production REASON`"
    );
    assert_eq!(
        command(&world, "mia", production, "/hold the database still moves").await,
        "- windlass merges nothing into `shop/production` by itself until `/resume`. This takes the place of the hold by `bob` (the database moves, please wait)"
    );
    command(
        &world,
        "bob",
        production,
        "/hold the database moves, please wait",
    )
    .await;
    until_status(&world, "shop.production", "held", "bob").await;
    // A shorter hold is no way out of it.
    assert_eq!(
        command(&world, "ada", production, "/hold --for 1s over").await,
        "- `shop/production`: `bob` holds it for longer: that stays"
    );
    // Who may not write is not heard; other stages are not held.
    world.comment("rita", production, "/resume");
    assert_eq!(
        command(&world, "mia", staging, "/resume").await,
        "- `shop/staging`: nobody holds it"
    );
    assert!(
        !world.read(&format!("pulls/{production}"))["merged"]
            .as_bool()
            .unwrap()
    );
    assert_eq!(
        command(&world, "mia", production, "/resume").await,
        "- windlass merges into `shop/production` again"
    );
    let merge = world.merged(production).await;
    world.sync_status(&merge, "success").await;
    let history = command(&world, "mia", production, "/history").await;
    let rows: Vec<_> = history.lines().skip(4).collect();
    assert!(
        rows.len() == 2
            && rows[0].ends_with("`shop:1.1.0 (565656565656)` |")
            && rows[1].ends_with("`shop:1.0.0 (101010101010)` |"),
        "{history}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_ends_by_its_time_and_kubectl_holds_too() {
    let world = World::new().await;
    let (_, production) = world.up_to_review("1.1.0").await;
    let text = command(
        &world,
        "bob",
        production,
        "/hold shop/production --for 8s a short look",
    )
    .await;
    assert!(
        text.starts_with("- windlass merges nothing into `shop/production` by itself until 2"),
        "{text}"
    );
    world
        .gate_says(production, "bob holds shop/production until 2")
        .await;
    world.approve("bob", production);
    // Nobody does anything more.
    world.merged(production).await;
    let object = "applications.windlass.dev/shop.staging";
    let home = world.home();
    let annotate = |value: &str| {
        world.kubectl(&["-n", &home, "annotate", "--overwrite", object, value]);
    };
    annotate("windlass.dev/hold=ops look at it");
    until_status(&world, "shop.staging", "held", "kubectl: ops look at it").await;
    world.announce("1.2.0").await;
    let staging = world
        .until("the next pull request", async || {
            let pull = world.pull_from("windlass/shop/staging")?;
            (pull["state"] == "open").then(|| pull["number"].as_u64().unwrap())
        })
        .await;
    world.gate_says(staging, "kubectl holds shop/staging").await;
    annotate("windlass.dev/hold-");
    world.merged(staging).await;
}
