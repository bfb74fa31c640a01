//! `drift_p50`, `drift_p99`: a hand edit until it is set back.

use std::time::{Duration, Instant};

use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::json;

use crate::measures::{median, quantile, synced};
use crate::results::Results;
use crate::support::{Setup, World};

/// Each object is edited five times: one more within the minute would be a fight.
const OBJECTS: usize = 20;
/// What Git has in each of them, as `greeting`.
pub const GREETING: &str = "hello";

/// `drift_p50`: a hand edit until it is reverted, 100 times.
pub async fn drift(results: &mut Results) {
    let world = World::with(Setup {
        direct: true,
        ..Setup::default()
    })
    .await;
    let namespace = world.namespace("lab-staging");
    let names: Vec<_> = (0..OBJECTS).map(|n| format!("c{n}")).collect();
    let objects: String = names
        .iter()
        .map(|name| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{greeting: {GREETING}}}\n"))
        .collect();
    let text =
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n{objects}");
    let commit = world.commit("Objects", &[("apps/lab/staging/all.yaml", Some(&text))]);
    synced(&world, &commit).await;
    let mut times = edits(&world, &namespace, &names).await;
    let p50 = median(&mut times);
    results.add("drift_p50", p50, "s", "< 1 s", p50 < 1.0);
}

/// `drift_p99`, among many other objects.
pub async fn among_many(results: &mut Results, world: &World, namespace: &str, names: &[String]) {
    let mut times = edits(world, namespace, &names[..OBJECTS]).await;
    let p99 = quantile(&mut times, 0.99);
    results.note("drift_p50_10k", median(&mut times), "s");
    results.add("drift_p99", p99, "s", "< 0.3 s", p99 < 0.3);
}

/// How long each of 100 hand edits lives.
async fn edits(world: &World, namespace: &str, names: &[String]) -> Vec<f64> {
    let resource = ApiResource {
        group: String::new(),
        version: "v1".into(),
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        plural: "configmaps".into(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), namespace, &resource);
    let mut times = Vec::new();
    for round in 0..100 {
        let name = &names[round % names.len()];
        let edit = json!({"data": {"greeting": format!("by hand {round}")}});
        let parameters = PatchParams {
            field_manager: Some("kubectl-edit".into()),
            ..PatchParams::default()
        };
        api.patch(name, &parameters, &Patch::Merge(&edit))
            .await
            .unwrap();
        let started = Instant::now();
        while api.get(name).await.unwrap().data["data"]["greeting"] != GREETING {
            assert!(started.elapsed() < Duration::from_secs(30));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.push(started.elapsed().as_secs_f64());
    }
    times
}
