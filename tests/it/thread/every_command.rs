//! Every command in each way in which it may come: where it is allowed, too late, with a typo,
//! edited, replayed, and from somebody who may not.

use http::Method;
use serde_json::json;
use windlass::judged_by::COMMANDS;
use windlass::sandbox::forge::state::Faults;

use crate::paths::command::{pull_request, reply};
use crate::support::World;

/// One line for each command, with what it takes.
const LINES: [&str; 21] = [
    "/accept-unseen",
    "/adopt",
    "/apply",
    "/cancel",
    "/confirm-prune",
    "/freeze staging until 2h no reason",
    "/help",
    "/history",
    "/hold shop/staging until somebody looked",
    "/merge",
    "/override holds no reason",
    "/preview",
    "/promote 1.0.0 to staging",
    "/reject 1.0.0",
    "/resume",
    "/rollback",
    "/status",
    "/sync",
    "/take",
    "/unfreeze staging",
    "/why",
];

/// Texts with some of the lines each: of a comment's commands only the first ten count.
fn texts() -> Vec<String> {
    LINES.chunks(8).map(|lines| lines.join("\n")).collect()
}

/// Gives every command, and what is answered.
async fn ask(world: &World, login: &str, number: u64, texts: &[String]) -> String {
    let mut replies = Vec::new();
    for text in texts {
        let comment = world.comment(login, number, text);
        replies.push(reply(world, number, comment).await);
    }
    replies.join("\n")
}

/// The first line of each answer in a reply, below its command.
fn answers(world: &World, text: &str) -> String {
    let text = world.scrub(text);
    let mut out = Vec::new();
    for part in text.split("> `/").skip(1) {
        let (command, answer) = part.split_once('`').unwrap_or_default();
        let word = command.split(' ').next().unwrap_or_default();
        // A time, and what follows it, is another one each time.
        let answer = answer.split("healthy on 2").next().unwrap_or_default();
        let mut lines = answer
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty());
        out.push(format!("/{word}: {}", lines.next().unwrap_or_default()));
    }
    out.join("\n")
}

