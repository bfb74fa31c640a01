//! What is deleted, what is kept, and what ends first.

use http::Method;
use serde_json::json;

use super::config;
use crate::support::lab::{CONFIG, Lab, deployment, has};

/// What is deleted without a word is known to be harmless; what a mark keeps stays, whoever's mark
/// it is.
#[tokio::test(flavor = "multi_thread")]
async fn other_tools_marks_keep_and_whatever_is_not_harmless_is_asked_about() {
    let marks = [
        ("helm", "helm.sh/resource-policy: keep"),
        (
            "argo",
            "argocd.argoproj.io/sync-options: 'Prune=false,Delete=false'",
        ),
        ("flux", "kustomize.toolkit.fluxcd.io/prune: disabled"),
    ];
    let mut files: Vec<_> = marks
        .iter()
        .map(|(name, mark)| {
            (
                format!("{name}.yaml"),
                config(name, &format!(", annotations: {{{mark}}}")),
            )
        })
        .collect();
    files.push((
        "asks.yaml".into(),
        config(
            "asks",
            ", annotations: {argocd.argoproj.io/sync-options: Prune=confirm}",
        ),
    ));
    files.push(("plain.yaml".into(), config("plain", "")));
    files.push(("stays.yaml".into(), CONFIG.into()));
    files.push((
        "secret.yaml".into(),
        "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {a: b}\n".into(),
    ));
    files.push((
        "service.yaml".into(),
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n"
            .into(),
    ));
    let lab = Lab::with(
        &files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect::<Vec<_>>(),
    )
    .await;
    let gone: Vec<_> = ["helm", "argo", "flux", "asks", "plain", "secret", "service"]
        .iter()
        .map(|name| format!("{name}.yaml"))
        .collect();
    let (number, text) = lab
        .change(
            "less",
            &gone
                .iter()
                .map(|path| (path.as_str(), None))
                .collect::<Vec<_>>(),
        )
        .await;
    has(
        &text,
        &[
            "4 deleted",
            "leaves Git but stays in the cluster",
            "helm.sh/resource-policy: keep",
            "Prune=false",
            "prune: disabled",
        ],
    );
    lab.world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    // ConfigMap `asks` asks by its mark, the Secret and the Service by their kinds; `plain` waits
    // with them.
    let status = lab
        .world
        .until("it asks", async || {
            let status = lab.world.application("lab.staging").await["status"].clone();
            status["confirm"].is_string().then_some(status)
        })
        .await;
    let named = status["toConfirm"].to_string();
    has(&named, &["/asks", "/key", "/web"]);
    has(
        status["message"].as_str().unwrap(),
        &["is kept: it is marked `helm.sh/resource-policy: keep`"],
    );
    let there = async |kind: &str, plural: &str, name: &str| {
        lab.object("v1", kind, plural, name).await.is_object()
    };
    for name in ["helm", "argo", "flux", "asks"] {
        assert!(there("ConfigMap", "configmaps", name).await, "{name}");
    }
    assert!(there("Secret", "secrets", "key").await && there("Service", "services", "web").await);
    lab.world.comment("mia", number, "/confirm-prune");
    lab.world
        .until("what was confirmed is gone", async || {
            (!there("Secret", "secrets", "key").await).then_some(())
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
        &["deletes `ConfigMap lab-staging/asks`"],
    );
    lab.world
        .until("the rest too", async || {
            (!there("ConfigMap", "configmaps", "plain").await).then_some(())
        })
        .await;
    for name in ["helm", "argo", "flux"] {
        assert!(there("ConfigMap", "configmaps", name).await, "{name}");
    }
}

/// The old one serves until the new one does, and what pods need stays as long as they do.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_renamed_serves_until_the_new_one_does() {
    let reads = |name: &str| format!("          envFrom: [{{configMapRef: {{name: {name}}}}}]\n");
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", &reads("settings-one"))),
        ("config.yaml", &config("settings-one", "")),
    ])
    .await;
    let renamed = deployment("", &reads("settings-two"))
        .replacen("metadata: {name: lab}", "metadata: {name: renamed}", 1)
        .replace("lab:1", "lab:broken-1");
    let files = [
        ("deployment.yaml", None),
        ("renamed.yaml", Some(renamed.as_str())),
        ("config.yaml", None),
        ("two.yaml", Some(&*config("settings-two", ""))),
    ];
    let (number, _) = lab.change("rename", &files).await;
    lab.world.approve("mia", number);
    lab.world.gate_says(number, "person").await;
    let why = lab.merge(number, "failure").await;
    has(&why, &["pod renamed", "in container lab"]);
    let serves = async || lab.deployment().await["status"]["readyReplicas"] == 2;
    assert!(serves().await, "the old one serves");
    let old = async || {
        lab.object("v1", "ConfigMap", "configmaps", "settings-one")
            .await
            .is_object()
    };
    assert!(old().await, "and what it reads is there");
    has(
        &lab.world.application("lab.staging").await["status"]["message"].to_string(),
        &["is deleted once the application is healthy without it"],
    );
    let fixed = renamed.replace("lab:broken-1", "lab:2");
    let (fix, _) = lab.change("fix", &[("renamed.yaml", Some(&fixed))]).await;
    // What the first pull request took out was approved with it: nobody is asked again.
    lab.world.approve("mia", fix);
    lab.world.gate_says(fix, "person").await;
    lab.world
        .as_user("ada", Method::PUT, &format!("pulls/{fix}/merge"), json!({}));
    lab.world
        .until("the new one serves", async || {
            let live = lab
                .object("apps/v1", "Deployment", "deployments", "renamed")
                .await;
            (live["status"]["readyReplicas"] == 2).then_some(())
        })
        .await;
    lab.world
        .until("the old one is gone", async || {
            lab.deployment().await.is_null().then_some(())
        })
        .await;
    lab.world
        .until("and what it read", async || (!old().await).then_some(()))
        .await;
    // A roll-out that failed stays failed, whatever comes after it.
    let commit = lab.world.merged(number).await;
    lab.world
        .until("it stays a failure", async || {
            let (state, text) = lab.world.status(&commit, "windlass/sync")?;
            (state == "failure" && text.contains("broken") | text.contains("pod renamed"))
                .then_some(())
        })
        .await;
    lab.world
        .until("the comment too", async || {
            lab.world
                .conversation(number)
                .contains("failed, then superseded")
                .then_some(())
        })
        .await;
}

/// What cannot be looked at is not gone: it stays in the inventory, and is found again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_finalizer_holds_is_pending_with_its_name() {
    let lab = Lab::with(&[
        ("config.yaml", CONFIG),
        (
            "held.yaml",
            &config("held", ", finalizers: [example.com/hold]"),
        ),
    ])
    .await;
    let commit = lab
        .world
        .commit("No held", &[("apps/lab/staging/held.yaml", None)]);
    let why = lab
        .world
        .until("it is pending, with the finalizer's name", async || {
            let status = lab.world.application("lab.staging").await["status"].clone();
            status["message"]
                .as_str()
                .filter(|text| text.contains("example.com/hold"))
                .map(str::to_string)
        })
        .await;
    has(&why, &["is being deleted, and waits for example.com/hold"]);
    lab.world.sync_status(&commit, "pending").await;
    lab.kubectl(&[
        "patch",
        "configmap/held",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]);
    lab.world.sync_status(&commit, "success").await;
}
