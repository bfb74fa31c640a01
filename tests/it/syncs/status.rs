//! What is proven and told: images that run, commits, health of custom kinds.

use http::Method;
use serde_json::{Value, json};

use crate::support::lab::{CONFIG, Lab, has};
use crate::support::registry::Registry;
use crate::support::{World, digest_of};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_proven_by_what_the_runtime_reports_and_never_green_without() {
    let registry = Registry::start().await;
    let Registry {
        address,
        announced,
        platform,
        ..
    } = &registry;
    let image = format!("{address}/acme/lab");
    let running = |id: &str| registry.deployment(&image, id);
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let ruled = Registry::catalog(&lab.world, &image);
    // The runtime reports the manifest of its platform, which the announced index lists.
    let files = [
        ("windlass.yaml", Some(ruled.as_str())),
        ("apps/lab/staging/deployment.yaml", Some(&running(platform))),
    ];
    let commit = lab.world.commit("An index", &files);
    lab.world.sync_status(&commit, "success").await;
    assert_eq!(
        lab.world.application("lab.staging").await["status"]["proven"],
        json!([announced])
    );
    // Something else runs under the announced name.
    let other = digest_of("something else");
    let text = running(&other).replace(&format!("{image}:1@"), &format!("{image}:2@"));
    // Another digest is announced than was proven before.
    let text = text.replace(announced, &digest_of("announced"));
    let commit = lab.world.commit(
        "Something else",
        &[("apps/lab/staging/deployment.yaml", Some(&text))],
    );
    let said = lab
        .world
        .until("it is said to be unproven", async || {
            lab.world
                .status(&commit, "windlass/sync")
                .filter(|(state, text)| state == "pending" && text.contains("unproven: pods run"))
                .map(|(_, text)| text)
        })
        .await;
    has(&said, &["lab/staging"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_commit_stands_is_told_where_people_look() {
    let world = World::new().await;
    let source = world
        .forge
        .as_user(
            "ada",
            Method::GET,
            "/repos/acme/shop/git/ref/heads/main",
            Value::Null,
        )
        .unwrap();
    let source = source["object"]["sha"].as_str().unwrap().to_string();
    let event = json!({"image": "ghcr.io/acme/shop", "digest": digest_of("1.1.0"), "tag": "1.1.0", "commit": source, "source": "acme/shop"});
    world
        .until("the event is taken", async || {
            world
                .event(&event, Some(&world.windlass.events_token))
                .await
                .filter(|(status, _)| *status != 503)
        })
        .await;
    let staging = world.pull_request("staging").await;
    let commit = world.merged(staging).await;
    world.sync_status(&commit, "success").await;
    // GitHub's environments.
    let deployments = world.until("the deployment succeeds", async || {
        let all = world.read(&format!("deployments?sha={commit}"));
        let id = all.as_array()?.first()?["id"].as_u64()?;
        (world.read(&format!("deployments/{id}/statuses"))[0]["state"] == "success").then_some(all)
    });
    assert_eq!(deployments.await[0]["environment"], "staging");
    // The commit that the image was built from.
    let told = world.until("the source is told", async || {
        let statuses = world
            .forge
            .as_user(
                "ada",
                Method::GET,
                &format!("/repos/acme/shop/commits/{source}/status"),
                Value::Null,
            )
            .ok()?;
        statuses["statuses"]
            .as_array()?
            .iter()
            .find(|status| status["context"] == "windlass/staging" && status["state"] == "success")
            .cloned()
    });
    has(
        told.await["description"].as_str().unwrap(),
        &["synced and healthy"],
    );
    // The receipt, as git itself reads it.
    let receipt: Value = world
        .until("the receipt", async || {
            serde_json::from_str(&world.forge.note("acme/config", "windlass", &commit)?).ok()
        })
        .await;
    let application = &receipt["applications"][0];
    assert_eq!(
        (&application["application"], &application["outcome"]),
        (&json!("shop/staging"), &json!("synced, healthy"))
    );
    assert!(
        application["plan"].as_str().unwrap().starts_with("wl1:")
            && application["finished"].is_string(),
        "{receipt}"
    );
    assert_eq!(
        application["objects"],
        json!([{"object": format!("Deployment {}/shop", world.namespace("shop-staging")), "action": "configure"}])
    );
    assert_eq!(receipt["pull_requests"][0]["number"], staging);
    let tree = world.read(&format!("git/commits/{commit}"))["tree"]["sha"].clone();
    assert_eq!(
        (&receipt["tree"], &application["inputs"]),
        (
            &tree,
            &world.application("shop.staging").await["status"]["inputs"]
        )
    );
    // The next stage's pull request names where the change of the source can be read.
    let production = world.pull_request("production").await;
    world.previewed(production).await;
    has(
        &world.conversation(production),
        &[
            "| source |",
            &format!("[{}](https://forge/acme/shop/commit/", &source[..7]),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_kinds_are_healthy_by_their_rule() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let group = format!("{}health.example", lab.world.prefix);
    lab.may_write(&group, "backups");
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: backups.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: Backup, plural: backups}}\n  versions: [{{name: v1, served: true, storage: true, subresources: {{status: {{}}}}, schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]\n"
    );
    lab.with_file(&["apply"], &definition);
    lab.world.kubectl(&[
        "wait",
        "--for=condition=Established",
        &format!("crd/backups.{group}"),
        "--timeout=20s",
    ]);
    let rules = format!(
        "health:\n  - {{ group: {group}, kind: Backup, failed: \"self.status.phase == 'Failed'\", healthy: \"self.status.phase == 'Done'\" }}\n"
    );
    let catalog = lab.world.file("windlass.yaml").replacen(
        "applications:\n",
        &format!("{rules}applications:\n"),
        1,
    );
    let backup =
        format!("apiVersion: {group}/v1\nkind: Backup\nmetadata: {{name: lab}}\nspec: {{}}\n");
    let commit = lab.world.commit(
        "A backup",
        &[
            ("windlass.yaml", Some(&catalog)),
            ("apps/lab/staging/backup.yaml", Some(&backup)),
        ],
    );
    lab.world
        .until("it is waited for", async || {
            let status = lab.world.application("lab.staging").await["status"].clone();
            (status["health"] == "Progressing" && status["sync"] == "Synced").then_some(())
        })
        .await;
    let phase = |phase: &str| {
        lab.kubectl(&[
            "patch",
            &format!("backups.{group}/lab"),
            "--subresource=status",
            "--type=merge",
            "-p",
            &format!("{{\"status\":{{\"phase\":\"{phase}\"}}}}"),
        ])
    };
    phase("Failed");
    has(
        &lab.world.sync_status(&commit, "failure").await,
        &["Backup lab: failed, by the rule of windlass.yaml"],
    );
    phase("Done");
    lab.world.sync_status(&commit, "success").await;
}
