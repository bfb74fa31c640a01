//! `memory_10k`, `drift_p99`: what 10,000 managed objects cost.

use std::time::Duration;

use crate::drift::{GREETING, among_many};
use crate::measures::{resident, synced, wait};
use crate::results::Results;
use crate::support::{Setup, World};

/// `memory_10k`: what 10,000 managed objects cost.
pub async fn memory(results: &mut Results) {
    const OBJECTS: usize = 10_000;
    const APPLICATIONS: usize = 20;
    let world = World::with(Setup {
        direct: true,
        ..Setup::default()
    })
    .await;
    let idle = resident(&world);
    let mut files = Vec::new();
    for application in 0..APPLICATIONS {
        let name = format!("lab{application}");
        let namespace = world.namespace(&format!("{name}-staging"));
        let objects: String = (0..OBJECTS / APPLICATIONS)
            .map(|n| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n:04}}}\ndata: {{a: \"{n}\", b: some text that is a little longer, greeting: {GREETING}}}\n"))
            .collect();
        files.push((
            format!("apps/{name}/staging/all.yaml"),
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n{objects}"),
        ));
    }
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let commit = world.commit("10,000 objects", &files);
    synced(&world, &commit).await;
    results.note("memory_10k_after_sync", resident(&world) - idle, "MiB");
    // As after any restart.
    world.kill();
    world.start();
    wait(Duration::from_secs(60), async || world.is_running()).await;
    world.quiet().await;
    let above = resident(&world) - idle;
    results.add("memory_10k", above, "MiB", "< 64 MiB", above < 64.0);
    let names: Vec<_> = (0..OBJECTS / APPLICATIONS)
        .map(|n| format!("c{n:04}"))
        .collect();
    among_many(results, &world, &world.namespace("lab0-staging"), &names).await;
}
