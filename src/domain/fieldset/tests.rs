//! Paths and sets against what a real API server recorded.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

impl FieldSet {
    fn intersection(&self, other: &Self) -> Self {
        let mut out = Self {
            members: self.members.intersection(&other.members).cloned().collect(),
            children: BTreeMap::new(),
        };
        for (element, child) in &self.children {
            if let Some(theirs) = other.children.get(element) {
                let both = child.intersection(theirs);
                if !both.is_empty() {
                    out.children.insert(element.clone(), both);
                }
            }
        }
        out
    }

    /// Every member.
    fn paths(&self) -> Vec<FieldPath> {
        let mut paths = Vec::new();
        self.walk(&FieldPath::default(), &mut |path, _| paths.push(path));
        paths
    }
}

#[test]
fn what_nobody_owns_is_named() {
    let set = FieldSet::parse(
        &json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:env": {"k:{\"name\":\"A\"}": {".": {}}}}}}}),
    );
    let object = json!({"metadata": {"labels": {"a": "1", "injected": "2"}}, "spec": {"replicas": 1, "containers": [
        {"name": "app", "image": "x", "env": [{"name": "A"}, {"name": "B"}], "ports": [{"containerPort": 1}]}, {"name": "proxy"}]}});
    let found: Vec<_> = set
        .unowned_entries(&object)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            ".metadata.labels.injected",
            ".spec.containers[name=\"app\"].env[name=\"B\"]",
            ".spec.containers[name=\"proxy\"]"
        ]
    );
}

fn recorded() -> Vec<Value> {
    serde_json::from_str(include_str!("../../../tests/fixtures/managed_fields.json")).unwrap()
}

fn sets() -> Vec<FieldSet> {
    recorded()
        .iter()
        .flat_map(|object| {
            object["metadata"]["managedFields"]
                .as_array()
                .unwrap()
                .clone()
        })
        .map(|entry| FieldSet::parse(&entry["fieldsV1"]))
        .collect()
}

#[test]
fn what_a_real_server_recorded_is_read_and_written_back() {
    assert!(recorded().len() >= 10);
    for object in recorded() {
        for entry in object["metadata"]["managedFields"].as_array().unwrap() {
            let set = FieldSet::parse(&entry["fieldsV1"]);
            assert_eq!(
                set.to_json(),
                entry["fieldsV1"],
                "{}",
                object["metadata"]["name"]
            );
            for path in set.paths() {
                assert_eq!(set.contains(&path), set.touches(&path));
                // Status and what can only be written aside, what a manager owns is there.
                if entry["subresource"].is_null() && !path.starts_with(&["stringData"]) {
                    assert!(lookup(&object, &path).is_some(), "{path} of {object}");
                }
                let plain = !path
                    .0
                    .iter()
                    .any(|e| matches!(e, Element::Field(name) if name.contains(['.', '['])));
                if plain {
                    assert_eq!(
                        FieldPath::parse(&path.to_string()),
                        Some(path.clone()),
                        "{path}"
                    );
                }
            }
        }
    }
}

#[test]
fn paths_read_as_the_server_prints_them() {
    let object = json!({"metadata": {"annotations": {"a.example/b.c": "x"}},
        "spec": {"ports": [{"port": 80, "name": "http"}, {"port": 81, "protocol": "UDP"}], "finalizers": ["a", "b"]}});
    for (text, found) in [
        (".metadata.annotations.a.example/b.c", Some(json!("x"))),
        (
            ".spec.ports[port=80,protocol=\"TCP\"].name",
            Some(json!("http")),
        ),
        (".spec.ports[port=81,protocol=\"TCP\"]", None),
        (".spec.finalizers[=\"b\"]", Some(json!("b"))),
        (".spec.finalizers[0]", Some(json!("a"))),
    ] {
        assert_eq!(
            lookup(&object, &FieldPath::parse(text).unwrap()).cloned(),
            found,
            "{text}"
        );
    }
    assert_eq!(FieldPath::parse("spec"), None);
    assert_eq!(
        FieldPath::parse(".a[name=\"x]\"].b").unwrap().to_string(),
        ".a[name=\"x]\"].b"
    );
}

#[test]
fn items_in_our_lists_are_told_from_fields_beside_ours() {
    let ours = FieldSet::parse(
        &json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:containers": {
        "k:{\"name\":\"app\"}": {".": {}, "f:name": {}, "f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:name": {}}}}}}}),
    );
    let theirs = FieldSet::parse(
        &json!({"f:metadata": {"f:labels": {"f:b": {}}}, "f:spec": {"f:paused": {}, "f:containers": {
        "k:{\"name\":\"sidecar\"}": {".": {}, "f:image": {}},
        "k:{\"name\":\"app\"}": {"f:tty": {}, "f:env": {"k:{\"name\":\"B\"}": {".": {}, "f:name": {}}}, "f:ports": {"k:{\"p\":1}": {".": {}}}}}}}),
    );
    let expected = FieldSet::parse(&json!({"f:spec": {"f:containers": {
        "k:{\"name\":\"sidecar\"}": {".": {}, "f:image": {}},
        "k:{\"name\":\"app\"}": {"f:env": {"k:{\"name\":\"B\"}": {".": {}, "f:name": {}}}}}}}));
    assert_eq!(ours.items_added_by(&theirs), expected);
}