/// What the commands would have left behind.
async fn traces(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for object in world.applications().await {
        let annotations = object["metadata"]["annotations"].clone();
        found.push(annotations.to_string());
    }
    let freezes = world.kubectl(&[
        "-n",
        &world.home(),
        "get",
        "freezes.windlass.dev",
        "-o",
        "name",
    ]);
    found.push(freezes);
    let pulls = world.read("pulls?state=all");
    found.push(pulls.as_array().map_or(0, Vec::len).to_string());
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_is_allowed_or_says_what_it_needs_and_is_answered_once() {
    let words: Vec<_> = COMMANDS.iter().map(|spec| spec.word).collect();
    let written: Vec<_> = LINES
        .iter()
        .map(|line| line[1..].split(' ').next().unwrap())
        .collect();
    assert_eq!(written, words, "each command has a line here");
    let world = World::new().await;
    let number = pull_request(&world).await;
    // A `/merge` in the second of the preview may be about what was there before.
    world
        .until("a later second than the preview's", async || {
            let now = jiff::Timestamp::now().as_second();
            let made = world
                .forge
                .state()
                .by_full_name("acme/config")?
                .checks
                .iter()
                .map(|check| check.completed_at)
                .max()??;
            (now > made.as_second()).then_some(())
        })
        .await;
    // Each delivery comes twice.
    world.forge.state().faults = Faults {
        duplicate: true,
        ..Faults::default()
    };
    let text = ask(&world, "ada", number, &texts()).await;
    insta::assert_snapshot!(answers(&world, &text), @"
    /accept-unseen: The preview shows every change: there is nothing to accept.
    /adopt: This command changes live objects, so it works only on a merged pull request.
    /apply: This command changes live objects, so it works only on a merged pull request.
    /cancel: There is nothing to take back: nobody gave `/merge`. `/hold` keeps windlass from merging what it opened itself.
    /confirm-prune: This command changes live objects, so it works only on a merged pull request.
    /freeze: Nothing is merged into `staging` until (time) or `/unfreeze`. Rollbacks are not held up.
    /help: Put each command at the start of a line. `/windlass WORD` is the same as `/WORD`.
    /history: **shop/staging**, newest first:
    /hold: - windlass merges nothing into `shop/staging` by itself until `/resume`
    /merge: windlass merges `(hex)` as soon as every gate has passed; `/cancel` takes this back.
    /override: Not done. Nobody may override a gate of `shop/staging`: its stage has no `breakGlass` in windlass.yaml.
    /preview: The preview is up to date with `(hex)`: 1 of 2 applications changes · 1 changed · verified by the cluster
    /promote: - `shop/staging`: not done. No image `1.0.0` was announced for it
    /reject: - `shop/staging`: not done. No image `1.0.0` was announced for it
    /resume: - windlass merges into `shop/staging` again
    /rollback: - `shop/staging`: not done. windlass knows no commit before the present one with which it was healthy: name one of those that `/history` lists
    /status: | application | synced | health | commit | |
    /sync: - `shop/staging` is being synced to the base branch (`(hex)`)
    /take: There is nothing to take: the preview names no field that somebody else owns.
    /unfreeze: No freeze by command or kubectl holds `staging` any more. What windlass.yaml freezes is ended there.
    /why: ⏳ Not merged yet:
    ");
    world.quiet().await;
    let before = (world.comments(number).len(), traces(&world).await);
    // Replayed by a restart: everything is looked at again.
    world.kill();
    world.start();
    world.quiet().await;
    assert_eq!((world.comments(number).len(), traces(&world).await), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_comes_after_the_merge_says_what_is_left_to_do() {
    let world = World::new().await;
    let number = pull_request(&world).await;
    let merge = format!("pulls/{number}/merge");
    let merged = world.as_user("ada", Method::PUT, &merge, json!({}));
    world
        .sync_status(merged["sha"].as_str().unwrap(), "success")
        .await;
    let text = ask(&world, "ada", number, &texts()).await;
    insta::assert_snapshot!(answers(&world, &text), @"
    /accept-unseen: The preview shows every change: there is nothing to accept.
    /adopt: Nothing waits to be adopted in the applications of this pull request.
    /apply: No sync of the applications of this pull request differs from what was approved.
    /cancel: This pull request is merged.
    /confirm-prune: No deletion waits for a confirmation.
    /freeze: Nothing is merged into `staging` until (time) or `/unfreeze`. Rollbacks are not held up.
    /help: Put each command at the start of a line. `/windlass WORD` is the same as `/WORD`.
    /history: **shop/staging**, newest first:
    /hold: - windlass merges nothing into `shop/staging` by itself until `/resume`
    /merge: This pull request is merged.
    /override: This pull request is merged.
    /preview: This pull request is not open any more, so there is nothing to preview.
    /promote: - `shop/staging`: not done. No image `1.0.0` was announced for it
    /reject: - `shop/staging`: not done. No image `1.0.0` was announced for it
    /resume: - windlass merges into `shop/staging` again
    /rollback: - windlass opens a pull request that takes `shop/staging` back to (hex),
    /status: | application | synced | health | commit | |
    /sync: - `shop/staging` is being synced to the base branch (`(hex)`)
    /take: There is nothing to take: the preview names no field that somebody else owns.
    /unfreeze: No freeze by command or kubectl holds `staging` any more. What windlass.yaml freezes is ended there.
    /why: Merged as `(hex)`: shop/staging is synced and healthy.
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_is_carried_out_with_a_typo_edited_or_from_somebody_who_may_not() {
    let world = World::new().await;
    let number = pull_request(&world).await;
    world.quiet().await;
    let before = traces(&world).await;
    // A letter is missing in each word.
    let typo = |spec: &windlass::judged_by::Spec| format!("/{}", &spec.word[..spec.word.len() - 1]);
    let typos = COMMANDS.chunks(8).map(|specs| {
        let lines: Vec<_> = specs.iter().map(typo).collect();
        lines.join("\n")
    });
    let text = ask(&world, "ada", number, &typos.collect::<Vec<_>>()).await;
    for spec in &COMMANDS {
        let meant = format!("Did you mean `/{}`?", spec.word);
        assert!(text.contains(&meant), "{meant} is not in {text}");
    }
    // Edited while nobody looked.
    world.kill();
    let posted: Vec<_> = texts()
        .into_iter()
        .map(|text| (world.comment("ada", number, "nothing"), text))
        .collect();
    for (comment, text) in &posted {
        let path = format!("issues/comments/{comment}");
        let created = world.read(&path)["created_at"].clone();
        world
            .until("it is edited in a later second", async || {
                world.as_user("ada", Method::PATCH, &path, json!({"body": text}));
                (world.read(&path)["updated_at"] != created).then_some(())
            })
            .await;
    }
    world.start();
    for (comment, _) in &posted {
        let text = reply(&world, number, comment).await;
        assert!(text.contains("was edited after it was posted"), "{text}");
    }
    // Who may only read is not heard.
    let count = world.comments(number).len();
    for text in texts() {
        world.comment("rita", number, &text);
    }
    world.quiet().await;
    assert_eq!(world.comments(number).len(), count + texts().len());
    assert_eq!(traces(&world).await, before);
}

/// Production needs the approval of somebody who wrote nothing of the pull request.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_about_a_stage_is_refused_to_whoever_may_not_decide_about_it() {
    let world = World::new().await;
    let file = "apps/shop/production/config.yaml";
    let text = world.file(file).replace("greeting: hello", "greeting: hi");
    let number = world.propose("bob", "mine", &[(file, Some(&text))]);
    world.previewed(number).await;
    world.gate_status(number, "pending").await;
    let before = traces(&world).await;
    let of_production: Vec<_> = LINES
        .iter()
        .map(|line| line.replace("staging", "production"))
        .filter(|line| {
            let word = line[1..].split(' ').next().unwrap();
            ["freeze", "promote", "sync", "take", "unfreeze"].contains(&word)
        })
        .collect();
    let text = ask(&world, "bob", number, &[of_production.join("\n")]).await;
    insta::assert_snapshot!(answers(&world, &text), @"
    /freeze: `shop/production`: not done. `bob` may not decide that for this stage: they opened the pull request, or wrote or pushed a commit of it. Ask somebody else who may write to this repository
    /promote: - `shop/production`: not done. No image `1.0.0` was announced for it
    /sync: - `shop/production`: not done. `bob` may not decide that for this stage: they opened the pull request, or wrote or pushed a commit of it. Ask somebody else who may write to this repository
    /take: There is nothing to take: the preview names no field that somebody else owns.
    /unfreeze: `shop/production`: not done. `bob` may not decide that for this stage: they opened the pull request, or wrote or pushed a commit of it. Ask somebody else who may write to this repository
    ");
    let merge = format!("pulls/{number}/merge");
    world.approve("mia", number);
    let merged = world.as_user("ada", Method::PUT, &merge, json!({}));
    world
        .sync_status(merged["sha"].as_str().unwrap(), "success")
        .await;
    let live = "/adopt\n/apply\n/confirm-prune\n/sync".to_string();
    let text = ask(&world, "bob", number, &[live]).await;
    insta::assert_snapshot!(answers(&world, &text), @"
    /adopt: Nothing waits to be adopted in the applications of this pull request.
    /apply: No sync of the applications of this pull request differs from what was approved.
    /confirm-prune: No deletion waits for a confirmation.
    /sync: - `shop/production`: not done. `bob` may not decide that for this stage: they opened the pull request, or wrote or pushed a commit of it. Ask somebody else who may write to this repository
    ");
    assert_eq!(traces(&world).await.last(), before.last());
}
