//! What windlass did is told where operators look: Kubernetes Events, the log, the metrics.

use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};

/// The notes of the Events about an object, each with its reason.
fn events(lab: &Lab, namespace: &str, kind: &str, name: &str) -> Vec<String> {
    let about = format!("--field-selector=regarding.kind={kind},regarding.name={name}");
    let columns = "-ojsonpath={range .items[*]}{.type} {.reason}: {.note}{\"\\n\"}{end}";
    let text = lab.kubectl(&[
        "get",
        "events.events.k8s.io",
        "-n",
        namespace,
        &about,
        columns,
    ]);
    text.lines().map(str::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_windlass_did_is_in_events_the_log_and_the_metrics() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
    ])
    .await;
    let (namespace, home) = (lab.namespace(), lab.world.home());
    lab.kubectl(&["scale", "deployment/lab", "--replicas=7"]);
    let found = lab
        .world
        .until("the revert is told at the Deployment", async || {
            let events = events(&lab, &namespace, "Deployment", "lab");
            events
                .into_iter()
                .find(|event| event.contains("DriftReverted"))
        })
        .await;
    insta::assert_snapshot!(found.replace(&namespace, "lab-staging"), @"Warning DriftReverted: set .spec.replicas of Deployment lab-staging/lab back from 7 to 2 (kubectl). To keep such a change: windlass pause lab/staging --for 2h, and change it in Git");
    lab.world
        .until("it is told at the Application", async || {
            let events = events(&lab, &home, "Application", "lab.staging").join("\n");
            [
                "Normal Applied: applied 1 object of ",
                "Normal Healthy: synced and healthy at ",
                "Warning DriftReverted: set .spec.replicas",
            ]
            .iter()
            .all(|part| events.contains(part))
            .then_some(())
        })
        .await;
    // A deletion is told by the object that is gone.
    let (number, _) = lab.change("less", &[("config.yaml", None)]).await;
    lab.merge(number, "success").await;
    lab.world
        .until("the deletion is told", async || {
            let events = events(&lab, &namespace, "ConfigMap", "lab").join("\n");
            events
                .contains("Normal Pruned: deleted ConfigMap")
                .then_some(())
        })
        .await;
    let log = std::fs::read_to_string(lab.world.windlass.log()).unwrap();
    has(
        &log,
        &[
            "back from 7 to 2 (kubectl)",
            "windlass.application=lab windlass.stage=staging reason=\"DriftReverted\"",
            "gate pending: ",
            "published the preview: 1 of ",
            "deleted ConfigMap",
        ],
    );
    let metrics = lab.world.metrics().await;
    has(
        &metrics,
        &[
            "windlass_activities_total{reason=\"DriftReverted\"} 1",
            "windlass_drift_reverted_total{application=\"lab\",stage=\"staging\"} 1",
            "windlass_application_info{application=\"lab\",stage=\"staging\",repository=\"acme/config\",cluster=\"local\",sync=\"Synced\",health=\"Healthy\",reason=\"Healthy\"} 1",
            "windlass_application_synced_timestamp_seconds{application=\"lab\",stage=\"staging\"} ",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_an_event_or_the_log() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: lab}\nstringData: {password: first-secret}\n";
    let lab = Lab::with(&[("secret.yaml", secret)]).await;
    let namespace = lab.namespace();
    lab.kubectl(&[
        "patch",
        "secret/lab",
        "--type=merge",
        "-p",
        r#"{"stringData":{"password":"second-secret"}}"#,
    ]);
    let found = lab
        .world
        .until("the revert is told at the Secret", async || {
            let events = events(&lab, &namespace, "Secret", "lab");
            events
                .into_iter()
                .find(|event| event.contains("DriftReverted"))
        })
        .await;
    has(&found, &["(hidden, "]);
    let log = std::fs::read_to_string(lab.world.windlass.log()).unwrap();
    for hidden in [
        "first-secret",
        "second-secret",
        "c2Vjb25kLXNlY3JldA",
        "Zmlyc3Qtc2VjcmV0",
    ] {
        has_not(&found, &[hidden]);
        has_not(&log, &[hidden]);
    }
}
