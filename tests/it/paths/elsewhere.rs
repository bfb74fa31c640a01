//! Charts from chart repositories and OCI registries.

use windlass::sandbox::forge::state::Role;

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
        told.push(refusal(&said));
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    charts/web/Chart.yaml:5: `^1.0.0` is no exact version of the chart `redis`: run `helm dependency update charts/web` and commit charts/web/Chart.lock, or write one, as in `version: 1.2.3`
    charts/web/Chart.yaml:5: the chart `redis` 1.2.0 of http://ADDRESS/charts: http://ADDRESS/charts has no version 1.2.0 of it
    charts/web/Chart.yaml:5: charts/web/Chart.lock does not have `redis` as Chart.yaml does: run `helm dependency update charts/web` and commit charts/web/Chart.lock
    charts/web/Chart.yaml:8: the chart `cache` 3.0.0 of oci://ADDRESS/other: the server's settings do not let windlass fetch from there: its administrator can add `- url: oci://ADDRESS/other` to the file of --sources
    ");
}

/// The refusal of a comment, in one line.
fn refusal(said: &str) -> String {
    let start = said.find("yaml:").expect(said);
    let start = said[..start].rfind('\n').map_or(0, |at| at + 1);
    let text = said[start..].split("```").next().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const BASE: &str = "resources: [config.yaml]\n";
const CONFIG: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: elsewhere\ndata:\n  from: FROM\n";

/// A repository with a base, and the two commits that it is to be read at.
fn bases(world: &World) -> (String, String) {
    let text = |path: &str, text: &str| (path.to_string(), text.to_string());
    let common = CONFIG.replace("name: elsewhere", "name: common");
    let files = [
        text(
            "app/base/kustomization.yaml",
            "resources: [../common, config.yaml]\n",
        ),
        text("app/common/kustomization.yaml", BASE),
        text("app/common/config.yaml", &common),
    ];
    let created = world.forge.create_repository("acme/bases", &files);
    created.expect("a repository");
    let push = |word: &str| {
        let text = CONFIG.replace("FROM", word);
        let files = [("app/base/config.yaml", Some(text.as_str()))];
        let pushed = world
            .forge
            .push("acme/bases", "main", "ada", "Next", &files);
        pushed.expect("a commit")
    };
    (push("then"), push("now"))
}

/// Lets it fetch from the forge, as somebody who may read there. Returns the token.
fn allow(world: &mut World) -> String {
    let token = {
        let mut state = world.forge.state();
        let bases = state.by_full_name_mut("acme/bases");
        bases.expect("bases").roles.insert("ada".into(), Role::Read);
        state.token_of("ada")
    };
    let (secret, file) = (
        world.cache().with_extension("token"),
        world.cache().with_extension("sources.yaml"),
    );
    std::fs::write(&secret, &token).expect("a file");
    let sources = format!(
        "sources:\n- url: {}/acme/\n  credentials: {}\n",
        world.forge.url(),
        secret.display()
    );
    std::fs::write(&file, sources).expect("a file");
    let named = ("WINDLASS_SOURCES", file.display().to_string());
    world.windlass.environment.push(named);
    token
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_of_another_repository_is_read_at_its_commit() {
    let mut world = World::asleep(Setup::default()).await;
    let (first, second) = bases(&world);
    let token = allow(&mut world);
    world.start();
    world.settled().await;
    let forge = world.forge.url().to_string();
    let path = "apps/shop/staging/kustomization.yaml";
    let before = world.file(path);
    let with = |owner: &str, reference: &str| {
        let base = format!(
            "resources:\n  - {forge}/{owner}/bases//app/base?timeout=90s&ref={reference}\n"
        );
        before.replacen("resources:\n", &base, 1)
    };
    let number = world.propose("bob", "base", &[(path, Some(&with("acme", &first)))]);
    world.previewed(number).await;
    has(&world.conversation(number), &["from: then", "ConfigMap"]);
    let commit = world.commit(
        "A base from elsewhere",
        &[(path, Some(&with("acme", &first)))],
    );
    world.sync_status(&commit, "success").await;
    let live = world.config_map("staging", "elsewhere").await.unwrap();
    assert_eq!(live["data"]["from"], "then");
    assert!(world.config_map("staging", "common").await.is_some());
    let mut told = Vec::new();
    for (branch, text) in [
        ("moves", with("acme", "main")),
        ("none", with("acme", "v9")),
        ("unknown", with("acme", &"0".repeat(40))),
        ("foreign", with("others", &second)),
    ] {
        let number = world.propose("bob", branch, &[(path, Some(&text))]);
        let check = world.previewed(number).await;
        assert_eq!(check["conclusion"], "failure");
        let said = world.conversation(number);
        assert!(!said.contains(&token), "{said}");
        let told_now = refusal(&said).replace(&forge, "FORGE");
        told.push(told_now.replace(&second, "SECOND"));
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    apps/shop/staging/kustomization.yaml:3: `https://forge/acme/bases//app/base?timeout=90s&ref=main`: only commits are read, since branches and tags move: `main` is now at `https://forge/acme/bases//app/base?timeout=90s&ref=(hex)`
    apps/shop/staging/kustomization.yaml:3: `https://forge/acme/bases//app/base?timeout=90s&ref=v9`: only commits are read, since branches and tags move, and it has no branch or tag `v9`
    apps/shop/staging/kustomization.yaml:3: `https://forge/acme/bases//app/base?timeout=90s&ref=0000000000000000000000000000000000000000`: it has no such commit
    apps/shop/staging/kustomization.yaml:3: `https://forge/others/bases//app/base?timeout=90s&ref=(hex)`: the server's settings do not let windlass fetch from there: its administrator can add `- url: https://forge/others/bases` to the file of --sources
    ");
}
