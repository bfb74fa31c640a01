//! Limits: for an installation, whatever its token, with GitHub's words; what the App sends while
//! it is limited is noted.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use http::Method;
use serde_json::json;
use windlass::sandbox::forge::state::Counted;
use windlass::sandbox::forge::{Wire, WriteGate};

use super::{Alone, COMMIT, CONFIG, told};

#[tokio::test(flavor = "multi_thread")]
async fn the_hourly_limit_is_the_installations_not_the_tokens() {
    let alone = Alone::new().await;
    let (first, second) = (alone.token().await, alone.token().await);
    let path = format!("/repos/{CONFIG}");
    alone.forge.state().quota.limits.core_per_hour = 2;
    assert_eq!(
        alone
            .get(&first, &path)
            .await
            .header("x-ratelimit-remaining"),
        "1"
    );
    assert_eq!(
        alone
            .get(&second, &path)
            .await
            .header("x-ratelimit-remaining"),
        "0"
    );
    let refused = alone.get(&first, &path).await;
    let words = format!(
        "API rate limit exceeded for installation ID {}.",
        alone.installation()
    );
    assert_eq!((refused.status, refused.message()), (403, words.as_str()));
    assert_eq!(refused.header("x-ratelimit-remaining"), "0");
    assert_eq!(refused.header("x-ratelimit-used"), "2");
    // It is free to ask how much is left, and GraphQL counts apart.
    let limit = alone.get(&second, "/rate_limit").await;
    assert_eq!(limit.status, 200);
    assert_eq!(limit.body["resources"]["core"]["remaining"], 0);
    assert_eq!(limit.body["resources"]["graphql"]["remaining"], 5000);
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_tells_its_hourly_limit_in_an_answer_of_200() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    alone.forge.state().quota.limits.graphql_per_hour = 0;
    let query = json!({"query": COMMIT, "variables": {"input": {}}});
    let refused = alone.post(&token, "/graphql", query).await;
    assert_eq!(refused.status, 200);
    assert_eq!(refused.body["errors"][0]["type"], "RATE_LIMITED");
    assert_eq!(refused.header("x-ratelimit-resource"), "graphql");
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_already_is_not_counted() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    let path = format!("/repos/{CONFIG}");
    let first = alone.get(&token, &path).await;
    alone.forge.state().quota.counted.clear();
    let again = alone.http.get(format!("{}{path}", alone.forge.api_url()));
    let again = again
        .bearer_auth(&token)
        .header("if-none-match", first.header("etag"));
    let again = told(again).await;
    assert_eq!(
        (again.status, again.header("x-ratelimit-used").as_str()),
        (304, "1")
    );
    let counted = Counted {
        method: "GET".into(),
        route: "/repos/*/*".into(),
        repository: Some(CONFIG.into()),
        write: false,
        status: 304,
    };
    assert_eq!(alone.forge.state().quota.counted, [counted]);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_limited_and_who_goes_on_is_noted() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    let (number, _) = alone.propose("change");
    let path = format!("/repos/{CONFIG}/issues/{number}/comments");
    {
        let quota = &mut alone.forge.state().quota;
        quota.limits.content_per_minute = 1;
        quota.limits.grace = -1;
    }
    let say = || alone.post(&token, &path, json!({"body": "hello"}));
    assert_eq!(say().await.status, 201);
    let refused = say().await;
    assert_eq!(refused.status, 403);
    assert!(
        refused
            .message()
            .starts_with("You have exceeded a secondary rate limit")
    );
    assert!((1..=60).contains(&refused.header("retry-after").parse::<i64>().unwrap()));
    // A read is no violation.
    assert_eq!(alone.get(&token, &path).await.ids().len(), 1);
    assert_eq!(alone.forge.state().quota.violations, Vec::<String>::new());
    assert_eq!(say().await.status, 403);
    let violations = alone.forge.state().quota.violations.clone();
    assert!(
        violations.len() == 1 && violations[0].contains("Content"),
        "{violations:?}"
    );
    // With the minute the refusal ends: here at once.
    alone.forge.state().quota.reset();
    assert_eq!(say().await.status, 201);
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_costs_five_points_and_users_are_not_limited() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    alone.forge.state().quota.limits.points_per_minute = 6;
    let statuses = format!("/repos/{CONFIG}/statuses/{}", "0".repeat(40));
    let body = json!({"state": "success"});
    assert_eq!(alone.post(&token, &statuses, body).await.status, 422);
    let path = format!("/repos/{CONFIG}");
    assert_eq!(alone.get(&token, &path).await.status, 200);
    assert_eq!(alone.get(&token, &path).await.status, 403);
    let mia = alone.forge.state().token_of("mia");
    for _ in 0..8 {
        assert_eq!(alone.get(&mia, &path).await.status, 200);
    }
    alone.held();
}

