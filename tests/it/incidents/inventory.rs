//! Objects outlive mistakes: lost inventories, other clusters, renamed applications.

use http::Method;
use serde_json::json;

use crate::support::lab::{CONFIG, Lab, deployment, has};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_anew_under_an_old_name_is_not_pruned() {
    let extra = CONFIG.replace("name: lab", "name: extra");
    let lab = Lab::with(&[("config.yaml", CONFIG), ("extra.yaml", &extra)]).await;
    let live = async || lab.object("v1", "ConfigMap", "configmaps", "extra").await;
    let label = live().await["metadata"]["labels"]["windlass.dev/owner"]
        .as_str()
        .unwrap()
        .to_string();
    lab.world.quiet().await;
    lab.world.kill();
    lab.kubectl(&["delete", "configmap/extra"]);
    lab.with_file(
        &["create"],
        &extra.replace(
            "name: extra",
            &format!("name: extra\n  labels: {{windlass.dev/owner: {label}}}"),
        ),
    );
    let uid = live().await["metadata"]["uid"].clone();
    let commit = lab
        .world
        .commit("No extra", &[("apps/lab/staging/extra.yaml", None)]);
    lab.world.start();
    lab.world.sync_status(&commit, "success").await;
    assert_eq!(
        live().await["metadata"]["uid"],
        uid,
        "somebody else's object of the same name"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_read_retires_nothing() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let uid = lab.object("v1", "ConfigMap", "configmaps", "lab").await["metadata"]["uid"].clone();
    let catalog = lab.world.file("windlass.yaml");
    let broken = lab
        .world
        .commit("Broken", &[("windlass.yaml", Some("version: ["))]);
    has(
        &lab.world.sync_status(&broken, "failure").await,
        &["windlass.yaml"],
    );
    lab.world.quiet().await;
    lab.world.kill();
    lab.world.start();
    lab.world.quiet().await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["metadata"]["uid"],
        uid
    );
    let status = lab.world.application("lab.staging").await["status"].clone();
    assert!(
        status["confirm"].is_null() && !status["inventory"].as_array().unwrap().is_empty(),
        "{status}"
    );
    let mended = lab
        .world
        .commit("Mended", &[("windlass.yaml", Some(&catalog))]);
    lab.world.sync_status(&mended, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_is_renamed_takes_its_objects_along() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let uid = async || {
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["metadata"]["uid"].clone()
    };
    let before = uid().await;
    let catalog = lab.world.file("windlass.yaml");
    let rule = format!(
        "applications:\n  - name: other\n    path: apps/lab/{{stage}}\n    namespace: {}\n",
        lab.namespace()
    );
    let renamed = catalog.replacen("applications:\n", &rule, 1);
    lab.world
        .commit("Renamed", &[("windlass.yaml", Some(&renamed))]);
    // Nothing is offered for deletion that the new name has, whether it was adopted yet or not.
    let gone = async || lab.world.application("lab.staging").await;
    lab.world
        .until("the old name is gone", async || {
            gone().await.is_null().then_some(())
        })
        .await;
    assert_eq!(uid().await, before);
    lab.world
        .until("the new name waits for a word", async || {
            let other = lab.world.application("other.staging").await;
            (other["status"]["reason"] == "AdoptionRequired").then_some(())
        })
        .await;
    lab.world.windlass(&["adopt", "other/staging"]);
    lab.world
        .until("the new name has them", async || {
            let live = lab.object("v1", "ConfigMap", "configmaps", "lab").await;
            (live["metadata"]["annotations"]["windlass.dev/application"] == "other/staging")
                .then_some(())
        })
        .await;
    assert_eq!(uid().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_inventory_deletes_nothing_and_is_made_again() {
    let extra = CONFIG.replace("name: lab", "name: extra");
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
        ("extra.yaml", &extra),
    ])
    .await;
    let uid = lab.deployment().await["metadata"]["uid"].clone();
    lab.world.quiet().await;
    lab.world.kill();
    lab.world.kubectl(&[
        "-n",
        &lab.world.home(),
        "delete",
        "applications.windlass.dev/lab.staging",
    ]);
    let commit = lab
        .world
        .commit("No extra", &[("apps/lab/staging/extra.yaml", None)]);
    lab.world.start();
    lab.world.sync_status(&commit, "success").await;
    assert_eq!(lab.deployment().await["metadata"]["uid"], uid);
    assert!(
        lab.object("v1", "ConfigMap", "configmaps", "extra")
            .await
            .is_object(),
        "what nothing remembers is not pruned"
    );
    let inventory = lab.world.application("lab.staging").await["status"]["inventory"].to_string();
    assert!(
        inventory.contains("/lab ") && !inventory.contains("/extra "),
        "{inventory}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_behind_the_same_address_is_noticed() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.world.quiet().await;
    lab.world.kill();
    let other = r#"{"status":{"clusterUid":"another"}}"#;
    lab.world.kubectl(&[
        "-n",
        &lab.world.home(),
        "patch",
        "applications.windlass.dev/lab.staging",
        "--subresource=status",
        "--type=merge",
        "-p",
        other,
    ]);
    lab.world.start();
    let (number, _) = lab
        .change(
            "more",
            &[("config.yaml", Some(&CONFIG.replace("'1'", "'2'")))],
        )
        .await;
    let merge = format!("pulls/{number}/merge");
    let merged = lab.world.as_user("ada", Method::PUT, &merge, json!({}));
    let merged = merged["sha"].as_str().unwrap();
    lab.world
        .undecided(merged, "now points to another cluster")
        .await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"],
        "1"
    );
    lab.world.comment("bob", number, "/adopt");
    let tip = lab.world.tip();
    lab.world.sync_status(&tip, "success").await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"],
        "2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_path_is_a_move_and_not_a_new_beginning() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
    ])
    .await;
    let uid = async |kind: &str, plural: &str, version: &str| {
        lab.object(version, kind, plural, "lab").await["metadata"]["uid"].clone()
    };
    let (config, workload) = (
        uid("ConfigMap", "configmaps", "v1").await,
        uid("Deployment", "deployments", "apps/v1").await,
    );
    let catalog = lab.world.file("windlass.yaml");
    let rule = format!(
        "applications:\n  - name: lab\n    path: moved/{{stage}}\n    namespace: {}\n",
        lab.namespace()
    );
    let moved = catalog.replacen("applications:\n", &rule, 1);
    let space = lab.world.file("apps/lab/staging/namespace.yaml");
    let files = [
        ("windlass.yaml", Some(moved.as_str())),
        ("moved/staging/namespace.yaml", Some(space.as_str())),
        ("moved/staging/config.yaml", Some(CONFIG)),
        ("apps/lab/staging/namespace.yaml", None),
        ("apps/lab/staging/config.yaml", None),
        ("apps/lab/staging/deployment.yaml", None),
    ];
    lab.world.commit("Moved", &files);
    lab.world
        .until("what is not there any more waits", async || {
            lab.world.application("lab.staging").await["status"]["message"]
                .as_str()?
                .contains("its deletion waits for a confirmation")
                .then_some(())
        })
        .await;
    assert_eq!(
        (
            uid("ConfigMap", "configmaps", "v1").await,
            uid("Deployment", "deployments", "apps/v1").await
        ),
        (config, workload)
    );
}
