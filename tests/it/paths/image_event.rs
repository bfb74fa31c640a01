//! Path 1: an image event becomes a pull request.

use http::Method;
use serde_json::{Value, json};

use windlass::sandbox::example;

use crate::support::{Setup, World, digest_of, image_event};

/// Production waits for a review, so its pull requests stay open to look at.
async fn proposed(world: &World, tag: &str) -> u64 {
    let (status, body) = world.announce(tag).await;
    assert_eq!(status, 200, "{body}");
    let staging = world.pull_request("staging").await;
    world.merged(staging).await;
    world
        .until("production is proposed", async || {
            let pull = world
                .pull_from("windlass/shop/production")
                .filter(|pull| pull["state"] == "open")?;
            pull["title"]
                .as_str()?
                .contains(&digest_of(tag)[7..19])
                .then(|| pull["number"].as_u64())?
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_answered_with_the_pull_request_it_became() {
    let world = World::new().await;
    let (status, body) = world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    assert_eq!(
        (status, body["pull_request"].as_str()),
        (
            200,
            Some(format!("{}/acme/config/pull/{number}", world.forge.url()).as_str())
        ),
        "{body}"
    );
    let pull = world.read(&format!("pulls/{number}"));
    insta::assert_snapshot!(world.scrub(&format!("{}\n\n{}", pull["title"].as_str().unwrap(), pull["body"].as_str().unwrap())), @"
    shop/staging: 1.1.0 (565656565656)

    Deploys a new image to **shop/staging**.

    | image | tag | digest | source |
    |---|---|---|---|
    | `ghcr.io/acme/shop` | `1.1.0` | `565656565656` | acme/shop@cccccccccccccccccccccccccccccccccccccccc |

    A newer image for `staging` updates this pull request. Close it to reject this image. `/help` lists the commands.
    ");
    world.merged(number).await;
    insta::assert_snapshot!(world.file("apps/shop/staging/kustomization.yaml").replace(&world.prefix, ""), @r#"
    namespace: shop-staging
    resources:
      - ../base
      - namespace.yaml
      - config.yaml
      - secret.yaml
    images:
      # moved by windlass
      - name: ghcr.io/acme/shop
        newTag: "1.1.0"
        digest: sha256:5656565656565656565656565656565656565656565656565656565656565656
    "#);
    let log = world.read(&format!("commits/{}/pulls", world.tip()));
    assert_eq!(log[0]["number"], number, "the merge is in the history");

    // The same event again, after the merge: no second pull request.
    let (status, body) = world.announce("1.1.0").await;
    assert_eq!(
        (status, body["promotions"][0]["state"].as_str()),
        (200, Some("Merged")),
        "{body}"
    );
    let all = world.read("pulls?state=all&head=acme:windlass/shop/staging");
    assert_eq!(all.as_array().unwrap().len(), 1);
    world
        .until("the merged branch is deleted", async || {
            world
                .read("git/ref/heads/windlass/shop/staging")
                .get("object")
                .is_none()
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_image_supersedes_the_same_pull_request() {
    let world = World::new().await;
    let number = proposed(&world, "1.1.0").await;
    let again = proposed(&world, "1.2.0").await;
    assert_eq!(number, again, "one pull request per application and stage");
    let commits = world.read(&format!("pulls/{number}/commits"));
    assert_eq!(
        commits.as_array().unwrap().len(),
        2,
        "a commit is appended, nothing is thrown away"
    );
    // The later event wins, also when it is the older image: a step back in staging, which somebody
    // has to want.
    world.announce("1.1.0").await;
    let back = world.pull_request("staging").await;
    world.previewed(back).await;
    world.gate_says(back, "this goes back").await;
    world.approve("bob", back);
    assert_eq!(proposed(&world, "1.1.0").await, number);
    world.previewed(number).await;
    let file = world.read(&format!(
        "contents/apps/shop/production/kustomization.yaml?ref={}",
        world.head(number)
    ));
    assert!(file["content"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_moved_under_it_rebuilds_the_branch_and_keeps_the_pull_request() {
    let world = World::new().await;
    let number = proposed(&world, "1.1.0").await;
    let file = "apps/shop/production/kustomization.yaml";
    // Somebody pins another tag on main: the same lines.
    let pinned = world
        .file(file)
        .replace("newTag: \"1.0.0\"", "newTag: \"1.0.5\"");
    world.commit("Pin", &[(file, Some(&pinned))]);
    world
        .until("the branch is rebuilt on the new base", async || {
            let pull = world.read(&format!("pulls/{number}"));
            (pull["mergeable"] == true && pull["state"] == "open" && pull["commits"] == 1)
                .then_some(())
        })
        .await;
    assert!(
        world
            .read("git/ref/heads/windlass/shop/production.rebuild")
            .get("object")
            .is_none(),
        "the scratch branch is gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pull_request_is_not_opened_again_for_the_same_image() {
    let world = World::new().await;
    let number = proposed(&world, "1.1.0").await;
    world.as_user(
        "ada",
        Method::PATCH,
        &format!("pulls/{number}"),
        json!({"state": "closed"}),
    );
    let promotion = world
        .until("the promotion is rejected", async || {
            let all = world
                .list(
                    "windlass.dev/v1alpha1",
                    "Promotion",
                    "promotions",
                    &world.home(),
                )
                .await;
            all.into_iter().find(|object| {
                object["spec"]["stage"] == "production" && object["status"]["state"] == "Rejected"
            })
        })
        .await;
    assert!(
        promotion["status"]["message"]
            .as_str()
            .unwrap()
            .contains("closed")
    );
    let newer = proposed(&world, "1.2.0").await;
    assert_ne!(newer, number, "a newer image is proposed anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_announce_is_told_why_and_nothing_happens() {
    let world = World::new().await;
    let token = world.windlass.events_token.clone();
    let with = |key: &str, value: Value| {
        let mut event = image_event("6.6.6");
        event[key] = value;
        event
    };
    let table = [
        (image_event("6.6.6"), Some("wrong"), 401, "bearer token"),
        (image_event("6.6.6"), None, 401, "bearer token"),
        (
            with("source", json!("evil/shop")),
            Some(token.as_str()),
            403,
            "`evil/shop` may not announce `ghcr.io/acme/shop`",
        ),
        (
            with("image", json!("ghcr.io/acme/unknown")),
            Some(&token),
            404,
            "no application uses",
        ),
        (
            with("digest", json!("sha256:12")),
            Some(&token),
            422,
            "is not a digest",
        ),
        (
            with("tag", json!("a b")),
            Some(&token),
            422,
            "is not an image tag",
        ),
        (
            with("commit", json!("main")),
            Some(&token),
            422,
            "is not a commit",
        ),
        (json!([]), Some(&token), 422, "JSON object"),
    ];
    for (event, token, status, words) in table {
        let (is, body) = world.event(&event, token).await.unwrap();
        assert_eq!(is, status, "{body}");
        assert!(
            body["error"].as_str().unwrap_or_default().contains(words),
            "{body}"
        );
    }
    assert_eq!(world.read("pulls?state=all"), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_no_file_sets_is_an_error_that_says_what_to_add() {
    let prefix = "images:\n  # moved by windlass\n  - name: ghcr.io/acme/shop\n";
    let world = World::new().await;
    let file = "apps/shop/staging/kustomization.yaml";
    let without = world.file(file).split(prefix).next().unwrap().to_string();
    let base = "apps/shop/base/deployment.yaml";
    let other = world.file(base).replace("ghcr.io/acme/shop", "other");
    world.commit("No images", &[(file, Some(&without)), (base, Some(&other))]);
    let (status, body) = world.announce("1.1.0").await;
    assert_eq!(status, 409, "{body}");
    let message = body["promotions"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("no file in apps/shop/staging sets `ghcr.io/acme/shop`"),
        "{message}"
    );
}

/// A config repository that cannot be read stops the images that its applications use, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn an_unread_repository_stops_only_the_images_that_it_uses() {
    const OTHER: &str = "globex/config";
    let world = World::asleep(Setup {
        projects: Some(
            example::PROJECTS.replace("[acme/config]", &format!("[acme/config, {OTHER}]")),
        ),
        ..Setup::default()
    })
    .await;
    let namespace = world.namespace("web-staging");
    let catalog = format!(
        "version: 1\nstages:\n  staging: {{cluster: local}}\napplications:\n  - path: apps/{{application}}/{{stage}}\n    namespace: {}\n    images:\n      ghcr.io/globex/web: {{source: globex/web}}\n",
        namespace
    );
    let objects = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\n"
    );
    let files = [
        ("windlass.yaml".to_string(), catalog),
        ("apps/web/staging/web.yaml".to_string(), objects),
    ];
    world.forge.create_repository(OTHER, &files).unwrap();
    let id = world.forge.install("globex", None).unwrap();
    world.start();
    world.settled().await;
    world
        .until("the other repository is read", async || {
            let web = world.application("web.staging").await;
            web["spec"]["repository"].as_str().map(drop)
        })
        .await;
    let installation = |suspended: bool| {
        let mut state = world.forge.state();
        state.installation_mut(id).unwrap().suspended = suspended;
    };
    installation(true);
    let token = world.windlass.events_token.clone();
    let mut event = image_event("1.1.0");
    let (status, body) = world.event(&event, Some(&token)).await.unwrap();
    assert!([200, 202].contains(&status), "{status}: {body}");
    event["image"] = json!("ghcr.io/globex/web");
    event["source"] = json!("globex/web");
    let (status, body) = world.event(&event, Some(&token)).await.unwrap();
    assert_eq!(status, 503, "{body}");
    let words = body["error"].as_str().unwrap();
    assert!(words.ends_with("try again"), "{words}");
    installation(false);
    let (status, body) = world.event(&event, Some(&token)).await.unwrap();
    assert_ne!(status, 503, "{body}");
}
