use super::*;
use crate::domain::Live;
use crate::domain::labels::WAVE;
use crate::domain::mask::Mask;
use crate::domain::plan::{Comparison, Side};

fn key(kind: &str, name: &str) -> ResourceKey {
    ResourceKey {
        group: String::new(),
        kind: kind.into(),
        namespace: None,
        name: name.into(),
    }
}

fn facts(comparison: Option<(Side, Side)>) -> SyncFacts {
    let comparisons =
        comparison.map(|(before, after)| Comparison::new(key("ConfigMap", "a"), before, after));
    SyncFacts {
        rendered: Ok(1),
        owns_nothing: false,
        plan: Plan::new(&Mask::new(b"test"), comparisons),
        health: (Health::Healthy, String::new()),
        withheld: vec![],
        terminating: vec![],
        paused: None,
        waits_for: vec![],
        drifted: BTreeSet::new(),
        drift: DriftMode::Heal,
        proposal: Proposal::None,
        late: BTreeMap::new(),
        drift_loops: vec![],
        waves: Waves::default(),
        adoption: None,
        deviations: None,
    }
}

/// The sides of an object that is to be created.
fn create() -> Option<(Side, Side)> {
    let object = serde_json::json!({"a": 1});
    Some((
        Side::Absent,
        Side::Object(Live::new(object), Confidence::Server),
    ))
}

fn code(step: &Step) -> Option<&'static str> {
    match step {
        Step::Apply => None,
        Step::Blocked(reason) | Step::Report(reason) | Step::Propose(reason) => Some(reason.code()),
        Step::Wait { reason, .. } | Step::InSync { reason, .. } => Some(reason.code()),
    }
}

#[test]
fn a_wave_waits_for_the_one_before() {
    let object = |wave: &str| serde_json::json!({"metadata": {"annotations": {WAVE: wave}}});
    let (first, second, namespace) = (
        key("Job", "first"),
        key("Deployment", "second"),
        key("Namespace", "n"),
    );
    let waves = |health: Health| {
        let (a, b) = (object("-1"), object("2"));
        Waves::new([
            (&first, &a, (health, "Job first: is running".to_string())),
            (&second, &b, (Health::Missing, String::new())),
            (
                &namespace,
                &serde_json::json!({}),
                (Health::Healthy, String::new()),
            ),
        ])
    };
    let (running, done) = (waves(Health::Progressing), waves(Health::Healthy));
    assert!(
        running.allows(&first)
            && running.allows(&namespace)
            && !running.allows(&second)
            && !running.allows(&key("ConfigMap", "gone"))
    );
    assert!(done.allows(&second));
    let create = |key: &ResourceKey| {
        Comparison::new(
            key.clone(),
            Side::Absent,
            Side::Object(Live::new(serde_json::json!({"a": 1})), Confidence::Server),
        )
    };
    let plan = Plan::new(&Mask::new(b"t"), [create(&second)]);
    let step = decide(&SyncFacts {
        plan: plan.clone(),
        waves: running,
        ..facts(None)
    });
    assert_eq!(
        step,
        wait(Reason::Wave {
            wave: -1,
            failed: false,
            why: "Job first: is running".into()
        })
    );
    assert_eq!(
        decide(&SyncFacts {
            plan,
            waves: done,
            ..facts(None)
        }),
        Step::Apply
    );
}

