//! Clusters that Secrets register.

use serde_json::json;

use super::{granted, production_on, says};
use crate::support::World;
use crate::support::lab::has;

/// A Secret that registers a cluster, with the label that production chooses its clusters by.
fn register(world: &World, secret: &str, cluster: &str, kubeconfig: &str) {
    let object = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": secret, "namespace": world.home(),
            "labels": {"windlass.dev/cluster": cluster, "env": "live"}},
        "stringData": {"kubeconfig": kubeconfig},
    });
    world.with_file(&["apply"], &object.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_comes_and_goes_with_a_secret_that_runs_and_reads_nothing() {
    let mut world = granted("[local, eu, us]").await;
    let live = production_on(&world, "clusters: { labels: { env: live } }");
    world.commit("Live clusters", &[("windlass.yaml", Some(&live))]);
    let setting = ("WINDLASS_CLUSTER_SECRETS", "true".to_string());
    world.windlass.environment.push(setting);
    let own = std::fs::read_to_string(world.cache().with_file_name("kubeconfig")).unwrap();
    register(&world, "eu", "eu", &own);
    world.start();
    says(&world, "eu", "Healthy").await;
    let pid = world.pid().unwrap();
    // What its writer may not have windlass do.
    let user = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "steal", "interactiveMode": "Never"}});
    let hostile = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    });
    register(&world, "us", "us", &hostile.to_string());
    let us = says(&world, "us", "the Secret `us` runs `steal`").await;
    has(
        us["status"]["message"].as_str().unwrap(),
        &["start windlass with --cluster-exec-plugin steal"],
    );
    world.kubectl(&["-n", &world.home(), "delete", "secret", "us"]);
    world
        .until("it belongs to the stage no more", async || {
            let log = std::fs::read_to_string(world.windlass.log()).unwrap();
            let starts = log.matches("the Secrets of clusters changed").count();
            (starts == 2).then_some(())
        })
        .await;
    world.announce("1.1.0").await;
    world.pull_request("staging").await;
    // It is the same process for whoever started it.
    assert_eq!(world.pid().unwrap(), pid);
}
