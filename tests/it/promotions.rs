//! What becomes of announced images where people, rules and names get in their
//! way: reverts, steps back, images that cannot be set, mixed outcomes.

use http::Method;
use serde_json::{Value, json};

use crate::support::lab::{has, has_not};
use crate::support::{Setup, World, digest_of};

const STAGING: &str = "apps/shop/staging/kustomization.yaml";
const PRODUCTION: &str = "apps/shop/production/kustomization.yaml";

async fn promotion(world: &World, name: &str) -> Value {
    world
        .get(
            "windlass.dev/v1alpha1",
            "Promotion",
            "promotions",
            &world.home(),
            name,
        )
        .await
        .unwrap_or_default()
}

/// What a Promotion says once it is in a state.
async fn rests(world: &World, name: &str, state: &str) -> String {
    world
        .until(&format!("the Promotion {name} is {state}"), async || {
            let status = promotion(world, name).await["status"].clone();
            (status["state"] == state)
                .then(|| status["message"].as_str().unwrap_or_default().to_string())
        })
        .await
}

fn event(image: &str, tag: &str, digest: &str) -> Value {
    json!({"image": image, "digest": digest, "tag": tag, "commit": "c".repeat(40), "source": "acme/shop"})
}

/// As CI does it: again while it is not taken, or takes long.
async fn announce(world: &World, event: &Value) -> (u16, Value) {
    world
        .until("the event is taken", async || {
            world
                .event(event, Some(&world.windlass.events_token))
                .await
                .filter(|(status, _)| ![503, 202].contains(status))
        })
        .await
}

/// What the answer to an event tells of an application.
fn told<'a>(body: &'a Value, application: &str) -> &'a Value {
    body["promotions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["application"] == application)
        .unwrap()
}

/// How many pull requests there ever were from one of our branches.
fn pulls(world: &World, branch: &str) -> usize {
    world
        .read(&format!("pulls?state=all&head=acme:windlass/{branch}"))
        .as_array()
        .unwrap()
        .len()
}

fn push(world: &World, message: &str, file: &str, text: &str) -> String {
    world
        .forge
        .push("acme/config", "main", "ada", message, &[(file, Some(text))])
        .unwrap()
}

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
    world
        .forge
        .push("acme/config", "main", "ada", "One more application", &all)
        .unwrap();
    world.start();
    world.settled().await;
    world
}

fn workload(name: &str, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n        - name: {name}\n          image: {image}\n"
    )
}

