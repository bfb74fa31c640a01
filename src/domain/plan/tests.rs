//! Plans: actions, diffs and digests.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn mask() -> Mask {
    Mask::new(b"test")
}

fn key(name: &str) -> ResourceKey {
    ResourceKey {
        group: String::new(),
        kind: "ConfigMap".into(),
        namespace: Some("x".into()),
        name: name.into(),
    }
}

fn object(data: Value) -> Side {
    Side::Object(
        Live::new(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "7"}, "data": data}),
        ),
        Confidence::Server,
    )
}

#[test]
fn actions_follow_from_the_two_sides() {
    let table = [
        (Side::Absent, object(json!({"a": "1"})), Action::Create),
        (object(json!({"a": "1"})), Side::Absent, Action::Prune),
        (
            object(json!({"a": "1"})),
            object(json!({"a": "1"})),
            Action::Unchanged,
        ),
        (
            object(json!({"a": "1"})),
            object(json!({"a": "2"})),
            Action::Configure,
        ),
        (Side::Absent, Side::Absent, Action::Unchanged),
    ];
    for (before, after, action) in table {
        assert_eq!(
            Plan::new(&mask(), [Comparison::new(key("a"), before, after)]).changes[0].action,
            action
        );
    }
}

#[test]
fn a_diff_reads_like_one() {
    let (before, after) = (
        object(json!({"a": "1", "b": "1"})),
        object(json!({"a": "2", "b": "1"})),
    );
    let plan = Plan::new(&mask(), [Comparison::new(key("a"), before, after)]);
    insta::assert_snapshot!(plan.changes[0].diff(), @r"
     apiVersion: v1
     data:
    -  a: '1'
    +  a: '2'
       b: '1'
     kind: ConfigMap
     metadata:
    ");
    assert_eq!(size(&plan.changes[0].diff()), (1, 1));
}

#[test]
fn the_digest_sees_effects_only() {
    let plan = |before, after| {
        Plan::new(
            &mask(),
            [Comparison::new(key("a"), object(before), object(after))],
        )
    };
    let of = |plan: &Plan| digest([("local", plan)]);
    let one = of(&plan(
        json!({"a": "1", "live": "x"}),
        json!({"a": "2", "live": "x"}),
    ));
    let other_live = of(&plan(
        json!({"a": "1", "live": "y"}),
        json!({"a": "2", "live": "y"}),
    ));
    assert_eq!(one, other_live, "what others own is no part of it");
    assert_ne!(one, of(&plan(json!({"a": "1"}), json!({"a": "3"}))));
    assert!(one.starts_with("wl1:") && one.len() == 68);
}

#[test]
fn the_digest_tells_secret_values_apart_without_showing_them() {
    let secret = |value: &str| {
        Side::Object(
            Live::new(json!({"apiVersion": "v1", "kind": "Secret", "data": {"token": value}})),
            Confidence::Server,
        )
    };
    let plan = |value: &str| {
        Plan::new(
            &mask(),
            [Comparison::new(key("s"), secret("QQ=="), secret(value))],
        )
    };
    let (one, other) = (plan("Q0FOQVJZMQ=="), plan("Q0FOQVJZMg=="));
    assert_eq!(one.changes[0].action, Action::Configure);
    assert_ne!(digest([("local", &one)]), digest([("local", &other)]));
    assert_eq!(one.changes[0].diff(), other.changes[0].diff());
    assert!(!format!("{one:?}").contains("Q0FO"));
}

proptest! {
    /// A plan whose after is what is there already has nothing to do.
    #[test]
    fn an_applied_plan_planned_again_is_empty(data in proptest::collection::btree_map("[a-z]{1,4}", "[ -~]{0,12}", 0..5)) {
        let side = || object(json!(data));
        let again = Plan::new(&mask(), [Comparison::new(key("a"), side(), side())]);
        prop_assert!(again.is_empty());
    }
}

#[test]
fn our_own_marks_are_no_part_of_a_diff() {
    let before = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}});
    let mut after = before.clone();
    after["metadata"]["labels"] = json!({"windlass.dev/owner": "0011"});
    after["metadata"]["annotations"] = json!({"windlass.dev/application": "shop/staging"});
    let change = |after: Value| {
        let side = |value| Side::Object(value, Confidence::Server);
        let comparison = Comparison::new(
            key("a"),
            side(Live::new(before.clone())),
            side(Live::new(after)),
        );
        Plan::new(&mask(), [comparison]).changes.remove(0)
    };
    let marks = change(after.clone());
    assert!(
        marks.is_marks_only() && marks.diff().is_empty(),
        "{}",
        marks.diff()
    );
    after["data"]["x"] = "2".into();
    let more = change(after);
    assert!(!more.is_marks_only());
    assert!(
        more.diff().contains("+  x: '2'") && !more.diff().contains("windlass.dev"),
        "{}",
        more.diff()
    );
}
