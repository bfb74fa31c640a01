//! Kinds that are served under another version.

use crate::support::lab::{CONFIG, Lab, has, has_not};
use crate::support::plane;

/// A kind that is served under another version is named by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_served_no_more_is_named_and_a_hook_may_have_a_generated_name() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let night = "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: night}\nspec: {schedule: '0 0 * * *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}}\n";
    let (_, text) = lab.change("old", &[("night.yaml", Some(night))]).await;
    has(
        &text,
        &[
            "the cluster does not serve CronJob as batch/v1beta1: it is served as batch/v1",
            "apps/lab/staging/night.yaml:1",
        ],
    );
    has_not(&text, &["CustomResourceDefinition"]);
    let hook = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  generateName: migrate-\n  annotations: {argocd.argoproj.io/hook: PreSync}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}\n";
    let (_, text) = lab.change("hook", &[("hook.yaml", Some(hook))]).await;
    has(&text, &["1 hook", "Job lab-staging/migrate-"]);
    let (_, text) = lab
        .change(
            "kept",
            &[(
                "kept.yaml",
                Some(&hook.replace("argocd.argoproj.io/hook", "a.example/b")),
            )],
        )
        .await;
    has(&text, &["only a hook may use generateName"]);
}

/// An object whose version is served no more is looked up under one that is; one that may not be
/// read just now is not gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_under_another_version_is_not_gone() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let group = format!("{}moved.example", lab.world.prefix);
    lab.may_write(&group, "things");
    let schema =
        "schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}";
    let definition = |versions: &[(&str, bool, bool)]| {
        let versions: Vec<_> = versions
            .iter()
            .map(|(name, served, storage)| {
                format!("{{name: {name}, served: {served}, storage: {storage}, {schema}}}")
            })
            .collect();
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: things.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: Thing, plural: things}}\n  versions: [{}]\n",
            versions.join(", ")
        )
    };
    lab.with_file(
        &["apply"],
        &definition(&[("v1alpha1", true, false), ("v1", true, true)]),
    );
    lab.world.kubectl(&[
        "wait",
        "--for=condition=Established",
        &format!("crd/things.{group}"),
        "--timeout=30s",
    ]);
    let thing = format!("apiVersion: {group}/v1alpha1\nkind: Thing\nmetadata: {{name: lab}}\n");
    let (number, _) = lab.change("thing", &[("thing.yaml", Some(&thing))]).await;
    lab.merge(number, "success").await;
    lab.with_file(
        &["apply"],
        &definition(&[("v1alpha1", false, false), ("v1", true, true)]),
    );
    lab.world
        .until("the old version is served no more", async || {
            plane()
                .kubectl(&["get", "--raw", &format!("/apis/{group}/v1alpha1/things")])
                .is_err()
                .then_some(())
        })
        .await;
    lab.world.kill();
    lab.world
        .commit("No thing", &[("apps/lab/staging/thing.yaml", None)]);
    lab.world.start();
    let status = async || lab.world.application("lab.staging").await["status"].clone();
    let named = lab
        .world
        .until("its deletion asks", async || {
            status().await["toConfirm"][0].as_str().map(str::to_string)
        })
        .await;
    assert!(named.starts_with("Thing "), "{named}");
    // While nobody may read it, it stays known.
    lab.world.kubectl(&["delete", "clusterrole", &group]);
    lab.world.comment("ada", number, "/sync");
    lab.world
        .until("it cannot be told", async || {
            status().await["message"]
                .as_str()?
                .contains("windlass cannot tell whether it still exists")
                .then_some(())
        })
        .await;
    assert!(status().await["inventory"].to_string().contains("Thing"));
    lab.may_write(&group, "things");
    lab.world.windlass(&["sync", "lab/staging"]);
    lab.world
        .until("it asks again", async || {
            status().await["toConfirm"][0].as_str().map(drop)
        })
        .await;
    assert_eq!(
        lab.world.windlass(&["confirm-prune", "lab/staging"]),
        format!("lab/staging deletes:\n  {named}\n")
    );
    lab.world
        .until("it is gone", async || {
            lab.object(&format!("{group}/v1"), "Thing", "things", "lab")
                .await
                .is_null()
                .then_some(())
        })
        .await;
}
