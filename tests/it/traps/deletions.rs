//! What is deleted, and what moves to another application instead.

use http::Method;
use serde_json::json;

use crate::support::lab::{CONFIG, Lab, deployment, has};

#[tokio::test(flavor = "multi_thread")]
async fn t21_prunes_are_listed_and_a_protected_object_stays() {
    let lab = Lab::with(&[
        ("config.yaml", CONFIG),
        ("plain.yaml", &CONFIG.replace("name: lab", "name: plain")),
        (
            "kept.yaml",
            &CONFIG.replace(
                "name: lab",
                "name: kept\n  annotations: {windlass.dev/prune: never}",
            ),
        ),
    ])
    .await;
    let (number, text) = lab
        .change("less", &[("plain.yaml", None), ("kept.yaml", None)])
        .await;
    has(
        &text,
        &[
            "1 deleted",
            "Deletes `ConfigMap lab-staging/plain`.",
            "stays in the cluster: it is marked `windlass.dev/prune: never`",
        ],
    );
    lab.merge(number, "success").await;
    assert!(
        lab.object("v1", "ConfigMap", "configmaps", "plain")
            .await
            .is_null()
    );
    assert!(
        lab.object("v1", "ConfigMap", "configmaps", "kept")
            .await
            .is_object()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_nobody_approved_waits_for_a_confirmation() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
    ])
    .await;
    // Approved: the preview listed it, and a writer approved just that head.
    let (number, text) = lab.change("config", &[("config.yaml", None)]).await;
    has(&text, &["1 deleted"]);
    lab.merge(number, "success").await;
    // Merged by its author alone: a workload does not go by that.
    let (number, text) = lab.change("workload", &[("deployment.yaml", None)]).await;
    has(
        &text,
        &["Deletes `Deployment lab-staging/lab`.", "stops its 2 pods"],
    );
    lab.merge(number, "pending").await;
    let waits = "its deletion waits for a confirmation: `/confirm-prune`, or `windlass confirm-prune lab/staging`";
    lab.world
        .until("the deletion is said to wait", async || {
            lab.world.conversation(number).contains(waits).then_some(())
        })
        .await;
    assert!(lab.deployment().await.is_object());
    lab.world.comment("bob", number, "/confirm-prune");
    lab.world
        .until("the workload is gone", async || {
            lab.deployment().await.is_null().then_some(())
        })
        .await;
    lab.world
        .until("it is answered", async || {
            let text = lab.world.conversation(number);
            text.contains("> `/confirm-prune`").then_some(())
        })
        .await;
    has(
        &lab.world.conversation(number),
        &["deletes `Deployment lab-staging/lab`"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_deletion_needs_no_second_word() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
    ])
    .await;
    let (number, _) = lab.change("workload", &[("deployment.yaml", None)]).await;
    lab.world.approve("mia", number);
    lab.merge(number, "success").await;
    lab.world
        .until("the workload is gone", async || {
            lab.deployment().await.is_null().then_some(())
        })
        .await;
}

/// Two more applications in the lab's namespace.
async fn with_neighbour(lab: &Lab) {
    let catalog = lab.world.file("windlass.yaml");
    let rule = format!(
        "applications:\n  - name: next\n    path: next/{{stage}}\n    namespace: {}\n",
        lab.namespace()
    );
    let catalog = catalog.replacen("applications:\n", &rule, 1);
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: next}\ndata: {a: '1'}\n";
    let files = [
        ("windlass.yaml", Some(catalog.as_str())),
        ("next/staging/config.yaml", Some(other)),
    ];
    let commit = lab.world.commit("A neighbour", &files);
    lab.world.sync_status(&commit, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_moves_to_another_application_is_handed_over() {
    let more =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: moving}\ndata: {keep: '1', drop: '2'}\n";
    let lab = Lab::with(&[("config.yaml", CONFIG), ("moving.yaml", more)]).await;
    with_neighbour(&lab).await;
    let before = lab.object("v1", "ConfigMap", "configmaps", "moving").await;
    let there = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: moving}\ndata: {keep: '1'}\n";
    let files = [
        ("apps/lab/staging/moving.yaml", None),
        ("next/staging/moving.yaml", Some(there)),
    ];
    let number = lab.world.propose("bob", "move", &files);
    lab.world.previewed(number).await;
    has(
        &lab.world.conversation(number),
        &[
            "`ConfigMap lab-staging/moving` moves to `next/staging`: it is handed over, not deleted.",
            "-  drop: '2'",
        ],
    );
    // Whose it is to be comes last, after whose it was has been looked at and rests.
    lab.world
        .windlass(&["pause", "next/staging", "--for", "1h"]);
    let inventory = async |name: &str| {
        lab.world.application(name).await["status"]["inventory"]
            .to_string()
            .contains("moving")
    };
    let merged = lab.world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    )["sha"]
        .clone();
    lab.world
        .until("one rests and the other is paused", async || {
            let (was, next) = (
                lab.world.application("lab.staging").await,
                lab.world.application("next.staging").await,
            );
            let paused = next["status"]["message"].as_str()?.contains("paused until")
                && next["status"]["revision"] == merged;
            (was["status"]["syncedRevision"] == merged && paused).then_some(())
        })
        .await;
    assert!(
        inventory("lab.staging").await,
        "it is whose it was until it is handed over"
    );
    lab.world.windlass(&["resume", "next/staging"]);
    lab.world
        .sync_status(merged.as_str().unwrap(), "success")
        .await;
    let after = lab.object("v1", "ConfigMap", "configmaps", "moving").await;
    assert_eq!(
        (&after["metadata"]["uid"], &after["data"]),
        (&before["metadata"]["uid"], &json!({"keep": "1"}))
    );
    assert_eq!(
        after["metadata"]["annotations"]["windlass.dev/application"],
        "next/staging"
    );
    lab.world
        .until("it is in one inventory", async || {
            (!inventory("lab.staging").await && inventory("next.staging").await).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_two_applications_have_is_an_error_on_the_pull_request() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    with_neighbour(&lab).await;
    let (number, text) = lab
        .change(
            "both",
            &[(
                "next.yaml",
                Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: next}\ndata: {a: '2'}\n"),
            )],
        )
        .await;
    has(
        &text,
        &[
            "**1 cannot be applied**",
            "ConfigMap lab-staging/next also belongs to next/staging",
        ],
    );
    let why = lab.merge(number, "failure").await;
    has(&why, &["also belongs to next/staging"]);
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "next").await["data"]["a"],
        "1"
    );
}
