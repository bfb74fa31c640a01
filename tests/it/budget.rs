//! What windlass asks of GitHub: the requests of an image's life, of an idle hour, and of a push.

use serde_json::json;

use crate::support::World;

/// An image announced for a stage that merges by itself, until its rollout is over.
#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_an_image() {
    let world = World::new().await;
    world.asked();
    let (status, _) = world.announce("1.5.0").await;
    assert!(status < 300);
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    world.quiet().await;
    let asked = world.asked();
    for (what, count) in &asked {
        eprintln!("{count:4} {what}");
    }
    let reads: usize = asked
        .iter()
        .filter(|(what, _)| what.starts_with("GET"))
        .map(|(_, count)| count)
        .sum();
    let writes: usize = asked.values().sum::<usize>() - reads;
    eprintln!("{}", json!({"reads": reads, "writes": writes}));
}
