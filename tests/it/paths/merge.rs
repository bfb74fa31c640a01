//! Path 4: what was approved, and only that, is merged.

use http::Method;
use serde_json::json;

use crate::support::World;

async fn production(world: &World, tag: &str) -> u64 {
    world.announce(tag).await;
    let staging = world.pull_request("staging").await;
    world.merged(staging).await;
    let number = world.pull_request("production").await;
    world.previewed(number).await;
    number
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_merges_at_once_and_approvals_are_waited_for() {
    let world = World::new().await;
    let number = production(&world, "1.1.0").await;
    assert_eq!(
        world.gate_status(number, "pending").await,
        "0 of 1 approvals (shop/production requires 1)"
    );
    // A reader's approval is heard, and does not count.
    world.approve("rita", number);
    let text = world.gate_status(number, "pending").await;
    world.gate_says(number, "rita's does not count").await;
    assert!(text.starts_with("0 of 1 approvals"), "{text}");
    assert!(
        world
            .try_as_user(
                "bob",
                Method::PUT,
                &format!("pulls/{number}/merge"),
                json!({"sha": "0".repeat(40)})
            )
            .is_err()
    );
    world.approve("bob", number);
    let commit = world.merged(number).await;
    let pull = world.read(&format!("pulls/{number}"));
    assert_eq!(pull["merged_by"]["login"], "windlass[bot]");
    world.sync_status(&commit, "success").await;
    world
        .until("the comment tells the end", async || {
            world.comments(number)[0]["body"]
                .as_str()?
                .contains("Synced, healthy")
                .then_some(())
        })
        .await;
    insta::assert_snapshot!(world.conversation(number), @"
    shop/production: 1.1.0 (565656565656) by windlass[bot] (merged)

    --- windlass[bot]
    <!-- windlass:sticky final (hex) -->
    **Synced, healthy** · `(hex)` · 1 of 1 objects as predicted

    | application | state | |
    |---|---|---|
    | `shop/production` | synced, healthy |  |

    <details><summary>the preview that was merged</summary>

    **1 of 2 applications changes** · 1 changed · rolls 2 pods · verified by the cluster

    | application | image | from | to | source |
    |---|---|---|---|---|
    | `shop/production` | `ghcr.io/acme/shop` | `1.0.0` `101010101010` | `1.1.0` `565656565656` | [ccccccc](https://forge/acme/shop/commit/cccccccccccccccccccccccccccccccccccccccc) |

    **shop/production** on `local`

    <details><summary><code>Deployment shop-production/shop</code> changed +1 −1</summary>

    - rolls 2 pods (maxSurge 25%, maxUnavailable 25%): all 2 stay available

    ```diff
           - envFrom:
             - configMapRef:
                 name: shop
    -        image: ghcr.io/acme/shop:1.0.0@sha256:1010101010101010101010101010101010101010101010101010101010101010
    +        image: ghcr.io/acme/shop:1.1.0@sha256:5656565656565656565656565656565656565656565656565656565656565656
             imagePullPolicy: IfNotPresent
             name: shop
             ports:
    ```

    </details>

    </details>
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extra_commit_needs_a_review_everywhere_also_where_merging_is_automatic() {
    let world = World::new().await;
    // The commit must be there before windlass comes to merge: it is pushed while windlass is down.
    world.kill();
    let digest = crate::support::digest_of("1.1.0");
    world.start();
    world.settled().await;
    let file = "apps/shop/staging/config.yaml";
    // Held open by a draft: the repository's rule asks for a review that nobody gives.
    {
        let mut state = world.forge.state();
        let id = state.by_full_name("acme/config").unwrap().id;
        state
            .repository_mut(id)
            .unwrap()
            .rules
            .push(windlass::sandbox::forge::state::Rule {
                branch: "main".into(),
                approvals: 1,
                ..Default::default()
            });
    }
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let verdict = world.gate_status(number, "success").await;
    assert_eq!(
        verdict,
        "all gates passed; GitHub waits: the branch's rules require an approval: 0 given"
    );
    let changed = world.file(file).replace("hello", "extra");
    world
        .forge
        .push(
            "acme/config",
            "windlass/shop/staging",
            "mia",
            "Extra",
            &[(file, Some(&changed))],
        )
        .unwrap();
    let text = world.gate_says(number, "somebody changed").await;
    assert_eq!(
        text,
        "0 of 1 approvals (somebody changed windlass's branch)"
    );
    world.approve("bob", number);
    // What is not windlass's own is merged by a person.
    let text = world.gate_status(number, "success").await;
    assert_eq!(
        text,
        "all gates passed: somebody changed windlass's branch, so a person has to merge it, or asks with `/merge`"
    );
    world.as_user(
        "mia",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({"sha": world.head(number)}),
    );
    let commit = world.merged(number).await;
    world.sync_status(&commit, "success").await;
    assert!(
        world.deployment("staging").await["spec"]["template"]["spec"]["containers"][0]["image"]
            .as_str()
            .unwrap()
            .ends_with(&digest)
    );
    let stored = world.config_map("staging", "shop").await.unwrap();
    assert_eq!(stored["data"]["greeting"], "extra");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_an_older_head_does_not_count() {
    let world = World::new().await;
    let number = production(&world, "1.1.0").await;
    world.gate_status(number, "pending").await;
    world.kill();
    world.approve("bob", number);
    world
        .forge
        .push(
            "acme/config",
            "windlass/shop/production",
            "mia",
            "Sneaked in",
            &[(
                "apps/shop/production/config.yaml",
                Some(
                    &world
                        .file("apps/shop/production/config.yaml")
                        .replace("hello", "sneaked"),
                ),
            )],
        )
        .unwrap();
    world.start();
    world.gate_says(number, "on an older commit").await;
    assert_eq!(world.read(&format!("pulls/{number}"))["merged"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn peoples_pull_requests_are_left_to_people() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let changed = world.file(file).replace("hello", "hi");
    let number = world.propose("bob", "hi", &[(file, Some(&changed))]);
    world.previewed(number).await;
    world.gate_status(number, "pending").await;
    world.approve("mia", number);
    assert_eq!(
        world.gate_status(number, "success").await,
        "all gates passed: a person can merge it now, or asks with `/merge`"
    );
    world.as_user(
        "mia",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({"sha": world.head(number)}),
    );
    let commit = world.merged(number).await;
    assert_eq!(
        world.sync_status(&commit, "success").await,
        "shop/staging is synced and healthy"
    );
    assert_eq!(
        world.config_map("staging", "shop").await.unwrap()["data"]["greeting"],
        "hi"
    );
}
