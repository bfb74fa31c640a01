//! Path 3: a comment becomes a command becomes a reply.

use http::Method;
use serde_json::json;

use crate::support::World;

pub async fn pull_request(world: &World) -> u64 {
    let file = "apps/shop/staging/config.yaml";
    let changed = world.file(file).replace("greeting: hello", "greeting: hi");
    let number = world.propose("bob", "greeting", &[(file, Some(&changed))]);
    world.previewed(number).await;
    world.gate_status(number, "pending").await;
    number
}

/// The reply to a comment, or to another text by its name in our markers.
pub async fn reply(world: &World, number: u64, source: impl std::fmt::Display) -> String {
    let marker = format!("<!-- windlass:reply {source} -->");
    world
        .until("the reply", async || {
            world
                .comments(number)
                .iter()
                .filter_map(|c| c["body"].as_str())
                .find(|body| body.starts_with(&marker))
                .map(str::to_string)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_is_answered_once() {
    let world = World::new().await;
    let number = pull_request(&world).await;
    for text in [
        "/help",
        "/why",
        "please /sync this",
        "/snyc",
        "/sync everything",
        "/preview",
        "/sync",
    ] {
        let comment = world.comment("bob", number, text);
        if text != "please /sync this" {
            reply(&world, number, comment).await;
        }
    }
    world
        .until("the outcome", async || {
            let shown = world.conversation(number);
            shown.contains("The sync has ended").then_some(())
        })
        .await;
    insta::assert_snapshot!(world.conversation(number), @"
    Change by bob by bob (open)

    --- windlass[bot]
    <!-- windlass:sticky (hex) -->
    **1 of 2 applications changes** · 1 changed · verified by the cluster

    **shop/staging** on `local`

    <details open><summary><code>ConfigMap shop-staging/shop</code> changed +1 −1</summary>

    - no pod restarts: running pods keep what they read at start until their next rollout

    ```diff
     apiVersion: v1
     data:
    -  greeting: hello
    +  greeting: hi
       stage: staging
     kind: ConfigMap
     metadata:
    ```

    </details>

    **Needs one approval.** Then merge it yourself, or have windlass do it by `/merge`. `/why` says what is missing now.

    <sub>head `(hex)` on base `(hex)` · (time) s · plan `wl1:(digest)` · `/help`</sub>

    --- bob 👀
    /help

    --- windlass[bot]
    <!-- windlass:reply (id) -->
    > `/help`

    Put each command at the start of a line. `/windlass WORD` is the same as `/WORD`.

    | command | what it does | needs |
    |---|---|---|
    | `/accept-unseen` | accepts the changes that do not fit into the preview of this commit; only somebody who may approve can do this | write |
    | `/adopt [APPLICATION[/STAGE] …]` | lets the first sync change objects that existed before windlass, in the applications that this pull request touches | write; where the stage needs approvals, somebody who may approve; only once the pull request is merged |
    | `/apply [APPLICATION[/STAGE] …]` | applies a merged change although the cluster changed since the approval, so that the sync does something else; as many people as approve have to give this | write; where the stage needs approvals, somebody who may approve; only once the pull request is merged |
    | `/cancel` | takes back an earlier `/merge` that has not happened yet | write |
    | `/confirm-prune [APPLICATION[/STAGE] …]` | confirms the pending deletions in the applications that this pull request touches | write; where the stage needs approvals, somebody who may approve; only once the pull request is merged |
    | `/freeze STAGE until TIME [REASON]` | keeps everything from being merged into a stage until then, for all its applications; TIME is `2h`, `2026-12-01`, `2026-12-01T08:00:00Z` or `2026-12-01T08:00[Europe/Berlin]` | write; where the stage needs approvals, somebody who may approve |
    | `/help` | lists these commands | write |
    | `/history [APPLICATION[/STAGE] …]` | lists the commits that were synced and healthy, and those that failed, newest first | write |
    | `/hold [APPLICATION/STAGE …] [--for TIME] REASON` | keeps windlass from merging anything by itself into these stages until `/resume`, or until the time is over; what Git has is synced all the same | write |
    | `/merge [COMMIT]` | merges this commit as soon as every gate has passed, also a pull request that windlass did not open | write |
    | `/override GATE REASON` | breaks glass: passes a gate of this commit (approvals, earlier-stages, soak, windows or holds) once two people have given it whom every stage names under `breakGlass` | write |
    | `/preview [COMMIT]` | asks the cluster again what this pull request would change, and updates the preview; the head of a fork is previewed once its commit is named | write |
    | `/promote IMAGE to STAGE [--skip STAGE REASON]` | proposes an image (by its tag or digest) that was announced before for a stage, also one that was rejected or reverted there; `--skip` passes over an earlier stage, and the pull request says who wanted that | write; where the stage needs approvals, somebody who may approve |
    | `/reject IMAGE [APPLICATION[/STAGE] …]` | takes an image (by its tag or digest) out of the proposals for these stages; a newer one is proposed as always | write |
    | `/resume [APPLICATION[/STAGE] …]` | ends a hold | write; where the stage needs approvals, somebody who may approve |
    | `/rollback [APPLICATION[/STAGE] …] [to REVISION]` | opens a pull request that takes these stages back to the last other commit that was healthy, or to a commit or image that is named, and holds them | write |
    | `/status [APPLICATION[/STAGE] …]` | shows for each application whether it is synced and healthy, its commit, and what it waits for | write |
    | `/sync [APPLICATION[/STAGE] …]` | syncs the applications that this pull request touches to the base branch as it is now (not to this pull request) | write; where the stage needs approvals, somebody who may approve |
    | `/take [APPLICATION[/STAGE] …]` | overwrites the conflicting fields that the preview lists with Git's values | write; where the stage needs approvals, somebody who may approve |
    | `/unfreeze STAGE` | ends the freezes of a stage that were given by `/freeze` or with kubectl | write; where the stage needs approvals, somebody who may approve |
    | `/why [APPLICATION[/STAGE] …]` | explains, gate by gate, why this pull request is or is not merged | write |

    --- bob 👀
    /why

    --- windlass[bot]
    <!-- windlass:reply (id) -->
    > `/why`

    ⏳ Not merged yet:

    - ✅ **preview**: the preview of (hex) is ready · since (time)
    - ⏳ **approvals**: 0 of 1 approvals (a person's change needs a review) · since (time) · cleared by the approval of somebody who may write to this repository

    --- bob
    please /sync this

    --- bob 👀
    /snyc

    --- windlass[bot]
    <!-- windlass:reply (id) -->
    > `/snyc`

    There is no command `/snyc`. Did you mean `/sync`? `/help` lists all commands.

    --- bob 👀
    /sync everything

    --- windlass[bot]
    <!-- windlass:reply (id) -->
    > `/sync everything`

    Not done: this pull request does not touch the application `everything`. It touches `shop/staging`.

    --- bob 👀
    /preview

    --- windlass[bot]
    <!-- windlass:reply (id) -->
    > `/preview`

    The preview is up to date with `(hex)`: 1 of 2 applications changes · 1 changed · verified by the cluster

    --- bob 👀
    /sync

    --- windlass[bot]
    <!-- windlass:reply (id) -->
    > `/sync`

    - `shop/staging` is being synced to the base branch (`(hex)`)

    windlass says here how it ends. What an open pull request changes is synced after its merge only.

    --- windlass[bot]
    <!-- windlass:outcome (id) -->
    The sync has ended:

    - `shop/staging` is synced, healthy
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_are_asked_of_github_and_told() {
    let world = World::new().await;
    let number = pull_request(&world).await;
    // A reader gets neither an answer nor a reaction: each would be a write of ours.
    for text in ["/sync", "/why", "/snyc"] {
        world.comment("rita", number, text);
    }
    let asked = world.comment("bob", number, "/why");
    let text = reply(&world, number, asked).await;
    assert!(
        text.contains("0 of 1 approvals (a person's change needs a review)"),
        "{text}"
    );
    let conversation = world.conversation(number);
    assert_eq!(
        conversation.matches("windlass:reply").count(),
        1,
        "{conversation}"
    );
    assert_eq!(conversation.matches("👀").count(), 1, "{conversation}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_came_while_windlass_was_down_is_answered() {
    let world = World::new().await;
    let number = pull_request(&world).await;
    world.kill();
    let comment = world.comment("bob", number, "/help");
    world.start();
    let text = reply(&world, number, comment).await;
    assert!(text.contains("> `/help`"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_comment_commands_nothing_and_a_forged_marker_hides_nothing() {
    let world = World::new().await;
    let number = pull_request(&world).await;
    world.kill();
    let edited = world.comment("bob", number, "nothing");
    // GitHub's times have whole seconds.
    let created = world.read(&format!("issues/comments/{edited}"))["created_at"].clone();
    world
        .until("a second has passed", async || {
            world.as_user(
                "ada",
                Method::PATCH,
                &format!("issues/comments/{edited}"),
                json!({"body": "/sync"}),
            );
            (world.read(&format!("issues/comments/{edited}"))["updated_at"] != created)
                .then_some(())
        })
        .await;
    let asked = world.comment("bob", number, "/help");
    // Not from our App: the marker counts for nothing.
    world.comment(
        "rita",
        number,
        &format!("<!-- windlass:reply {asked} -->\nanswered already"),
    );
    world.comment("rita", number, "<!-- windlass:sticky final 00 -->\nforged");
    world.start();
    let text = reply(&world, number, edited).await;
    assert!(text.contains("was edited after it was posted"), "{text}");
    world
        .until("the real answer", async || {
            let ours = world
                .comments(number)
                .into_iter()
                .filter(|c| c["user"]["login"] == "windlass[bot]");
            ours.filter_map(|c| c["body"].as_str().map(str::to_string))
                .find(|body| body.contains("> `/help`"))
        })
        .await;
    let stickies = world
        .comments(number)
        .iter()
        .filter(|c| {
            c["user"]["login"] == "windlass[bot]"
                && c["body"].as_str().unwrap().contains("windlass:sticky")
        })
        .count();
    assert_eq!(stickies, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_a_pull_request_into_another_branch_is_passed_over() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let changed = world.file(file).replace("greeting: hello", "greeting: hi");
    let push = |branch: &str, text: &str| {
        let files = [(file, Some(text))];
        let pushed = world.forge.push("acme/config", branch, "bob", "Hi", &files);
        pushed.unwrap();
    };
    push(
        "release",
        &changed.replace("greeting: hi", "greeting: good day"),
    );
    push("fix", &changed);
    let body = json!({"title": "Fix", "head": "fix", "base": "release"});
    let other = world.as_user("bob", Method::POST, "pulls", body);
    let other = other["number"].as_u64().unwrap();
    world.comment("bob", other, "/help");
    // One that comes later is answered.
    let number = pull_request(&world).await;
    let comment = world.comment("bob", number, "/help");
    reply(&world, number, comment).await;
    let comments = world.comments(other);
    assert_eq!(comments.len(), 1, "{comments:?}");
    assert_eq!(
        comments[0]["reactions"]["eyes"].as_u64(),
        Some(0),
        "{comments:?}"
    );
}
