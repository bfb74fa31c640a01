//! What others change in the cluster: seen, reported or set back.

use serde_json::json;

use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_told_apart_from_the_change_and_from_what_waits() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
    ])
    .await;
    // While windlass may not heal it: a person's rule leaves it alone, so it only shows.
    lab.world.kill();
    lab.kubectl(&[
        "label",
        "configmap/lab",
        "windlass.dev/application-",
        "extra=1",
    ]);
    lab.kubectl(&[
        "patch",
        "configmap/lab",
        "--type=merge",
        "-p",
        r#"{"data":{"a":"hacked"}}"#,
    ]);
    lab.world.start();
    lab.world
        .until("the edit is set back", async || {
            (lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"] == "1")
                .then_some(())
        })
        .await;
    let wanted = deployment("", "").replace("lab:1", "lab:2");
    let (_, text) = lab
        .change("image", &[("deployment.yaml", Some(&wanted))])
        .await;
    has(&text, &["1 changed", "rolls 2 pods"]);
    has_not(&text, &["hacked", "waiting to be synced"]);
    // What is merged and was not synced yet is said, for as long as it is so.
    lab.world.windlass(&["pause", "lab/staging", "--for", "1h"]);
    let merged = CONFIG.replace("'1'", "'2'");
    let files = [("apps/lab/staging/config.yaml", Some(merged.as_str()))];
    lab.world.commit("Config", &files);
    let (number, text) = lab
        .change(
            "next",
            &[("deployment.yaml", Some(&wanted.replace("lab:2", "lab:3")))],
        )
        .await;
    has(&text, &["merged before and waiting to be synced: 1"]);
    lab.world.windlass(&["resume", "lab/staging"]);
    lab.world
        .until("nothing waits any more", async || {
            (!lab
                .world
                .conversation(number)
                .contains("waiting to be synced"))
            .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ignored_fields_are_left_in_the_diff_the_apply_and_drift_alike() {
    let rules = "    ignore: [{ kind: ConfigMap, path: .data.owned }, { path: .metadata.annotations.acme.example/team }]\n";
    let config = |a: &str, words: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: lab, annotations: {{acme.example/team: {words}}}}}\ndata: {{a: '{a}', owned: {words}}}\n"
        )
    };
    let lab = Lab::ruled(rules, &[("config.yaml", &config("1", "first"))]).await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["owned"],
        "first",
        "applied once"
    );
    lab.kubectl(&[
        "patch",
        "configmap/lab",
        "--type=merge",
        "--field-manager=some-operator",
        "-p",
        r#"{"metadata":{"annotations":{"acme.example/team":"theirs"}},"data":{"owned":"theirs"}}"#,
    ]);
    let wanted = config("2", "second");
    let (number, text) = lab.change("both", &[("config.yaml", Some(&wanted))]).await;
    has(
        &text,
        &[
            "hidden by rules of windlass.yaml",
            "`.data.owned`",
            "`.metadata.annotations.acme.example/team`",
            "+  a: '2'",
        ],
    );
    has_not(&text, &["second"]);
    lab.merge(number, "success").await;
    let live = lab.object("v1", "ConfigMap", "configmaps", "lab").await;
    assert_eq!(
        (
            &live["data"]["a"],
            &live["data"]["owned"],
            &live["metadata"]["annotations"]["acme.example/team"]
        ),
        (&json!("2"), &json!("theirs"), &json!("theirs"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_may_be_reported_instead_of_set_back() {
    let lab = Lab::ruled("    drift: report\n", &[("config.yaml", CONFIG)]).await;
    lab.kubectl(&[
        "patch",
        "configmap/lab",
        "--type=merge",
        "-p",
        r#"{"data":{"a":"by hand"}}"#,
    ]);
    lab.world
        .until("the drift is reported", async || {
            let message = lab.world.application("lab.staging").await["status"]["message"]
                .as_str()?
                .to_string();
            (message.contains("drift is reported, not reverted: ConfigMap")
                && message.contains(".data.a changed by kubectl-patch"))
            .then_some(())
        })
        .await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"],
        "by hand"
    );
    // A change of Git is applied all the same.
    let (number, text) = lab
        .change(
            "more",
            &[("config.yaml", Some(&CONFIG.replace("{a: '1'}", "{a: '2'}")))],
        )
        .await;
    has(
        &text,
        &[
            "would revert changes by others: 1",
            "`.data.a` (`kubectl-patch`)",
        ],
    );
    lab.merge(number, "success").await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"],
        "2"
    );
}

/// What a person adds beside Git stays, and is told where people look.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_adds_beside_git_stays_and_is_told() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let patch = |add: &str| {
        lab.kubectl(&["patch", "configmap/lab", "--type=merge", "-p", add]);
    };
    patch(r#"{"data":{"extra":"by hand"}}"#);
    let told = async |told: bool| {
        lab.world
            .until("what is added is told", async || {
                let text = lab.world.windlass(&["status", "lab"]);
                (text.contains("not in Git: ") == told).then_some(text)
            })
            .await
    };
    has(
        &told(true).await,
        &[
            "Synced",
            "not in Git: .data.extra of ConfigMap",
            "(kubectl-patch)",
        ],
    );
    patch(r#"{"data":{"extra":null}}"#);
    told(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fight_stops_and_names_the_other() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.world
        .until("the fight is told", async || {
            let message = lab.world.application("lab.staging").await["status"]["message"]
                .as_str()
                .unwrap_or_default()
                .to_string();
            if message.contains("was reverted, then changed again by some-operator") {
                return Some(());
            }
            lab.kubectl(&[
                "patch",
                "configmap/lab",
                "--type=merge",
                "--field-manager=some-operator",
                "-p",
                r#"{"data":{"a":"mine"}}"#,
            ]);
            None
        })
        .await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"],
        "mine"
    );
}

const TWO_VARIABLES: &str = "          env: [{name: A, value: '1'}, {name: B, value: '2'}]\n";

/// What people do by hand to what we applied, on a real server: each is seen by the metadata alone
/// and set back.
#[tokio::test(flavor = "multi_thread")]
async fn every_hand_edit_is_seen_and_set_back() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", TWO_VARIABLES)),
        ("config.yaml", CONFIG),
    ])
    .await;
    let spec = async || lab.deployment().await["spec"].clone();
    let wanted = spec().await;
    let back = async |what: &str| {
        lab.world
            .until(what, async || (spec().await == wanted).then_some(()))
            .await
    };
    let patch = |text: &str| lab.kubectl(&["patch", "deployment/lab", "--type=json", "-p", text]);
    let env = "/spec/template/spec/containers/0/env";
    lab.kubectl(&["set", "image", "deployment/lab", "lab=lab:hacked"]);
    back("set image").await;
    patch(&format!(r#"[{{"op":"remove","path":"{env}/1"}}]"#));
    back("an item taken out of a list").await;
    patch(&format!(
        r#"[{{"op":"add","path":"{env}/-","value":{{"name":"C","value":"3"}}}}]"#
    ));
    back("an item added to a list").await;
    // Two more on the same object within the minute would be a fight.
    patch(
        r#"[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"sidecar","image":"spy:1"}}]"#,
    );
    back("a sidecar").await;
    // A person's label beside ours stays; ours comes back.
    lab.kubectl(&["label", "configmap/lab", "note=mine", "windlass.dev/owner-"]);
    lab.world
        .until("our label is back", async || {
            let labels =
                lab.object("v1", "ConfigMap", "configmaps", "lab").await["metadata"]["labels"]
                    .clone();
            (labels["windlass.dev/owner"].is_string() && labels["note"] == "mine").then_some(())
        })
        .await;
}

/// The same of other programs, also where they write under our own name or wipe who owns what.
#[tokio::test(flavor = "multi_thread")]
async fn what_other_writers_change_is_seen_and_set_back() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", TWO_VARIABLES))]).await;
    let spec = async || lab.deployment().await["spec"].clone();
    let wanted = spec().await;
    let back = async |what: &str| {
        lab.world
            .until(what, async || (spec().await == wanted).then_some(()))
            .await
    };
    lab.kubectl(&["scale", "deployment/lab", "--replicas=5"]);
    back("scale").await;
    lab.kubectl(&[
        "patch",
        "deployment/lab",
        "--field-manager=some-operator",
        "-p",
        r#"{"spec":{"replicas":4}}"#,
    ]);
    back("another manager").await;
    let theirs =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: lab}\nspec: {replicas: 6}\n";
    lab.with_file(
        &[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=other",
        ],
        theirs,
    );
    back("another that applies by force").await;
    let wiped = r#"[{"op":"replace","path":"/metadata/managedFields","value":[{}]},{"op":"replace","path":"/spec/replicas","value":8}]"#;
    lab.kubectl(&["patch", "deployment/lab", "--type=json", "-p", wiped]);
    back("managedFields emptied").await;
}

