//! What a preview must not leave out: failures, new applications, order and interruption.

use http::Method;
use serde_json::json;

use super::config;
use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};
use crate::support::{Setup, World};

/// What cannot be changed is named; a claim is never created anew, a StatefulSet without its pods.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_is_named_and_no_pods_or_data_go_with_it() {
    let set = |storage: &str, more: &str| {
        format!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: db{more}}}\nspec:\n  replicas: 2\n  serviceName: db\n  selector: {{matchLabels: {{app: db}}}}\n  template:\n    metadata: {{labels: {{app: db}}}}\n    spec: {{containers: [{{name: db, image: 'db:1'}}]}}\n  volumeClaimTemplates:\n    - metadata: {{name: data}}\n      spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: {storage}}}}}}}\n"
        )
    };
    let claim = |size: &str| {
        format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: own}}\nspec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: {size}}}}}}}\n"
        )
    };
    let world_files = [
        ("set.yaml", set("1Gi", "")),
        ("claim.yaml", claim("2Gi")),
        ("config.yaml", CONFIG.to_string()),
    ];
    // Claims without a volume bind to none: the StatefulSet's pods wait. What counts here is who
    // they are.
    let world = World::asleep(Setup::default()).await;
    let namespace = world.namespace("lab-staging");
    let mut files = vec![(
        "apps/lab/staging/namespace.yaml".to_string(),
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"),
    )];
    files.extend(
        world_files
            .iter()
            .map(|(name, text)| (format!("apps/lab/staging/{name}"), text.clone())),
    );
    let push: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    world.commit("The lab", &push);
    world.start();
    let lab = Lab { world };
    lab.world
        .until("it is applied", async || {
            (lab.world.application("lab.staging").await["status"]["sync"] == "Synced").then_some(())
        })
        .await;
    let (_, text) = lab
        .change("shrink", &[("claim.yaml", Some(&claim("1Gi")))])
        .await;
    has(&text, &["windlass never recreates a claim"]);
    has_not(&text, &["windlass.dev/recreate"]);
    let (_, text) = lab
        .change("grow", &[("set.yaml", Some(&set("2Gi", "")))])
        .await;
    has(
        &text,
        &[
            ".spec.volumeClaimTemplates[0].spec.resources.requests.storage cannot be changed from 1Gi to 2Gi",
            "keep 1Gi",
            "its pods keep running",
        ],
    );
    let permission = text
        .replace('\n', " ")
        .split("windlass.dev/recreate: ")
        .nth(1)
        .unwrap()
        .split('`')
        .next()
        .unwrap()
        .to_string();
    let pods = async || {
        let all = lab.world.list("v1", "Pod", "pods", &lab.namespace()).await;
        all.iter()
            .map(|pod| pod["metadata"]["uid"].to_string())
            .collect::<Vec<_>>()
    };
    let before = lab
        .world
        .until("a pod", async || {
            Some(pods().await).filter(|all| !all.is_empty())
        })
        .await;
    let allowed = set(
        "2Gi",
        &format!(", annotations: {{windlass.dev/recreate: '{permission}'}}"),
    );
    let (number, text) = lab.change("allowed", &[("set.yaml", Some(&allowed))]).await;
    has(&text, &["its pods keep running", "keep 1Gi"]);
    lab.world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    lab.world
        .until("it is the new one", async || {
            let live = lab
                .object("apps/v1", "StatefulSet", "statefulsets", "db")
                .await;
            (live["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
                == "2Gi")
                .then_some(())
        })
        .await;
    assert_eq!(pods().await, before, "no pod ended");
    // The permission named that change and no other.
    let (_, text) = lab
        .change(
            "again",
            &[("set.yaml", Some(&allowed.replace("2Gi", "3Gi")))],
        )
        .await;
    has(&text, &["cannot be applied", "windlass.dev/recreate: "]);
}

/// What cannot be read, before and after, is a failure of whoever changes it: never "no application
/// changes".
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_on_either_side_is_never_no_change() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let remote = "resources: [config.yaml, 'https://example.com/base?ref=1']\n";
    lab.world.commit(
        "A remote base",
        &[("apps/lab/staging/kustomization.yaml", Some(remote))],
    );
    let (number, text) = lab
        .change(
            "less",
            &[("config.yaml", Some(&CONFIG.replace("'1'", "'2'")))],
        )
        .await;
    has_not(&text, &["No application changes"]);
    has(&text, &["example.com"]);
    assert_eq!(lab.world.previewed(number).await["conclusion"], "failure");
    // Who changes something else is not to blame.
    let other = lab.world.propose(
        "bob",
        "other",
        &[(
            "apps/shop/staging/config.yaml",
            Some(
                &lab.world
                    .file("apps/shop/staging/config.yaml")
                    .replace("hello", "hi"),
            ),
        )],
    );
    assert_eq!(lab.world.previewed(other).await["conclusion"], "success");
}

