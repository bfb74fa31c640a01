//! `/merge` and `/cancel`: people's pull requests, merged by windlass under the same gates.

use super::command;
use crate::gates::edited;
use crate::github::half_a_minute;
use crate::paths::command::pull_request;
use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_a_pull_request_merged_once_the_gates_allow_it() {
    let world = World::new().await;
    let number = pull_request(&world).await;
    world.seen(number).await;
    let head = world.head(number);
    assert_eq!(
        command(&world, "bob", number, "/cancel").await,
        "There is nothing to take back: nobody gave `/merge`. `/hold` keeps windlass from merging what it opened itself."
    );
    assert_eq!(
        command(&world, "bob", number, "/merge 0000000").await,
        "`0000000` is not a whole commit: give all 40 digits, `/merge [COMMIT]`."
    );
    let other = format!("/merge {}", "0".repeat(40));
    assert_eq!(
        command(&world, "bob", number, &other).await,
        "Not done: the head is `(hex)` by now. If you want that one, name it."
    );
    let merge = "windlass merges `(hex)` as soon as every gate has passed; `/cancel` takes this back.\n\n⏳ Not merged yet:\n\n- ✅ **preview**: the preview of (hex) is ready · since (time)\n- ⏳ **approvals**: 0 of 1 approvals (a person's change needs a review) · since (time) · cleared by the approval of somebody who may write to this repository";
    assert_eq!(command(&world, "bob", number, "/merge").await, merge);
    assert_eq!(
        command(&world, "mia", number, "/cancel").await,
        "windlass does not merge this pull request any more, unless somebody asks again."
    );
    world.approve("mia", number);
    world.gate_says(number, "a person can merge it now").await;
    // Who may only read is not heard, and an edited text is nobody's word.
    world.comment("rita", number, "/merge");
    edited(&world, "bob", number, "/merge").await;
    command(&world, "bob", number, "/why").await;
    assert_eq!(world.read(&format!("pulls/{number}"))["merged"], false);
    let named = format!("/merge {head}");
    command(&world, "bob", number, &named).await;
    let merged = world.merged(number).await;
    let pull = world.read(&format!("pulls/{number}"));
    assert_eq!(pull["merged_by"]["login"], "windlass[bot]");
    world.sync_status(&merged, "success").await;
    assert_eq!(
        command(&world, "bob", number, "/merge").await,
        "This pull request is merged."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_head_needs_a_new_word() {
    let world = World::new().await;
    let number = pull_request(&world).await;
    world.seen(number).await;
    command(&world, "bob", number, "/merge").await;
    let file = "apps/shop/staging/config.yaml";
    let more = world.file(file).replace("greeting: hello", "greeting: hey");
    world
        .forge
        .push(
            "acme/config",
            "greeting",
            "bob",
            "More",
            &[(file, Some(&more))],
        )
        .unwrap();
    world.previewed(number).await;
    world.approve("mia", number);
    world.gate_says(number, "a person can merge it now").await;
    // One that windlass opened is merged anyway.
    let (_, production) = world.up_to_review("1.1.0").await;
    let text = command(&world, "bob", production, "/merge").await;
    assert!(
        text.starts_with(
            "windlass merges this pull request anyway as soon as every gate has passed."
        ),
        "{text}"
    );
    assert_eq!(world.read(&format!("pulls/{number}"))["merged"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_do_something_else_by_now_is_not_merged() {
    let world = World::new().await;
    let kustomization = "apps/shop/staging/kustomization.yaml";
    let listed = world
        .file(kustomization)
        .replace("  - config.yaml\n", "  - config.yaml\n  - extra.yaml\n");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: extra\ndata:\n  color: red\n";
    let extra = ("apps/shop/staging/extra.yaml", Some(map));
    let number = world.propose("bob", "extra", &[extra, (kustomization, Some(&listed))]);
    world.seen(number).await;
    command(&world, "bob", number, "/merge").await;
    // Somebody makes it by hand, with other content.
    let namespace = world.namespace("shop-staging");
    let create = ["create", "configmap", "extra", "--from-literal=color=blue"];
    world.kubectl(&[&["-n", &namespace], &create[..]].concat());
    half_a_minute(&world).await;
    world.approve("mia", number);
    let verdict = world.gate_says(number, "mia's does not count").await;
    assert!(verdict.starts_with("0 of 1 approvals"), "{verdict}");
    assert_eq!(world.read(&format!("pulls/{number}"))["merged"], false);
}