/// In an editor, and by putting a whole file in its place.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_edited_or_replaced_by_hand_is_set_back() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", TWO_VARIABLES))]).await;
    let wanted = lab.deployment().await["spec"].clone();
    let back = async |what: &str| {
        let whole = async || {
            let live = lab.deployment().await;
            (live["spec"] == wanted && live["metadata"]["labels"]["windlass.dev/owner"].is_string())
                .then_some(())
        };
        lab.world.until(what, whole).await;
    };
    let plane = crate::support::plane();
    let edited = std::process::Command::new(plane.tools().program("kubectl").unwrap())
        .args([
            "--kubeconfig",
            plane.kubeconfig().to_str().unwrap(),
            "-n",
            &lab.namespace(),
            "edit",
            "deployment/lab",
        ])
        .env("KUBE_EDITOR", "sed -i 's/replicas: 2/replicas: 4/'")
        .output()
        .unwrap();
    assert!(
        edited.status.success(),
        "{}",
        String::from_utf8_lossy(&edited.stderr)
    );
    back("an edit").await;
    lab.with_file(
        &["replace"],
        &deployment("", TWO_VARIABLES).replace("replicas: 2", "replicas: 9"),
    );
    back("a replacement, which took our marks too").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_under_our_own_name_is_seen_too() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", TWO_VARIABLES))]).await;
    let ours = deployment("", TWO_VARIABLES).replace("replicas: 2", "replicas: 7");
    lab.with_file(
        &[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=windlass/lab/staging",
        ],
        &ours,
    );
    lab.world
        .until("it is set back", async || {
            (lab.deployment().await["spec"]["replicas"] == 2).then_some(())
        })
        .await;
}
