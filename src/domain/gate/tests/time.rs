//! Gates that time opens: soak, windows, freezes.

use super::*;
use crate::domain::calendar::{RawTimes, freeze, window};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn find(verdict: &Verdict, gate: &str) -> Option<Verdict> {
    let mut children = verdict.children.iter();
    children.find(|child| child.gate == gate).cloned()
}

fn ready(stage: &str, since: &str) -> Earlier {
    Earlier {
        stage: stage.into(),
        lacks: None,
        skipped: None,
        since: Some(at(since)),
    }
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// 12:00 is now. Each row: the earlier stages, the soak of each touched stage, and what is said.
#[test]
fn the_longest_soak_counts_from_the_stage_that_became_ready_last() {
    let lacking = Earlier {
        lacks: Some("does not run 1.1.0".into()),
        since: None,
        ..ready("qa", "2026-01-01T11:00:00Z")
    };
    let skipped = Earlier {
        skipped: Some(("ada".into(), "a hot fix".into())),
        ..ready("staging", "2026-01-01T11:59:00Z")
    };
    let table = [
        (vec![], vec![30], None),
        (vec![skipped], vec![30], None),
        (
            vec![ready("staging", "2026-01-01T11:30:00Z")],
            vec![0],
            None,
        ),
        (
            vec![ready("staging", "2026-01-01T11:30:00Z")],
            vec![30],
            Some("Passed: staging healthy for long enough (shop/stage0 asks for 30m)"),
        ),
        (
            vec![ready("staging", "2026-01-01T11:30:01Z")],
            vec![30],
            Some(
                "Pending: staging must stay healthy until 2026-01-01 12:00:01 UTC (shop/stage0 asks for 30m)",
            ),
        ),
        (
            vec![
                ready("staging", "2026-01-01T09:00:00Z"),
                ready("qa", "2026-01-01T11:00:00Z"),
            ],
            vec![30, 120],
            Some(
                "Pending: staging, qa must stay healthy until 2026-01-01 13:00 UTC (shop/stage1 asks for 2h)",
            ),
        ),
        (
            vec![lacking],
            vec![30],
            Some("Pending: qa must be healthy first (shop/stage0 asks for 30m)"),
        ),
    ];
    for (earlier, soaks, expected) in table {
        assert_eq!(soak_of(&soaks, earlier).as_deref(), expected);
    }
}

/// What the gate says of stages that ask for so many minutes.
fn soak_of(soaks: &[u64], earlier: Vec<Earlier>) -> Option<String> {
    let stages = soaks.iter().enumerate().map(|(number, soak)| StagePolicy {
        soak: minutes(*soak),
        ..policy(&format!("stage{number}"), false, 1)
    });
    let facts = Facts {
        stages: stages.collect(),
        earlier,
        ..facts()
    };
    let soak = find(&evaluate(&facts).0, "soak")?;
    Some(format!("{:?}: {}", soak.standing, soak.reason))
}

#[test]
fn a_soak_ends_by_itself_and_a_rollback_does_not_wait_for_it() {
    let mut facts = facts();
    facts.stages[0].soak = minutes(30);
    facts.earlier = vec![ready("staging", "2026-01-01T11:45:00Z")];
    let (verdict, permit) = evaluate(&facts);
    let over = at("2026-01-01T12:15:00Z");
    let soak = find(&verdict, "soak").unwrap();
    assert_eq!(permit, None);
    assert_eq!(soak.since, Some(at("2026-01-01T11:45:00Z")));
    assert_eq!(soak.clears, [Clear::Itself { at: over }]);
    assert_eq!(verdict.changes_at, Some(over));
    let later = Facts {
        now: over,
        ..facts.clone()
    };
    let (verdict, permit) = evaluate(&later);
    assert!(permit.is_some());
    assert_eq!(verdict.changes_at, None);
    // A rollback promotes nothing.
    let rollback = Facts {
        rollback: Some(("shop/production".into(), "b".repeat(40).parse().unwrap())),
        earlier: vec![],
        ..facts
    };
    let (verdict, permit) = evaluate(&rollback);
    assert!(permit.is_some() && find(&verdict, "soak").is_none());
}

/// 2026-01-01 is a Thursday, and 12:00 UTC is 13:00 in Berlin.
fn calendar(windows: &[(&str, &str, &str)], freezes: &[(&str, &str)]) -> Calendar {
    let times = |from, to| RawTimes {
        from,
        to,
        zone: Some("Europe/Berlin"),
    };
    let windows = windows
        .iter()
        .map(|(days, from, to)| window(Some(days), &times(from, to)).unwrap());
    let freezes = freezes
        .iter()
        .map(|(from, to)| freeze(&times(from, to), Some("stock-taking".into())).unwrap());
    Calendar {
        windows: windows.collect(),
        freezes: freezes.collect(),
    }
}

fn with(calendars: Vec<(&str, Calendar)>) -> Facts {
    let stages = calendars.into_iter().map(|(stage, calendar)| StagePolicy {
        calendar,
        ..policy(stage, false, 1)
    });
    Facts {
        stages: stages.collect(),
        ..facts()
    }
}

#[test]
fn every_touched_stage_has_to_be_open() {
    let open = || calendar(&[("mon-fri", "09:00", "16:00")], &[]);
    let closed = || calendar(&[("fri", "09:00", "16:00")], &[]);
    let frozen = || calendar(&[], &[("2025-12-20", "2026-01-05")]);
    let table = [
        (vec![("a", Calendar::default())], None, None),
        (
            vec![("a", open())],
            Some("Passed: a takes changes now"),
            Some("2026-01-01T15:00:00Z"),
        ),
        (
            vec![("a", open()), ("b", closed()), ("b", closed())],
            Some(
                "Pending: b takes changes only in its windows: the next one opens 2026-01-02 09:00 Europe/Berlin",
            ),
            Some("2026-01-01T15:00:00Z"),
        ),
        (
            vec![("b", closed()), ("c", frozen())],
            Some(
                "Pending: b takes changes only in its windows: the next one opens 2026-01-02 09:00 Europe/Berlin; c is frozen until 2026-01-05 00:00 Europe/Berlin (stock-taking)",
            ),
            Some("2026-01-02T08:00:00Z"),
        ),
    ];
    for (calendars, expected, changes_at) in table {
        let (verdict, _) = evaluate(&with(calendars));
        let windows = find(&verdict, "windows");
        let said = windows.map(|gate| format!("{:?}: {}", gate.standing, gate.reason));
        assert_eq!(said.as_deref(), expected);
        assert_eq!(verdict.changes_at, changes_at.map(at), "{expected:?}");
    }
}

#[test]
fn a_freeze_holds_people_too_and_a_rollback_passes_it() {
    let frozen = calendar(&[], &[("2025-12-20", "2026-01-05")]);
    let mut by_command = frozen.clone();
    by_command.freezes[0].by = Some("ada".into());
    let people = Facts {
        origin: Origin::People,
        ..with(vec![("a", frozen)])
    };
    let (verdict, _) = evaluate(&people);
    assert_eq!(verdict.standing, Standing::Pending);
    let until = at("2026-01-04T23:00:00Z");
    let gate = find(&verdict, "windows").unwrap();
    assert_eq!(gate.since, Some(at("2025-12-19T23:00:00Z")));
    assert_eq!(gate.clears, [Clear::Itself { at: until }]);
    let gate = find(&evaluate(&with(vec![("a", by_command)])).0, "windows").unwrap();
    assert_eq!(
        gate.reason,
        "a is frozen until 2026-01-05 00:00 Europe/Berlin by ada (stock-taking)"
    );
    let unfreeze = Clear::Unfreeze { stage: "a".into() };
    assert_eq!(gate.clears, [Clear::Itself { at: until }, unfreeze]);
    let thawed = Facts {
        now: until,
        ..people.clone()
    };
    assert_eq!(evaluate(&thawed).0.standing, Standing::Passed);
    let title = people.stages[0].title.clone();
    let rollback = |of: &str| {
        let facts = Facts {
            rollback: Some((of.into(), "b".repeat(40).parse().unwrap())),
            ..people.clone()
        };
        evaluate(&facts).0.standing
    };
    assert_eq!(rollback(&title), Standing::Passed);
    // What it changes in another stage waits there.
    assert_eq!(rollback("other/stage"), Standing::Pending);
}
