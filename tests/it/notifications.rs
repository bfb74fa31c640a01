//! Notifications: what happens in a stage is sent to the channels that it subscribes.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::post;
use http::StatusCode;

use crate::support::lab::has_not;
use crate::support::{Setup, World};

/// What a channel got: its name and the body.
type Got = Arc<Mutex<Vec<(String, String)>>>;

/// Takes notifications; the first of each channel is answered 503.
async fn receiver() -> (String, Got) {
    async fn take(
        State((got, refused)): State<(Got, Arc<Mutex<Vec<String>>>)>,
        Path(name): Path<String>,
        body: String,
    ) -> StatusCode {
        let mut refused = refused.lock().unwrap();
        if !refused.contains(&name) {
            refused.push(name);
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        got.lock().unwrap().push((name, body));
        StatusCode::OK
    }
    let got = Got::default();
    let router = Router::new()
        .route("/{name}", post(take))
        .with_state((got.clone(), Arc::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, got)
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_what_fails_and_when_it_is_over() {
    let (url, got) = receiver().await;
    let channels = format!(
        "channels:\n  team:\n    repositories: [acme/config]\n    slack: {url}/team\n  pager:\n    repositories: ['acme/*']\n    url: {url}/pager\n    headers: {{ Authorization: Bearer hidden }}\n    body: '{{\"moment\": {{{{ moment|tojson }}}}, \"what\": {{{{ text|tojson }}}}}}'\n  others:\n    repositories: [other/config]\n    slack: {url}/others\n"
    );
    let mut world = World::asleep(Setup::default()).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), channels).unwrap();
    let named = ("WINDLASS_NOTIFICATIONS", file.path().display().to_string());
    world.windlass.environment.push(named);
    let catalog = world.file("windlass.yaml").replace(
        "    merge: auto ",
        "    notify: [{ to: team, on: [failed, healthy, drift] }, { to: pager }, { to: others }]\n    merge: auto ",
    );
    world.commit("Notify", &[("windlass.yaml", Some(&catalog))]);
    world.start();
    world.settled().await;
    let told = async |channel: &str, part: &str| {
        world
            .until(&format!("{channel} is told {part:?}"), async || {
                let got = got.lock().unwrap();
                let found = got
                    .iter()
                    .find(|(name, body)| name == channel && body.contains(part));
                found.map(|(_, body)| world.scrub(body))
            })
            .await
    };
    told("team", "shop/staging: synced and healthy at ").await;
    // What nobody can run.
    let path = "apps/shop/staging/kustomization.yaml";
    let good = world.file(path);
    let bad = good.replace("1.0.0", "broken-1.1.0");
    world.commit("Broken", &[(path, Some(&bad))]);
    let text = told("pager", "CrashLoopBackOff").await;
    let (before, pod) = text.split_once("pod shop-").unwrap();
    let (_, why) = pod.split_once(": ").unwrap();
    insta::assert_snapshot!(format!("{before}{why}"), @r#"{"moment": "failed", "what": "shop/staging: synced, degraded at (hex): Deployment shop: CrashLoopBackOff (exit code 1) in container shop; 2 of 2 pods are available"}"#);
    told("team", "CrashLoopBackOff").await;
    world.commit("Mended", &[(path, Some(&good))]);
    world
        .until("what failed is over", async || {
            let got = got.lock().unwrap();
            let healthy = |(name, body): &&(String, String)| {
                name == "team" && body.contains("synced and healthy")
            };
            (got.iter().filter(healthy).count() == 2).then_some(())
        })
        .await;
    let staging = world.namespace("shop-staging");
    world.kubectl(&["-n", &staging, "scale", "deployment/shop", "--replicas=5"]);
    let text = told("team", "back from 5 to 2").await;
    insta::assert_snapshot!(text.replace(&staging, "shop-staging"), @r#"{"text":"↩️ shop/staging: set .spec.replicas of Deployment shop-staging/shop back from 5 to 2 (kubectl). To keep such a change: windlass pause shop/staging --for 2h, and change it in Git"}"#);
    let got = got.lock().unwrap().clone();
    assert_eq!(
        got.iter().filter(|(name, _)| name == "pager").count(),
        1,
        "{got:?}"
    );
    assert!(!got.iter().any(|(name, _)| name == "others"), "{got:?}");
    let log = std::fs::read_to_string(world.windlass.log()).unwrap();
    assert!(
        log.contains("have no notification channel `others` for acme/config"),
        "{log}"
    );
    has_not(&log, &[&url, "Bearer hidden"]);
}
