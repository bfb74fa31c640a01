//! Path 2, from a fork: nothing of it runs until somebody who may write names the commit.

use serde_json::json;

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_neither_rendered_nor_dry_run() {
    let world = World::new().await;
    let fork = world.forge.fork("acme/config", "rita").unwrap();
    world
        .forge
        .push(
            &fork,
            "evil",
            "rita",
            "Evil",
            &[(
                "apps/shop/staging/config.yaml",
                Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: FORKED}\n"),
            )],
        )
        .unwrap();
    world.quiet().await;
    let pull = world.as_user(
        "rita",
        http::Method::POST,
        "pulls",
        json!({"title": "From a fork", "head": "rita:evil", "base": "main"}),
    );
    let number = pull["number"].as_u64().unwrap();
    let check = world.previewed(number).await;
    assert_eq!(check["conclusion"], "neutral");
    assert!(
        world.comments(number)[0]["body"]
            .as_str()
            .unwrap()
            .contains("Not previewed")
    );
    let asked = world.proxy.take_asked();
    assert!(
        !asked.iter().any(|what| what.contains("dryRun")),
        "the cluster was asked: {asked:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_a_fork_is_previewed_once_somebody_who_may_write_names_it() {
    let world = World::new().await;
    let fork = world.forge.fork("acme/config", "rita").unwrap();
    let file = "apps/shop/staging/config.yaml";
    let change = |greeting: &str| world.file(file).replace("greeting: hello", greeting);
    let push = |text: &str| {
        let files = [(file, Some(text))];
        world.forge.push(&fork, "hi", "rita", "Hi", &files).unwrap()
    };
    let head = push(&change("greeting: hi"));
    let body = json!({"title": "From a fork", "head": "rita:hi", "base": "main"});
    let pull = world.as_user("rita", http::Method::POST, "pulls", body);
    let number = pull["number"].as_u64().unwrap();
    world.previewed(number).await;
    // Not by its author, nor without a name.
    let name = format!("/preview {head}");
    world.comment("rita", number, &name);
    let asked = world.comment("bob", number, "/preview");
    crate::paths::command::reply(&world, number, asked).await;
    let comment = || {
        world.comments(number)[0]["body"]
            .as_str()
            .unwrap()
            .to_string()
    };
    assert!(
        comment().contains("comment `/preview COMMIT`"),
        "{}",
        comment()
    );
    world.comment("bob", number, &name);
    world
        .until("the preview", async || {
            comment().contains("greeting: hi").then_some(())
        })
        .await;
    // Of the next commit nobody said so.
    push(&change("greeting: hey"));
    world
        .until("it is a fork again", async || {
            comment().contains("Not previewed").then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_no_application_reads_is_green_without_a_comment() {
    let world = World::new().await;
    let fork = world.forge.fork("acme/config", "rita").unwrap();
    let push = |branch: &str, path: &str| {
        let files = [(path, Some("a text\n"))];
        world
            .forge
            .push(&fork, branch, "rita", "Words", &files)
            .unwrap();
        let body = json!({"title": branch, "head": format!("rita:{branch}"), "base": "main"});
        world.as_user("rita", http::Method::POST, "pulls", body)["number"]
            .as_u64()
            .unwrap()
    };
    let number = push("readme", "README.md");
    let check = world.previewed(number).await;
    assert_eq!(check["conclusion"], "success", "{check}");
    world.quiet().await;
    assert!(world.comments(number).is_empty());
    // What an application reads, and what would become one, is not known before it is rendered.
    for (branch, path) in [
        ("base", "apps/shop/base/deployment.yaml"),
        ("new", "apps/web/staging/a.yaml"),
    ] {
        let number = push(branch, path);
        let check = world.previewed(number).await;
        assert_eq!(check["conclusion"], "neutral", "{path}");
    }
}
