//! Diffs: items beside their counterparts, and nothing untrue.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::align::{Aligned, Tag};
use super::{Diff, Style};
use crate::domain::yaml;

fn shown(before: &Value, after: &Value, context: usize) -> String {
    let style = Style {
        context,
        places: true,
    };
    Diff::new(Some(before), Some(after)).shown(style)
}

fn pod(containers: Value) -> Value {
    json!({"kind": "Pod", "spec": {"containers": containers}})
}

#[test]
fn an_argument_that_moves_to_another_container_is_seen_in_both() {
    let container = |name: &str, args: &[&str]| json!({"name": name, "image": "x:1", "args": args, "env": [{"name": "A", "value": "1"}], "ports": [{"containerPort": 80, "protocol": "TCP"}]});
    let before = pod(json!([
        container("app", &["--listen=:80", "--tls"]),
        container("proxy", &["--upstream=app"])
    ]));
    let after = pod(json!([
        container("app", &["--listen=:80"]),
        container("proxy", &["--upstream=app", "--tls"])
    ]));
    insta::assert_snapshot!(shown(&before, &after, 1), @r#"
    @@ .spec.containers[name="app"].args @@
         - --listen=:80
    -    - --tls
         env:
    @@ .spec.containers[name="proxy"].args @@
         - --upstream=app
    +    - --tls
         env:
    "#);
    insta::assert_snapshot!(shown(&before, &after, 0), @r#"
    @@ .spec.containers[name="app"].args @@
    -    - --tls
    @@ .spec.containers[name="proxy"].args @@
    +    - --tls
    "#);
}

#[test]
fn a_new_container_before_the_others_is_one_addition() {
    let one = |name: &str| json!({"args": ["serve"], "image": format!("{name}:1"), "name": name});
    let (before, after) = (
        pod(json!([one("app"), one("proxy")])),
        pod(json!([one("init"), one("app"), one("proxy")])),
    );
    insta::assert_snapshot!(shown(&before, &after, 1), @r"
       containers:
    +  - args:
    +    - serve
    +    image: init:1
    +    name: init
       - args:
    ");
}

#[test]
fn items_that_change_places_are_said_in_one_line() {
    let one = |name: &str, tag: u32| json!({"image": format!("{name}:{tag}"), "name": name});
    let (before, after) = (
        pod(json!([one("app", 1), one("proxy", 1)])),
        pod(json!([one("proxy", 1), one("app", 2)])),
    );
    insta::assert_snapshot!(shown(&before, &after, 0), @r#"
    @@ .spec.containers: order "app", "proxy" → "proxy", "app" @@
    @@ .spec.containers[name="app"] @@
    -  - image: app:1
    +  - image: app:2
    "#);
    let swapped = pod(json!([one("proxy", 1), one("app", 1)]));
    insta::assert_snapshot!(shown(&before, &swapped, 3), @r#"
     kind: Pod
     spec:
       containers:
    @@ .spec.containers: order "app", "proxy" → "proxy", "app" @@
       - image: proxy:1
         name: proxy
       - image: app:1
    "#);
}

#[test]
fn a_renamed_item_that_stays_much_the_same_is_one_that_changed() {
    let named = |name: &str| pod(json!([{"name": name, "args": ["a", "b"], "image": "x:1"}]));
    insta::assert_snapshot!(shown(&named("app"), &named("web"), 1), @r"
         image: x:1
    -    name: app
    +    name: web
    ");
}

#[test]
fn the_first_field_of_an_item_that_goes_leaves_its_dash() {
    let (before, after) = (
        pod(json!([{"name": "app", "args": ["a"], "image": "x:1"}])),
        pod(json!([{"name": "app", "image": "x:1"}])),
    );
    insta::assert_snapshot!(shown(&before, &after, 3), @r"
     kind: Pod
     spec:
       containers:
    -  - args:
    -    - a
    -    image: x:1
    +  - image: x:1
         name: app
    ");
}

#[test]
fn a_name_with_an_end_of_line_makes_no_line_of_its_own() {
    let object = |value: &str| json!({"data": {"a\n+evil: 1": {"x": [{"name": "n\n-y", "v": value}], "w": value}}});
    let text = shown(&object("1"), &object("2"), 0);
    assert!(!text.lines().any(|line| line == "+evil: 1"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with('+')).count(), 2);
}

/// An object of what Kubernetes has: lists with keys, without keys, with the same key twice, text.
fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
        "[ab\n #:-]{0,8}".prop_map(Value::from),
    ];
    scalar.prop_recursive(5, 48, 5, |inner| {
        let name = || prop_oneof!["[a-c]", Just("x\ny".to_string()), Just("null".to_string())];
        let item = (
            "[a-d]",
            proptest::collection::btree_map(name(), inner.clone(), 0..3),
        );
        let item = item.prop_map(|(name, fields)| {
            let mut item = json!(fields);
            item["name"] = name.into();
            item
        });
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(item, 0..5).prop_map(Value::from),
            proptest::collection::btree_map(name(), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// Every list sorted.
fn unordered(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(unordered).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), unordered(value)))
            .collect(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Equal and added lines are the object after, equal and removed ones the object before.
    #[test]
    fn a_diff_is_true(before in value(), after in value()) {
        let (before, after) = (json!({"a": before, "z": 1}), json!({"a": after, "z": 1}));
        let aligned = Aligned::new(Some(&before), Some(&after));
        let side = |other: Tag| -> String {
            let lines = aligned.lines.iter().filter(|line| line.tag == Tag::Equal || line.tag == other);
            lines.map(|line| format!("{}\n", line.text)).collect()
        };
        prop_assert_eq!(side(Tag::Insert), yaml::print(&after));
        if aligned.lines.iter().any(|line| line.tag == Tag::Order) {
            let read: Value = serde_yaml::from_str(&side(Tag::Delete)).unwrap();
            prop_assert_eq!(unordered(&read), unordered(&before));
        } else {
            prop_assert_eq!(side(Tag::Delete), yaml::print(&before));
        }
        prop_assert_eq!(shown(&before, &after, 0).is_empty(), before == after);
    }
}
