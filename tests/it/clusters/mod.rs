//! Several clusters: one that cannot be used holds up no other, and comes without a restart; stages
//! that have several; and what Argo CD deploys from one to another.

mod directories;
mod hub;
mod registered;

use std::path::Path;

use serde_json::Value;
use windlass::sandbox::control_plane::ControlPlane;
use windlass::sandbox::example;
use windlass::sandbox::installation::{install, install_definitions};
use windlass::sandbox::process::Folder;
use windlass::sandbox::tools::Tools;

use crate::support::lab::has;
use crate::support::{Setup, World};

/// A world, not started, whose project grants these clusters.
async fn granted(clusters: &str) -> World {
    World::asleep(Setup {
        projects: Some(example::PROJECTS.replace("[local]", clusters)),
        ..Setup::default()
    })
    .await
}

/// `windlass.yaml` with a changed part about production and all that follows.
fn with_production(world: &World, change: impl FnOnce(&str) -> String) -> String {
    let catalog = world.file("windlass.yaml");
    let (staging, production) = catalog.split_once("  production:").unwrap();
    format!("{staging}  production:{}", change(production))
}

/// `windlass.yaml` with production on other clusters: the line about them.
fn production_on(world: &World, clusters: &str) -> String {
    with_production(world, |production| {
        production.replacen("cluster: local", clusters, 1)
    })
}

