//! The story that is told again and again: all five paths, in three parts. After each, windlass rests.

use windlass::sandbox::forge::git::git;

use crate::support::World;

// Everything in it is done again or waited for until it is there, as people and CI do.

/// The numbers of the promotion's pull requests: to staging and to production.
pub type Pulls = (u64, u64);

/// The cluster comes to be what the repository says.
pub async fn first_sync(world: &World) {
    world.settled().await;
}

/// An image reaches staging, and its pull request for production is previewed.
pub async fn promotion(world: &World) -> Pulls {
    world.up_to_review("1.1.0").await
}

/// Commands, the merge to production, a person's commit with a deletion, and a change by hand.
pub async fn changes(world: &World, (staging, production): Pulls) {
    command(world, production, "/sync").await;
    world
        .until("the outcome", async || {
            let comments = world.comments(production);
            let mut bodies = comments.iter().filter_map(|one| one["body"].as_str());
            bodies
                .any(|body| body.contains("The sync has ended"))
                .then_some(())
        })
        .await;
    command(world, production, "/freeze production until 2099-12-01").await;
    world.approve("bob", production);
    world.gate_says(production, "is frozen").await;
    command(world, production, "/unfreeze production").await;
    let commit = world.merged(production).await;
    world.sync_status(&commit, "success").await;

    // A person's change: one object goes, another changes.
    let overlay = "apps/shop/staging/kustomization.yaml";
    let without = world.file(overlay).replace("  - secret.yaml\n", "");
    let config = world
        .file("apps/shop/staging/config.yaml")
        .replace("hello", "goodbye");
    let commit = world.commit(
        "Less",
        &[
            (overlay, Some(&without)),
            ("apps/shop/staging/secret.yaml", None),
            ("apps/shop/staging/config.yaml", Some(&config)),
        ],
    );
    // A Secret goes with somebody's word.
    let status = async || world.application("shop.staging").await["status"].clone();
    let confirm = world
        .until("the deletion asks", async || {
            status().await["confirm"].as_str().map(str::to_string)
        })
        .await;
    let confirm = format!("windlass.dev/confirm-prune={confirm}");
    world.kubectl(&[
        "-n",
        &world.home(),
        "annotate",
        "--overwrite",
        "applications.windlass.dev/shop.staging",
        &confirm,
    ]);
    world.sync_status(&commit, "success").await;
    world.kubectl(&[
        "-n",
        &world.namespace("shop-production"),
        "patch",
        "configmap/shop",
        "--type=merge",
        "-p",
        r#"{"data":{"greeting":"hacked"}}"#,
    ]);
    world
        .until("the edit is reverted", async || {
            (world.config_map("production", "shop").await?["data"]["greeting"] == "hello")
                .then_some(())
        })
        .await;
    world
        .until("everything rests", async || {
            let promotions = world
                .list(
                    "windlass.dev/v1alpha1",
                    "Promotion",
                    "promotions",
                    &world.home(),
                )
                .await;
            let merged = promotions.len() == 2
                && promotions
                    .iter()
                    .all(|promotion| promotion["status"]["state"] == "Merged");
            let told = [staging, production].iter().all(|number| {
                world.comments(*number)[0]["body"]
                    .as_str()
                    .is_some_and(|body| body.contains("Synced, healthy"))
            });
            let only_main = || {
                let path = world.forge.repository_path("acme", "config");
                let branches = git(&path, &["for-each-ref", "refs/heads"]).unwrap_or_default();
                branches.lines().count() == 1
            };
            (merged && told && only_main()).then_some(())
        })
        .await;
    world.settled().await;
}

/// Gives a command, and waits for its answer.
async fn command(world: &World, number: u64, text: &str) {
    let asked = world.comment("bob", number, text);
    let marker = format!("<!-- windlass:reply {asked} -->");
    world
        .until("the answer", async || {
            let comments = world.comments(number);
            let mut bodies = comments
                .iter()
                .filter_map(|comment| comment["body"].as_str());
            bodies.any(|body| body.starts_with(&marker)).then_some(())
        })
        .await;
}
