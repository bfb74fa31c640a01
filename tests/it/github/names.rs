//! Repositories and branches get other names; numbers stay.

use serde_json::Value;

use crate::support::World;

/// The config repository is renamed: everything goes on under the name of the settings.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_config_repository_goes_on() {
    let world = World::new().await;
    world.quiet().await;
    let file = "apps/shop/staging/config.yaml";
    let text = world.file(file).replace("hello", "renamed");
    world.forge.rename("acme/config", "infrastructure").unwrap();
    let commit = world
        .forge
        .push(
            "acme/infrastructure",
            "main",
            "ada",
            "A change",
            &[(file, Some(&text))],
        )
        .unwrap();
    world
        .until("the change runs", async || {
            let stored = world.config_map("staging", "shop").await?;
            (stored["data"]["greeting"] == "renamed").then_some(())
        })
        .await;
    world
        .until("its status is reported", async || {
            let state = world.forge.state();
            let repo = state.by_full_name("acme/infrastructure")?;
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
    let text = text.replace("renamed", "again");
    world
        .forge
        .push(
            "acme/infrastructure",
            "main",
            "ada",
            "Again",
            &[(file, Some(&text))],
        )
        .unwrap();
    let runs = async |greeting: &str| {
        world
            .until("the next change runs", async || {
                let stored = world.config_map("staging", "shop").await?;
                (stored["data"]["greeting"] == greeting).then_some(())
            })
            .await;
    };
    runs("again").await;
    // And once the settings have the new name, which the objects get as well.
    world.kill();
    let projects = world.cache().with_file_name("projects.yaml");
    let settings = std::fs::read_to_string(&projects).unwrap();
    std::fs::write(
        &projects,
        settings.replace("acme/config", "acme/infrastructure"),
    )
    .unwrap();
    world.start();
    let text = text.replace("again", "settled");
    world
        .forge
        .push(
            "acme/infrastructure",
            "main",
            "ada",
            "Settled",
            &[(file, Some(&text))],
        )
        .unwrap();
    runs("settled").await;
    let objects = world.applications().await;
    let is_new = |object: &Value| object["spec"]["repository"] == "acme/infrastructure";
    assert!(objects.iter().all(is_new), "{objects:#?}");
}

/// The default branch is renamed, at the same commit: pull requests into it are previewed.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_default_branch_is_followed() {
    let world = World::new().await;
    world.quiet().await;
    world
        .forge
        .rename_branch("acme/config", "main", "trunk")
        .unwrap();
    let file = "apps/shop/staging/config.yaml";
    let text = world.file(file).replace("hello", "trunk");
    world
        .forge
        .push(
            "acme/config",
            "change",
            "mia",
            "A change",
            &[(file, Some(&text))],
        )
        .unwrap();
    let opened = world.as_user(
        "mia",
        http::Method::POST,
        "pulls",
        serde_json::json!({"title": "A change", "head": "change", "base": "trunk"}),
    );
    world.previewed(opened["number"].as_u64().unwrap()).await;
}

/// Somebody makes a repository with the name that the config repository had: it commands nothing.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_the_old_name_gets_nothing_with_it() {
    let world = World::new().await;
    world.quiet().await;
    let file = "apps/shop/staging/config.yaml";
    let text = world.file(file);
    let mut stolen = Vec::new();
    for path in [
        "windlass.yaml",
        file,
        "apps/shop/staging/kustomization.yaml",
    ] {
        let text = world.file(path).replace("hello", "stolen");
        stolen.push((path.to_string(), text));
    }
    world.forge.rename("acme/config", "infrastructure").unwrap();
    world
        .forge
        .create_repository("acme/config", &stolen)
        .unwrap();
    // By a webhook of the new repository, and at a start.
    world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "Mine now",
            &[("a", Some("b"))],
        )
        .unwrap();
    world.kill();
    world.start();
    let text = text.replace("hello", "honest");
    world
        .forge
        .push(
            "acme/infrastructure",
            "main",
            "ada",
            "A change",
            &[(file, Some(&text))],
        )
        .unwrap();
    world
        .until("the change of the right one runs", async || {
            let stored = world.config_map("staging", "shop").await?;
            (stored["data"]["greeting"] == "honest").then_some(())
        })
        .await;
    let log = std::fs::read_to_string(world.windlass.log()).unwrap();
    assert!(log.contains("another repository has the name"), "{log}");
}
