//! Path 3, where commands may stand: reviews, comments on lines, descriptions; and what is none.

use http::Method;
use jiff::SignedDuration;
use serde_json::json;

use super::command::{pull_request, reply};
use crate::support::World;
use crate::support::lab::has;

fn replies(world: &World, number: u64) -> usize {
    let conversation = world.conversation(number);
    conversation.matches("windlass:reply").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_or_meant_for_others_is_left_alone() {
    let world = World::new().await;
    let number = pull_request(&world).await;
    for text in [
        "Looks good to me.\n\n<!-- notes for the next reader\n/sync\n-->",
        "> /sync\n/sync",
        "- done\n/sync",
        "```\n/sync\n```\n\n    /sync",
        "---\ntitle: /sync\n\n/sync\n---",
        "\\/sync",
        "/lgtm\n/approve",
        "/cc @mia\n/assign @bob",
        "/health is the path that the probe asks.",
        "/sync is what I typed",
    ] {
        world.comment("bob", number, text);
    }
    let asked = world.comment("bob", number, "/why\r\n<!-- integration:isThreadRoot -->");
    reply(&world, number, asked).await;
    let named = world.comment("bob", number, "/windlass approve\n/windlass help");
    let text = reply(&world, number, named).await;
    has(
        &text,
        &[
            "There is no command `/approve`. `/help` lists all commands.",
            "Put each command at the start of a line.",
        ],
    );
    assert_eq!(replies(&world, number), 2);
    let conversation = world.conversation(number);
    assert_eq!(conversation.matches("👀").count(), 2, "{conversation}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_limited_to_the_applications_that_it_names() {
    let world = World::new().await;
    let greeting = |stage: &str| {
        let file = format!("apps/shop/{stage}/config.yaml");
        let text = world.file(&file).replace("hello", "hi");
        (file, text)
    };
    let changed = [greeting("staging"), greeting("production")];
    let files: Vec<_> = changed
        .iter()
        .map(|(file, text)| (file.as_str(), Some(text.as_str())))
        .collect();
    let number = world.propose("bob", "both", &files);
    world.previewed(number).await;
    world.gate_status(number, "pending").await;
    let answer = async |text: &str| {
        let comment = world.comment("mia", number, text);
        reply(&world, number, comment).await
    };
    let one = answer("/sync shop/staging").await;
    has(&one, &["- `shop/staging` is being synced"]);
    assert!(!one.contains("shop/production"), "{one}");
    let both = answer("/sync shop").await;
    has(&both, &["- `shop/staging`", "- `shop/production`"]);
    has(
        &answer("/sync shop/staging web").await,
        &[
            "Not done: this pull request does not touch the application `web`. It touches `shop/staging`, `shop/production`.",
        ],
    );
    has(
        &answer("/take Shop").await,
        &["`Shop` is not the name of an application: `/take [APPLICATION[/STAGE] …]`."],
    );
    has(
        &answer("/why shop/staging").await,
        &[
            "Of `shop/staging` alone; a merge waits for all",
            "**approvals**",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_a_review_is_answered() {
    let world = World::new().await;
    let number = pull_request(&world).await;
    let review = |text: &str| {
        let body = json!({"event": "COMMENT", "body": text});
        let review = world.as_user(
            "mia",
            Method::POST,
            &format!("pulls/{number}/reviews"),
            body,
        );
        review["id"].as_u64().unwrap()
    };
    let asked = review("Nice.\n\n/why");
    let text = reply(&world, number, format!("review-{asked}")).await;
    has(&text, &["> `/why`", "Not merged yet"]);
    // The gate reads the thread.
    let asked = review("/accept-unseen");
    let text = reply(&world, number, format!("review-{asked}")).await;
    has(&text, &["counts only in a comment of the thread"]);
    // What was edited, or is old, is not carried out.
    world.kill();
    let (edited, old) = (review("nothing"), review("/sync"));
    let path = format!("pulls/{number}/reviews/{edited}");
    world.as_user("ada", Method::PUT, &path, json!({"body": "/sync"}));
    {
        let mut state = world.forge.state();
        let repo = state.by_full_name_mut("acme/config").unwrap();
        let mut reviews = repo.pulls.iter_mut().flat_map(|pull| &mut pull.reviews);
        let review = reviews.find(|review| review.id == old).unwrap();
        review.submitted_at -= SignedDuration::from_hours(2);
    }
    world.start();
    let text = reply(&world, number, format!("review-{edited}")).await;
    has(&text, &["was edited after it was posted"]);
    let text = reply(&world, number, format!("review-{old}")).await;
    has(&text, &["written more than an hour ago"]);
    assert_eq!(replies(&world, number), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_a_line_is_answered() {
    let world = World::new().await;
    let number = pull_request(&world).await;
    let file = "apps/shop/staging/config.yaml";
    let text = world.file(file);
    let line = 1 + text
        .lines()
        .position(|line| line.contains("greeting"))
        .unwrap();
    let comment = world.as_user(
        "mia",
        Method::POST,
        &format!("pulls/{number}/comments"),
        json!({"body": "/why", "commit_id": world.head(number), "path": file, "line": line, "side": "RIGHT"}),
    );
    let id = comment["id"].as_u64().unwrap();
    let text = reply(&world, number, format!("line-{id}")).await;
    has(&text, &["> `/why`", "Not merged yet"]);
    let seen = world.read(&format!("pulls/comments/{id}"));
    assert_eq!(seen["reactions"]["eyes"].as_u64(), Some(1), "{seen}");
    assert_eq!(replies(&world, number), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_commands_as_it_was_opened() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let open = |branch: &str, description: &str| {
        let changed = world.file(file).replace("hello", branch);
        let files = [(file, Some(changed.as_str()))];
        let pushed = world.forge.push("acme/config", branch, "bob", "Hi", &files);
        pushed.unwrap();
        let body = json!({"title": "Hi", "head": branch, "base": "main", "body": description});
        let pull = world.as_user("bob", Method::POST, "pulls", body);
        pull["number"].as_u64().unwrap()
    };
    let number = open("hi", "Greets shorter.\n\n/why");
    let text = reply(&world, number, format!("description-{number}")).await;
    has(&text, &["> `/why`"]);
    // It is answered once, whatever is made of it later.
    let edit = |number: u64| {
        let path = format!("pulls/{number}");
        world.as_user("ada", Method::PATCH, &path, json!({"body": "/sync"}));
    };
    edit(number);
    let asked = world.comment("bob", number, "/help");
    reply(&world, number, asked).await;
    assert_eq!(replies(&world, number), 2);
    // Edited before windlass saw it: perhaps not by its author.
    world.kill();
    let number = open("hey", "Greets.");
    edit(number);
    world.start();
    let text = reply(&world, number, format!("description-{number}")).await;
    has(&text, &["was edited after it was posted"]);
}
