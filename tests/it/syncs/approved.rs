//! What was approved is what is applied: a sync that would do something else stops.

use http::Method;
use serde_json::{Value, json};

use crate::paths::command::reply;
use crate::support::lab::has;
use crate::support::webhook::{Installed, Webhook};
use crate::support::{World, plane};

const FILE: &str = "apps/shop/production/config.yaml";

/// Installs a webhook for objects of production that is called when one of them changes.
async fn install(world: &World, group: &str, resource: &str, webhook: &Webhook) -> Installed {
    let namespace = world.namespace("shop-production");
    let object = format!("{resource}/shop");
    let probe = |asked| {
        let label = format!("probe={asked}");
        let change = [
            "-n",
            &namespace,
            "label",
            &object,
            "--dry-run=server",
            &label,
        ];
        let _ = plane().kubectl(&change);
    };
    let (kind, about) = (
        "MutatingWebhookConfiguration",
        (namespace.as_str(), group, resource),
    );
    webhook.install(world, kind, about, probe).await
}

async fn pause(world: &World) {
    world.windlass(&["pause", "shop/production"]);
    world
        .until("production is paused", async || {
            let status = world.application("shop.production").await["status"].clone();
            status["pause"].is_object().then_some(())
        })
        .await;
}

async fn status(world: &World, field: &str) -> Value {
    world.application("shop.production").await["status"][field].clone()
}

/// Waits until the sync stops; the reason.
async fn stopped(world: &World) -> String {
    world
        .until("the sync stops", async || {
            let reason = status(world, "reason").await;
            (reason == "NotAsApproved").then_some(())
        })
        .await;
    world.scrub(status(world, "message").await.as_str().unwrap())
}

async fn image(world: &World) -> String {
    let live = world.deployment("production").await;
    let image = &live["spec"]["template"]["spec"]["containers"][0]["image"];
    image.as_str().unwrap().to_string()
}

/// Sets the image of a Deployment with the new tag to another registry's.
fn mirrors(request: &Value) -> Result<Value, String> {
    let path = "/spec/template/spec/containers/0/image";
    let image = request["object"].pointer(path).and_then(Value::as_str);
    let image = image.filter(|image| image.starts_with("ghcr.io") && image.contains(":1.1.0"));
    Ok(match image {
        Some(image) => {
            let image = image.replace("ghcr.io", "mirror.example");
            json!([{"op": "replace", "path": path, "value": image}])
        }
        None => json!([]),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn another_image_than_the_approved_one_is_applied_only_after_a_new_approval() {
    let world = World::new().await;
    let (_, production) = world.up_to_review("1.1.0").await;
    pause(&world).await;
    world.approve("mia", production);
    let merge = world.merged(production).await;
    // What was approved is known after a restart too.
    world.kill();
    world.start();
    let webhook = Webhook::start(mirrors).await;
    let _installed = install(&world, "apps", "deployments", &webhook).await;
    world.windlass(&["resume", "shop/production"]);
    insta::assert_snapshot!(stopped(&world).await, @r#"the cluster changed since #2 was approved, so nothing is applied: Deployment shop-production/shop would get .spec.template.spec.containers[name=shop].image "mirror.example/acme/shop:1.1.0@sha256:5656565656565656565656565656565656565656565656565656565656565656" instead of "ghcr.io/acme/shop:1.1.0@sha256:5656565656565656565656565656565656565656565656565656565656565656". `/apply` in #2, by somebody who may approve, applies it all the same; a revert takes it back"#);
    assert!(image(&world).await.contains("ghcr.io/acme/shop:1.0.0"));
    // How much of it fits depends on the name of the namespace.
    let text = world.undecided(&merge, "so nothing is applied").await;
    has(
        &world.scrub(&text),
        &[
            "shop/production: the cluster changed since #2 was approved, so nothing is applied: Deployment shop-production/shop would get .spec",
        ],
    );
    let given = world.comment("mia", production, "/apply");
    has(
        &reply(&world, production, given).await,
        &["`shop/production` applies it all the same"],
    );
    world.sync_status(&merge, "success").await;
    assert!(
        image(&world)
            .await
            .contains("mirror.example/acme/shop:1.1.0")
    );
    assert_eq!(status(&world, "unapproved").await, Value::Null);
    let given = world.comment("mia", production, "/apply");
    has(
        &reply(&world, production, given).await,
        &["No sync of the applications of this pull request differs from what was approved."],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_merged_goes_on_once_it_is_as_approved_again() {
    let world = World::new().await;
    let text = world.file(FILE).replace("hello", "hi");
    let number = world.propose("bob", "hi", &[(FILE, Some(&text))]);
    world.previewed(number).await;
    pause(&world).await;
    let greets = |request: &Value| {
        let greeting = &request["object"]["data"]["greeting"];
        let patch = json!([{"op": "replace", "path": "/data/greeting", "value": "hey"}]);
        Ok(if greeting == "hi" { patch } else { json!([]) })
    };
    let merged = world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    let merge = merged["sha"].as_str().unwrap();
    world
        .until("the merge is seen", async || {
            (status(&world, "revision").await == *merge).then_some(())
        })
        .await;
    let webhook = Webhook::start(greets).await;
    let installed = install(&world, "", "configmaps", &webhook).await;
    world.windlass(&["resume", "shop/production"]);
    has(
        &stopped(&world).await,
        &["ConfigMap shop-production/shop would get .data.greeting \"hey\" instead of \"hi\""],
    );
    installed.remove();
    world.windlass(&["sync", "shop/production"]);
    world.sync_status(merge, "success").await;
    let live = world.config_map("production", "shop").await.unwrap();
    assert_eq!(live["data"]["greeting"], "hi");
}

/// Nobody but a person merges it, and windlass is down meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_merged_while_windlass_was_down_is_compared_too() {
    let world = World::new().await;
    let text = world.file(FILE).replace("hello", "hi");
    let number = world.propose("bob", "hi", &[(FILE, Some(&text))]);
    world.seen(number).await;
    world.approve("mia", number);
    world.gate_status(number, "success").await;
    world.kill();
    let merge = format!("pulls/{number}/merge");
    world.as_user("ada", Method::PUT, &merge, json!({}));
    let greets = |request: &Value| {
        let greeting = &request["object"]["data"]["greeting"];
        let patch = json!([{"op": "replace", "path": "/data/greeting", "value": "hey"}]);
        Ok(if greeting == "hi" { patch } else { json!([]) })
    };
    let webhook = Webhook::start(greets).await;
    let _installed = install(&world, "", "configmaps", &webhook).await;
    world.start();
    has(
        &stopped(&world).await,
        &["ConfigMap shop-production/shop would get .data.greeting \"hey\" instead of \"hi\""],
    );
    let live = world.config_map("production", "shop").await.unwrap();
    assert_eq!(live["data"]["greeting"], "hello");
}
