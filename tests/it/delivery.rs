//! Webhooks lost, duplicated and out of order: the same end state.

use windlass::sandbox::forge::state::Faults;

use crate::support::{Setup, World, digest_of};

async fn story(world: &World) {
    let (staging, production) = world.up_to_review("1.1.0").await;
    world.comment("bob", production, "/why");
    world
        .until("the answer", async || {
            (world.comments(production).len() == 3).then_some(())
        })
        .await;
    world.approve("bob", production);
    let commit = world.merged(production).await;
    world.sync_status(&commit, "success").await;
    world
        .until("both comments tell the end", async || {
            [staging, production]
                .iter()
                .all(|number| {
                    world.comments(*number)[0]["body"]
                        .as_str()
                        .unwrap()
                        .contains("Synced, healthy")
                })
                .then_some(())
        })
        .await;
    for stage in ["staging", "production"] {
        let image =
            world.deployment(stage).await["spec"]["template"]["spec"]["containers"][0]["image"]
                .clone();
        assert!(
            image.as_str().unwrap().ends_with(&digest_of("1.1.0")),
            "{stage}: {image}"
        );
    }
    // No message twice for one cause: the sticky comments, the question and its answer.
    assert_eq!(
        (
            world.comments(staging).len(),
            world.comments(production).len()
        ),
        (1, 3)
    );
    assert_eq!(world.read("pulls?state=all").as_array().unwrap().len(), 2);
}

async fn with(faults: Faults) {
    // Lost deliveries are found again in the App's log.
    let world = World::with(Setup {
        delivery_scan: Some(1),
        ..Setup::default()
    })
    .await;
    world.forge.state().faults = faults;
    story(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_lost() {
    with(Faults {
        lose_every: Some(1),
        ..Faults::default()
    })
    .await;
}

/// Deliveries that timed out have no status code of their own, and others that failed stand before
/// them in the log.
#[tokio::test(flavor = "multi_thread")]
async fn all_lost_without_an_answer_behind_many_that_do_not_matter() {
    let world = World::with(Setup {
        delivery_scan: Some(1),
        ..Setup::default()
    })
    .await;
    world.forge.state().faults = Faults {
        lose_every: Some(1),
        lost_without_code: true,
        ..Faults::default()
    };
    world.forge.noise(250);
    story(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_second_lost_the_others_twice() {
    with(Faults {
        lose_every: Some(2),
        duplicate: true,
        ..Faults::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_reverse_and_twice() {
    with(Faults {
        duplicate: true,
        reorder: Some(2),
        ..Faults::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_delivery_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body =
        serde_json::json!({"repository": {"full_name": "acme/config"}, "ref": "refs/heads/main"})
            .to_string();
    for signature in [
        None,
        Some("sha256="),
        Some("sha256=0000"),
        Some("sha1=0000"),
    ] {
        let mut request = http
            .post(format!("{}/webhook", world.windlass.url))
            .header("x-github-event", "push")
            .body(body.clone());
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 401, "{signature:?}");
        assert!(answer.text().await.unwrap().contains("webhook secret"));
    }
}
