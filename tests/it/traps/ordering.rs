//! What a sync waits for: a pause, adoption, other applications, waves.

use http::Method;
use serde_json::json;

use crate::support::lab::{CONFIG, Lab, deployment, has};

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_and_ends_without_github() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let said = lab.world.windlass(&["pause", "lab/staging", "--for", "1h"]);
    has(&said, &["lab/staging is paused for 1h"]);
    lab.kubectl(&[
        "patch",
        "configmap/lab",
        "--type=merge",
        "-p",
        r#"{"data":{"a":"by hand"}}"#,
    ]);
    lab.world
        .until("the pause is shown", async || {
            let status = lab.world.application("lab.staging").await["status"].clone();
            (status["message"].as_str()?.contains("paused until") && status["sync"] == "OutOfSync")
                .then_some(())
        })
        .await;
    has(
        &lab.world.windlass(&["status"]),
        &["lab/staging", "OutOfSync", "paused until"],
    );
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"],
        "by hand"
    );
    lab.world.windlass(&["resume", "lab/staging"]);
    lab.world
        .until("the edit is set back", async || {
            (lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"] == "1")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_changes_nothing_that_was_there_until_it_is_adopted() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let namespace = lab.world.namespace("old-staging");
    lab.world.kubectl(&["create", "namespace", &namespace]);
    lab.world.kubectl(&[
        "-n",
        &namespace,
        "create",
        "configmap",
        "old",
        "--from-literal=a=9",
    ]);
    let files = [(
        "apps/old/staging/config.yaml",
        Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\ndata: {a: '1'}\n"),
    )];
    let commit = lab.world.commit("Old", &files);
    let why = "the first sync would change objects that already exist";
    lab.world.undecided(&commit, why).await;
    let value = async || {
        lab.world
            .get("v1", "ConfigMap", "configmaps", &namespace, "old")
            .await
            .unwrap()["data"]["a"]
            .clone()
    };
    assert_eq!(value().await, "9");
    lab.world.windlass(&["adopt", "old/staging"]);
    lab.world.sync_status(&commit, "success").await;
    assert_eq!(value().await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_waits_for_what_it_depends_on() {
    let broken = deployment("", "").replace("lab:1", "lab:broken");
    let lab = Lab::with(&[("deployment.yaml", &deployment("", ""))]).await;
    let catalog = lab.world.file("windlass.yaml");
    let rule = format!(
        "applications:\n  - name: late\n    path: late/{{stage}}\n    namespace: {}\n    dependsOn: [lab]\n",
        lab.namespace()
    );
    let catalog = catalog.replacen("applications:\n", &rule, 1);
    let late = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late}\ndata: {a: '1'}\n";
    let files = [
        ("windlass.yaml", Some(catalog.as_str())),
        ("late/staging/config.yaml", Some(late)),
        ("apps/lab/staging/deployment.yaml", Some(broken.as_str())),
    ];
    lab.world.commit("Late", &files);
    lab.world
        .until("it says what it waits for", async || {
            lab.world.application("late.staging").await["status"]["message"]
                .as_str()?
                .contains("waits for lab/staging")
                .then_some(())
        })
        .await;
    assert!(
        lab.object("v1", "ConfigMap", "configmaps", "late")
            .await
            .is_null()
    );
    let mended = deployment("", "").replace("lab:1", "lab:2");
    lab.world.commit(
        "Mended",
        &[("apps/lab/staging/deployment.yaml", Some(&mended))],
    );
    lab.world
        .until("it is synced", async || {
            lab.object("v1", "ConfigMap", "configmaps", "late")
                .await
                .is_object()
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waves_come_one_after_another() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {windlass.dev/wave: '-1'}}\nspec: {template: {metadata: {annotations: {sandbox.windlass/outcome: OUTCOME}}, spec: {restartPolicy: Never, containers: [{name: a, image: migrate}]}}}\n";
    let stuck = job.replace("OUTCOME", "never-ready");
    let (number, _) = lab
        .change(
            "waves",
            &[
                ("job.yaml", Some(&stuck)),
                ("deployment.yaml", Some(&deployment("", ""))),
            ],
        )
        .await;
    lab.world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    lab.world
        .until("the wave is waited for", async || {
            lab.world.application("lab.staging").await["status"]["message"]
                .as_str()?
                .contains("wave -1 is not healthy yet: Job migrate")
                .then_some(())
        })
        .await;
    assert!(
        lab.deployment().await.is_null(),
        "the next wave did not begin"
    );
    let done = job
        .replace("migrate, annotations", "migrate-2, annotations")
        .replace("{annotations: {sandbox.windlass/outcome: OUTCOME}}", "{}");
    let (number, _) = lab.change("mended", &[("job.yaml", Some(&done))]).await;
    lab.world.approve("mia", number);
    lab.merge(number, "success").await;
    assert!(lab.deployment().await.is_object());
}
