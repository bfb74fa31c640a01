//! Stages whose clusters have a directory each.

use windlass::sandbox::example;

use super::{granted, start_with_other, with_production};
use crate::paths::command::reply;
use crate::support::World;
use crate::support::lab::has;

/// The files that a pull request changes.
fn files(world: &World, number: u64) -> Vec<String> {
    let files = world.read(&format!("pulls/{number}/files"));
    let files = files.as_array().unwrap().iter();
    files
        .map(|file| file["filename"].as_str().unwrap().to_string())
        .collect()
}

/// A world whose production has a directory for each of its clusters, `local` and `other`. `gates`:
/// those of the stage.
async fn own_directories(gates: &str) -> World {
    let overlays = |world: &World| -> Vec<(String, String)> {
        let overlay = |cluster: &str| {
            let namespace = world.namespace(&format!("shop-{cluster}-production"));
            let folder = format!("clusters/{cluster}/shop");
            let kustomization = format!(
                "namespace: {namespace}\nresources:\n  - ../../../apps/shop/base\n  - namespace.yaml\nimages:\n  - name: ghcr.io/acme/shop\n    newTag: \"1.0.0\"\n    digest: {}\n",
                example::first_digest()
            );
            let object =
                format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n");
            [
                (format!("{folder}/kustomization.yaml"), kustomization),
                (format!("{folder}/namespace.yaml"), object),
            ]
        };
        ["local", "other"].into_iter().flat_map(overlay).collect()
    };
    let several = |production: &str| {
        let clusters = "clusters: { names: [local, other] }";
        let production = production.replacen("cluster: local", clusters, 1);
        let production = production.replacen("gates: { approvals: 1 }", gates, 1);
        let (stage, rules) = production.split_once("applications:\n").unwrap();
        let own = rules.replace(
            "apps/{application}/{stage}",
            "clusters/{cluster}/{application}",
        );
        let own = own.replacen("    namespace", "    stage: production\n    namespace", 1);
        let own = own.replace(
            "{application}-{stage}",
            "{application}-{cluster}-production",
        );
        let staging = rules.replace("apps/{application}/{stage}", "apps/{application}/staging");
        let staging = staging.replacen("    namespace", "    stage: staging\n    namespace", 1);
        format!("{stage}applications:\n{own}{staging}")
    };
    let mut world = granted("[local, other]").await;
    let catalog = with_production(&world, several);
    let overlays = overlays(&world);
    let mut files = vec![("windlass.yaml", Some(catalog.as_str()))];
    let overlays = overlays.iter();
    files.extend(overlays.map(|(path, text)| (path.as_str(), Some(text.as_str()))));
    world.commit("Production", &files);
    // Another name for the same cluster.
    let kubeconfig = world.cache().with_file_name("kubeconfig");
    start_with_other(&mut world, &kubeconfig);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cluster_may_have_a_directory_and_one_pull_request_moves_all() {
    let world = own_directories("gates: { approvals: 1 }").await;
    let healthy = async |tag: &str| {
        for cluster in ["local", "other"] {
            let name = format!("shop.production.{cluster}");
            world
                .until(&format!("{name} is healthy with {tag}"), async || {
                    let status = world.application(&name).await["status"].clone();
                    let images = status["images"].to_string();
                    (status["health"] == "Healthy" && images.contains(tag)).then_some(())
                })
                .await;
        }
    };
    healthy("1.0.0").await;
    let (_, number) = world.up_to_review("1.1.0").await;
    let both = [
        "clusters/local/shop/kustomization.yaml",
        "clusters/other/shop/kustomization.yaml",
    ];
    assert_eq!(files(&world, number), both);
    world.approve("mia", number);
    let merge = world.merged(number).await;
    world.sync_status(&merge, "success").await;
    healthy("1.1.0").await;
    // And takes all back.
    let asked = world.comment("bob", number, "/rollback");
    let answer = reply(&world, number, asked).await;
    has(
        &answer,
        &["windlass opens a pull request that takes `shop/production/local` back to"],
    );
    let back = world
        .titled("production", "Roll back shop/production to ")
        .await;
    assert_eq!(files(&world, back), both);
    world.previewed(back).await;
    world.approve("mia", back);
    let merge = world.merged(back).await;
    world.sync_status(&merge, "success").await;
    healthy("1.0.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_directory_needs_its_own_owners_and_a_hold_is_of_the_stage() {
    let world = own_directories("gates: { approvals: 1, approvers: [CODEOWNERS] }").await;
    let owners = "/clusters/local/ @bob\n/clusters/other/ @mia\n/clusters/asia/ @mia\n";
    world.commit("Owners", &[("CODEOWNERS", Some(owners))]);
    let file = |cluster: &str| format!("clusters/{cluster}/shop/config.yaml");
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: more\n";
    let listed = |cluster: &str| {
        let path = format!("clusters/{cluster}/shop/kustomization.yaml");
        let text = world.file(&path);
        let text = text.replace(
            "  - namespace.yaml\n",
            "  - namespace.yaml\n  - config.yaml\n",
        );
        (path, text)
    };
    let (one, two) = (listed("local"), listed("other"));
    let both = world.propose(
        "ada",
        "both",
        &[
            (&one.0, Some(&one.1)),
            (&two.0, Some(&two.1)),
            (&file("local"), Some(config)),
            (&file("other"), Some(config)),
        ],
    );
    world.previewed(both).await;
    // Each owns one of the two.
    world.approve("mia", both);
    world.gate_says(both, "mia's does not count").await;
    // A label would bring this directory to life.
    let asia = one.1.replace("local", "asia");
    let dormant = world.propose(
        "ada",
        "asia",
        &[("clusters/asia/shop/kustomization.yaml", Some(&asia))],
    );
    world.approve("bob", dormant);
    world.gate_says(dormant, "bob's does not count").await;
    world.approve("mia", dormant);
    world.gate_status(dormant, "success").await;
    // Held on a pull request that touches one cluster, it is held in all.
    let only = world.propose(
        "ada",
        "other",
        &[(&two.0, Some(&two.1)), (&file("other"), Some(config))],
    );
    world.previewed(only).await;
    let asked = world.comment("mia", only, "/hold shop/production to look at it");
    let answer = reply(&world, only, asked).await;
    has(&answer, &["shop/production/local", "shop/production/other"]);
    for cluster in ["local", "other"] {
        let object = world
            .application(&format!("shop.production.{cluster}"))
            .await;
        let hold = &object["metadata"]["annotations"]["windlass.dev/hold"];
        assert!(hold.is_string(), "{object}");
    }
}
