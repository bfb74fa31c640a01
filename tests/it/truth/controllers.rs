//! What controllers of Kubernetes keep: aggregated roles, replicas, Jobs that are done.

use http::Method;
use serde_json::json;

use super::{config, that_may_do_everything};
use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};

/// The control plane fills in the rules of an aggregated role; nobody wipes them.
#[tokio::test(flavor = "multi_thread")]
async fn an_aggregated_role_is_left_to_the_control_plane() {
    let world = that_may_do_everything().await;
    let (all, part) = (
        format!("{}all", world.prefix),
        format!("{}part", world.prefix),
    );
    let role = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {all}}}\naggregationRule: {{clusterRoleSelectors: [{{matchLabels: {{to: {all}}}}}]}}\nrules: []\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {part}, labels: {{to: {all}}}}}\nrules: [{{apiGroups: [''], resources: [pods], verbs: [get]}}]\n"
    );
    let namespace = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n",
        world.namespace("roles-staging")
    );
    let files = [
        ("apps/roles/staging/roles.yaml", Some(role.as_str())),
        (
            "apps/roles/staging/namespace.yaml",
            Some(namespace.as_str()),
        ),
    ];
    let commit = world.commit("Roles", &files);
    world.start();
    world.sync_status(&commit, "success").await;
    let rules = async || {
        world
            .get(
                "rbac.authorization.k8s.io/v1",
                "ClusterRole",
                "clusterroles",
                "",
                &all,
            )
            .await
            .unwrap()["rules"]
            .clone()
    };
    world
        .until("the rules are filled in", async || {
            (rules().await[0]["resources"] == json!(["pods"])).then_some(())
        })
        .await;
    world.quiet().await;
    let version = async || {
        world
            .get(
                "rbac.authorization.k8s.io/v1",
                "ClusterRole",
                "clusterroles",
                "",
                &all,
            )
            .await
            .unwrap()["metadata"]["resourceVersion"]
            .clone()
    };
    let before = version().await;
    let more = config("more", "");
    let number = world.propose(
        "bob",
        "more",
        &[("apps/roles/staging/more.yaml", Some(&more))],
    );
    world.previewed(number).await;
    let text = world.conversation(number);
    has(&text, &["1 created"]);
    has_not(&text, &["rules", "would revert", "sync reverts"]);
    let merged = world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    )["sha"]
        .as_str()
        .unwrap()
        .to_string();
    world.sync_status(&merged, "success").await;
    assert_eq!(
        (version().await, rules().await[0]["verbs"].clone()),
        (before, json!(["get"]))
    );
}

/// Whoever scales and is no person has the replicas, also when there are none; and a hand-over ends
/// no pods.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_left_to_every_autoscaler_and_handed_over_without_a_default() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
    ])
    .await;
    let replicas = async || lab.deployment().await["spec"]["replicas"].clone();
    lab.kubectl(&[
        "patch",
        "deployment/lab",
        "--subresource=scale",
        "--type=merge",
        "--field-manager=keda",
        "-p",
        r#"{"spec":{"replicas":4}}"#,
    ]);
    let (number, text) = lab
        .change(
            "config",
            &[(
                "deployment.yaml",
                Some(&deployment("", "").replace("lab:1", "lab:2")),
            )],
        )
        .await;
    has(&text, &["left to others: 1", "`.spec.replicas` (`keda`)"]);
    lab.merge(number, "success").await;
    assert_eq!(replicas().await, 4);
    // Git hands the count over to an autoscaler: the server's default would end all pods but one.
    lab.kubectl(&["scale", "deployment/lab", "--replicas=2"]);
    lab.world.quiet().await;
    let handed = deployment("", "")
        .replace("  replicas: 2\n", "")
        .replace("lab:1", "lab:2");
    let scaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: lab}\nspec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: lab}, minReplicas: 2, maxReplicas: 9}\n";
    let before = replicas().await;
    let (number, text) = lab
        .change(
            "hand-over",
            &[
                ("deployment.yaml", Some(&handed)),
                ("scaler.yaml", Some(scaler)),
            ],
        )
        .await;
    has_not(&text, &["replicas: 1"]);
    lab.merge(number, "success").await;
    assert_eq!(replicas().await, before);
}

/// Git counts replicas beside an autoscaler: the live count stays, and the server's default never
/// takes its place. What is previewed is what is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_git_changes_beside_an_autoscaler_is_left_to_it() {
    let counts =
        |replicas: u8| deployment("", "").replace("replicas: 2", &format!("replicas: {replicas}"));
    let lab = Lab::with(&[("deployment.yaml", &counts(2))]).await;
    let scaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: lab}\nspec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: lab}, minReplicas: 2, maxReplicas: 9}\n";
    let replicas = async || lab.deployment().await["spec"]["replicas"].clone();
    for (branch, count) in [("scaled", 4), ("more", 5)] {
        let files = [
            ("deployment.yaml", Some(counts(count))),
            ("scaler.yaml", Some(scaler.to_string())),
        ];
        let files = files
            .each_ref()
            .map(|(path, text)| (*path, text.as_deref()));
        let (number, text) = lab.change(branch, &files).await;
        has(&text, &["`.spec.replicas` (`HorizontalPodAutoscaler lab`)"]);
        has_not(&text, &["scales down", "replicas: 1", "cannot be applied"]);
        lab.merge(number, "success").await;
        assert_eq!(replicas().await, 2, "{branch}");
        let said = lab.world.conversation(number);
        has_not(&said, &["waits for a decision"]);
    }
}

/// A Job that took itself away after it ended has run: it does not run again until Git changes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_took_itself_away_is_done() {
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate}\nspec:\n  ttlSecondsAfterFinished: 0\n  template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}\n";
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let (number, _) = lab.change("job", &[("job.yaml", Some(job))]).await;
    lab.world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    let live = async || lab.object("batch/v1", "Job", "jobs", "migrate").await;
    lab.world
        .until("the Job is there", async || {
            live().await.is_object().then_some(())
        })
        .await;
    // Simulated nodes run no Job to its end: it is told to have.
    lab.kubectl(&["delete", "job/migrate", "--wait=true"]);
    let commit = lab.world.merged(number).await;
    lab.world.sync_status(&commit, "success").await;
    lab.world.quiet().await;
    assert!(live().await.is_null(), "it is not made anew");
}
