//! Repositories and branches get other names; numbers stay.

use http::Method;
use serde_json::{Value, json};

use super::{GREETING, greet, runs};
use windlass::sandbox::forge::state::Pull;

use crate::support::World;

const OLD: &str = "acme/config";
const NEW: &str = "acme/infrastructure";

/// The config repository is renamed: everything goes on under the name of the settings.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_config_repository_goes_on() {
    let world = World::new().await;
    world.quiet().await;
    let text = world.file(GREETING);
    world.forge.rename(OLD, "infrastructure").unwrap();
    let commit = greet(&world, NEW, "main", &text.replace("hello", "renamed"));
    runs(&world, "renamed").await;
    world
        .until("its status is reported", async || {
            let state = world.forge.state();
            let repo = state.by_full_name(NEW)?;
            let status = repo
                .statuses
                .iter()
                .rev()
                .find(|status| status.sha == commit)?;
            (status.state == "success").then_some(())
        })
        .await;
    // Also after a start, when nothing but the old name is known.
    world.kill();
    world.start();
    world.settled().await;
    greet(&world, NEW, "main", &text.replace("hello", "again"));
    runs(&world, "again").await;
    // And once the settings have the new name, which the objects get as well.
    world.kill();
    let projects = world.cache().with_file_name("projects.yaml");
    let settings = std::fs::read_to_string(&projects).unwrap();
    std::fs::write(&projects, settings.replace(OLD, NEW)).unwrap();
    world.start();
    greet(&world, NEW, "main", &text.replace("hello", "settled"));
    runs(&world, "settled").await;
    let objects = world.applications().await;
    let is_new = |object: &Value| object["spec"]["repository"] == NEW;
    assert!(objects.iter().all(is_new), "{objects:#?}");
}

/// The organisation is renamed: everything goes on under the name of the settings, and images of the old name are still
/// announced.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_organisation_goes_on() {
    let world = World::new().await;
    world.quiet().await;
    let text = world.file(GREETING).replace("hello", "renamed");
    world.forge.rename_organisation("acme", "initech").unwrap();
    greet(&world, "initech/config", "main", &text);
    runs(&world, "renamed").await;
    world.kill();
    world.start();
    world.settled().await;
    let (status, body) = world.announce("1.1.0").await;
    assert!([200, 202].contains(&status), "{status}: {body}");
    world
        .until("it is proposed and merged", async || {
            let state = world.forge.state();
            let repo = state.by_full_name("initech/config")?;
            let of_staging = |pull: &&Pull| pull.head.branch == "windlass/shop/staging";
            let pull = repo.pulls.iter().find(of_staging)?;
            pull.merged.as_ref().map(drop)
        })
        .await;
}

/// The default branch is renamed, at the same commit: pull requests into it are previewed.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_default_branch_is_followed() {
    let world = World::new().await;
    world.quiet().await;
    world.forge.rename_branch(OLD, "main", "trunk").unwrap();
    let text = world.file(GREETING).replace("hello", "trunk");
    greet(&world, OLD, "change", &text);
    let body = json!({"title": "A change", "head": "change", "base": "trunk"});
    let opened = world.as_user("mia", Method::POST, "pulls", body);
    world.previewed(opened["number"].as_u64().unwrap()).await;
}

/// Somebody makes a repository with the name that the config repository had: it commands nothing.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_the_old_name_gets_nothing_with_it() {
    let world = World::new().await;
    world.quiet().await;
    let text = world.file(GREETING);
    let kustomization = "apps/shop/staging/kustomization.yaml";
    let stolen = ["windlass.yaml", GREETING, kustomization].map(|path| {
        let text = world.file(path).replace("hello", "stolen");
        (path.to_string(), text)
    });
    world.forge.rename(OLD, "infrastructure").unwrap();
    world.forge.create_repository(OLD, &stolen).unwrap();
    // By a webhook of the new repository, and at a start.
    greet(&world, OLD, "main", &text.replace("hello", "mine now"));
    world.kill();
    world.start();
    greet(&world, NEW, "main", &text.replace("hello", "honest"));
    runs(&world, "honest").await;
    let log = std::fs::read_to_string(world.windlass.log()).unwrap();
    assert!(log.contains("another repository has the name"), "{log}");
}