/// Holds a write until the test lets it go.
struct Held(Mutex<Sender<()>>, Mutex<Receiver<()>>);

impl WriteGate for Held {
    fn begin(&self, _: &str) -> Option<u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(())
            .ok()?;
        self.1
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv()
            .ok()?;
        Some(1)
    }
    fn end(&self, _: u64) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_so_many_at_one_time() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    let ((begun, is_begun), (go, may_go)) = (channel(), channel());
    alone.forge.set_wire(Wire {
        observer: None,
        writes: Some(Arc::new(Held(Mutex::new(begun), Mutex::new(may_go)))),
    });
    alone.forge.state().quota.limits.in_flight = 1;
    let (number, _) = alone.propose("change");
    let path = format!("/repos/{CONFIG}/issues/{number}/comments");
    let write = alone.ask(&token, Method::POST, &path, json!({"body": "slow"}));
    let second = async {
        tokio::task::spawn_blocking(move || is_begun.recv().unwrap())
            .await
            .unwrap();
        let refused = alone.get(&token, &format!("/repos/{CONFIG}")).await;
        go.send(()).unwrap();
        refused
    };
    let (_, refused) = tokio::join!(write, second);
    assert_eq!(
        (
            refused.status,
            refused.body["documentation_url"].is_string()
        ),
        (403, true)
    );
    assert!(!refused.header("retry-after").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn titles_texts_and_buttons_are_bounded() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    let (number, head) = alone.propose("change");
    let pulls = format!("/repos/{CONFIG}/pulls");
    let long = json!({"title": "x".repeat(257), "head": "change", "base": "main"});
    let refused = alone.post(&token, &pulls, long).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused
            .body
            .to_string()
            .contains("title is too long (maximum is 256 characters)")
    );
    let edit = json!({"body": "x".repeat(65_537)});
    let pull = format!("{pulls}/{number}");
    let refused = alone.ask(&token, Method::PATCH, &pull, edit).await;
    assert_eq!(refused.status, 422);
    let button = json!({"label": "x".repeat(21), "description": "d", "identifier": "i"});
    let fine = json!({"label": "x", "description": "d", "identifier": "i"});
    let untitled = json!({"summary": "s"});
    for more in [
        json!({"actions": [button]}),
        json!({"actions": [fine, fine, fine, fine]}),
        json!({"output": untitled}),
    ] {
        let mut check = json!({"name": "gate", "head_sha": head});
        let more = more.as_object().unwrap().clone();
        check.as_object_mut().unwrap().extend(more);
        let refused = alone
            .post(&token, &format!("/repos/{CONFIG}/check-runs"), check)
            .await;
        assert_eq!(refused.status, 422, "{}", refused.body);
    }
    let check = json!({"name": "gate", "head_sha": head, "actions": [fine]});
    let made = alone
        .post(&token, &format!("/repos/{CONFIG}/check-runs"), check)
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_asks_for_the_permissions_that_its_events_need() {
    let alone = Alone::new().await;
    let manifest = json!({"default_permissions": {"contents": "read"}, "default_events": ["push", "issue_comment"]});
    let refused = alone.forge.state().register_app(&manifest).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Default events are not supported by permissions: issue_comment"
    );
}
