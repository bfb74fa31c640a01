//! Several installations: one that is away, limited or closed stops no other.

use windlass::sandbox::forge::state::Failure;

use crate::support::{Setup, World};

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_cannot_be_listed_stops_no_other() {
    let world = World::asleep(Setup::default()).await;
    for (account, is_refused) in [("globex", false), ("initech", true)] {
        let config = format!("{account}/config");
        world.forge.create_repository(&config, &[]).unwrap();
        let id = world.forge.install(account, None).unwrap();
        let mut state = world.forge.state();
        if is_refused {
            state.installation_mut(id).unwrap().ip_refused = true;
        } else {
            // No token is minted for it.
            let path: &str =
                Box::leak(format!("/installations/{id}/access_tokens").into_boxed_str());
            state.faults.failures.push(Failure {
                method: "POST",
                path,
                status: 502,
                words: None,
                times: 1000,
            });
        }
    }
    world.start();
    world.settled().await;
    world.announce("1.1.0").await;
    let number = world.pull_request("staging").await;
    let merged = world.merged(number).await;
    world.sync_status(&merged, "success").await;
    let log = std::fs::read_to_string(world.windlass.log()).unwrap();
    let told = "the repositories of an installation cannot be listed";
    assert!(log.matches(told).count() >= 2, "{log}");
}
