//! What counts as another effect than the approved one.

use serde_json::{Value, json};

use super::super::mask::Mask;
use super::super::plan::{Comparison, Side};
use super::*;

fn key() -> ResourceKey {
    ResourceKey {
        group: "apps".into(),
        kind: "Deployment".into(),
        namespace: Some("shop".into()),
        name: "web".into(),
    }
}

fn side(value: Value) -> Side {
    match value {
        Value::Null => Side::Absent,
        value => Side::Object(Live::new(value), Confidence::Server),
    }
}

fn plan(before: Value, after: Value) -> Plan {
    let mask = Mask::new(b"test");
    Plan::new(&mask, [Comparison::new(key(), side(before), side(after))])
}

fn recreated(before: Value, after: Value) -> Plan {
    let mut comparison = Comparison::new(key(), side(before), side(after));
    comparison.notes.recreate = Some("the selector is immutable".into());
    Plan::new(&Mask::new(b"test"), [comparison])
}

/// A Deployment with containers, each a name and an image.
fn web(containers: &[(&str, &str)]) -> Value {
    let containers = containers
        .iter()
        .map(|(name, image)| json!({"name": name, "image": image}));
    json!({"kind": "Deployment", "spec": {"replicas": 2, "containers": containers.collect::<Vec<_>>()}})
}

fn approved(from: &str, to: &str, plan: &Plan) -> ApprovedPlan {
    ApprovedPlan::new(7, (from.into(), to.into()), plan)
}

/// The deviations in short.
fn found(plans: &[ApprovedPlan], inputs: &str, plan: &Plan) -> Vec<String> {
    let found = deviations(plans, inputs, plan, false);
    let all = found.into_iter().flat_map(|found| found.all);
    all.map(|deviation| match deviation.kind {
        DeviationKind::Recreated => "recreated".into(),
        DeviationKind::Value {
            field,
            approved,
            now,
        } => format!("{field}: {now} for {approved}"),
    })
    .collect()
}

#[test]
fn only_another_effect_of_the_approved_change_deviates() {
    let (old, new) = (web(&[("web", "a:1")]), web(&[("web", "a:2")]));
    let plans = [approved("x", "y", &plan(old.clone(), new.clone()))];
    let aside = |image| web(&[("proxy", "p:1"), ("web", image)]);
    let mut scaled = new.clone();
    scaled["spec"]["replicas"] = json!(9);
    let other = ".spec.containers[name=web].image: \"b:2\" for \"a:2\"";
    let table: [(&str, Plan, &[&str]); 9] = [
        ("as approved", plan(old.clone(), new.clone()), &[]),
        ("it is so already", plan(new.clone(), new.clone()), &[]),
        (
            "it was deleted meanwhile",
            plan(Value::Null, new.clone()),
            &[],
        ),
        ("drift is reverted too", plan(scaled, new.clone()), &[]),
        (
            "a sidecar was added in front",
            plan(aside("a:1"), aside("a:2")),
            &[],
        ),
        (
            "another value",
            plan(old.clone(), web(&[("web", "b:2")])),
            &[other],
        ),
        (
            "another value behind a sidecar",
            plan(aside("a:1"), aside("b:2")),
            &[other],
        ),
        (
            "it is deleted and created again",
            recreated(old.clone(), new.clone()),
            &["recreated"],
        ),
        (
            "nothing is known of other inputs",
            plan(old.clone(), web(&[("web", "c:3")])),
            &[],
        ),
    ];
    for (case, plan, expected) in table {
        let inputs = if case.contains("other inputs") {
            "z"
        } else {
            "y"
        };
        assert_eq!(found(&plans, inputs, &plan), expected, "{case}");
    }
}

#[test]
fn of_several_pull_requests_the_last_one_counts() {
    let images = ["a:1", "a:2", "a:3"].map(|image| web(&[("web", image)]));
    let step = |from: usize| plan(images[from].clone(), images[from + 1].clone());
    let plans = [approved("x", "y", &step(0)), approved("y", "z", &step(1))];
    let both = plan(images[0].clone(), images[2].clone());
    assert_eq!(found(&plans, "z", &both), Vec::<String>::new());
    let other = plan(images[0].clone(), images[1].clone());
    assert_eq!(found(&plans, "z", &other).len(), 1);
    // What is synced is not kept any more.
    assert_eq!(after_sync(&plans, "y"), plans[1..]);
    // Both are merged before the base is read again.
    assert_eq!(after_sync(&plans, "x"), plans);
    let mut same = plans.to_vec();
    keep(&mut same, approved("z", "z", &step(0)));
    assert_eq!(same, plans);
    assert_eq!(after_sync(&plans, "z"), []);
}

#[test]
fn an_acceptance_is_for_what_was_shown_of_these_inputs() {
    let (old, new) = (web(&[("web", "a:1")]), web(&[("web", "a:2")]));
    let plans = [approved("x", "y", &plan(old.clone(), new))];
    let found = |image| {
        let plan = recreated(old.clone(), web(&[("web", image)]));
        deviations(&plans, "y", &plan, false).unwrap()
    };
    let (shown, other) = (found("b:2"), found("b:3"));
    assert_eq!(shown.all.len(), 2);
    let accepted = shown.ids("y");
    assert!(shown.are_accepted("y", &accepted));
    // Half of it is applied by now.
    let rest = Deviations {
        all: shown.all[1..].to_vec(),
        ..shown.clone()
    };
    assert!(rest.are_accepted("y", &accepted));
    assert!(!other.are_accepted("y", &accepted));
    assert!(!shown.are_accepted("z", &accepted));
    assert!(!shown.are_accepted("y", ""));
    // A push does not end the stop.
    let again = recreated(old.clone(), web(&[("web", "b:2")]));
    assert_eq!(deviations(&plans, "z", &again, false), None);
    assert_eq!(deviations(&plans, "z", &again, true), Some(shown));
}

