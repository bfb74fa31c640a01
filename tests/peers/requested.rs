//! What windlass requests of them: a merge is applied though they would not look for an hour, and
//! `/sync` has an application synced that nothing syncs by itself.

use std::time::Instant;

use http::Method;
use serde_json::json;

use crate::peer::Peer;
use crate::support::World;

const FILE: &str = "apps/web/staging/config.yaml";

/// Whether both came out; it prints how long they took.
pub async fn requested(name: &str, world: &World, peer: &dyn Peer, place: (&str, &str)) -> bool {
    let (namespace, own) = place;
    let config = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web, namespace: {namespace}}}\ndata: {{a: '{value}'}}\n"
        )
    };
    let catalog = format!(
        "version: 1\nstages:\n  staging:\n    cluster: local\n    reconcile: {}\napplications:\n  - path: apps/web/{{stage}}\n    name: web\n    namespace: {namespace}\n",
        peer.reconcile(),
    );
    let files = [
        ("windlass.yaml", Some(catalog.as_str())),
        (FILE, Some(&config("1"))),
    ];
    let first = world.commit("The web", &files);
    peer.declare(world, &["web".to_string()]);
    let home = world.home();
    world.kubectl(&[
        "create",
        "clusterrolebinding",
        &format!("{home}-requests"),
        "--clusterrole=windlass-requests",
        &format!("--serviceaccount={home}:windlass"),
    ]);
    world.start();
    world.sync_status(&first, "success").await;
    let merge = async |branch: &str, value: &str| {
        let number = world.propose("bob", branch, &[(FILE, Some(&config(value)))]);
        world.previewed(number).await;
        let path = format!("pulls/{number}/merge");
        let merged = world.as_user("ada", Method::PUT, &path, json!({}));
        (number, merged["sha"].as_str().unwrap().to_string())
    };
    let begun = Instant::now();
    let (_, merged) = merge("one", "2").await;
    world.sync_status(&merged, "success").await;
    println!(
        "{name}: merged and applied after {:.1} s",
        begun.elapsed().as_secs_f64()
    );

    let is_argo_cd = name.contains("argocd");
    if is_argo_cd {
        let by_hand = r#"{"spec":{"syncPolicy":{"automated":null}}}"#;
        let patch = [
            "-n",
            own,
            "patch",
            "applications.argoproj.io/web",
            "--type=merge",
            "-p",
            by_hand,
        ];
        world.kubectl(&patch);
    }
    let (number, merged) = merge("two", "3").await;
    if is_argo_cd {
        world
            .until("it waits for somebody to sync it", async || {
                let object = world.application("web.staging").await;
                let message = object["status"]["message"].as_str()?;
                message.contains("has not synced yet").then_some(())
            })
            .await;
    }
    let begun = Instant::now();
    world.comment("bob", number, "/sync");
    world.sync_status(&merged, "success").await;
    world
        .until("the outcome", async || {
            let comments = world.comments(number);
            let mut bodies = comments.iter().filter_map(|one| one["body"].as_str());
            bodies
                .any(|body| body.contains("`web/staging` is synced, healthy"))
                .then_some(())
        })
        .await;
    println!(
        "{name}: `/sync` carried out after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let live = world
        .get("v1", "ConfigMap", "configmaps", namespace, "web")
        .await;
    live.is_some_and(|live| live["data"]["a"] == "3")
}
