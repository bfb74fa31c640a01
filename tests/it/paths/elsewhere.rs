//! Charts from chart repositories and OCI registries.

use crate::support::charts::Charts;
use crate::support::lab::has;
use crate::support::{Setup, World};

const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Chart.Name }}\ndata:\n  greeting: {{ .Values.greeting | quote }}\n  version: {{ .Chart.Version | quote }}\n";

fn chart(charts: &Charts, redis: &str) -> String {
    let address = &charts.address;
    format!(
        "apiVersion: v2\nname: web\nversion: 0.1.0\ndependencies:\n- name: redis\n  version: \"{redis}\"\n  repository: http://{address}/charts\n- name: cache\n  version: 3.0.0\n  repository: oci://{address}/acme\n"
    )
}

fn lock(charts: &Charts, redis: &str) -> String {
    chart(charts, redis).replace("apiVersion: v2\nname: web\nversion: 0.1.0\n", "")
}

/// A chart that depends on one of a chart repository, by its lock, and on one of a registry.
async fn world(charts: &Charts) -> World {
    charts.publish("redis", "1.0.0", TEMPLATE);
    charts.publish("redis", "1.1.0", TEMPLATE);
    charts.publish("cache", "3.0.0", TEMPLATE);
    let mut world = World::asleep(Setup::default()).await;
    charts.allow(&mut world);
    world.start();
    world.settled().await;
    let rule = format!(
        "applications:\n  - path: web/{{application}}/{{stage}}\n    chart: charts/web\n    namespace: {}\n",
        world.namespace("shop-staging")
    );
    let catalog = world.file("windlass.yaml");
    let catalog = catalog.replacen("applications:\n", &rule, 1);
    let commit = world.commit(
        "A chart with others in it",
        &[
            ("windlass.yaml", Some(catalog.as_str())),
            ("charts/web/Chart.yaml", Some(&chart(charts, "^1.0.0"))),
            ("charts/web/Chart.lock", Some(&lock(charts, "1.0.0"))),
            (
                "web/front/staging/values.yaml",
                Some("redis: {greeting: hello}\n"),
            ),
        ],
    );
    world.sync_status(&commit, "success").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_of_a_repository_and_a_registry_are_fetched_as_they_are_locked() {
    let charts = Charts::start().await;
    let world = world(&charts).await;
    let redis = world.config_map("staging", "redis").await.unwrap();
    assert_eq!(
        redis["data"],
        serde_json::json!({"greeting": "hello", "version": "1.0.0"})
    );
    let cache = world.config_map("staging", "cache").await.unwrap();
    assert_eq!(cache["data"]["version"], "3.0.0");
    let lock = lock(&charts, "1.1.0");
    let number = world.propose("bob", "newer", &[("charts/web/Chart.lock", Some(&lock))]);
    world.previewed(number).await;
    let said = world.conversation(number);
    has(&said, &["-  version: 1.0.0\n+  version: 1.1.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_pinned_not_allowed_or_not_there_is_said_with_what_to_write() {
    let charts = Charts::start().await;
    let world = world(&charts).await;
    let evil = chart(&charts, "^1.0.0").replace("/acme", "/other");
    let (range, gone) = (chart(&charts, "^1.0.0"), chart(&charts, "1.2.0"));
    let cases = [
        (range.as_str(), None),
        (gone.as_str(), None),
        (gone.as_str(), Some(lock(&charts, "1.0.0"))),
        (
            evil.as_str(),
            Some(lock(&charts, "1.0.0").replace("/acme", "/other")),
        ),
    ];
    let mut told = Vec::new();
    for (number, (chart, lock)) in cases.iter().enumerate() {
        let files = [
            ("charts/web/Chart.yaml", Some(*chart)),
            ("charts/web/Chart.lock", lock.as_deref()),
        ];
        let number = world.propose("bob", &format!("case-{number}"), &files);
        let check = world.previewed(number).await;
        assert_eq!(check["conclusion"], "failure");
        let said = world
            .conversation(number)
            .replace(&charts.address, "ADDRESS");
        let line = said
            .lines()
            .find(|line| line.contains("charts/web/Chart.yaml:"));
        told.push(line.unwrap_or(&said).trim().to_string());
    }
    insta::assert_snapshot!(told.join("\n"), @"");
}