#[test]
fn a_sync_stops_at_what_it_cannot_answer_for() {
    assert_eq!(decide(&facts(create())), Step::Apply);
    assert_eq!(code(&decide(&facts(None))), Some("Healthy"));
    assert!(matches!(
        decide(&SyncFacts {
            rendered: Ok(0),
            ..facts(create())
        }),
        Step::Blocked(_)
    ));
    // It never rendered anything.
    let empty = SyncFacts {
        rendered: Ok(0),
        owns_nothing: true,
        ..facts(None)
    };
    assert_eq!(code(&decide(&empty)), Some("Healthy"));
    let refused = Some((Side::Absent, Side::Refused("no".into())));
    assert_eq!(
        decide(&facts(refused)),
        Step::Blocked(Reason::Refused(vec![(key("ConfigMap", "a"), "no".into())]))
    );
    let waits = SyncFacts {
        waits_for: vec!["platform/staging".into()],
        ..facts(create())
    };
    assert_eq!(
        decide(&waits),
        wait(Reason::WaitsForApplications(vec![
            "platform/staging".into()
        ]))
    );
    assert!(matches!(
        decide(&SyncFacts {
            adoption: Some(Adoption::OtherCluster {
                application: "a/b".into()
            }),
            ..facts(create())
        }),
        Step::Blocked(_)
    ));
    assert!(matches!(
        decide(&SyncFacts {
            adoption: Some(Adoption::OtherCluster {
                application: "a/b".into()
            }),
            ..facts(None)
        }),
        Step::InSync { .. }
    ));
}

#[test]
fn a_sync_sets_back_or_reports_what_others_changed() {
    let drifted: BTreeSet<_> = [key("ConfigMap", "a")].into();
    let reported = SyncFacts {
        drifted: drifted.clone(),
        drift: DriftMode::Report,
        ..facts(create())
    };
    assert_eq!(
        decide(&reported),
        Step::Report(Reason::Drift {
            objects: vec![Drift {
                key: key("ConfigMap", "a"),
                deleted: true,
                by: vec![]
            }],
            proposal: Proposal::None
        })
    );
    assert_eq!(
        decide(&SyncFacts {
            drift: DriftMode::Report,
            ..facts(create())
        }),
        Step::Apply,
        "a change of Git is no drift"
    );
    let drift_loops = vec![(key("ConfigMap", "a"), "some-operator".to_string())];
    assert!(matches!(
        decide(&SyncFacts {
            drifted,
            drift_loops,
            ..facts(create())
        }),
        Step::Blocked(_)
    ));
}

#[test]
fn deletions_come_last_and_wait_for_health() {
    let (old, new) = (key("Deployment", "old"), key("Deployment", "new"));
    let object = || Side::Object(Live::new(serde_json::json!({"a": 1})), Confidence::Server);
    let plan = Plan::new(
        &Mask::new(b"t"),
        [Comparison::new(old.clone(), object(), Side::Absent)],
    );
    let both = Plan::new(
        &Mask::new(b"t"),
        [
            Comparison::new(old.clone(), object(), Side::Absent),
            Comparison::new(new.clone(), Side::Absent, object()),
        ],
    );
    let late = BTreeMap::from([(old.clone(), Late::Healthy)]);
    let first = SyncFacts {
        plan: both,
        late: late.clone(),
        ..facts(None)
    };
    assert_eq!(decide(&first), Step::Apply);
    assert!(first.allows(&new) && !first.allows(&old));
    let waits = SyncFacts {
        plan: plan.clone(),
        late: late.clone(),
        health: (Health::Progressing, "new rolls".into()),
        ..facts(None)
    };
    let reason = |health: &SyncFacts| Reason::DeletionsWait {
        health: health.health.clone(),
        deletions: vec![(old.clone(), Late::Healthy)],
    };
    assert_eq!(decide(&waits), wait(reason(&waits)));
    let failed = SyncFacts {
        health: (Health::Degraded, "new crashes".into()),
        ..waits.clone()
    };
    assert_eq!(decide(&failed), Step::Blocked(reason(&failed)));
    let healthy = SyncFacts {
        health: (Health::Healthy, String::new()),
        ..waits
    };
    assert_eq!(decide(&healthy), Step::Apply);
    let used = SyncFacts {
        late: BTreeMap::from([(old.clone(), Late::Used { by: "Pod a".into() })]),
        ..healthy
    };
    assert!(matches!(decide(&used), Step::Wait { .. }));
}
