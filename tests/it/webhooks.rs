//! Admission webhooks that a prediction meets: one that refuses dry-runs, one
//! that fills in, one that fills in something else each time. Each is a real
//! server that the API server calls.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};
use crate::support::plane;
use crate::support::webhook::{Installed, Webhook};

pub async fn install(
    lab: &Lab,
    webhook: &Webhook,
    kind: &'static str,
    group: &str,
    resource: &str,
) -> Installed {
    let namespace = lab.namespace();
    let probe = |asked: usize| {
        let probe = match resource {
            "configmaps" => {
                format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: probe-{asked}}}\n")
            }
            _ => deployment("", "").replace("name: lab}", "name: probe}"),
        };
        let path = std::env::temp_dir().join(format!("{}probe.yaml", lab.world.prefix));
        std::fs::write(&path, probe).unwrap();
        let file = path.to_str().unwrap();
        let create = ["-n", &namespace, "create", "--dry-run=server", "-f", file];
        let _ = plane().kubectl(&create);
    };
    let about = (namespace.as_str(), group, resource);
    webhook.install(&lab.world, kind, about, probe).await
}

fn name_of(request: &Value) -> String {
    request["object"]["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn t05_one_that_refuses_dry_runs_costs_only_its_objects() {
    let lab = Lab::with(&[
        ("config.yaml", CONFIG),
        ("other.yaml", &CONFIG.replace("name: lab", "name: other")),
    ])
    .await;
    let webhook =
        Webhook::start(
            |request| match request["dryRun"] == true && name_of(request) == "lab" {
                true => Err("this webhook does not support dry-run requests".into()),
                false => Ok(json!([])),
            },
        )
        .await;
    let _installed = install(
        &lab,
        &webhook,
        "ValidatingWebhookConfiguration",
        "",
        "configmaps",
    )
    .await;
    let changed = |text: &str| text.replace("{a: '1'}", "{a: '2'}");
    let other = changed(&CONFIG.replace("name: lab", "name: other"));
    let (number, text) = lab
        .change(
            "both",
            &[
                ("config.yaml", Some(&changed(CONFIG))),
                ("other.yaml", Some(&other)),
            ],
        )
        .await;
    has(
        &text,
        &[
            "2 changed",
            "partly verified by the cluster",
            "○ not checked: a webhook does not support dry-run",
            "-  a: '1'\n+  a: '2'",
        ],
    );
    lab.merge(number, "success").await;
    for name in ["lab", "other"] {
        assert_eq!(
            lab.object("v1", "ConfigMap", "configmaps", name).await["data"]["a"],
            "2"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_what_comes_out_differently_each_time_is_hidden_and_counted() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let stamp = AtomicUsize::new(0);
    let webhook = Webhook::start(move |_| {
        let value = format!("stamp-{}", stamp.fetch_add(1, Ordering::SeqCst));
        Ok(json!([{"op": "add", "path": "/data/stamp", "value": value}]))
    })
    .await;
    let _installed = install(
        &lab,
        &webhook,
        "MutatingWebhookConfiguration",
        "",
        "configmaps",
    )
    .await;
    // Applied once with it, so that the live object has a stamp.
    let (number, _) = lab
        .change(
            "first",
            &[("config.yaml", Some(&CONFIG.replace("'1'", "'2'")))],
        )
        .await;
    lab.merge(number, "success").await;
    let (number, text) = lab
        .change(
            "second",
            &[("config.yaml", Some(&CONFIG.replace("'1'", "'3'")))],
        )
        .await;
    has(
        &text,
        &[
            "1 changed",
            "-  a: '2'\n+  a: '3'",
            "hidden, because it is different each time: 1",
            "`.data.stamp`",
        ],
    );
    has_not(&text, &["-  stamp", "+  stamp"]);
    lab.merge(number, "success").await;
    let live = lab.object("v1", "ConfigMap", "configmaps", "lab").await;
    assert_eq!(live["data"]["a"], "3");
    lab.world.quiet().await;
    let metrics = lab.world.metrics().await;
    assert!(
        !metrics.contains("outcome=\"missed\"} 1"),
        "the prediction held but for the stamp:\n{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn t08_what_admission_adds_is_no_change_of_the_pull_requests() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", ""))]).await;
    let webhook = Webhook::start(|request| {
        let containers = request["object"]["spec"]["template"]["spec"]["containers"].as_array().cloned().unwrap_or_default();
        if containers.iter().any(|container| container["name"] == "injected") {
            return Ok(json!([]));
        }
        Ok(json!([{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "injected", "image": "proxy:1"}}]))
    })
    .await;
    let _installed = install(
        &lab,
        &webhook,
        "MutatingWebhookConfiguration",
        "apps",
        "deployments",
    )
    .await;
    let (number, _) = lab
        .change(
            "first",
            &[(
                "deployment.yaml",
                Some(&deployment("", "").replace("lab:1", "lab:2")),
            )],
        )
        .await;
    lab.merge(number, "success").await;
    assert_eq!(
        lab.deployment().await["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .len(),
        2,
        "it was injected"
    );
    let (number, text) = lab
        .change(
            "second",
            &[(
                "deployment.yaml",
                Some(&deployment("", "").replace("lab:1", "lab:3")),
            )],
        )
        .await;
    has(
        &text,
        &[
            "changed +1 −1",
            "-      - image: lab:2\n+      - image: lab:3",
            "added by admission: 1",
            "injected",
        ],
    );
    has_not(&text, &["+      - image: proxy:1", "would revert"]);
    lab.merge(number, "success").await;
    // Nor is it drift: nothing is set back, and nobody is asked again.
    lab.world.quiet().await;
    assert_eq!(
        lab.deployment().await["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}
