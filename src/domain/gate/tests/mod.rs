//! What a permit needs.

use std::time::Duration;

use super::*;
use crate::domain::approvals::Doubt;
use crate::domain::calendar::Calendar;

mod overrides;
mod time;

fn policy(stage: &str, auto: bool, approvals: u32) -> StagePolicy {
    StagePolicy {
        title: format!("shop/{stage}"),
        stage: stage.into(),
        auto,
        approvals,
        approvers: None,
        approver_names: vec![],
        soak: Duration::ZERO,
        calendar: Calendar::default(),
        break_glass: BreakGlass::default(),
    }
}

fn facts() -> Facts {
    Facts {
        now: "2026-01-01T12:00:00Z".parse().unwrap(),
        head: "a".repeat(40).parse().unwrap(),
        author: "windlass[bot]".into(),
        overrides: vec![],
        origin: Origin::Ours,
        contributors: Contributors::known([]),
        draft: false,
        stages: vec![policy("production", false, 1)],
        earlier: vec![],
        holds: vec![],
        merge_requested_by: None,
        rollback: None,
        manual_merge_reason: None,
        touches_unmanaged: None,
        conflicts: vec![],
        preview: Some(PreviewFact {
            completed_at: "2026-01-01T10:00:00Z".parse().unwrap(),
            ok: true,
            unseen: 0,
            unseen_accepted: false,
        }),
        reviews: vec![Review {
            user: "bob".into(),
            approves: true,
            commit: Some("a".repeat(40).parse().unwrap()),
            submitted_at: "2026-01-01T10:00:00Z".parse().unwrap(),
            may_write: true,
        }],
        github: GitHubFacts::default(),
        methods: MergeMethod::ALL.to_vec(),
    }
}

fn auto() -> Facts {
    Facts {
        reviews: vec![],
        stages: vec![policy("staging", true, 0)],
        ..facts()
    }
}

/// A name, one mutation of the good fixture, and what the verdict then says.
type Mutation = (&'static str, fn(&mut Facts), &'static str);

fn assert_refused(table: &[Mutation]) {
    assert!(evaluate(&facts()).1.is_some());
    for (name, mutate, reason) in table {
        let mut facts = facts();
        mutate(&mut facts);
        let (verdict, permit) = evaluate(&facts);
        assert!(permit.is_none(), "{name}");
        assert!(
            verdict.reason.contains(reason),
            "{name}: {}",
            verdict.reason
        );
    }
}

#[test]
fn a_permit_needs_every_gate() {
    assert_refused(&[
        ("no preview", |f| f.preview = None, "not ready yet"),
        (
            "failed preview",
            |f| f.preview.as_mut().unwrap().ok = false,
            "the preview failed",
        ),
        (
            "no review",
            |f| f.reviews.clear(),
            "0 of 1 approvals (shop/production requires 1)",
        ),
        (
            "reader",
            |f| f.reviews[0].may_write = false,
            "they may not write",
        ),
        (
            "unseen",
            |f| f.preview.as_mut().unwrap().unseen = 2,
            "2 changes do not fit",
        ),
        (
            "earlier",
            |f| {
                f.earlier = vec![Earlier {
                    stage: "staging".into(),
                    lacks: Some("runs 1.0.0".into()),
                    since: None,
                    skipped: None,
                }]
            },
            "staging: runs 1.0.0",
        ),
        (
            "changes",
            |f| f.reviews[0].approves = false,
            "bob requested changes",
        ),
        ("draft", |f| f.draft = true, "is a draft"),
    ]);
}

#[test]
fn a_permit_needs_approvals_that_count() {
    assert_refused(&[
        (
            "old head",
            |f| f.reviews[0].commit = Some("b".repeat(40).parse().unwrap()),
            "on an older commit",
        ),
        (
            "too early",
            |f| f.reviews[0].submitted_at = "2026-01-01T09:59:59Z".parse().unwrap(),
            "before the preview",
        ),
        (
            "writer",
            |f| f.contributors = Contributors::known(["bob".into()]),
            "wrote or pushed a commit of it",
        ),
        (
            "unknown",
            |f| f.contributors = Contributors::Unknown(Doubt::Fork),
            "in a fork",
        ),
        (
            "others approve",
            |f| f.stages[0].approvers = Some(["mia".to_string()].into()),
            "not among the stage's approvers",
        ),
        (
            "another stage",
            |f| {
                f.stages.push(StagePolicy {
                    title: "b/c".into(),
                    approvals: 2,
                    ..f.stages[0].clone()
                })
            },
            "1 of 2",
        ),
    ]);
}

#[test]
fn auto_needs_no_review_until_somebody_adds_to_it() {
    assert!(evaluate(&auto()).1.is_some());
    for origin in [Origin::OursChanged, Origin::People] {
        let (verdict, permit) = evaluate(&Facts { origin, ..auto() });
        assert!(permit.is_none(), "{}", verdict.reason);
    }
    assert!(
        evaluate(&Facts {
            touches_unmanaged: Some("windlass.yaml".into()),
            ..auto()
        })
        .1
        .is_none()
    );
    let back = Facts {
        manual_merge_reason: Some("a step back".into()),
        ..auto()
    };
    let (verdict, permit) = evaluate(&back);
    assert_eq!(
        (verdict.reason.as_str(), permit),
        ("0 of 1 approvals (a step back)", None)
    );
    assert!(
        evaluate(&Facts {
            reviews: facts().reviews,
            ..back
        })
        .1
        .is_some(),
        "somebody wants it"
    );
    let both = Facts {
        stages: [auto().stages, facts().stages].concat(),
        ..auto()
    };
    assert!(evaluate(&both).1.is_none(), "the strictest gate counts");
}

#[test]
fn peoples_pull_requests_are_merged_by_people() {
    let (verdict, permit) = evaluate(&Facts {
        origin: Origin::People,
        ..facts()
    });
    assert_eq!((verdict.standing, permit), (Standing::Passed, None));
}