/// Starts windlass with the cluster `other` in its settings.
fn start_with_other(world: &mut World, kubeconfig: &Path) {
    let clusters = format!("other={}", kubeconfig.display());
    let environment = &mut world.windlass.environment;
    environment.push(("WINDLASS_CLUSTERS", clusters));
    world.start();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_a_kubeconfig_holds_up_no_other_and_comes_later() {
    let mut world = granted("[local, other]").await;
    let catalog = production_on(&world, "cluster: other");
    world.commit("Another cluster", &[("windlass.yaml", Some(&catalog))]);
    let kubeconfig = world.cache().with_file_name("other.kubeconfig");
    start_with_other(&mut world, &kubeconfig);
    let pid = world.pid().unwrap();
    let health = async |name: &str| {
        let object = world.application(name).await;
        object["status"]["health"].as_str().map(str::to_string)
    };
    world
        .until("staging is healthy", async || {
            (health("shop.staging").await? == "Healthy").then_some(())
        })
        .await;
    let log = || std::fs::read_to_string(world.windlass.log()).unwrap();
    has(
        &log(),
        &["a cluster cannot be used", "the file is not there"],
    );
    let object = world
        .until("production says what is missing", async || {
            let object = world.application("shop.production").await;
            let message = object["status"]["message"].as_str()?;
            message
                .contains("its kubeconfig cannot be used: the file is not there")
                .then_some(object.clone())
        })
        .await;
    assert_eq!(object["spec"]["cluster"], "other");
    // The Secret is mounted, or rotated.
    let text = std::fs::read(world.cache().with_file_name("kubeconfig")).unwrap();
    std::fs::write(&kubeconfig, text).unwrap();
    world
        .until("production is healthy", async || {
            (health("shop.production").await? == "Healthy").then_some(())
        })
        .await;
    has(&log(), &["a kubeconfig changed"]);
    // It is the same process for whoever started it, and goes on with everything else.
    assert_eq!(world.pid().unwrap(), pid);
    world.announce("1.1.0").await;
    world.pull_request("staging").await;
}

/// A control plane of its own, beside the one of all stories.
async fn another() -> ControlPlane {
    let tools = Tools::locate().unwrap();
    let folder = Folder::temporary().unwrap();
    ControlPlane::open(tools, folder).await.unwrap()
}

/// Gives a world's windlass its rights in a cluster. Returns the setting.
async fn joined(world: &World, name: &str, plane: &ControlPlane) -> String {
    let kubeconfig = world.cache().with_file_name(format!("{name}.kubeconfig"));
    install_definitions(plane).unwrap();
    install(plane, &world.home()).await.unwrap();
    let home = world.home();
    let token = plane.service_account_kubeconfig(&home, "windlass", &kubeconfig);
    token.await.unwrap();
    format!("{name}={}", kubeconfig.display())
}

/// A world whose production is two clusters, `eu` before `us`.
async fn fleet(eu: &ControlPlane, us: &ControlPlane) -> World {
    let mut world = granted("[local, eu, us]").await;
    let several = "clusters: { labels: { env: live }, waves: [eu, '*'] }";
    let catalog = production_on(&world, several);
    world.commit("Two clusters", &[("windlass.yaml", Some(&catalog))]);
    let (eu, us) = (
        joined(&world, "eu", eu).await,
        joined(&world, "us", us).await,
    );
    let labels = "eu:env=live,us:env=live".to_string();
    world.windlass.environment.extend([
        ("WINDLASS_CLUSTERS", format!("{eu},{us}")),
        ("WINDLASS_CLUSTER_LABELS", labels),
    ]);
    world.start();
    world
}

/// The tag that production runs in a cluster.
fn tag(world: &World, plane: &ControlPlane) -> String {
    let namespace = world.namespace("shop-production");
    let path = "jsonpath={.spec.template.spec.containers[0].image}";
    let image = plane.kubectl(&["-n", &namespace, "get", "deployment/shop", "-o", path]);
    let image = image.unwrap_or_default();
    let (_, tag) = image.rsplit_once("shop:").unwrap_or_default();
    tag.split('@').next().unwrap_or_default().to_string()
}

/// Waits for what the `Application` of a cluster says.
async fn says(world: &World, cluster: &str, part: &str) -> Value {
    let name = format!("shop.production.{cluster}");
    world
        .until(&format!("{name} says {part}"), async || {
            let object = world.application(&name).await;
            let message = object["status"]["message"].as_str().unwrap_or_default();
            let health = object["status"]["health"].as_str()?;
            (message.contains(part) || health == part).then_some(object.clone())
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_goes_to_its_clusters_in_waves_and_one_that_dies_holds_up_no_other() {
    let (eu, us) = tokio::join!(another(), another());
    let world = fleet(&eu, &us).await;
    for cluster in ["eu", "us"] {
        let object = says(&world, cluster, "Healthy").await;
        assert_eq!(object["spec"]["cluster"], cluster);
    }
    assert!(world.application("shop.production").await.is_null());
    // One pull request for both, with a row for each.
    let (_, number) = world.up_to_review("1.1.0").await;
    let shown = world.comments(number)[0]["body"]
        .as_str()
        .unwrap()
        .to_string();
    has(
        &shown,
        &[
            "| `shop/production/eu` | `eu` | 1 changed | ✓ dry-run |",
            "| `shop/production/us` | `us`, wave 2 | 1 changed | ✓ dry-run |",
        ],
    );
    // The second wave waits for the first one.
    world.windlass(&["pause", "shop/production/eu"]);
    says(&world, "eu", "paused").await;
    world.approve("mia", number);
    let merge = world.merged(number).await;
    let waiting = says(&world, "us", "waits for shop/production/eu").await;
    assert_eq!(waiting["status"]["behind"], 1);
    let shown = world.windlass(&["status", "shop/production/us"]);
    has(&shown, &["shop/production/us", "OutOfSync, 1 behind"]);
    assert_eq!(
        (tag(&world, &eu), tag(&world, &us)),
        ("1.0.0".into(), "1.0.0".into())
    );
    world.windlass(&["resume", "shop/production/eu"]);
    world.sync_status(&merge, "success").await;
    let done = world.application("shop.production.us").await;
    assert!(done["status"]["behind"].is_null(), "{done}");
    assert_eq!(
        (tag(&world, &eu), tag(&world, &us)),
        ("1.1.0".into(), "1.1.0".into())
    );
    world
        .until("the comment tells the end", async || {
            let text = world.comments(number)[0]["body"].as_str()?.to_string();
            text.contains("Synced, healthy").then_some(())
        })
        .await;
    let told = world.comments(number)[0]["body"]
        .as_str()
        .unwrap()
        .to_string();
    let (told, _) = told.split_once("<details>").unwrap();
    insta::assert_snapshot!(world.scrub(told), @r"
    <!-- windlass:sticky final (hex) -->
    **Synced, healthy** · `(hex)` · 2 of 2 objects as predicted

    | application | state | |
    |---|---|---|
    | `shop/production/eu` | synced, healthy |  |
    | `shop/production/us` | synced, healthy |  |
    ");
    // One dies: what it had stays known, and the other goes on.
    drop(us);
    let overlay = "apps/shop/production/kustomization.yaml";
    let text = world.file(overlay).replace("1.1.0", "1.2.0");
    let commit = world.commit("By hand", &[(overlay, Some(&text))]);
    let object = says(&world, "eu", "Healthy").await;
    world
        .until("eu has it", async || {
            (tag(&world, &eu) == "1.2.0").then_some(())
        })
        .await;
    assert_eq!(object["spec"]["cluster"], "eu");
    let told = world
        .until("the commit's status names the other", async || {
            let (state, told) = world.status(&commit, "windlass/sync")?;
            told.contains("shop/production/us")
                .then(|| format!("{state}: {told}"))
        })
        .await;
    // It may be the read of any of its objects that failed.
    assert!(
        told.starts_with("error: stale: shop/production/us: "),
        "{told}"
    );
    has(&told, &["the cluster cannot be reached"]);
    let us = world.application("shop.production.us").await;
    assert_eq!(us["status"]["reason"], "ClusterUnreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_gets_several_clusters_keeps_its_objects() {
    let world = World::new().await;
    let before = world.deployment("production").await["metadata"]["uid"].clone();
    let catalog = production_on(&world, "clusters: { names: [local] }");
    world.commit("Several", &[("windlass.yaml", Some(&catalog))]);
    world
        .until("the new name waits for a word", async || {
            let object = world.application("shop.production.local").await;
            (object["status"]["reason"] == "AdoptionRequired").then_some(())
        })
        .await;
    world.windlass(&["adopt", "shop/production/local"]);
    world
        .until("the new name has them", async || {
            let live = world.deployment("production").await;
            let named = &live["metadata"]["annotations"]["windlass.dev/application"];
            (named == "shop/production/local").then_some(())
        })
        .await;
    world
        .until("the old name is gone", async || {
            let old = world.application("shop.production").await;
            old.is_null().then_some(())
        })
        .await;
    assert_eq!(
        world.deployment("production").await["metadata"]["uid"],
        before
    );
}
