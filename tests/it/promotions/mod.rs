//! What becomes of announced images where people, rules and names get in their
//! way: reverts, steps back, images that cannot be set, mixed outcomes.
//!
//! - `decisions`: what people decide in Git
//! - `images`: images that stop no other
//! - `events`: what an event is answered
//! - `places`: where an image stands

mod decisions;
mod events;
mod images;
mod places;

use serde_json::{Value, json};

use crate::support::World;

const STAGING: &str = "apps/shop/staging/kustomization.yaml";

async fn promotion(world: &World, name: &str) -> Value {
    world
        .get(
            "windlass.dev/v1alpha1",
            "Promotion",
            "promotions",
            &world.home(),
            name,
        )
        .await
        .unwrap_or_default()
}

/// What a Promotion says once it is in a state.
async fn rests(world: &World, name: &str, state: &str) -> String {
    world
        .until(&format!("the Promotion {name} is {state}"), async || {
            let status = promotion(world, name).await["status"].clone();
            (status["state"] == state)
                .then(|| status["message"].as_str().unwrap_or_default().to_string())
        })
        .await
}

fn event(image: &str, tag: &str, digest: &str) -> Value {
    json!({"image": image, "digest": digest, "tag": tag, "commit": "c".repeat(40), "source": "acme/shop"})
}

/// As CI does it: again while it is not taken, or takes long.
async fn announce(world: &World, event: &Value) -> (u16, Value) {
    world
        .until("the event is taken", async || {
            world
                .event(event, Some(&world.windlass.events_token))
                .await
                .filter(|(status, _)| ![503, 202].contains(status))
        })
        .await
}

/// What the answer to an event tells of an application.
fn told<'a>(body: &'a Value, application: &str) -> &'a Value {
    body["promotions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["application"] == application)
        .unwrap()
}

/// How many pull requests there ever were from one of our branches.
fn pulls(world: &World, branch: &str) -> usize {
    world
        .read(&format!("pulls?state=all&head=acme:windlass/{branch}"))
        .as_array()
        .unwrap()
        .len()
}

fn push(world: &World, message: &str, file: &str, text: &str) -> String {
    world.commit(message, &[(file, Some(text))])
}
