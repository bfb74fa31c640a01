//! Break glass.

use super::*;

/// A pull request without a review, in two stages whose gates ann, bob and the author may override.
fn broken() -> Facts {
    let stage = |name: &str, members: &[&str]| StagePolicy {
        break_glass: BreakGlass {
            names: vec!["acme/oncall".into()],
            members: members.iter().map(|name| name.to_string()).collect(),
        },
        ..policy(name, false, 1)
    };
    Facts {
        author: "Max".into(),
        reviews: vec![],
        stages: vec![
            stage("a", &["ann", "bob", "max"]),
            stage("b", &["ann", "bob", "max", "eve"]),
        ],
        ..facts()
    }
}

fn by(gate: &str, people: &[&str]) -> Vec<Override> {
    let given = |(minute, by): (usize, &&str)| Override {
        gate: gate.into(),
        by: by.to_string(),
        reason: "the shop is down".into(),
        at: format!("2026-01-01T11:0{minute}:00Z").parse().unwrap(),
    };
    people.iter().enumerate().map(given).collect()
}

#[test]
fn two_people_whom_every_stage_names_override_a_gate() {
    let table: [(&str, &[&str], bool); 7] = [
        ("approvals", &["ann", "Bob"], true),
        ("approvals", &["ann"], false),
        ("approvals", &["ann", "Ann", "ANN"], false),
        ("approvals", &["ann", "max"], false),
        ("approvals", &["ann", "eve"], false),
        ("approvals", &["ann", "rita"], false),
        ("soak", &["ann", "bob"], false),
    ];
    for (gate, people, passes) in table {
        let facts = Facts {
            overrides: by(gate, people),
            ..broken()
        };
        assert_eq!(evaluate(&facts).1.is_some(), passes, "{gate} {people:?}");
    }
}

#[test]
fn an_overridden_gate_says_who_why_and_what_it_was() {
    let mut facts = broken();
    let clear = Clear::BreakGlass {
        gate: "approvals".into(),
        names: vec!["acme/oncall".into()],
    };
    let gate = |facts: &Facts| evaluate(facts).0.children[1].clone();
    assert_eq!(gate(&facts).clears[1], clear);
    facts.overrides = by("approvals", &["ann"]);
    assert_eq!(
        gate(&facts).reason,
        "0 of 1 approvals (shop/b requires 1); ann overrides it, a second person is needed"
    );
    facts.overrides = by("approvals", &["ann", "bob"]);
    let approvals = gate(&facts);
    assert_eq!(approvals.standing, Standing::Passed);
    assert_eq!(
        approvals.reason,
        "overridden by ann (the shop is down), bob (the shop is down); it was: 0 of 1 approvals (shop/b requires 1)"
    );
    assert_eq!(approvals.since, facts.overrides.last().map(|last| last.at));
    assert_eq!(approvals.clears, []);
}

/// Each row: a gate, and a mutation after which nobody may override it.
#[test]
fn what_nobody_may_override_stays() {
    let table: [Mutation; 6] = [
        ("preview", |f| f.preview = None, "not ready yet"),
        ("draft", |f| f.draft = true, "is a draft"),
        (
            "conflicts",
            |f| f.conflicts = vec!["a.yaml".into()],
            "conflicts with the base",
        ),
        ("GitHub", |f| f.github.queued = true, "merge queue"),
        (
            "approvals",
            |f| f.touches_unmanaged = Some("windlass.yaml".into()),
            "0 of 1 approvals",
        ),
        ("approvals", |f| f.stages.clear(), "0 of 1 approvals"),
    ];
    for (gate, mutate, reason) in table {
        let mut facts = Facts {
            overrides: [by("approvals", &["ann", "bob"]), by(gate, &["ann", "bob"])].concat(),
            manual_merge_reason: Some("a step back".into()),
            ..broken()
        };
        mutate(&mut facts);
        let (verdict, permit) = evaluate(&facts);
        assert!(permit.is_none(), "{gate}");
        assert!(
            verdict.reason.contains(reason),
            "{gate}: {}",
            verdict.reason
        );
    }
}

#[test]
fn a_refused_override_says_why() {
    let facts = broken();
    let refusal = |gate: &str, user: &str| override_refusal(&facts, gate, user);
    assert_eq!(refusal("soak", "ANN"), None);
    assert_eq!(refusal("soak", "max"), Some(OverrideRefusal::Author));
    assert_eq!(
        refusal("soak", "eve"),
        Some(OverrideRefusal::NotNamed {
            title: "shop/a".into(),
            names: vec!["acme/oncall".into()],
        })
    );
    let overridable = vec!["approvals", "earlier stages", "soak", "windows", "holds"];
    assert_eq!(
        refusal("preview", "ann"),
        Some(OverrideRefusal::Gate { overridable })
    );
}