// ---- what people decide in Git

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_takes_back_is_not_proposed_again_until_a_newer_image_comes() {
    let world = World::new().await;
    let old = world.file(STAGING);
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    let reverted = push(&world, "Revert \"shop/staging: 1.1.0\"", STAGING, &old);
    let why = rests(&world, "shop.staging", "Reverted").await;
    has(
        &why,
        &[
            "ghcr.io/acme/shop 1.1.0 (565656565656)",
            &reverted[..12],
            "announce a newer image",
        ],
    );
    world.sync_status(&reverted, "success").await;
    world.quiet().await;
    assert_eq!(
        (pulls(&world, "shop/staging"), world.tip()),
        (1, reverted.clone())
    );
    // What was decided is no matter of one process.
    world.kill();
    world.start();
    world.settled().await;
    world.quiet().await;
    assert_eq!((pulls(&world, "shop/staging"), world.tip()), (1, reverted));
    has(
        &rests(&world, "shop.staging", "Reverted").await,
        &["565656565656"],
    );
    // Nor of its tag.
    let (status, body) = announce(
        &world,
        &event("ghcr.io/acme/shop", "1.1.0-final", &digest_of("1.1.0")),
    )
    .await;
    assert_eq!(
        (status, told(&body, "shop")["state"].as_str()),
        (200, Some("Reverted")),
        "{body}"
    );
    has(
        told(&body, "shop")["message"].as_str().unwrap(),
        &["1.1.0-final (the same image as 1.1.0, 565656565656)"],
    );

    world.announce("1.2.0").await;
    let newer = world.pull_request("staging").await;
    assert_ne!(newer, number);
    let merged = world.merged(newer).await;
    world.sync_status(&merged, "success").await;
    assert_eq!(rests(&world, "shop.staging", "Merged").await, "");
    // That there was a newer one makes it no better.
    let (status, body) = world.announce("1.1.0").await;
    assert_eq!(
        (status, told(&body, "shop")["state"].as_str()),
        (200, Some("Reverted")),
        "{body}"
    );
    world.quiet().await;
    assert_eq!(pulls(&world, "shop/staging"), 2);
    has(&world.file(STAGING), &["newTag: \"1.2.0\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_was_taken_back_while_windlass_was_away_is_known_by_its_pull_request() {
    let world = World::new().await;
    let (_, number) = world.up_to_review("1.1.0").await;
    let old = world.file(PRODUCTION);
    world.quiet().await;
    world.kill();
    world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    let new = world.file(PRODUCTION);
    let reverted = push(&world, "Not that one", PRODUCTION, &old);
    world.start();
    has(
        &rests(&world, "shop.production", "Reverted").await,
        &[&reverted[..12]],
    );
    world.quiet().await;
    assert_eq!(pulls(&world, "shop/production"), 1);
    // A person who sets it again has decided as well.
    push(&world, "It was not that", PRODUCTION, &new);
    rests(&world, "shop.production", "Merged").await;
    // And so has one who puts another in its place.
    let other = new.replace(&digest_of("1.1.0"), &format!("sha256:{}", "77".repeat(32)));
    push(&world, "A build of mine", PRODUCTION, &other);
    rests(&world, "shop.production", "Reverted").await;
    world.quiet().await;
    assert_eq!(
        (pulls(&world, "shop/production"), world.file(PRODUCTION)),
        (1, other)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_while_the_next_image_waits_decides_on_what_it_takes_back() {
    let world = World::new().await;
    let old = world.file(PRODUCTION);
    let (_, number) = world.up_to_review("1.1.0").await;
    world.approve("bob", number);
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    rests(&world, "shop.production", "Merged").await;
    world.announce("1.2.0").await;
    let next = world
        .until("the next one is proposed", async || {
            world
                .pull_from("windlass/shop/production")
                .filter(|pull| pull["state"] == "open")?["number"]
                .as_u64()
        })
        .await;
    push(&world, "Back to what worked", PRODUCTION, &old);
    world
        .until("what is taken back is known", async || {
            let decided = promotion(&world, "shop.production").await["status"]["decided"].clone();
            decided
                .as_array()?
                .iter()
                .any(|one| one["digest"] == digest_of("1.1.0") && one["how"] == "Reverted")
                .then_some(())
        })
        .await;
    world
        .until(
            "the next one waits on, made for the base as it is now",
            async || {
                let pull = world.read(&format!("pulls/{next}"));
                (pull["state"] == "open" && pull["mergeable"] == true && pull["commits"] == 1)
                    .then_some(())
            },
        )
        .await;
    rests(&world, "shop.production", "Proposed").await;
    assert_eq!(pulls(&world, "shop/production"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_back_is_called_one_and_never_merges_by_itself() {
    let world = World::new().await;
    for tag in ["1.1.0", "1.2.0"] {
        world.announce(tag).await;
        let merged = world.merged(world.pull_request("staging").await).await;
        world.sync_status(&merged, "success").await;
    }
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let pull = world.read(&format!("pulls/{number}"));
    assert_eq!(pull["title"], "shop/staging: back to 1.1.0 (565656565656)");
    let body = pull["body"].as_str().unwrap();
    has(
        body,
        &[
            "Takes **shop/staging** back to an older image.",
            "`1.1.0` was announced before `1.2.0`, which `staging` has now",
        ],
    );
    world.previewed(number).await;
    let waits = world.gate_says(number, "0 of 1 approvals").await;
    has(&waits, &["a step back: 1.1.0 was announced before 1.2.0"]);
    world.quiet().await;
    assert_eq!(world.read(&format!("pulls/{number}"))["merged"], false);
    world.approve("bob", number);
    world.merged(number).await;
    // From there the next one is a step forward again.
    world.announce("1.3.0").await;
    let next = world.pull_request("staging").await;
    world.merged(next).await;
    assert_eq!(
        world.read(&format!("pulls/{next}"))["title"],
        format!("shop/staging: 1.3.0 ({})", &digest_of("1.3.0")[7..19])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_holds_for_an_images_other_names_until_it_is_opened_again() {
    let world = World::new().await;
    let (_, number) = world.up_to_review("1.1.0-rc.1").await;
    world.as_user(
        "ada",
        Method::PATCH,
        &format!("pulls/{number}"),
        json!({"state": "closed"}),
    );
    has(
        &rests(&world, "shop.production", "Rejected").await,
        &[
            &format!("#{number} was closed"),
            &format!("reopen #{number}"),
        ],
    );
    let before = world.file(STAGING);
    announce(
        &world,
        &event("ghcr.io/acme/shop", "1.1.0", &digest_of("1.1.0-rc.1")),
    )
    .await;
    let staging = world.pull_request("staging").await;
    world.merged(staging).await;
    assert_eq!(
        world.file(STAGING),
        before.replace("\"1.1.0-rc.1\"", "\"1.1.0\""),
        "the tag, and nothing else"
    );
    world
        .until("production says that it is the same image", async || {
            let status = promotion(&world, "shop.production").await["status"].clone();
            status["message"]
                .as_str()?
                .contains("1.1.0 (the same image as 1.1.0-rc.1")
                .then_some(())
        })
        .await;
    rests(&world, "shop.production", "Rejected").await;
    world.quiet().await;
    assert_eq!(pulls(&world, "shop/production"), 1);
    world.as_user(
        "ada",
        Method::PATCH,
        &format!("pulls/{number}"),
        json!({"state": "open"}),
    );
    rests(&world, "shop.production", "Proposed").await;
    assert_eq!(pulls(&world, "shop/production"), 1);
}

// ---- images that stop no other

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_set_stops_no_other_and_goes_with_its_rule() {
    let world = World::asleep(Setup::default()).await;
    let before = world.file("windlass.yaml");
    let with = before.replacen(
        "    images:\n",
        "    images:\n      ghcr.io/acme/worker: { source: acme/shop }\n",
        1,
    );
    push(&world, "And a worker", "windlass.yaml", &with);
    world.start();
    world.settled().await;
    let (status, body) = announce(
        &world,
        &event("ghcr.io/acme/worker", "2.0.0", &digest_of("2.0.0")),
    )
    .await;
    assert_eq!(status, 409, "{body}");
    has(
        told(&body, "shop")["message"].as_str().unwrap(),
        &["no file in apps/shop/staging sets `ghcr.io/acme/worker`"],
    );
    let (status, body) = world.announce("1.1.0").await;
    assert_eq!(status, 200, "{body}");
    assert!(told(&body, "shop")["pull_request"].is_string(), "{body}");
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    assert_eq!(
        world.read(&format!("pulls/{number}"))["title"],
        "shop/staging: 1.1.0 (565656565656)"
    );
    world.sync_status(&merged, "success").await;
    // The stage after it is stopped no more than this one.
    assert!(world.pull_request("production").await > number);
    has(
        &rests(&world, "shop.staging", "Failed").await,
        &[
            "ghcr.io/acme/worker 2.0.0",
            "no file in apps/shop/staging sets",
        ],
    );
    push(&world, "No worker", "windlass.yaml", &before);
    let note = rests(&world, "shop.staging", "Merged").await;
    has(
        &note,
        &[
            "ghcr.io/acme/worker 2.0.0",
            "windlass.yaml does not name the image",
        ],
    );
    has_not(&note, &["no file"]);
    world
        .until("its candidate is dropped", async || {
            let candidates = promotion(&world, "shop.staging").await["spec"]["candidates"].clone();
            (candidates.as_array()?.len() == 1 && candidates[0]["image"] == "ghcr.io/acme/shop")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_taken_out_of_the_manifests_is_dropped_with_a_note() {
    let world = World::new().await;
    world.announce("1.1.0").await;
    let merged = world.merged(world.pull_request("staging").await).await;
    world.sync_status(&merged, "success").await;
    rests(&world, "shop.staging", "Merged").await;
    let text = world.file(STAGING);
    let without = text.split("images:\n").next().unwrap();
    let taken_out = push(&world, "No images", STAGING, without);
    has(
        &rests(&world, "shop.staging", "Reverted").await,
        &["1.1.0", "taken back by", &taken_out[..12]],
    );
    world
        .until("it is no candidate any more", async || {
            (promotion(&world, "shop.staging").await["spec"]["candidates"] == json!([]))
                .then_some(())
        })
        .await;
    world.quiet().await;
    assert_eq!(pulls(&world, "shop/staging"), 1);
}

// ---- what an event is answered

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
        .gate_says(number, "0 of 1 approvals (solo/production asks for 1)")
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
