//! What an event is answered.

use super::{announce, event, pulls, told};
use crate::support::lab::has;
use crate::support::{Setup, World, digest_of};

/// The example, with an application of its own: `rule` is what `windlass.yaml` says of it.
async fn with_application(name: &str, images: &str, files: &[(&str, &str)]) -> World {
    let world = World::asleep(Setup::default()).await;
    let prefix = &world.prefix;
    let rule = format!(
        "  - name: {name}\n    path: {name}/{{stage}}\n    namespace: \"{prefix}{name}-{{stage}}\"\n    images:\n{images}"
    );
    let mut all = vec![(
        "windlass.yaml".to_string(),
        world.file("windlass.yaml") + &rule,
    )];
    for (path, text) in files {
        let stage = path.split('/').next().unwrap();
        let namespace = format!("{prefix}{name}-{stage}");
        let space = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
        all.push((format!("{name}/{stage}/namespace.yaml"), space));
        all.push((
            format!("{name}/{path}"),
            text.replace("NAMESPACE", &namespace),
        ));
    }
    all.sort();
    all.dedup();
    let all: Vec<_> = all
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    world.commit("One more application", &all);
    world.start();
    world.settled().await;
    world
}

fn workload(name: &str, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n        - name: {name}\n          image: {image}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_told_application_by_application() {
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n";
    let images = "      ghcr.io/acme/shop: { source: acme/shop }\n";
    let world = with_application("other", images, &[("staging/config.yaml", config)]).await;
    let (status, body) = world.announce("1.1.0").await;
    assert_eq!(status, 200, "{body}");
    assert!(
        body["pull_request"].is_string()
            && told(&body, "shop")["pull_request"] == body["pull_request"],
        "{body}"
    );
    let other = told(&body, "other");
    assert_eq!(
        (other["stage"].as_str(), other["state"].as_str()),
        (Some("staging"), Some("Failed"))
    );
    has(
        other["message"].as_str().unwrap(),
        &["no file in other/staging sets `ghcr.io/acme/shop`"],
    );
    world.merged(world.pull_request("staging").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_without_the_first_stage_begins_at_its_own() {
    let images = "      ghcr.io/acme/solo: { source: acme/shop }\n";
    let list = "namespace: NAMESPACE\nresources: [namespace.yaml, deployment.yaml]\nimages:\n  - name: ghcr.io/acme/solo\n    newTag: 1.0.0\n";
    let deployment = workload("solo", "ghcr.io/acme/solo");
    let files = [
        ("production/kustomization.yaml", list),
        ("production/deployment.yaml", deployment.as_str()),
    ];
    let world = with_application("solo", images, &files).await;
    let (status, body) = announce(
        &world,
        &event("ghcr.io/acme/solo", "1.1.0", &digest_of("1.1.0")),
    )
    .await;
    assert_eq!(
        (status, told(&body, "solo")["stage"].as_str()),
        (200, Some("production")),
        "{body}"
    );
    let pull = world.pull_from("windlass/solo/production").unwrap();
    let number = pull["number"].as_u64().unwrap();
    assert_eq!(pull["title"], "solo/production: 1.1.0 (565656565656)");
    // The stage's gates are its own all the same.
    world.previewed(number).await;
    world
        .gate_says(number, "0 of 1 approvals (solo/production requires 1)")
        .await;
    world.approve("bob", number);
    world.merged(number).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_hubs_names_are_one_name_and_stay_as_they_are_written() {
    let images = "      acme/tool: { source: acme/shop }\n";
    let deployment = workload("tool", "docker.io/acme/tool:1.0.0");
    let world = with_application(
        "hub",
        images,
        &[("staging/deployment.yaml", deployment.as_str())],
    )
    .await;
    let digest = digest_of("1.1.0");
    let (status, body) = announce(
        &world,
        &event("index.docker.io/acme/tool", "1.1.0", &digest),
    )
    .await;
    assert_eq!(status, 200, "{body}");
    let number = world.pull_from("windlass/hub/staging").unwrap()["number"]
        .as_u64()
        .unwrap();
    world.merged(number).await;
    has(
        &world.file("hub/staging/deployment.yaml"),
        &[&format!("image: docker.io/acme/tool:1.1.0@{digest}\n")],
    );
    let (status, body) = announce(&world, &event("docker.io/acme/tool", "1.1.0", &digest)).await;
    assert_eq!(
        (status, told(&body, "hub")["state"].as_str()),
        (200, Some("Merged")),
        "{body}"
    );
    assert_eq!(pulls(&world, "hub/staging"), 1);
}
