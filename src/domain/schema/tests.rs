//! Objects against the definition of the same change.

use serde_json::{Value, json};

use super::*;
use crate::domain::manifest::ResourceKey;

/// What the API server serves of widgets.
fn definition() -> Value {
    json!({"spec": {"versions": [{"name": "v1", "served": true, "schema": {"openAPIV3Schema": {"type": "object",
        "required": ["spec"], "properties": {"spec": {"type": "object", "required": ["size"], "properties": {
            "size": {"type": "integer", "minimum": 1, "not": {"enum": [3]}}, "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
            "port": {"x-kubernetes-int-or-string": true}, "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "name": {"type": "string", "pattern": "^[a-z]+$"}, "share": {"type": "number", "maximum": 1, "exclusiveMaximum": true},
            "list": {"type": "array", "uniqueItems": true, "items": {"type": "string"}}, "none": {"type": "string", "nullable": true},
            "one": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, "address": {"type": "string", "format": "ipv4"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}}}]}})
}

fn widget(spec: Value) -> Manifest {
    let key = ResourceKey {
        group: "x.dev".into(),
        kind: "Widget".into(),
        namespace: None,
        name: "w".into(),
    };
    let value = json!({"apiVersion": "x.dev/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec});
    Manifest::new(key, "v1", value)
}

fn refuses(cases: &[(Value, &str)]) {
    for (spec, expected) in cases {
        let error = listed(&check(&definition(), &widget(spec.clone())).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_object_that_fits_gets_the_defaults() {
    let good = check(
        &definition(),
        &widget(json!({"size": 1, "port": "http", "labels": {"a": "b"}, "none": null, "one": {"b": 1}, "free": {"x": 1}})),
    )
    .unwrap();
    assert_eq!(good["spec"]["mode"], "a");
}

#[test]
fn fields_that_lack_or_are_of_no_known_name_or_type_are_named() {
    refuses(&[
        (json!({}), ".spec.size: Required value"),
        (
            json!({"size": "1"}),
            ".spec.size: Invalid type: must be integer",
        ),
        (json!({"size": 1, "mode": "c"}), "Unsupported value"),
        (json!({"size": 1, "sise": 1}), "unknown field \"spec.sise\""),
        (
            json!({"size": 1, "labels": {"a": 1}}),
            ".spec.labels.a: Invalid type: must be string",
        ),
        (
            json!({"size": 1, "port": true}),
            ".spec.port: Invalid type: must be integer or string",
        ),
        (json!({"size": 1, "mode": null}), ".spec.mode: Invalid type"),
        (
            json!({"size": 1, "list": [1]}),
            ".spec.list[0]: Invalid type: must be string",
        ),
    ]);
}

#[test]
fn values_out_of_bounds_are_named() {
    refuses(&[
        (
            json!({"size": 0}),
            ".spec.size: Invalid value: must be at least 1",
        ),
        (
            json!({"size": 1, "name": "A b"}),
            ".spec.name: Invalid value: must match `^[a-z]+$`",
        ),
        (
            json!({"size": 1, "share": 1}),
            ".spec.share: Invalid value: must be less than 1",
        ),
        (
            json!({"size": 3}),
            ".spec.size: Invalid value: is of a form that is ruled out",
        ),
        (
            json!({"size": 1, "list": ["a", "a"]}),
            ".spec.list: Invalid value: has an item twice",
        ),
        (
            json!({"size": 1, "one": {"a": 1, "b": 2}}),
            ".spec.one: Invalid value: must be just one of several forms",
        ),
        (
            json!({"size": 1, "address": "localhost"}),
            ".spec.address: Invalid value: must be of the format ipv4",
        ),
    ]);
}
