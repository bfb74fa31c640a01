//! The gates of a stage: each is pending with words, and clears by itself or by whoever may clear it.

mod freezes;
mod overrides;
mod time;

use http::Method;
use serde_json::json;
use windlass::sandbox::example::CONFIG;

use crate::support::{Setup, World};

/// What the example's `windlass.yaml` asks of production.
const PRODUCTION: &str = "gates: { approvals: 1 }";
/// The file that makes staging greet.
const GREETING: &str = "apps/shop/staging/config.yaml";

/// A world whose production asks for something else.
async fn production(gates: &str) -> World {
    let world = World::asleep(Setup::default()).await;
    configure(&world, PRODUCTION, gates);
    world.start();
    world.settled().await;
    world
}

/// Changes `windlass.yaml` in one place, on the base branch.
fn configure(world: &World, from: &str, to: &str) {
    let catalog = world.file("windlass.yaml");
    assert!(catalog.contains(from), "{from} is not in:\n{catalog}");
    let catalog = catalog.replace(from, to);
    world.commit("Configured", &[("windlass.yaml", Some(&catalog))]);
}

/// A pull request of bob's that changes staging, approved by mia.
async fn approved(world: &World) -> u64 {
    let text = world.file(GREETING).replace("hello", "hi");
    let number = world.propose("bob", "hi", &[(GREETING, Some(&text))]);
    world.previewed(number).await;
    world.gate_status(number, "pending").await;
    world.approve("mia", number);
    number
}

/// The text of the newest check run with the verdict on a pull request's head.
fn summary(world: &World, number: u64) -> String {
    let head = world.head(number);
    let state = world.forge.state();
    let checks = &state.by_full_name(CONFIG).unwrap().checks;
    let found = checks.iter().rev();
    let mut found = found.filter(|check| check.sha == head && check.name == "windlass/gate");
    let text = found.next().and_then(|check| check.summary.clone());
    drop(state);
    world.scrub(&text.unwrap_or_default())
}

/// A comment that is edited into a command, a second after it was posted.
pub async fn edited(world: &World, login: &str, number: u64, text: &str) -> u64 {
    let id = world.comment(login, number, "nothing");
    let path = format!("issues/comments/{id}");
    let created = world.read(&path)["created_at"].clone();
    let edit = |body: &str| world.as_user(login, Method::PATCH, &path, json!({"body": body}));
    world
        .until("a second passed", async || {
            edit("still nothing");
            (world.read(&path)["updated_at"] != created).then_some(())
        })
        .await;
    edit(text);
    id
}
