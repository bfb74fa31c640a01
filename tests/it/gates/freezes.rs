//! `/freeze` and `/unfreeze`.

use serde_json::json;

use super::{approved, edited, summary};
use crate::paths::command::reply;
use crate::support::lab::has;
use crate::support::{Setup, World};

async fn freezes(world: &World) -> Vec<serde_json::Value> {
    let home = world.home();
    let mut all = world
        .list("windlass.dev/v1alpha1", "Freeze", "freezes", &home)
        .await;
    all.iter_mut().for_each(|freeze| {
        freeze["spec"]["repositoryId"].take();
    });
    all.into_iter()
        .map(|mut freeze| freeze["spec"].take())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_by_command_holds_until_somebody_ends_it_who_may() {
    let world = World::new().await;
    let (_, number) = world.up_to_review("1.1.0").await;
    let given = world.comment(
        "mia",
        number,
        "/freeze production until 2099-12-01T08:00[Europe/Berlin] It's the *sale*.",
    );
    let text = reply(&world, number, given).await;
    insta::assert_snapshot!(world.scrub(&text), @"
    <!-- windlass:reply (id) -->
    > `/freeze production until 2099-12-01T08:00[Europe/Berlin] It's the *sale*.`

    Nothing is merged into `production` until (time) or `/unfreeze`. Rollbacks are not held up.
    ");
    world.approve("bob", number);
    world
        .until("nothing else is waited for", async || {
            let (_, title) = world.verdict(&world.head(number))?;
            title.starts_with("production is frozen").then_some(())
        })
        .await;
    insta::assert_snapshot!(summary(&world, number), @r"
    ⏳ Not merged yet:

    - ✅ **preview**: the preview of (hex) is ready · since (time)
    - ✅ **approvals**: approved by bob (shop/production requires 1) · since (time)
    - ✅ **earlier stages**: staging healthy with exactly these digests · since (time)
    - ⏳ **windows**: production is frozen until (time) by mia (It's the \*sale\*.) · since (time) · cleared by time, at (time), or by `/unfreeze production`

    > [!NOTE]
    > The rules of `main` do not require `windlass/gate` from this App: anyone who may merge can do so without it. Add a ruleset that requires it, with this App as its source.
    ");
    let mut kept = freezes(&world).await.remove(0);
    assert_eq!(
        kept["source"].take(),
        format!("acme/config#{number} {given}")
    );
    assert_eq!(
        kept,
        json!({"repository": "acme/config", "repositoryId": null, "stage": "production",
            "until": "2099-12-01T07:00:00Z", "by": "mia", "reason": "It's the *sale*.", "source": null})
    );
    let listed = world.kubectl(&["get", "freezes", "-n", &world.home()]);
    has(
        &listed,
        &[
            "acme/config",
            "production",
            "2099-12-01T07:00:00Z",
            "mia",
            "sale",
        ],
    );

    // Who may only read is not heard, and an edited text is not carried out.
    world.comment("rita", number, "/unfreeze production");
    let comment = edited(&world, "bob", number, "/unfreeze production").await;
    let text = reply(&world, number, comment).await;
    has(&text, &["This text was edited after it was posted"]);
    assert_eq!(freezes(&world).await.len(), 1);

    let ended = world.comment("bob", number, "/unfreeze production");
    has(
        &reply(&world, number, ended).await,
        &["No freeze by command or kubectl holds `production` any more."],
    );
    world.merged(number).await;
    assert_eq!(freezes(&world).await, [json!(null); 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_is_refused_to_whoever_may_not_decide_about_the_stage() {
    let world = World::new().await;
    let file = "apps/shop/production/config.yaml";
    let text = world.file(file).replace("hello", "hi");
    let number = world.propose("bob", "hi", &[(file, Some(&text))]);
    world.previewed(number).await;
    let answer = async |login: &str, text: &str| {
        let given = world.comment(login, number, text);
        reply(&world, number, given).await
    };
    for (login, text, part) in [
        (
            "bob",
            "/freeze production until 2h",
            "`bob` may not decide that for this stage: they opened the pull request",
        ),
        (
            "bob",
            "/unfreeze production",
            "`bob` may not decide that for this stage",
        ),
        (
            "mia",
            "/freeze staging until 2h",
            "this pull request touches no application in a stage `staging`",
        ),
        (
            "mia",
            "/freeze production until 2026-01-01",
            "`2026-01-01` is over already",
        ),
        (
            "mia",
            "/freeze production till 2h",
            "`/freeze STAGE until TIME [REASON]`",
        ),
        ("mia", "/unfreeze production", "holds `production` any more"),
    ] {
        has(&answer(login, text).await, &[part]);
    }
    assert_eq!(freezes(&world).await, [json!(null); 0]);
}

fn by_hand(world: &World, name: &str, until: &str) {
    let home = world.home();
    let text = format!(
        "apiVersion: windlass.dev/v1alpha1\nkind: Freeze\nmetadata:\n  name: {name}\n  namespace: {home}\nspec:\n  repository: acme/config\n  stage: staging\n  until: {until}\n  reason: the network is being rebuilt\n"
    );
    world.with_file(&["create"], &text);
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_freezes_and_ends_it_and_what_is_over_is_deleted() {
    let setup = Setup {
        resync: Some(5),
        ..Setup::default()
    };
    let world = World::with(setup).await;
    let number = approved(&world).await;
    world.gate_status(number, "success").await;
    by_hand(&world, "network", "2099-12-01T08:00:00Z");
    let title = world.gate_says(number, "is frozen").await;
    assert_eq!(
        title,
        "staging is frozen until 2099-12-01 08:00 UTC by kubectl (the network is being rebuilt)"
    );
    world.kubectl(&["delete", "freeze", "network", "-n", &world.home()]);
    world.gate_status(number, "success").await;
    by_hand(&world, "past", "2026-01-01T08:00:00Z");
    world
        .until("what is over is deleted", async || {
            freezes(&world).await.is_empty().then_some(())
        })
        .await;
    let verdict = world.verdict(&world.head(number)).unwrap();
    assert_eq!(verdict.0, "success");
}
