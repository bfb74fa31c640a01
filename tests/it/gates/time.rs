//! Gates that time opens.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{approved, configure, production, summary};
use crate::support::World;

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// Since when an application is ready, as its object says.
async fn ready_since(world: &World, name: &str) -> Timestamp {
    let status = &world.application(name).await["status"];
    let conditions = status["conditions"].as_array().unwrap().iter();
    let since = conditions.map(|condition| time(&condition["lastTransitionTime"]));
    since
        .max()
        .unwrap()
        .max(time(&status["lastSync"]["finished"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_waits_until_the_earlier_stage_has_run_it_for_long_enough() {
    let world = production("merge: auto\n    gates: { soak: 25s }").await;
    world.announce("1.1.0").await;
    let number = world.pull_request("production").await;
    let title = world.gate_says(number, "must stay healthy until").await;
    let rest = " UTC (shop/production asks for 25s)";
    assert!(title.ends_with(rest), "{title}");
    let text = summary(&world, number);
    let since = ready_since(&world, "shop.staging").await;
    insta::assert_snapshot!(text, @"
    ⏳ Not merged yet:

    - ✅ **preview**: the preview of (hex) is ready · since (time)
    - ✅ **approvals**: shop/production merges image updates automatically
    - ✅ **earlier stages**: staging healthy with exactly these digests · since (time)
    - ⏳ **soak**: staging must stay healthy until (time) (shop/production asks for 25s) · since (time) · cleared by time, at (time)

    > [!NOTE]
    > The rules of `main` do not require `windlass/gate` from this App: anyone who may merge can do so without it. Add a ruleset that requires it, with this App as its source.
    ");
    // Nothing happens but that time passes.
    world.merged(number).await;
    let merged = time(&world.read(&format!("pulls/{number}"))["merged_at"]);
    let soaked = merged.duration_since(since);
    assert!(soaked >= SignedDuration::from_secs(25), "{soaked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_opens_by_itself_for_people_too() {
    let world = World::new().await;
    let number = approved(&world).await;
    world.gate_status(number, "success").await;
    let opens = Timestamp::now() + SignedDuration::from_secs(40);
    // A full minute is written without its seconds.
    let is_full = opens.as_second() % 60 == 0;
    let opens = opens + SignedDuration::from_secs(i64::from(is_full));
    let clock = |at: Timestamp| at.strftime("%H:%M:%S").to_string();
    let window = format!(
        "{{ from: \"{}\", to: \"{}\" }}",
        clock(opens),
        clock(opens + SignedDuration::from_hours(1))
    );
    configure(
        &world,
        "    merge: auto ",
        &format!("    gates: {{ windows: [{window}] }}\n    merge: auto "),
    );
    let title = world.gate_says(number, "takes changes only in").await;
    let words = opens.strftime("%Y-%m-%d %H:%M:%S UTC");
    assert_eq!(
        title,
        format!("staging takes changes only in its windows: the next one opens {words}")
    );
    let (status, judged) = world.judged(number).await;
    let windows = judged["verdict"]["children"][2].clone();
    assert_eq!((status, windows["gate"].as_str()), (200, Some("windows")));
    assert_eq!(windows["clears"][0]["by"], "itself");
    let at = time(&windows["changesAt"]);
    assert_eq!(at.as_second(), opens.as_second());
    world.gate_status(number, "success").await;
    assert!(Timestamp::now() >= at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_in_git_ends_with_its_line() {
    let world = World::new().await;
    let number = approved(&world).await;
    world.gate_status(number, "success").await;
    let gates = "    gates: { freezes: [{ from: 2026-01-01, until: 2099-01-04, zone: Europe/Berlin, reason: \"Holidays @all\" }] }\n";
    let (frozen, thawed) = (format!("{gates}    merge: auto "), "    merge: auto ");
    configure(&world, thawed, &frozen);
    world.gate_says(number, "is frozen").await;
    insta::assert_snapshot!(summary(&world, number).replace('\u{200b}', "(break)"), @"
    ⏳ Not merged yet:

    - ✅ **preview**: the preview of (hex) is ready · since (time)
    - ✅ **approvals**: approved by mia (a person's change needs a review) · since (time)
    - ⏳ **windows**: staging is frozen until 2099-01-04 00:00 Europe/Berlin (Holidays @(break)all) · since (time) · cleared by time, at (time)

    > [!NOTE]
    > The rules of `main` do not require `windlass/gate` from this App: anyone who may merge can do so without it. Add a ruleset that requires it, with this App as its source.
    ");
    configure(&world, &frozen, thawed);
    world.gate_status(number, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verdict_is_json_for_whoever_asks_windlass() {
    let world = World::new().await;
    let number = approved(&world).await;
    world.gate_status(number, "success").await;
    let (status, judged) = world.judged(number).await;
    assert_eq!(
        (status, &judged["pullRequest"]),
        (200, &format!("acme/config#{number}").into())
    );
    assert_eq!(judged["head"], world.head(number));
    let verdict = &judged["verdict"];
    assert_eq!(verdict["standing"], "passed");
    let approvals = &verdict["children"][1];
    assert_eq!(approvals["gate"], "approvals");
    let reason = "approved by mia (a person's change needs a review)";
    assert_eq!(approvals["reason"], reason);
    let review = &world.read(&format!("pulls/{number}/reviews"))[0];
    assert_eq!(approvals["since"], review["submitted_at"]);
    let (status, judged) = world.judged(number + 100).await;
    assert_eq!(status, 404);
    let error = judged["error"].as_str().unwrap();
    assert!(
        error.starts_with("there is no verdict on acme/config#"),
        "{error}"
    );
}
