//! Who holds fields: other managers, other tools, versions that are gone.

use serde_json::json;

use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};

#[tokio::test(flavor = "multi_thread")]
async fn t01_a_field_that_another_manager_holds_is_not_taken_unseen() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", ""))]).await;
    lab.kubectl(&[
        "patch",
        "deployment/lab",
        "--field-manager=some-operator",
        "-p",
        r#"{"spec":{"minReadySeconds":3}}"#,
    ]);
    let wanted = deployment("  minReadySeconds: 1\n", "");
    let (number, text) = lab
        .change("claim", &[("deployment.yaml", Some(&wanted))])
        .await;
    has(
        &text,
        &[
            "**1 cannot be applied**",
            ".spec.minReadySeconds (held by some-operator)",
            "take: [{ path: '.spec.minReadySeconds' }]",
        ],
    );
    let why = lab.merge(number, "failure").await;
    has(&why, &["others own fields"]);
    assert_eq!(
        lab.deployment().await["spec"]["minReadySeconds"],
        3,
        "nothing was applied"
    );
    // A word in the thread of the next pull request decides it for that field alone ...
    let (next, _) = lab
        .change(
            "again",
            &[("deployment.yaml", Some(&wanted.replace("lab:1", "lab:2")))],
        )
        .await;
    lab.world.comment("bob", next, "/take");
    lab.world
        .until("the field is to be taken", async || {
            lab.world
                .conversation(next)
                .contains("takes `.spec.minReadySeconds`")
                .then_some(())
        })
        .await;
    lab.world
        .until("the field is taken", async || {
            (lab.deployment().await["spec"]["minReadySeconds"] == 1).then_some(())
        })
        .await;
    lab.kubectl(&[
        "patch",
        "deployment/lab",
        "--field-manager=some-operator",
        "-p",
        r#"{"spec":{"progressDeadlineSeconds":77}}"#,
    ]);
    let more = deployment("  minReadySeconds: 1\n  progressDeadlineSeconds: 99\n", "");
    let (number, text) = lab
        .change("more", &[("deployment.yaml", Some(&more))])
        .await;
    has(
        &text,
        &[
            "**1 cannot be applied**",
            ".spec.progressDeadlineSeconds (held by some-operator)",
        ],
    );
    lab.merge(number, "failure").await;
    // ... and so does a rule decides; the same commit is then applied.
    let catalog = lab.world.file("windlass.yaml");
    let rule = "  - path: apps/{application}/{stage}\n    take: [{ kind: Deployment, path: .spec.progressDeadlineSeconds }]\n";
    let ruled = catalog.replacen("  - path: apps/{application}/{stage}\n", rule, 1);
    lab.world
        .commit("Take it", &[("windlass.yaml", Some(&ruled))]);
    lab.world
        .until("the field is taken", async || {
            (lab.deployment().await["spec"]["progressDeadlineSeconds"] == 99).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t01_replicas_are_left_to_the_autoscaler_and_a_hand_edit_is_set_back() {
    let lab = Lab::with(&[("deployment.yaml", &deployment("", ""))]).await;
    // As the controller of HorizontalPodAutoscalers writes: by the scale subresource, under its own
    // name.
    lab.kubectl(&[
        "patch",
        "deployment/lab",
        "--subresource=scale",
        "--type=merge",
        "--field-manager=kube-controller-manager",
        "-p",
        r#"{"spec":{"replicas":5}}"#,
    ]);
    let wanted = deployment("", "").replace("lab:1", "lab:2");
    let (number, text) = lab
        .change("image", &[("deployment.yaml", Some(&wanted))])
        .await;
    has(
        &text,
        &[
            "left to others: 1",
            "`.spec.replicas` (`kube-controller-manager`)",
            "+      - image: lab:2",
        ],
    );
    has_not(&text, &["-  replicas: 5"]);
    lab.merge(number, "success").await;
    let live = lab.deployment().await;
    assert_eq!(
        (
            &live["spec"]["replicas"],
            &live["spec"]["template"]["spec"]["containers"][0]["image"]
        ),
        (&json!(5), &json!("lab:2"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn t12_what_kubectl_apply_left_is_adopted_and_goes() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.with_file(
        &["apply"],
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: left, labels: {old: label}}\ndata: {keep: '1', gone: '2'}\n",
    );
    let wanted = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: left}\ndata: {keep: '1'}\n";
    let (number, text) = lab.change("adopt", &[("left.yaml", Some(wanted))]).await;
    has(
        &text,
        &[
            "adoption: takes over the fields that `kubectl-client-side-apply` set, once",
            "-  gone: '2'",
            "-    old: label",
        ],
    );
    lab.merge(number, "success").await;
    let live = lab.object("v1", "ConfigMap", "configmaps", "left").await;
    assert_eq!(live["data"], json!({"keep": "1"}));
    assert_eq!(
        live["metadata"]["labels"].as_object().unwrap().len(),
        1,
        "{live}"
    );
    // Once: the next change says nothing of it.
    let (_, text) = lab
        .change(
            "next",
            &[("left.yaml", Some(&wanted.replace("'1'", "'3'")))],
        )
        .await;
    has_not(&text, &["adoption"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn t13_a_removed_field_that_another_applies_too_stays_and_is_said_to() {
    let lab = Lab::with(&[(
        "config.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lab}\ndata: {a: '1', b: '2'}\n",
    )])
    .await;
    let also = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lab}\ndata: {b: '2'}\n";
    lab.with_file(
        &["apply", "--server-side", "--field-manager=another-tool"],
        also,
    );
    let (number, text) = lab.change("less", &[("config.yaml", Some(CONFIG))]).await;
    has(
        &text,
        &[
            "kept, because others own it too: 1",
            "`.data.b` (`another-tool`)",
        ],
    );
    lab.merge(number, "success").await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["b"],
        "2"
    );
}

/// What is owned is recorded under the API version that it was applied by. When that is served no
/// more the API server forgets who owned what: a field that Git drops would stay.
#[tokio::test(flavor = "multi_thread")]
async fn t15_what_is_owned_under_a_version_that_is_gone_is_carried_over() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let group = format!("{}versions.example", lab.world.prefix);
    lab.may_write(&group, "things");
    let version = |name: &str, served: bool, storage: bool| {
        format!(
            "{{name: {name}, served: {served}, storage: {storage}, schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}}}}}"
        )
    };
    let definition = |versions: &[String]| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: things.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: Thing, plural: things}}\n  versions: [{}]\n",
            versions.join(", ")
        )
    };
    let thing = |version: &str, spec: &str| {
        format!(
            "apiVersion: {group}/{version}\nkind: Thing\nmetadata: {{name: lab}}\nspec: {spec}\n"
        )
    };
    lab.with_file(
        &["apply"],
        &definition(&[version("v1alpha1", true, true), version("v1", true, false)]),
    );
    lab.world.kubectl(&[
        "wait",
        "--for=condition=Established",
        &format!("crd/things.{group}"),
        "--timeout=20s",
    ]);
    let (number, _) = lab
        .change(
            "old",
            &[("thing.yaml", Some(&thing("v1alpha1", "{keep: 1, drop: 2}")))],
        )
        .await;
    lab.merge(number, "success").await;
    // As an upgrade goes: stored by the new version, everything rewritten, the old version gone
    // from the definition.
    lab.with_file(
        &["apply"],
        &definition(&[version("v1alpha1", false, false), version("v1", true, true)]),
    );
    lab.kubectl(&[
        "annotate",
        &format!("things.{group}/lab"),
        "--field-manager=migrator",
        "migrated=yes",
    ]);
    let stored = r#"{"status":{"storedVersions":["v1"]}}"#;
    lab.world.kubectl(&[
        "patch",
        &format!("crd/things.{group}"),
        "--subresource=status",
        "--type=merge",
        "-p",
        stored,
    ]);
    lab.with_file(&["apply"], &definition(&[version("v1", true, true)]));
    lab.world
        .until("the old version is served no more", async || {
            crate::support::plane()
                .kubectl(&["get", "--raw", &format!("/apis/{group}/v1alpha1/things")])
                .is_err()
                .then_some(())
        })
        .await;
    let (number, text) = lab
        .change("new", &[("thing.yaml", Some(&thing("v1", "{keep: 1}")))])
        .await;
    has(
        &text,
        &[
            "-  drop: 2",
            "v1alpha1, which is no longer served: it is migrated first",
        ],
    );
    lab.merge(number, "success").await;
    assert_eq!(
        lab.object(&format!("{group}/v1"), "Thing", "things", "lab")
            .await["spec"],
        json!({"keep": 1})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_tool_still_keeps_is_refused_by_its_name() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let namespace = lab.namespace();
    lab.kubectl(&["create", "configmap", "chart"]);
    lab.kubectl(&[
        "label",
        "configmap/chart",
        "app.kubernetes.io/managed-by=Helm",
    ]);
    lab.kubectl(&[
        "annotate",
        "configmap/chart",
        "meta.helm.sh/release-name=web",
        &format!("meta.helm.sh/release-namespace={namespace}"),
    ]);
    lab.kubectl(&["create", "secret", "generic", "sh.helm.release.v1.web.v1"]);
    lab.kubectl(&[
        "label",
        "secret/sh.helm.release.v1.web.v1",
        "owner=helm",
        "name=web",
    ]);
    let wanted = CONFIG.replace("name: lab", "name: chart");
    let (_, text) = lab.change("chart", &[("chart.yaml", Some(&wanted))]).await;
    has(
        &text,
        &["is managed by the Helm release lab-staging/web: release it there first"],
    );
    // The release is uninstalled: what it left is adopted.
    lab.kubectl(&["delete", "secret", "sh.helm.release.v1.web.v1"]);
    let (number, text) = lab.change("later", &[("chart.yaml", Some(&wanted))]).await;
    has(&text, &["1 changed"]);
    lab.merge(number, "success").await;
}
