//! The log of deliveries, and events that the App hears unasked.

use http::Method;
use jiff::SignedDuration;
use serde_json::json;

use super::{Alone, CONFIG};

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_paged_by_cursor_filtered_and_kept_for_three_days() {
    let alone = Alone::new().await;
    alone.forge.noise(5);
    {
        let mut state = alone.forge.state();
        state.deliveries[1].status_code = None;
        state.deliveries[2].status_code = Some(502);
        state.deliveries[0].delivered_at -= SignedDuration::from_hours(73);
        state.faults.lost_without_code = true;
    }
    let jwt = alone.jwt();
    let first = alone
        .get(&jwt, "/app/hook/deliveries?per_page=1&status=failure")
        .await;
    assert_eq!(
        (first.ids().len(), &first.body[0]["status_code"]),
        (1, &json!(502))
    );
    let link = first.header("link");
    let next = link.split(['<', '>']).nth(1).unwrap();
    let next = next.strip_prefix(&alone.forge.api_url()).unwrap();
    let second = alone.get(&jwt, next).await;
    assert_eq!(second.body[0]["status"], "timed out");
    assert_eq!(second.body[0]["status_code"], 0);
    assert_eq!(second.header("link"), "");
    let all = alone.get(&jwt, "/app/hook/deliveries").await.ids();
    assert_eq!(all.len(), 4);
    let gone = alone.forge.state().deliveries[0].id;
    let path = format!("/app/hook/deliveries/{gone}");
    assert_eq!(alone.get(&jwt, &path).await.status, 404);
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_of_others_are_heard_unasked() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    let (_, head) = alone.propose("change");
    alone.announced();
    let build =
        alone
            .forge
            .foreign_check(CONFIG, "github-actions", "build", &head, Some("success"));
    let events = alone.announced();
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["check-run-completed", "check-suite-completed"]);
    assert_eq!(events[0].1["check_run"]["app"]["slug"], "github-actions");
    assert_eq!(events[1].1["check_suite"]["conclusion"], "success");
    // It is somebody else's: the App cannot write it.
    let path = format!("/repos/{CONFIG}/check-runs/{}", build.unwrap());
    let write = alone.ask(
        &token,
        Method::PATCH,
        &path,
        json!({"status": "in_progress"}),
    );
    assert_eq!(write.await.status, 404);
    let check = json!({"name": "gate", "head_sha": head, "status": "in_progress"});
    let own = alone
        .post(&token, &format!("/repos/{CONFIG}/check-runs"), check)
        .await;
    let path = format!("/repos/{CONFIG}/check-runs/{}/rerequest", own.body["id"]);
    let again = alone
        .forge
        .as_user("mia", Method::POST, &path, json!(null))
        .unwrap();
    assert_eq!(again, json!({}));
    assert_eq!(
        alone.events(),
        ["check-run-created", "check-run-rerequested"]
    );
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_are_heard_by_who_subscribed() {
    let alone = Alone::new().await;
    let (_, head) = alone.propose("change");
    alone.announced();
    let path = format!("/repos/{CONFIG}/statuses/{head}");
    let status = || {
        alone
            .forge
            .as_user("mia", Method::POST, &path, json!({"state": "success"}))
    };
    status().unwrap();
    assert_eq!(alone.events(), ["status"]);
    alone
        .forge
        .state()
        .app
        .events
        .retain(|event| event != "status");
    status().unwrap();
    assert_eq!(alone.events(), Vec::<String>::new());
    alone.held();
}
