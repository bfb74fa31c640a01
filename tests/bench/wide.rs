//! `plan_829`: a pull request that changes the base of all applications of a large repository.

use std::time::Instant;

use crate::measures::{cpu, in_one_namespace, previews, synced};
use crate::results::Results;
use crate::support::{Setup, World};
use crate::{EVERYTHING, deployment};

/// As many directories as the largest repository had that was replayed.
const APPLICATIONS: usize = 829;

/// `plan_829`: overlays of one base, a Deployment, Service, ConfigMap and ServiceAccount each.
pub async fn wide(results: &mut Results) {
    let world = World::asleep(Setup {
        direct: true,
        projects: Some(EVERYTHING.to_owned()),
        ..Setup::default()
    })
    .await;
    let many = world.namespace("wide");
    let catalog = in_one_namespace(&world, &many);
    let base = |image: &str| {
        format!(
            "{}---\napiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata: {{a: \"1\"}}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: web}}\n",
            deployment("web", image, 0)
        )
    };
    let mut files = vec![
        ("windlass.yaml".to_string(), catalog),
        (
            "base/kustomization.yaml".to_string(),
            "resources: [all.yaml]\n".to_string(),
        ),
        ("base/all.yaml".to_string(), base("web:1")),
    ];
    files.extend((0..APPLICATIONS).map(|n| {
        (
            format!("apps/app-{n:03}/staging/kustomization.yaml"),
            format!("namespace: {many}\nnamePrefix: app-{n:03}-\nresources: [../../../base]\n"),
        )
    }));
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let commit = world.commit("829 applications", &files);
    world.start();
    let started = Instant::now();
    synced(&world, &commit).await;
    results.note("create_829x4", started.elapsed().as_secs_f64(), "s");
    let (earlier, spent) = (previews(&world).await, cpu(&world));
    let started = Instant::now();
    let text = base("web:2");
    let number = world.propose("bob", "wide", &[("base/all.yaml", Some(&text))]);
    crate::measures::wait(std::time::Duration::from_secs(300), async || {
        !world.comments(number).is_empty()
    })
    .await;
    let until_comment = started.elapsed().as_secs_f64();
    let later = previews(&world).await;
    let took = (later.0 - earlier.0) / (later.1 - earlier.1).max(1) as f64;
    results.note("plan_829_cpu", cpu(&world) - spent, "s of CPU");
    results.note("plan_829_comment", until_comment, "s");
    results.add("plan_829", took, "s", "< 30 s", took < 30.0);
}
