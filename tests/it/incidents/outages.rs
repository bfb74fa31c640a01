//! A cluster that refuses requests.

use http::Method;

use crate::support::lab::{CONFIG, Lab, has};
use crate::support::{World, plane};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_refused_for_a_while_is_previewed_anew() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let group = format!("{}later.example", lab.world.prefix);
    lab.may_write(&group, "gadgets");
    let gadget = format!("apiVersion: {group}/v1\nkind: Gadget\nmetadata: {{name: lab}}\n");
    let (number, text) = lab
        .change("gadget", &[("gadget.yaml", Some(&gadget))])
        .await;
    has(
        &text,
        &[
            "**1 cannot be applied**",
            "install its CustomResourceDefinition first",
        ],
    );
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: gadgets.{group}}}\nspec: {{group: {group}, scope: Namespaced, names: {{kind: Gadget, plural: gadgets}}, versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]}}\n"
    );
    lab.with_file(&["create"], &definition);
    // Nobody says a word in the thread, and no branch moves.
    lab.world
        .until("it can be applied", async || {
            lab.world
                .conversation(number)
                .contains("verified by the cluster")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_turns_us_away_is_not_called_synced() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.world.quiet().await;
    lab.world.proxy.turn_away(true);
    let state = async || lab.world.application("lab.staging").await["status"].clone();
    // Nothing is pushed, and nobody asks: it is noticed all the same.
    lab.world
        .until("it is not called synced any more", async || {
            (state().await["sync"] == "Unknown").then_some(())
        })
        .await;
    has(state().await["message"].as_str().unwrap(), &["credentials"]);
    let changed = CONFIG.replace("'1'", "'2'");
    let commit = lab
        .world
        .commit("More", &[("apps/lab/staging/config.yaml", Some(&changed))]);
    has(
        &lab.world.sync_status(&commit, "error").await,
        &["stale: lab/staging"],
    );
    // Taken back before anybody could look at it: neither commit waits for ever.
    let back = lab
        .world
        .commit("Back", &[("apps/lab/staging/config.yaml", Some(CONFIG))]);
    lab.world.proxy.turn_away(false);
    has(
        &lab.world.sync_status(&commit, "success").await,
        &[&format!("superseded by {}", &back[..12])],
    );
    lab.world.sync_status(&back, "success").await;
    assert!(plane().kubectl(&["version"]).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_may_fail_once_and_the_end_is_the_same() {
    let world = World::new().await;
    // One bad answer for each write of an image's life, and for reads that it stands on.
    for (method, path, status) in [
        ("POST", "/graphql", 502),
        ("POST", "/comments", 403),
        ("POST", "/check-runs", 502),
        ("GET", "/pulls/*/reviews", 502),
        ("PUT", "/pulls/*/merge", 502),
        ("POST", "/statuses/*", 403),
        ("POST", "/deployments", 502),
        ("GET", "/pulls/*", 502),
    ] {
        world.github_fails(method, path, status, 1);
    }
    for (method, path, status) in [
        (Method::PATCH, "/deployments/", 503),
        (Method::PUT, "/applications/", 500),
        (Method::PATCH, "dryRun=All", 504),
    ] {
        world.proxy.fail(method, path, status, 1);
    }
    let (staging, production) = world.up_to_review("1.1.0").await;
    assert_eq!(
        (world.github_failures_left(), world.proxy.failures_left()),
        (Vec::new(), 0),
        "every failure was met"
    );
    for number in [staging, production] {
        let comments = world.comments(number);
        assert_eq!(comments.len(), 1, "{comments:?}");
    }
    let live = world.deployment("staging").await;
    let image = live["spec"]["template"]["spec"]["containers"][0]["image"].as_str();
    assert!(
        image.unwrap().starts_with("ghcr.io/acme/shop:1.1.0@"),
        "{image:?}"
    );
}
