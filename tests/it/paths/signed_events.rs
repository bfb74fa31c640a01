//! CI on GitHub announces images without a shared secret: by a token that GitHub signs for the run of a workflow.

use serde_json::{Value, json};

use crate::support::lab::has;
use crate::support::{Setup, World, image_event};

const SOURCE: &str = "acme/shop";

/// A token of a run in the shop's repository, for this server; `claims` differ from those of a push.
fn signed(world: &World, claims: &Value) -> String {
    let audience = &world.windlass.url;
    let token = world.forge.actions_token(SOURCE, audience, claims);
    token.unwrap()
}

async fn sent(world: &World, event: &Value, token: &str) -> (u16, String) {
    let (status, body) = world.event(event, Some(token)).await.unwrap();
    let error = body["error"].as_str();
    let told = body["promotions"][0]["message"].as_str();
    (status, error.or(told).unwrap_or_default().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_the_source_announces_its_image_and_follows_it() {
    let world = World::new().await;
    let event = image_event("1.1.0");
    let token = signed(&world, &json!({}));
    let (status, why) = sent(&world, &event, &token).await;
    assert!([200, 202].contains(&status), "{status}: {why}");
    // CI did not get the answer, and sends it again.
    let (status, why) = sent(&world, &event, &token).await;
    assert!([200, 202].contains(&status), "{status}: {why}");
    let number = world.pull_request("staging").await;
    world.merged(number).await;
    let status_of = async |token: &str| {
        let url = format!("{}/promotions/shop/staging", world.windlass.url);
        let answer = world.http.get(url).bearer_auth(token).send().await;
        answer.unwrap().status().as_u16()
    };
    assert_eq!(status_of(&token).await, 200);
    let config = world
        .forge
        .actions_token("acme/config", &world.windlass.url, &json!({}));
    assert_eq!(
        status_of(&config.unwrap()).await,
        404,
        "it is not its image"
    );
    // For another event it takes another token.
    let (status, why) = sent(&world, &image_event("1.2.0"), &token).await;
    assert_eq!(status, 401);
    insta::assert_snapshot!(why, @"this token announced something else before: request one for each event");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_for_us_or_not_of_the_source_announces_nothing() {
    let world = World::new().await;
    let event = image_event("6.6.6");
    let elsewhere = world
        .forge
        .actions_token(SOURCE, "https://github.com/acme", &json!({}));
    let other = world
        .forge
        .actions_token("acme/config", &world.windlass.url, &json!({}));
    let good = signed(&world, &json!({}));
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let forged = format!("{head}.eyJyZXBvc2l0b3J5IjoiYWNtZS9zaG9wIn0.{signature}");
    let table = [
        (elsewhere.unwrap(), 401, "its audience is another one"),
        (
            other.unwrap(),
            403,
            "a run of acme/config may not announce `ghcr.io/acme/shop`: windlass.yaml says that acme/shop may",
        ),
        (forged, 401, "its signature is not by a key of"),
        (
            "eyJhbGciOiJub25lIn0.e30.".into(),
            401,
            "not one of GitHub's for this server",
        ),
        (
            signed(&world, &json!({"iss": "https://evil.example"})),
            401,
            "its issuer is not",
        ),
        (
            signed(&world, &json!({"exp": 1_700_000_000})),
            401,
            "it is out of date",
        ),
        (
            signed(&world, &json!({"repository_id": "1"})),
            403,
            "another repository has the name",
        ),
        (
            signed(&world, &json!({"sha": "d".repeat(40)})),
            403,
            "it runs on commit ddddddd",
        ),
        (
            signed(&world, &json!({"event_name": "pull_request_target"})),
            403,
            "it was started by `pull_request_target`",
        ),
    ];
    for (token, expected, words) in table {
        let (status, why) = sent(&world, &event, &token).await;
        assert_eq!(status, expected, "{words}: {why}");
        has(&why, &[words]);
    }
    assert_eq!(world.read("pulls?state=all"), json!([]));
}

/// Where windlass.yaml names the workflow, the shared token announces nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_may_be_for_one_workflow_and_branch_alone() {
    let world = World::asleep(Setup::default()).await;
    let catalog = world.file("windlass.yaml");
    let rule = "{ source: acme/{application}, workflow: .github/workflows/build.yaml, refs: [refs/heads/main, 'refs/tags/v*'] }";
    let catalog = catalog.replace("{ source: acme/{application} }", rule);
    world.commit("Only by its workflow", &[("windlass.yaml", Some(&catalog))]);
    world.start();
    world.settled().await;
    let event = image_event("1.1.0");
    let shared = world.windlass.events_token.clone();
    let topic = json!({"ref": "refs/heads/topic"});
    let other =
        json!({"job_workflow_ref": "acme/shop/.github/workflows/test.yaml@refs/heads/main"});
    let table = [
        (shared, "is announced by a workflow alone"),
        (
            signed(&world, &topic),
            "it runs on refs/heads/topic, and windlass.yaml says that refs/heads/main, refs/tags/v* may",
        ),
        (
            signed(&world, &other),
            "windlass.yaml says that acme/shop/.github/workflows/build.yaml@* may",
        ),
    ];
    for (token, words) in table {
        let (status, why) = sent(&world, &event, &token).await;
        assert_eq!(status, 403, "{why}");
        has(&why, &[words]);
    }
    let tag = json!({"ref": "refs/tags/v1.1.0"});
    let (status, why) = sent(&world, &event, &signed(&world, &tag)).await;
    assert!([200, 202].contains(&status), "{status}: {why}");
    world.pull_request("staging").await;
}
