//! What plans mean for what runs.

use serde_json::{Value, json};

use super::*;
use crate::domain::Live;
use crate::domain::mask::Mask;
use crate::domain::plan::{Comparison, Confidence, Side};

fn deployment(image: &str) -> Side {
    let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 3,
        "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
        "template": {"spec": {"containers": [{"name": "a", "image": image, "envFrom": [{"configMapRef": {"name": "web"}}]}]}}}});
    Side::Object(Live::new(value), Confidence::Server)
}

fn config(value: &str) -> Side {
    Side::Object(
        Live::new(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"a": value}}),
        ),
        Confidence::Server,
    )
}

fn named(kind: &str, name: &str, spec: Value) -> (ResourceKey, Side) {
    let key = ResourceKey {
        group: String::new(),
        kind: kind.into(),
        namespace: None,
        name: name.into(),
    };
    (
        key,
        Side::Object(
            Live::new(json!({"kind": kind, "metadata": {"name": name}, "spec": spec})),
            Confidence::Server,
        ),
    )
}

#[test]
fn order_and_interruption_are_told() {
    type Named = Option<(ResourceKey, Side)>;
    let told = |sides: Vec<(Named, Named)>| {
        let comparisons = sides.into_iter().map(|(before, after)| {
            let key = before.as_ref().or(after.as_ref()).unwrap().0.clone();
            let side = |one: Named| one.map_or(Side::Absent, |(_, side)| side);
            Comparison::new(key, side(before), side(after))
        });
        let plan = Plan::new(&Mask::new(b"t"), comparisons);
        effects(&plan)
            .into_iter()
            .map(|one| format!("{}: {}", one.key, one.text))
            .collect::<Vec<_>>()
    };
    let web = |name: &str, replicas: i64| {
        Some(named(
            "Deployment",
            name,
            json!({"replicas": replicas, "template": {"spec": {"containers": [{"name": "web", "image": name}]}}}),
        ))
    };
    assert_eq!(
        told(vec![(web("old", 2), None), (None, web("new", 2))]),
        [
            "Deployment new: replaces Deployment old, which is deleted once this is healthy; until then both run",
            "Deployment old: stops its 2 pods once the rest of the change is healthy"
        ]
    );
    assert_eq!(
        told(vec![(web("old", 1), None)]),
        ["Deployment old: stops its pod"]
    );
    let scaled = |replicas| Some(named("Deployment", "web", json!({"replicas": replicas})));
    assert_eq!(
        told(vec![(scaled(4), scaled(1))]),
        ["Deployment web: scales down by 3 pods: from 4 to 1"]
    );
    assert_eq!(
        told(vec![(scaled(1), scaled(2))]),
        ["Deployment web: scales up by 1 pod: from 1 to 2"]
    );
    let scaler = json!({"maxReplicas": 9, "scaleTargetRef": {"kind": "Deployment", "name": "web"}});
    assert_eq!(
        told(vec![(
            None,
            Some(named("HorizontalPodAutoscaler", "web", scaler))
        )]),
        [
            "HorizontalPodAutoscaler web: keeps Deployment web between 1 and 9 pods, whatever replicas Git sets"
        ]
    );
}

/// A change back to a version whose pods still run, since the other one never became ready.
#[test]
fn pods_that_still_run_do_not_restart() {
    let Side::Object(mut before, _) = deployment("a") else {
        unreachable!()
    };
    before["metadata"]["uid"] = "u1".into();
    before["kind"] = "Deployment".into();
    before["status"] = json!({"replicas": 4, "updatedReplicas": 1});
    let Side::Object(after, _) = deployment("b") else {
        unreachable!()
    };
    let set = |uid: &str, template: &Value, ready: u64| {
        let mut template = template.clone();
        template["metadata"]["labels"]["pod-template-hash"] = "5m9k2h".into();
        Live::new(json!({"metadata": {"ownerReferences": [{"uid": uid}]},
            "spec": {"template": template}, "status": {"readyReplicas": ready}}))
    };
    let (old, new) = (&after["spec"]["template"], &before["spec"]["template"]);
    let sets = [set("u1", old, 2), set("u2", old, 9), set("u1", new, 9)];
    assert!(is_between_versions(&before));
    // With labels, as templates of real Deployments have them.
    let mut wanted = after.clone();
    wanted["spec"]["template"]["metadata"] = json!({"labels": {}});
    assert_eq!(ready_pods_of(&before, &wanted, &sets), 2);
    let told = |still_ready| {
        let mut back = plan(vec![("Deployment", deployment("a"), deployment("b"))]);
        back.changes[0].notes.still_ready = still_ready;
        (effects(&back).remove(0).text, pods_rolled(&back))
    };
    assert_eq!(
        told(2),
        ("rolls 1 of 3 pods: 2 of this version still run".into(), 1)
    );
    let all = "no pod restarts: 3 pods of this version still run, and those of the other one end";
    assert_eq!(told(3), (all.into(), 0));
}

fn plan(comparisons: Vec<(&str, Side, Side)>) -> Plan {
    let key = |kind: &str| ResourceKey {
        group: String::new(),
        kind: kind.into(),
        namespace: None,
        name: "web".into(),
    };
    Plan::new(
        &Mask::new(b"t"),
        comparisons
            .into_iter()
            .map(|(kind, before, after)| Comparison::new(key(kind), before, after)),
    )
}

#[test]
fn rollouts_and_silent_configuration_are_told() {
    let texts = |plan: &Plan| {
        effects(plan)
            .into_iter()
            .map(|effect| effect.text)
            .collect::<Vec<_>>()
    };
    let rolled = plan(vec![("Deployment", deployment("a"), deployment("b"))]);
    assert_eq!(
        texts(&rolled),
        ["rolls 3 pods (maxSurge 25%, maxUnavailable 0): all 3 stay available"]
    );
    assert_eq!(pods_rolled(&rolled), 3);
    let silent = plan(vec![("ConfigMap", config("1"), config("2"))]);
    assert_eq!(texts(&silent).len(), 1);
    let both = plan(vec![
        ("ConfigMap", config("1"), config("2")),
        ("Deployment", deployment("a"), deployment("b")),
    ]);
    assert_eq!(texts(&both).len(), 1);
    assert!(is_hashed("web-5m9k2h8fc7") && !is_hashed("web-production"));
    assert_eq!(
        texts(&plan(vec![("Namespace", config("1"), Side::Absent)])),
        ["everything in it is deleted with it"]
    );
}

#[test]
fn what_stays_available_in_a_rollout_is_counted() {
    use serde_json::{Value, json};
    let table: [(i64, Value, Value, &str); 7] = [
        (2, json!("25%"), json!("25%"), ": all 2 stay available"),
        (
            10,
            json!("25%"),
            json!("25%"),
            ": at least 8 of 10 stay available",
        ),
        (
            1,
            json!("25%"),
            json!("25%"),
            ": the old one stops once the new one is ready",
        ),
        (
            3,
            json!(0),
            json!("10%"),
            ": at least 2 of 3 stay available",
        ),
        (1, json!(0), json!(1), ": none may be available meanwhile"),
        (4, json!(1), json!(4), ": none may be available meanwhile"),
        (4, json!(1), json!(0), ": all 4 stay available"),
    ];
    for (pods, surge, down, words) in table {
        let said = rollout::stays_available(pods, &surge, &down);
        assert_eq!(said.as_deref(), Some(words), "{pods} {surge} {down}");
    }
    assert_eq!(rollout::stays_available(2, &json!("x"), &json!(1)), None);
}
