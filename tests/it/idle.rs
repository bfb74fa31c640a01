//! A minute in which nothing happens costs no request but open watches and the Lease.

use std::time::{Duration, Instant};

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_nothing() {
    let world = World::new().await;
    world.up_to_review("1.1.0").await;
    // The forge's log of deliveries is scanned every five minutes: not within this one.
    world.quiet().await;
    let (asked_of_forge, process) = (world.forge.state().requests, world.pid());
    let started = Instant::now();
    let mut interval = tokio::time::interval(Duration::from_secs(5));
    let mut asked = Vec::new();
    while started.elapsed() < Duration::from_secs(60) {
        interval.tick().await;
        asked.extend(world.proxy.take_asked());
    }
    assert_eq!(world.pid(), process, "it was not started again meanwhile");
    let (leases, others): (Vec<_>, Vec<_>) = asked
        .into_iter()
        .partition(|what| what.contains("/leases/"));
    let (watches, others): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|what| what.contains("watch=true"));
    assert!(others.is_empty(), "asked of the cluster: {others:?}");
    assert_eq!(
        world.forge.state().requests,
        asked_of_forge,
        "asked of the forge"
    );
    assert!(
        (10..=30).contains(&leases.len()),
        "{} requests for the Lease",
        leases.len()
    );
    assert!(
        watches.len() < 20,
        "{} watches were opened anew",
        watches.len()
    );
}