#[test]
fn a_name_with_dots_is_found_and_removed() {
    let object = json!({"metadata": {"annotations": {"acme.example/team": "a", "acme.example/tier": {"x": 1}}}});
    let path = |text: &str| FieldPath::parse(text).unwrap();
    let table = [
        (".metadata.annotations.acme.example/team", true),
        (".metadata.annotations.acme.example/tier.x", true),
        (".metadata.annotations.acme.example/other", false),
        (".metadata.labels.acme.example/team", false),
    ];
    for (text, there) in table {
        let mut changed = object.clone();
        assert_eq!(lookup(&object, &path(text)).is_some(), there, "{text}");
        assert_eq!(remove(&mut changed, &path(text)), there, "{text}");
        assert_eq!(changed != object, there, "{text}");
        assert!(lookup(&changed, &path(text)).is_none(), "{text}");
    }
    let spelled = path(".metadata.annotations.acme.example/tier.x").spelled_as_in(&object);
    let names = ["metadata", "annotations", "acme.example/tier", "x"];
    assert_eq!(spelled.0, names.map(|name| Element::Field(name.into())));
}

#[test]
fn what_is_removed_leaves_what_others_hold() {
    let set = FieldSet::parse(&json!({"f:spec": {"f:replicas": {}, "f:env": {
        "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}},
        "k:{\"name\":\"B\"}": {".": {}, "f:name": {}, "f:value": {}}}}}));
    let mut object = json!({"spec": {"replicas": 2, "paused": true, "env": [
        {"name": "A", "value": "1"}, {"name": "B", "value": "2", "valueFrom": {"x": 1}}, {"name": "C"}]}});
    set.remove_from(&mut object);
    assert_eq!(
        object,
        json!({"spec": {"paused": true, "env": [{"name": "B", "valueFrom": {"x": 1}}, {"name": "C"}]}})
    );
}

#[test]
fn a_map_that_others_have_a_part_of_does_not_go_with_its_former_owner() {
    let former = FieldSet::parse(
        &json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:data": {".": {}, "f:a": {}, "f:b": {}},
        "f:spec": {"f:template": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}},
            "f:containers": {"k:{\"name\":\"x\"}": {".": {}, "f:name": {}, "f:image": {}}}}}),
    );
    // An apply records no map as a member, only what is in it.
    let now = FieldSet::parse(
        &json!({"f:metadata": {"f:labels": {"f:app": {}}}, "f:data": {"f:a": {}},
        "f:spec": {"f:template": {"f:metadata": {"f:labels": {"f:app": {}}}},
            "f:containers": {"k:{\"name\":\"x\"}": {".": {}, "f:name": {}, "f:image": {}}}}}),
    );
    let gone: Vec<_> = former
        .without_shared(&now)
        .paths()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(gone, [".data.b"]);
    let mut object = json!({"metadata": {"labels": {"app": "x"}}, "data": {"a": "1", "b": "2"}});
    former.without_shared(&now).remove_from(&mut object);
    assert_eq!(
        object,
        json!({"metadata": {"labels": {"app": "x"}}, "data": {"a": "1"}})
    );
}

proptest! {
    /// What others hold stays, whatever goes.
    #[test]
    fn what_is_shared_never_goes(a in 0usize..1000, b in 0usize..1000) {
        let sets = sets();
        let (former, others) = (&sets[a % sets.len()], &sets[b % sets.len()]);
        let gone = former.without_shared(others);
        prop_assert!(former.without_shared(former).is_empty());
        for path in gone.paths() {
            prop_assert!(former.contains(&path) && !others.contains(&path));
            prop_assert!(others.paths().iter().all(|other| !other.0.starts_with(&path.0)), "{path}");
        }
        for path in former.difference(others).leaves() {
            prop_assert!(gone.contains(&path) || others.paths().iter().any(|other| other.0.starts_with(&path.0)), "{path}");
        }
    }

    /// The algebra holds on what a real server recorded.
    #[test]
    fn union_and_difference_are_what_they_say(a in 0usize..1000, b in 0usize..1000) {
        let sets = sets();
        let (a, b) = (&sets[a % sets.len()], &sets[b % sets.len()]);
        prop_assert_eq!(a.union(b), b.union(a));
        prop_assert_eq!(a.union(a), a.clone());
        prop_assert!(a.difference(a).is_empty());
        let (left, both) = (a.difference(b), a.intersection(b));
        prop_assert_eq!(left.union(&both), a.clone());
        prop_assert!(left.intersection(b).is_empty());
        let of = |set: &FieldSet| set.paths().into_iter().collect::<BTreeSet<_>>();
        prop_assert_eq!(of(&a.union(b)), of(a).union(&of(b)).cloned().collect::<BTreeSet<_>>());
        prop_assert_eq!(of(&left), of(a).difference(&of(b)).cloned().collect::<BTreeSet<_>>());
        prop_assert!(a.leaves().iter().all(|path| a.contains(path)));
        let mut again = FieldSet::default();
        a.paths().iter().for_each(|path| again.insert(path));
        prop_assert_eq!(again, a.clone());
    }

    #[test]
    fn reading_a_path_never_panics(text in "\\PC{0,40}") {
        let _ = FieldPath::parse(&text);
    }
}
