//! Argo CD in one cluster deploys to another: its objects are read there, and compared here.

use http::Method;
use serde_json::{Value, json};

use super::{another, granted, joined};
use crate::support::lab::{has, has_not};
use crate::syncs::external::define_argo_cd;

const FILE: &str = "apps/lab/config.yaml";

#[tokio::test(flavor = "multi_thread")]
async fn what_argo_cd_deploys_to_another_cluster_is_compared_there() {
    let edge = another().await;
    let mut world = granted("[local, edge]").await;
    let (namespace, own) = (world.namespace("lab-staging"), world.namespace("argocd"));
    let clusters = joined(&world, "edge", &edge).await;
    let environment = &mut world.windlass.environment;
    environment.push(("WINDLASS_CLUSTERS", clusters));
    define_argo_cd(&world);
    world.kubectl(&["create", "namespace", &own]);
    let application = format!("lab-{}edge", world.prefix);
    let edge_name = format!("{}edge", world.prefix);
    // As Argo CD applies it there.
    let config = |value: &str, marks: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: lab, namespace: {namespace}{marks}}}\ndata: {{a: '{value}'}}\n"
        )
    };
    let marks = format!(
        ", annotations: {{argocd.argoproj.io/tracking-id: \"{application}:/ConfigMap:{namespace}/lab\"}}"
    );
    let file = world.cache().with_file_name("edge.yaml");
    let as_argo_cd = |value: &str| {
        std::fs::write(&file, config(value, &marks)).unwrap();
        let file = file.to_str().unwrap();
        let how = [
            "apply",
            "--server-side",
            "--field-manager=argocd-controller",
            "-f",
            file,
        ];
        edge.kubectl(&how).unwrap();
    };
    edge.kubectl(&["create", "namespace", &namespace]).unwrap();
    as_argo_cd("1");

    let url = format!("{}/acme/config.git", world.forge.url());
    let set = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {{name: lab, namespace: {own}}}\nspec:\n  generators: [{{clusters: {{selector: {{matchLabels: {{tier: edge}}}}}}}}]\n  template:\n    metadata: {{name: 'lab-{{{{name}}}}'}}\n    spec:\n      project: default\n      source: {{repoURL: '{url}', path: apps/lab}}\n      destination: {{name: '{{{{name}}}}', namespace: {namespace}}}\n      syncPolicy: {{automated: {{prune: true}}, syncOptions: [ServerSideApply=true]}}\n"
    );
    let catalog = format!(
        "version: 1\nstages: {{ live: {{ cluster: local }} }}\ndiscover:\n  by: argocd\n  clusters:\n    {edge_name}: {{ labels: {{ tier: edge }}, cluster: edge }}\n"
    );
    let first = world.commit(
        "Argo CD's",
        &[
            ("windlass.yaml", Some(catalog.as_str())),
            ("argocd/lab.yaml", Some(&set)),
            (FILE, Some(&config("1", ""))),
        ],
    );
    let object = |revision: &str| {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": application, "namespace": own},
            "spec": {"source": {"repoURL": url, "path": "apps/lab"}, "destination": {"name": edge_name, "namespace": namespace},
                "syncPolicy": {"automated": {"prune": true}, "syncOptions": ["ServerSideApply=true"]}},
            "status": {"sync": {"status": "Synced", "revision": revision}, "health": {"status": "Healthy"}}})
    };
    let applied = |revision: &str| {
        let object: Value = object(revision);
        world.with_file(&["apply"], &object.to_string());
    };
    applied(&first);
    world.start();
    world.sync_status(&first, "success").await;

    let change = config("2", "");
    let number = world.propose("bob", "two", &[(FILE, Some(&change))]);
    world.previewed(number).await;
    let shown = world.conversation(number);
    has(
        &shown,
        &[
            "on `edge`",
            "1 changed",
            "verified by the cluster",
            "-  a: '1'\n+  a: '2'",
        ],
    );
    has_not(&shown, &["tracking-id", "reverts"]);
    let merge = format!("pulls/{number}/merge");
    let merged = world.as_user("ada", Method::PUT, &merge, json!({}));
    let merged = merged["sha"].as_str().unwrap().to_string();
    as_argo_cd("2");
    applied(&merged);
    world.sync_status(&merged, "success").await;
}