/// The pull request that brings applications, with the rules that make them ones, previews them as
/// what they will be; one that takes a rule away lists what stays behind.
#[tokio::test(flavor = "multi_thread")]
async fn the_pull_request_that_brings_applications_previews_them() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let catalog = lab.world.file("windlass.yaml");
    let namespace = lab.world.namespace("fresh-staging");
    let rule = format!(
        "applications:\n  - name: fresh\n    path: fresh/{{stage}}\n    namespace: {}fresh-{{stage}}\n",
        lab.world.prefix
    );
    let ruled = catalog.replacen("applications:\n", &rule, 1);
    let files = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n{}",
        config("first", "")
    );
    let number = lab.world.propose(
        "bob",
        "fresh",
        &[
            ("windlass.yaml", Some(&ruled)),
            ("fresh/staging/all.yaml", Some(&files)),
        ],
    );
    lab.world.previewed(number).await;
    let text = lab.world.conversation(number);
    has(
        &text,
        &[
            "**fresh/staging** on `local`",
            "2 created",
            "This application is not on the base branch",
            "ConfigMap fresh-staging/first",
        ],
    );
    let without = catalog.replacen(
        "  - path: apps/{application}/{stage}\n",
        "  - path: others/{application}/{stage}\n",
        1,
    );
    let number = lab
        .world
        .propose("bob", "without", &[("windlass.yaml", Some(&without))]);
    lab.world.previewed(number).await;
    has(
        &lab.world.conversation(number),
        &["The application leaves Git", "`ConfigMap lab`"],
    );
}

/// Who merges before the gate is green has that said where everybody reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_past_the_gate_is_said_in_the_thread() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let (number, _) = lab
        .change(
            "past",
            &[("config.yaml", Some(&CONFIG.replace("'1'", "'2'")))],
        )
        .await;
    lab.world.gate_says(number, "0 of 1 approvals").await;
    lab.merge(number, "success").await;
    let said = "It was merged although `windlass/gate` had not passed: 0 of 1 approvals";
    lab.world
        .until("the thread says so", async || {
            lab.world.conversation(number).contains(said).then_some(())
        })
        .await;
}

/// Order and interruption are part of what a preview says: renames, autoscalers, definitions that
/// their own objects no longer fit, kinds of which nobody says when they are healthy.
#[tokio::test(flavor = "multi_thread")]
async fn order_and_interruption_are_forecast() {
    let scaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: lab}\nspec:\n  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: lab}\n  minReplicas: 2\n  maxReplicas: 9\n";
    let lab = Lab::with(&[
        ("config.yaml", CONFIG),
        ("deployment.yaml", &deployment("", "")),
    ])
    .await;
    let group = format!("{}sizes.example", lab.world.prefix);
    lab.may_write(&group, "sizes");
    let definition = |most: u32| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: sizes.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: Size, plural: sizes}}\n  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{size: {{type: integer, maximum: {most}}}}}}}}}}}}}}}]\n"
        )
    };
    let size =
        format!("apiVersion: {group}/v1\nkind: Size\nmetadata: {{name: lab}}\nspec: {{size: 7}}\n");
    let renamed = deployment("", "").replace("{name: lab}", "{name: newlab}");
    let (number, text) = lab
        .change(
            "first",
            &[
                ("definition.yaml", Some(&definition(9))),
                ("size.yaml", Some(&size)),
            ],
        )
        .await;
    has(
        &text,
        &[&format!(
            "No rule says when `Size.{}` is healthy",
            lab.world.scrub(&group)
        )],
    );
    lab.merge(number, "success").await;
    let conditions = lab.world.application("lab.staging").await["status"]["conditions"].to_string();
    has(
        &conditions,
        &[&format!(
            "no rule says when Size.{group} is healthy, so its own status counts"
        )],
    );
    // Not in the diff: the object itself does not change.
    let (_, text) = lab
        .change("tighter", &[("definition.yaml", Some(&definition(5)))])
        .await;
    has(
        &text,
        &["1 of this application's live objects would not be valid any more: Size lab-staging/lab"],
    );
    let (_, text) = lab
        .change("renamed", &[("deployment.yaml", Some(&renamed))])
        .await;
    has(
        &text,
        &[
            "replaces Deployment lab-staging/lab, which is deleted once this is healthy; until then both run",
            "stops its 2 pods once the rest of the change is healthy",
        ],
    );
    let handed = deployment("", "").replace("  replicas: 2\n", "");
    let (_, text) = lab
        .change(
            "scaled",
            &[
                ("scaler.yaml", Some(scaler)),
                ("deployment.yaml", Some(&handed)),
            ],
        )
        .await;
    has(
        &text,
        &[
            "keeps Deployment lab between 2 and 9 pods, whatever replicas Git sets",
            "`Deployment lab-staging/lab`: `.spec.replicas` (`HorizontalPodAutoscaler lab`)",
        ],
    );
    let (_, text) = lab
        .change(
            "fewer",
            &[(
                "deployment.yaml",
                Some(&deployment("", "").replace("replicas: 2", "replicas: 1")),
            )],
        )
        .await;
    has(&text, &["scales down by 1 pod: from 2 to 1"]);
}
