//! `/override`: break glass.

use windlass::sandbox::example::CONFIG;

use super::{edited, production, summary};
use crate::paths::command::reply;
use crate::support::World;
use crate::support::lab::has;

async fn answer(world: &World, login: &str, number: u64, text: &str) -> String {
    let given = world.comment(login, number, text);
    reply(world, number, given).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_who_may_break_glass_and_the_record_stays() {
    let world =
        production("gates: { approvals: 1, soak: 2h, breakGlass: [ada, acme/oncall] }").await;
    let team = ("acme".into(), "oncall".into());
    world.forge.state().teams.insert(team, vec!["mia".into()]);
    let (_, number) = world.up_to_review("1.1.0").await;
    world.approve("bob", number);
    world.seen(number).await;
    for (login, text, part) in [
        (
            "bob",
            "/override soak the shop is down",
            "Only `ada`, `acme/oncall` may override a gate of `shop/production`.",
        ),
        (
            "mia",
            "/override preview the shop is down",
            "The gates that can be overridden are `approvals`, `earlier-stages`, `soak`, `windows`, `holds`.",
        ),
        ("mia", "/override soak", "`/override GATE REASON`"),
        (
            "mia",
            "/override soak the shop is down",
            "It counts once 1 more of those who may override it has given the same command.",
        ),
        // The same person is one person.
        (
            "mia",
            "/override soak really",
            "It counts once 1 more of those who may override it has given the same command.",
        ),
    ] {
        has(&answer(&world, login, number, text).await, &[part]);
    }
    let text = "mia overrides it, a second person is needed";
    world.gate_says(number, text).await;
    let comment = edited(&world, "ada", number, "/override soak agreed").await;
    has(&reply(&world, number, comment).await, &["was edited"]);
    let text = answer(&world, "ada", number, "/override soak agreed").await;
    has(
        &text,
        &["The gate `soak` of this commit is overridden by `mia`, `ada`."],
    );
    world.merged(number).await;
    insta::assert_snapshot!(summary(&world, number), @"
    ✅ all gates passed: windlass merges this head

    - ✅ **preview**: the preview of (hex) is ready · since (time)
    - ✅ **approvals**: approved by bob (shop/production requires 1) · since (time)
    - ✅ **earlier stages**: staging healthy with exactly these digests · since (time)
    - ✅ **soak**: overridden by mia (the shop is down), ada (agreed); it was: staging must stay healthy until (time) (shop/production asks for 2h) · since (time)

    > [!NOTE]
    > The rules of `main` do not require `windlass/gate` from this App: anyone who may merge can do so without it. Add a ruleset that requires it, with this App as its source.
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_breaks_glass_of_a_stage_that_names_nobody_or_of_ones_own_change() {
    let world = production("gates: { approvals: 1, breakGlass: [ada, mia] }").await;
    let change = |stage: &str| {
        let file = format!("apps/shop/{stage}/config.yaml");
        let text = world.file(&file).replace("hello", "hi");
        (file, text)
    };
    let (file, text) = change("production");
    let number = world.propose("mia", "mias", &[(&file, Some(&text))]);
    world.seen(number).await;
    let said = answer(&world, "mia", number, "/override approvals it burns").await;
    has(
        &said,
        &[
            "Who opened the pull request, or wrote or pushed a commit of it, cannot override its gates.",
        ],
    );
    let (also, hi) = change("staging");
    let files = [(file.as_str(), Some(text.as_str())), (&also, Some(&hi))];
    let number = world.propose("bob", "both", &files);
    world.seen(number).await;
    let said = answer(&world, "mia", number, "/override approvals it burns").await;
    has(
        &said,
        &["Nobody may override a gate of `shop/staging`: its stage has no `breakGlass`"],
    );
    // windlass.yaml is never merged without a review.
    let catalog = world.file("windlass.yaml") + "# more\n";
    let files = [
        (file.as_str(), Some(text.as_str())),
        ("windlass.yaml", Some(&catalog)),
    ];
    let number = world.propose("bob", "catalog", &files);
    world.seen(number).await;
    let said = answer(&world, "mia", number, "/override approvals it burns").await;
    has(
        &said,
        &["`windlass.yaml` belongs to no application, so it needs an approval."],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_is_of_the_commit_whose_preview_was_there() {
    let world = production("gates: { approvals: 1, breakGlass: [ada, mia] }").await;
    let file = "apps/shop/production/config.yaml";
    let text = world.file(file).replace("hello", "hi");
    let number = world.propose("bob", "hi", &[(file, Some(&text))]);
    world.seen(number).await;
    world.gate_status(number, "pending").await;
    for login in ["mia", "ada"] {
        answer(&world, login, number, "/override approvals it burns").await;
    }
    world.gate_status(number, "success").await;
    let more = text.replace("hi", "hi there");
    world
        .forge
        .push(CONFIG, "hi", "bob", "More", &[(file, Some(&more))])
        .unwrap();
    let title = world.gate_status(number, "pending").await;
    assert_eq!(title, "0 of 1 approvals (shop/production requires 1)");
}
