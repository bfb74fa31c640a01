//! `drift_p50`: a hand edit until it is set back.

use std::time::{Duration, Instant};

use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::json;

use crate::measures::{median, quantile, synced};
use crate::results::Results;
use crate::support::{Setup, World};

/// `drift_p50`: a hand edit until it is reverted, 100 times.
pub async fn drift(results: &mut Results) {
    // Each object is edited five times: one more within the minute would be a fight.
    const OBJECTS: usize = 20;
    let world = World::with(Setup {
        direct: true,
        ..Setup::default()
    })
    .await;
    let namespace = world.namespace("lab-staging");
    let objects: String = (0..OBJECTS)
        .map(|n| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n}}}\ndata: {{greeting: hello}}\n"))
        .collect();
    let text =
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n{objects}");
    let commit = world.commit("Objects", &[("apps/lab/staging/all.yaml", Some(&text))]);
    synced(&world, &commit).await;
    let resource = ApiResource {
        group: String::new(),
        version: "v1".into(),
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        plural: "configmaps".into(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &namespace, &resource);
    let mut times = Vec::new();
    for round in 0..100 {
        let name = format!("c{}", round % OBJECTS);
        let edit = json!({"data": {"greeting": format!("by hand {round}")}});
        let parameters = PatchParams {
            field_manager: Some("kubectl-edit".into()),
            ..PatchParams::default()
        };
        api.patch(&name, &parameters, &Patch::Merge(&edit))
            .await
            .unwrap();
        let started = Instant::now();
        while api.get(&name).await.unwrap().data["data"]["greeting"] != "hello" {
            assert!(started.elapsed() < Duration::from_secs(30));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.push(started.elapsed().as_secs_f64());
    }
    let (p50, p99) = (median(&mut times), quantile(&mut times, 0.99));
    results.note("drift_p99", p99, "s");
    results.add("drift_p50", p50, "s", "< 1 s", p50 < 1.0);
}
