//! What people are asked: deletions of an application that leaves Git, drift.

use http::Method;
use serde_json::json;

use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_leaves_git_is_deleted_only_when_that_is_confirmed() {
    let lab = Lab::with(&[
        ("config.yaml", CONFIG),
        (
            "kept.yaml",
            &CONFIG.replace(
                "name: lab",
                "name: kept\n  annotations: {windlass.dev/prune: never}",
            ),
        ),
    ])
    .await;
    let gone = ["namespace.yaml", "config.yaml", "kept.yaml"]
        .map(|file| format!("apps/lab/staging/{file}"));
    let files: Vec<_> = gone.iter().map(|path| (path.as_str(), None)).collect();
    let commit = lab.world.commit("No lab", &files);
    let message = async || {
        lab.world.application("lab.staging").await["status"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_string()
    };
    lab.world
        .until("it is said what waits", async || {
            let message = message().await;
            (message.contains("acme/config no longer declares lab/staging")
                && message.contains("windlass confirm-prune lab/staging"))
            .then_some(())
        })
        .await;
    assert!(
        lab.object("v1", "ConfigMap", "configmaps", "lab")
            .await
            .is_object()
    );
    let pending = || {
        lab.world
            .status(&commit, "windlass/sync")
            .filter(|(state, _)| state == "pending")
            .map(|(_, text)| text)
    };
    lab.world
        .until("the commit says what waits", async || {
            pending()?
                .contains("acme/config no longer declares lab/staging")
                .then_some(())
        })
        .await;
    // The namespace itself is in the way of what must stay: it is protected first.
    lab.kubectl(&[
        "annotate",
        "namespace",
        &lab.namespace(),
        "windlass.dev/prune=never",
    ]);
    lab.world.kubectl(&[
        "-n",
        &lab.world.home(),
        "annotate",
        "applications.windlass.dev/lab.staging",
        "poke=1",
    ]);
    lab.world
        .until("the namespace is not listed any more", async || {
            (!message().await.contains("deletes Namespace")
                && !message().await.contains("; Namespace"))
            .then_some(())
        })
        .await;
    has(
        &lab.world.windlass(&["confirm-prune", "lab/staging"]),
        &["lab/staging deletes:", "ConfigMap"],
    );
    lab.world
        .until("it is gone", async || {
            lab.object("v1", "ConfigMap", "configmaps", "lab")
                .await
                .is_null()
                .then_some(())
        })
        .await;
    assert!(
        lab.object("v1", "ConfigMap", "configmaps", "kept")
            .await
            .is_object(),
        "what must not be pruned stays"
    );
    has(
        &lab.world.sync_status(&commit, "success").await,
        &["lab/staging is gone"],
    );
    lab.world
        .until("what stays is told", async || {
            message()
                .await
                .contains("stays: it is marked `windlass.dev/prune: never`")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_becomes_a_pull_request_that_keeps_it_or_has_it_set_back() {
    let lab = Lab::ruled(
        "    drift: propose\n",
        &[
            ("deployment.yaml", &deployment("", "")),
            ("config.yaml", CONFIG),
        ],
    )
    .await;
    lab.kubectl(&["scale", "deployment/lab", "--replicas=5"]);
    let asked = async || lab.world.pull_from("windlass-drift/lab/staging");
    let pull = lab
        .world
        .until("a pull request asks", async || asked().await)
        .await;
    let number = pull["number"].as_u64().unwrap();
    has(
        pull["title"].as_str().unwrap(),
        &["lab/staging: keep what was changed by hand?"],
    );
    has(
        pull["body"].as_str().unwrap(),
        &["`.spec.replicas`", "close it to revert"],
    );
    lab.world.previewed(number).await;
    has(
        &lab.world.conversation(number),
        &[
            "1 changed",
            "the cluster already matches: somebody changed it by hand",
            "-  replicas: 2\n+  replicas: 5",
        ],
    );
    has_not(
        &lab.world.conversation(number),
        &["reverts what others changed"],
    );
    assert_eq!(
        lab.deployment().await["spec"]["replicas"],
        5,
        "it is left until somebody decides"
    );
    // Kept.
    lab.merge(number, "success").await;
    has(
        &lab.world.file("apps/lab/staging/deployment.yaml"),
        &["  replicas: 5\n"],
    );
    // Another one, refused.
    lab.kubectl(&[
        "patch",
        "configmap/lab",
        "--type=merge",
        "-p",
        r#"{"data":{"a":"by hand"}}"#,
    ]);
    let second = lab
        .world
        .until("a second one asks", async || {
            asked()
                .await
                .filter(|pull| pull["number"].as_u64() > Some(number) && pull["state"] == "open")
        })
        .await;
    let second = second["number"].as_u64().unwrap();
    lab.world.as_user(
        "ada",
        Method::PATCH,
        &format!("pulls/{second}"),
        json!({"state": "closed"}),
    );
    lab.world.windlass(&["sync", "lab/staging"]);
    lab.world
        .until("it is set back", async || {
            (lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"] == "1")
                .then_some(())
        })
        .await;
}
