use serde_json::json;

use super::*;

fn key(group: &str, kind: &str, name: &str) -> ResourceKey {
    ResourceKey {
        group: group.into(),
        kind: kind.into(),
        namespace: Some("shop".into()),
        name: name.into(),
    }
}

fn ignored(rules: Value) -> IgnoredFields {
    IgnoredFields::of(&json!({"ignoreDifferences": rules}), &Value::Null)
}

fn deployment(replicas: u32, image: &str) -> Value {
    json!({"spec": {"replicas": replicas, "template": {"spec": {"containers": [
        {"name": "web", "image": image},
    ]}}}})
}

#[test]
fn rules_are_for_some_objects() {
    let web = key("apps", "Deployment", "web");
    let one = |rule: Value| ignored(json!([rule])).rules(&web).count();
    for rule in [
        json!({"group": "apps", "kind": "Deployment"}),
        json!({"group": "*", "kind": "*"}),
        json!({"group": "apps", "kind": "Deploy*", "name": "web", "namespace": "shop"}),
    ] {
        assert_eq!(one(rule.clone()), 1, "{rule}");
    }
    for rule in [
        json!({"kind": "Deployment"}),
        json!({"group": "apps", "kind": "StatefulSet"}),
        json!({"group": "apps", "kind": "Deployment", "name": "other"}),
        json!({"group": "apps", "kind": "Deployment", "namespace": "other"}),
    ] {
        assert_eq!(one(rule.clone()), 0, "{rule}");
    }
}

#[test]
fn the_settings_of_argo_cd_have_rules_too() {
    let count = |settings: Value, key: &ResourceKey| {
        IgnoredFields::of(&Value::Null, &settings)
            .rules(key)
            .count()
    };
    let (web, config) = (
        key("apps", "Deployment", "web"),
        key("", "ConfigMap", "web"),
    );
    let pointers = "jsonPointers: [/spec/replicas]";
    for (name, expected) in [
        (
            "resource.customizations.ignoreDifferences.apps_Deployment",
            (1, 0),
        ),
        (
            "resource.customizations.ignoreDifferences.ConfigMap",
            (0, 1),
        ),
        ("resource.customizations.ignoreDifferences.all", (1, 1)),
        ("resource.customizations.health.apps_Deployment", (0, 0)),
    ] {
        let settings = json!({name: pointers});
        assert_eq!(
            (count(settings.clone(), &web), count(settings, &config)),
            expected,
            "{name}"
        );
    }
    let former = "apps/Deployment:\n  ignoreDifferences: |\n    jsonPointers: [/spec/replicas]\n";
    assert_eq!(count(json!({"resource.customizations": former}), &web), 1);
    let broken = json!({"resource.customizations": "{", "resource.customizations.ignoreDifferences.all": "["});
    assert_eq!(count(broken, &web), 0);
}

#[test]
fn what_differs_in_ignored_fields_alone_is_hidden() {
    let web = key("apps", "Deployment", "web");
    let rules = ignored(
        json!([{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}]),
    );
    let before = Live::new(deployment(2, "web:1"));
    assert!(rules.hides(&web, &before, &deployment(5, "web:1")));
    assert!(!rules.hides(&web, &before, &deployment(5, "web:2")));
    assert!(!rules.hides(
        &key("", "ConfigMap", "web"),
        &before,
        &deployment(5, "web:1")
    ));
}

#[test]
fn respected_fields_are_applied_as_they_are() {
    let web = key("apps", "Deployment", "web");
    let rules = ignored(json!([
        {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"],
            "jqPathExpressions": [
                ".spec.template.spec.containers[].resources",
                ".spec.template.spec.containers[] | select(.name == \"proxy\")",
                ".metadata.annotations.\"acme.example/at\"",
            ]},
    ]));
    let live = Live::new(json!({
        "metadata": {"annotations": {"acme.example/at": "noon", "theirs": "1"}},
        "spec": {"replicas": 5, "template": {"spec": {"containers": [
            {"name": "proxy", "image": "proxy:1"},
            {"name": "web", "image": "web:1", "resources": {"limits": {"cpu": "1"}}},
        ]}}},
    }));
    let mut wanted = json!({"spec": {"replicas": 2, "template": {"spec": {"containers": [
        {"name": "web", "image": "web:2", "resources": {}},
    ]}}}});
    rules.as_live(&web, &mut wanted, &live);
    assert_eq!(
        wanted,
        json!({
            "metadata": {"annotations": {"acme.example/at": "noon"}},
            "spec": {"replicas": 5, "template": {"spec": {"containers": [
                {"name": "web", "image": "web:2", "resources": {"limits": {"cpu": "1"}}},
                {"name": "proxy", "image": "proxy:1"},
            ]}}},
        })
    );
    let mut unruled = deployment(2, "web:1");
    rules.as_live(&key("apps", "StatefulSet", "web"), &mut unruled, &live);
    assert_eq!(unruled, deployment(2, "web:1"));
}

#[test]
fn what_git_does_not_set_is_not_set_for_a_respected_field_that_is_gone() {
    let web = key("apps", "Deployment", "web");
    let rules =
        ignored(json!([{"group": "apps", "kind": "*", "jsonPointers": ["/spec/replicas"]}]));
    let mut wanted = deployment(2, "web:1");
    rules.as_live(&web, &mut wanted, &Live::new(json!({"spec": {}})));
    assert!(wanted["spec"]["replicas"].is_null());
}

#[test]
fn lists_of_custom_resources_are_whole() {
    let rules = ignored(json!([{"group": "acme.example", "kind": "Widget",
        "jqPathExpressions": [".spec.items[].size"]}]));
    let live =
        Live::new(json!({"spec": {"items": [{"name": "a", "size": 2}, {"name": "b", "size": 3}]}}));
    let mut wanted = json!({"spec": {"items": [{"name": "a", "size": 1, "color": "red"}]}});
    rules.as_live(&key("acme.example", "Widget", "w"), &mut wanted, &live);
    assert_eq!(wanted["spec"], live["spec"]);
}

#[test]
fn fields_of_trusted_managers_are_ignored() {
    let web = key("apps", "Deployment", "web");
    let rules = ignored(json!([{"group": "apps", "kind": "Deployment",
        "managedFieldsManagers": ["scaler"]}]));
    let mut live = deployment(5, "web:1");
    live["metadata"] = json!({"managedFields": [
        {"manager": "scaler", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {"manager": "other", "operation": "Update", "fieldsV1": {"f:spec": {"f:paused": {}}}},
    ]});
    let live = Live::new(live);
    let mut wanted = deployment(2, "web:2");
    rules.as_live(&web, &mut wanted, &live);
    assert_eq!(wanted["spec"], deployment(5, "web:2")["spec"]);
    let mut scaled = Value::clone(&live);
    scaled["spec"]["replicas"] = 2.into();
    assert!(rules.hides(&web, &live, &scaled));
}

#[test]
fn expressions_that_are_more_than_paths_are_named() {
    let rules = ignored(json!([
        {"group": "apps", "kind": "Deployment", "jqPathExpressions": [".spec.replicas", ".a // .b"]},
    ]));
    assert_eq!(
        rules.unread(&key("apps", "Deployment", "web")),
        [".a // .b"]
    );
    assert!(rules.unread(&key("", "Service", "web")).is_empty());
}
