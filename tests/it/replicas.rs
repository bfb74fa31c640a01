//! Two replicas: one holds the Lease, the other waits, and takes over when the first falls silent.

use http::Method;
use serde_json::json;

use crate::support::World;

/// Whether a replica says that it is ready.
async fn is_ready(url: &str) -> bool {
    let answer = reqwest::get(format!("{url}/readyz")).await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

fn signal(pid: u32, signal: &str) {
    let sent = std::process::Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_takes_over_and_who_slept_writes_nothing_more() {
    let world = World::new().await;
    let second = world.replica("second");
    let _second = second.start().unwrap();
    world
        .until("the second replica waits for the Lease", async || {
            let log = std::fs::read_to_string(second.log()).ok()?;
            log.contains("waiting for the Lease").then_some(())
        })
        .await;
    assert!(is_ready(&world.windlass.url).await && !is_ready(&second.url).await);
    // The first one is stopped in the middle of whatever it does, and does not know that time goes
    // by.
    let first = world.pid().unwrap();
    signal(first, "-STOP");
    world
        .until("the second replica is ready", async || {
            is_ready(&second.url).await.then_some(())
        })
        .await;
    // What the Service's endpoints do in a cluster.
    world.forge.state().app.webhook_url = Some(format!("{}/webhook", second.url));
    let file = "apps/shop/staging/config.yaml";
    let changed = world.file(file).replace("greeting: hello", "greeting: hi");
    let number = world.propose("bob", "greeting", &[(file, Some(&changed))]);
    world.previewed(number).await;
    // It wakes up with the Lease of somebody else, and ends before it writes anything.
    signal(first, "-CONT");
    world
        .until("the first replica ends", async || {
            (!world.is_running()).then_some(())
        })
        .await;
    world.approve("mia", number);
    let merged = world.as_user(
        "mia",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    let merge = merged["sha"].as_str().unwrap();
    world.sync_status(merge, "success").await;
    let live = world.config_map("staging", "shop").await.unwrap();
    assert_eq!(live["data"]["greeting"], "hi");
    assert_eq!(
        world.comments(number).len(),
        1,
        "{:?}",
        world.comments(number)
    );
}
