//! Where an image stands: in a base, in a chart, or where setting it does more.

use serde_json::json;

use super::{STAGING, announce, event, promotion, push, rests, told};
use crate::support::lab::has;
use crate::support::{Setup, World, digest_of};

const BASE: &str = "apps/shop/base/deployment.yaml";

/// The overlays of a world without their entries of the image, which stands in the base.
async fn in_the_base() -> World {
    let world = World::asleep(Setup::default()).await;
    for stage in ["staging", "production"] {
        let path = format!("apps/shop/{stage}/kustomization.yaml");
        let text = world.file(&path);
        let (text, _) = text.split_once("images:").unwrap();
        push(&world, "No entry", &path, text);
    }
    let first = format!("image: ghcr.io/acme/shop:1.0.0@sha256:{}", "10".repeat(32));
    let text = world.file(BASE).replace("image: ghcr.io/acme/shop", &first);
    push(&world, "The image", BASE, &text);
    world.start();
    world.settled().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_the_base_is_set_by_an_entry_of_the_overlay() {
    let world = in_the_base().await;
    let base = world.file(BASE);
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    insta::assert_snapshot!(world.scrub(&world.file(STAGING)), @r#"
    namespace: shop-staging
    resources:
      - ../base
      - namespace.yaml
      - config.yaml
      - secret.yaml
    images:
      - name: ghcr.io/acme/shop
        newTag: "1.1.0"
        digest: sha256:5656565656565656565656565656565656565656565656565656565656565656
    "#);
    assert_eq!(world.file(BASE), base);
    // Production gets its own, and the next image moves the entry.
    let production = world.pull_request("production").await;
    world.previewed(production).await;
    world.approve("mia", production);
    world.merged(production).await;
    world.announce("1.2.0").await;
    let next = world.titled("staging", "shop/staging: 1.2.0").await;
    let merged = world.merged(next).await;
    world.sync_status(&merged, "success").await;
    let text = world.file(STAGING);
    assert!(
        text.contains("newTag: \"1.2.0\"") && text.matches("ghcr.io/acme/shop").count() == 1,
        "{text}"
    );
    // A person takes the entry out: that settles the image.
    let (without, _) = text.split_once("images:").unwrap();
    let commit = push(&world, "Back to the base", STAGING, without);
    world.sync_status(&commit, "success").await;
    has(
        &rests(&world, "shop.staging", "Reverted").await,
        &["reverted by"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_in_the_values_of_a_chart_is_set_there_and_proven() {
    let world = World::asleep(Setup::default()).await;
    let catalog = world.file("windlass.yaml");
    let rule = format!(
        "applications:\n  - path: web/{{application}}/{{stage}}\n    chart: charts/web\n    namespace: {}\n    images:\n      ghcr.io/acme/web: {{ source: acme/shop }}\n      ghcr.io/acme/odd: {{ source: acme/shop }}\n",
        world.namespace("shop-staging")
    );
    let template = "apiVersion: v1
kind: Pod
metadata:
  name: front
spec:
  containers:
    - name: web
      image: {{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
    - name: odd
      image: ghcr.io/acme/odd:1.0.0
      args: [{{ .Values.odd.tag | quote }}]
";
    let files = [
        ("windlass.yaml", catalog.replacen("applications:\n", &rule, 1)),
        ("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 0.1.0\n".into()),
        ("charts/web/values.yaml", "image:\n  registry: ghcr.io\n  repository: acme/web\n  tag: 1.0.0\n  digest: \"\"\nodd:\n  repository: ghcr.io/acme/odd\n  tag: 1.0.0\n".into()),
        ("charts/web/templates/pod.yaml", template.into()),
        ("web/front/staging/values.yaml", "# of staging\nreplicas: 2\n".into()),
    ];
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (*path, Some(text.as_str())))
        .collect();
    world.commit("A chart", &files);
    world.start();
    world.settled().await;
    let (status, body) = announce(
        &world,
        &event("ghcr.io/acme/web", "1.1.0", &digest_of("1.1.0")),
    )
    .await;
    assert_eq!(status, 200, "{body}");
    let pull = told(&body, "front")["pull_request"].as_str().unwrap();
    let (_, number) = pull.rsplit_once('/').unwrap();
    world.merged(number.parse().unwrap()).await;
    insta::assert_snapshot!(world.file("web/front/staging/values.yaml"), @r#"
    # of staging
    replicas: 2
    image:
      tag: "1.1.0"
      digest: sha256:5656565656565656565656565656565656565656565656565656565656565656
    "#);
    // This chart takes the tag for something else.
    let (status, body) = announce(
        &world,
        &event("ghcr.io/acme/odd", "1.1.0", &digest_of("1.1.0")),
    )
    .await;
    assert_eq!(status, 409, "{body}");
    has(
        told(&body, "front")["message"].as_str().unwrap(),
        &[
            "web/front/staging: setting `ghcr.io/acme/odd` has no effect: something else sets the image after that",
        ],
    );
    let state = promotion(&world, "front.staging").await["status"]["state"].clone();
    assert_eq!(state, json!("Failed"));
}

/// A worker's image in an argument, and its tag in a setting: where nobody would look for an image.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_set_where_the_catalog_names_it() {
    let world = World::asleep(Setup::default()).await;
    let catalog = world.file("windlass.yaml");
    let named = "      ghcr.io/acme/worker:
        source: acme/shop
        at:
          - { file: config.yaml, path: '.data.args' }
          - { file: config.yaml, path: .data.worker.tag }
          - { file: config.yaml, path: .data.digest }
          - { file: missing.yaml, path: .a }
";
    let (before, after) =
        catalog.split_at(catalog.find("      ghcr.io/acme/{application}").unwrap());
    let catalog = format!("{before}{named}{after}");
    push(&world, "A worker", "windlass.yaml", &catalog);
    let file = "apps/shop/staging/config.yaml";
    let text = format!(
        "{}  args: --verbose --image=ghcr.io/acme/worker:1.0.0 --keep # of the worker\n  worker.tag: '1.0.0'\n  digest: sha256:{}\n",
        world.file(file),
        "a".repeat(64)
    );
    push(&world, "A worker's settings", file, &text);
    world.start();
    world.settled().await;
    let image = event("ghcr.io/acme/worker", "1.1.0", &digest_of("1.1.0"));
    let (status, body) = announce(&world, &image).await;
    assert_eq!(status, 409, "{body}");
    has(
        told(&body, "shop")["message"].as_str().unwrap(),
        &[
            "windlass.yaml names apps/shop/staging/missing.yaml for `ghcr.io/acme/worker`, and there is no such file",
        ],
    );
    let catalog = catalog.replace("          - { file: missing.yaml, path: .a }\n", "");
    push(&world, "No such file", "windlass.yaml", &catalog);
    let (status, body) = announce(&world, &image).await;
    assert_eq!(status, 200, "{body}");
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    insta::assert_snapshot!(world.file(file), @r"
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: shop
    data:
      stage: staging
      greeting: hello
      args: --verbose --image=ghcr.io/acme/worker:1.1.0@sha256:5656565656565656565656565656565656565656565656565656565656565656 --keep # of the worker
      worker.tag: '1.1.0'
      digest: sha256:5656565656565656565656565656565656565656565656565656565656565656
    ");
    let live = world.config_map("staging", "shop").await.unwrap();
    assert_eq!(live["data"]["worker.tag"], "1.1.0");
}