#[test]
fn what_is_kept_is_bounded_and_holds_no_long_values() {
    let long = "x".repeat(4000);
    let big = plan(
        Value::Null,
        json!({"kind": "ConfigMap", "data": {"a": long}}),
    );
    let kept = approved("x", "y", &big);
    let text = serde_json::to_string(&kept).unwrap();
    assert!(text.len() < 400, "{text}");
    let many: serde_json::Map<_, _> = (0..5000)
        .map(|n| (format!("key{n}"), json!("value")))
        .collect();
    let many = plan(Value::Null, json!({"kind": "ConfigMap", "data": many}));
    assert!(approved("x", "y", &many).changes[0].values.is_empty());
    let mut plans = Vec::new();
    for number in 0..30 {
        let plan = approved(&format!("{number}"), &format!("{}", number + 1), &big);
        keep(
            &mut plans,
            ApprovedPlan {
                pull_request: number,
                ..plan
            },
        );
    }
    assert_eq!(plans.len(), MOST_PLANS);
    keep(
        &mut plans,
        ApprovedPlan {
            pull_request: 29,
            ..kept
        },
    );
    assert_eq!(
        (plans.len(), plans[MOST_PLANS - 1].to.as_str()),
        (MOST_PLANS, "y")
    );
}

/// Each row: what an object was, what was approved for it, what is live, and whether that is it.
#[test]
fn what_is_live_is_compared_with_what_was_approved() {
    let mask = Mask::new(b"test");
    let (one, two) = (&web(&[("web", "a:1")]), &web(&[("web", "a:2")]));
    let mut beside = web(&[("proxy", "p:1"), ("web", "a:2")]);
    beside["status"] = json!({"readyReplicas": 2});
    let mut bare = two.clone();
    bare["spec"].as_object_mut().unwrap().remove("replicas");
    let secret = |value: &str| json!({"kind": "Secret", "data": {"password": value}});
    let (old, new) = (&secret("YQ=="), &secret("Yg=="));
    let none = &Value::Null;
    let table = [
        ("changed", one, two, two, true),
        ("changed beside others", one, two, &beside, true),
        ("not changed", one, two, one, false),
        ("not there", one, two, none, false),
        ("a field goes", two, &bare, &bare, true),
        ("a field stays", two, &bare, two, false),
        ("deleted", one, none, none, true),
        ("not deleted", one, none, one, false),
        ("created", none, two, two, true),
        ("a secret", old, new, new, true),
    ];
    let is_met = |plan: &Plan, live: &Live| {
        let kept = &approved("x", "y", plan).changes[0];
        kept.is_met(&mask, Some(live).filter(|live| !live.is_null()))
    };
    for (case, before, after, live, expected) in table {
        let plan = plan(before.clone(), after.clone());
        assert_eq!(
            is_met(&plan, &Live::new(live.clone())),
            Some(expected),
            "{case}"
        );
    }
    let estimate = Side::Object(Live::new(two.clone()), Confidence::Static);
    let estimate = Plan::new(&mask, [Comparison::new(key(), Side::Absent, estimate)]);
    assert_eq!(
        is_met(&estimate, &Live::new(two.clone())),
        None,
        "no value of an estimate is kept"
    );
}

/// A plan that sets a value of each of many objects, with names and fields of some length.
fn wide(objects: usize, name: usize, field: usize) -> Plan {
    let all = (0..objects).map(|number| {
        let key = ResourceKey {
            name: format!("{number}{}", "n".repeat(name)),
            ..key()
        };
        let field = "\"".repeat(field);
        let after = json!({"kind": "Deployment", "spec": {field: number}});
        Comparison::new(key, Side::Absent, side(after))
    });
    Plan::new(&Mask::new(b"test"), all)
}

#[test]
fn all_that_is_kept_fits_into_a_status() {
    // Objects, bytes of each name and of each field; how many changes and values of one plan are
    // kept, and how many of thirty plans.
    let table = [
        (1, 10, 10, (1, 1), MOST_PLANS),
        (500, 10, 10, (500, 500), 2),
        (500, 200, 10, (219, 219), 3),
        (5000, 10, 10, (500, 500), 2),
        (5000, 200, 0, (218, 218), 3),
        (500, 10, 2000, (500, 12), 2),
        (5000, 250, 2000, (187, 12), 2),
    ];
    for (objects, name, field, (changes, values), plans) in table {
        let case = format!("{objects} objects, names of {name}, fields of {field}");
        let plan = wide(objects, name, field);
        let one = approved("x", "y", &plan);
        let with_values = one.changes.iter().filter(|kept| !kept.values.is_empty());
        assert_eq!(
            (one.changes.len(), with_values.count()),
            (changes, values),
            "{case}"
        );
        let mut kept = Vec::new();
        for pull_request in 0..30 {
            let (from, to) = (format!("{pull_request}"), format!("{}", pull_request + 1));
            let inputs = ApprovedPlan {
                pull_request,
                from,
                to,
                ..one.clone()
            };
            keep(&mut kept, inputs);
        }
        let newest = kept.last().map(|plan| plan.pull_request);
        assert_eq!((kept.len(), newest), (plans, Some(29)), "{case}");
        assert!(
            serde_json::to_string(&kept).unwrap().len() < 300 << 10,
            "{case}"
        );
    }
}
