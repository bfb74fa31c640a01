use super::*;
use crate::domain::health::{Health, SyncState};
use crate::domain::image::ImageRef;

fn facts() -> PullRequestFacts {
    PullRequestFacts {
        retire: false,
        failure: None,
        outcomes: Vec::new(),
        leaves_queue: false,
        commands: vec![],
        tampered: false,
        duplicates: vec![],
        wanted: Some(Wanted {
            text: "b".into(),
            fingerprint: "f".into(),
            last: false,
        }),
        sticky: None,
        preview: Some("p".into()),
        published: None,
        verdict: Some(Verdict {
            gate: "merge",
            standing: Standing::Pending,
            reason: "r".into(),
            since: None,
            clears: vec![],
            changes_at: None,
            children: vec![],
        }),
        permit: None,
        gate: None,
    }
}

#[test]
fn nothing_is_left_to_do_once_it_is_done() {
    let first = decide(&facts());
    assert!(
        matches!(first[..], [Step::PostSticky(_), Step::PublishCheck]),
        "{first:?}"
    );
    let sticky = Some(Sticky {
        id: 1,
        fingerprint: "f".into(),
        intact: true,
    });
    let second = decide(&PullRequestFacts {
        sticky: sticky.clone(),
        published: Some("p".into()),
        ..facts()
    });
    assert!(
        matches!(
            second[..],
            [Step::SetGate {
                state: "pending",
                ..
            }]
        ),
        "{second:?}"
    );
    let gate = Some(("pending".into(), "r".into()));
    let rests = PullRequestFacts {
        sticky,
        published: Some("p".into()),
        gate,
        ..facts()
    };
    assert_eq!(decide(&rests), []);
    let edited = Some(Sticky {
        id: 1,
        fingerprint: "f".into(),
        intact: false,
    });
    let steps = decide(&PullRequestFacts {
        sticky: edited,
        tampered: true,
        ..rests
    });
    assert!(
        matches!(
            steps[..],
            [Step::ReportTampering, Step::EditSticky { id: 1, .. }]
        ),
        "{steps:?}"
    );
}

#[test]
fn progress_follows_the_newest_commit() {
    use RolloutState::*;
    let summary = |sync, health| ApplicationSummary {
        sync,
        health,
        ..ApplicationSummary::default()
    };
    let healthy = summary(SyncState::Synced, Health::Healthy);
    let with = |summary: &ApplicationSummary, change: fn(&mut ApplicationSummary)| {
        let mut summary = summary.clone();
        change(&mut summary);
        summary
    };
    let unreachable = with(&ApplicationSummary::default(), |it| {
        it.revision = Some("1".repeat(40).parse().unwrap());
    });
    let confirm = with(&healthy, |it| it.confirm = true);
    let unproven = with(&healthy, |it| it.unproven = Some("why".into()));
    let rolling = summary(SyncState::Synced, Health::Progressing);
    let degraded = summary(SyncState::Synced, Health::Degraded);
    let out_of_sync = summary(SyncState::OutOfSync, Health::Healthy);
    let blocked = with(&out_of_sync, |it| it.blocked = true);
    let undecided = with(&blocked, |it| it.reason = Some("NotAsApproved".into()));
    let unknown = summary(SyncState::Unknown, Health::Healthy);
    let table = [
        (RevisionOrder::Before, &healthy, Waiting),
        (RevisionOrder::Before, &unreachable, Stale),
        (RevisionOrder::After, &healthy, Superseded),
        (RevisionOrder::At, &healthy, Healthy),
        (RevisionOrder::At, &confirm, Progressing),
        (RevisionOrder::At, &unproven, Unproven),
        (RevisionOrder::At, &rolling, Progressing),
        (RevisionOrder::At, &out_of_sync, Syncing),
        (RevisionOrder::At, &blocked, Failed),
        (RevisionOrder::At, &undecided, Undecided),
        (RevisionOrder::At, &degraded, Failed),
        (RevisionOrder::At, &unknown, Stale),
    ];
    for (order, summary, expected) in table {
        assert_eq!(progress(order, summary), expected, "{summary:?}");
    }
}

#[test]
fn images_are_told_by_what_containers_ran_and_run() {
    // `a1`: container a runs tag 1.
    let images = |all: &str| -> Vec<(String, ImageRef)> {
        all.split_whitespace()
            .map(|container| {
                (
                    container[..1].to_string(),
                    format!("app:{}", &container[1..]).parse().unwrap(),
                )
            })
            .collect()
    };
    let table = [
        ("a1 b1 c1", "a2 b2 c2", "1>2"),
        ("a1 b1 c1", "a2 b1 c1", "1>2"),
        ("a1 b1 c3", "a2 b2 c4", "1>2 3>4"),
        ("a1 b3", "b4", "3>4"),
        ("a1 b1", "a1", ""),
        ("a1", "a1 b1", ""),
        ("a1", "a1 b2", "->2"),
        ("a1", "b2", "1>2"),
        ("a1 b1", "c2", "1>2"),
        ("a1", "", "1>-"),
        ("", "a1", "->1"),
    ];
    for (before, after, expected) in table {
        let tag = |image: &Option<ImageRef>| {
            image
                .as_ref()
                .map_or("-".into(), |image| image.tag.as_ref().unwrap().to_string())
        };
        let found = image_changes(&images(before), &images(after));
        let found: Vec<_> = found
            .iter()
            .map(|change| format!("{}>{}", tag(&change.from), tag(&change.to)))
            .collect();
        assert_eq!(found.join(" "), expected, "{before} to {after}");
    }
}

#[test]
fn long_reasons_fit_a_status() {
    assert_eq!(shortened(&"é".repeat(200), 140).chars().count(), 140);
    assert_eq!(shortened("short", 140), "short");
}
