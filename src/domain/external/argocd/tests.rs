//! Objects as Argo CD has them, and what is read of them and requested.

use super::*;

fn repo() -> RepoName {
    "acme/config".parse().unwrap()
}

fn read(spec: Value, status: Value) -> ExternalStatus {
    self::status(&Live::new(json!({"spec": spec, "status": status})), &repo())
}

fn sha(digit: &str) -> CommitSha {
    digit.repeat(40).parse().unwrap()
}

const OURS: &str = "https://github.com/acme/config.git";

#[test]
fn its_words_are_read() {
    let status = json!({"sync": {"status": "Synced", "revision": sha("a")}, "health": {"status": "Progressing", "message": "waits"}});
    let found = read(json!({}), status);
    assert_eq!(found.applied, Some(Applied::Commit(sha("a"))));
    assert!(found.synced && found.assesses_objects);
    assert_eq!(found.health, (Health::Progressing, "waits".into()));
    assert_eq!(found.failed, None);
    let failed = read(
        json!({}),
        json!({"sync": {"status": "OutOfSync"}, "operationState": {"phase": "Failed", "message": "no"}}),
    );
    assert_eq!(failed.failed.unwrap().why, "no");
    let broken = read(
        json!({}),
        json!({"conditions": [{"type": "SharedResourceWarning"}, {"type": "ComparisonError", "message": "bad chart"}]}),
    );
    let failure = Failure {
        why: "bad chart".into(),
        at: None,
    };
    assert_eq!(broken.failed, Some(failure));
}

#[test]
fn the_commit_is_that_of_the_source_that_is_this_repository() {
    let (chart, lends) = (
        json!({"repoURL": "https://charts.example.com", "chart": "web", "targetRevision": "1.2.3"}),
        json!({"repoURL": OURS, "ref": "values"}),
    );
    let other = json!({"repoURL": "https://github.com/acme/other", "path": "x"});
    let cases = [
        (json!([chart, lends]), json!(["1.2.3", sha("b")])),
        (json!([lends, other]), json!([sha("b"), sha("c")])),
        (
            json!([other, lends, chart]),
            json!([sha("c"), sha("b"), "1.2.3"]),
        ),
    ];
    for (sources, revisions) in cases {
        let status = json!({"sync": {"status": "Synced", "revisions": revisions}});
        let found = read(json!({"sources": sources}), status);
        assert_eq!(found.applied, Some(Applied::Commit(sha("b"))), "{sources}");
    }
}

#[test]
fn a_chart_of_elsewhere_counts_once_it_is_compared() {
    let chart = |version: &str| json!({"repoURL": "https://charts.example.com", "chart": "web", "targetRevision": version, "helm": {"values": "a: 1"}});
    let compared = |version: &str| json!({"sync": {"status": "Synced", "revision": version, "comparedTo": {"source": chart(version)}}});
    let spec = json!({"source": chart("2.0.0")});
    assert_eq!(read(spec.clone(), compared("1.0.0")).applied, None);
    assert_eq!(
        read(spec.clone(), compared("2.0.0")).applied,
        Some(Applied::Elsewhere)
    );
    // What is empty is left out there.
    let mut odd = spec;
    odd["source"]["helm"]["skipCrds"] = false.into();
    assert_eq!(
        read(odd, compared("2.0.0")).applied,
        Some(Applied::Elsewhere)
    );
}

#[test]
fn a_hydrated_commit_is_the_one_that_it_was_made_from() {
    let spec = json!({"sourceHydrator": {"drySource": {"repoURL": OURS, "path": "x"}, "syncSource": {"targetBranch": "env/prod"}}});
    let of = |synced: CommitSha| {
        json!({"sync": {"status": "Synced", "revision": synced},
        "sourceHydrator": {"lastSuccessfulOperation": {"drySHA": sha("d"), "hydratedSHA": sha("e")}}})
    };
    assert_eq!(
        read(spec.clone(), of(sha("e"))).applied,
        Some(Applied::Commit(sha("d")))
    );
    assert_eq!(read(spec.clone(), of(sha("f"))).applied, None);
    let live = Live::new(json!({"spec": spec}));
    assert!(is_of(&live, (&repo(), None), &[]));
    let annotations = json!({REFRESH: "normal", HYDRATE: "normal"});
    let Request::Patch(patch) = refresh(&live) else {
        panic!("it is refreshed");
    };
    assert_eq!(patch["metadata"]["annotations"], annotations);
}

#[test]
fn what_it_leaves_undeleted_is_no_difference() {
    let of = |pruning: bool, synced: CommitSha| {
        json!({
        "sync": {"status": "OutOfSync", "revision": sha("a")},
        "operationState": {"phase": "Succeeded", "syncResult": {"revision": synced}},
        "resources": [{"status": "Synced"}, {"status": "OutOfSync", "requiresPruning": pruning}]})
    };
    for (pruning, at, synced) in [(true, "a", true), (false, "a", false), (true, "b", false)] {
        assert_eq!(
            read(json!({}), of(pruning, sha(at))).synced,
            synced,
            "{pruning} {at}"
        );
    }
}

#[test]
fn a_sync_is_requested_once_and_as_its_policy_says() {
    let live = |more: Value| {
        let mut live = json!({"metadata": {"resourceVersion": "7"}, "spec": {
            "source": {"repoURL": OURS, "path": "x"},
            "syncPolicy": {"syncOptions": ["ServerSideApply=true"], "retry": {"limit": 3}}}});
        for (name, value) in more.as_object().unwrap() {
            live[name] = value.clone();
        }
        Live::new(live)
    };
    assert_eq!(
        sync(&live(json!({})), "comment-1"),
        Request::Patch(json!({
            "metadata": {"resourceVersion": "7", "annotations": {REFRESH: "normal"}},
            "operation": {"initiatedBy": {"username": "windlass"}, "info": [{"name": "windlass", "value": "comment-1"}],
                "sync": {"prune": false, "syncOptions": ["ServerSideApply=true"]}, "retry": {"limit": 3}}}))
    );
    let requested = json!({"info": [{"name": "windlass", "value": "comment-1"}]});
    let state = |phase: &str| json!({"status": {"operationState": {"phase": phase, "operation": requested}}});
    let cases = [
        (json!({"operation": requested}), Request::Pending),
        (json!({"operation": {"sync": {}}}), Request::Pending),
        (state("Running"), Request::Pending),
        (state("Succeeded"), Request::Done),
        (state("Failed"), Request::Done),
    ];
    for (more, expected) in cases {
        assert_eq!(sync(&live(more.clone()), "comment-1"), expected, "{more}");
    }
    assert!(matches!(
        sync(&live(state("Succeeded")), "comment-2"),
        Request::Patch(_)
    ));
    let refreshed = live(json!({"metadata": {"annotations": {REFRESH: "hard"}}}));
    assert_eq!(refresh(&refreshed), Request::Pending);
    assert!(matches!(refresh(&live(json!({}))), Request::Patch(_)));
}

#[test]
fn an_application_is_of_the_repository_that_it_renders() {
    let (ours, theirs) = (
        json!({"repoURL": OURS, "path": "x"}),
        json!({"repoURL": "https://github.com/other/config", "path": "x"}),
    );
    let lent = json!({"repoURL": OURS, "ref": "values"});
    let chart = |name: &str| json!({"repoURL": "https://charts.example.com", "chart": name, "targetRevision": "1.0.0"});
    let declared = ("https://charts.example.com".to_string(), "web".to_string());
    let declared = [declared];
    let cases = [
        (json!([ours]), &[][..], true),
        (json!([theirs]), &[][..], false),
        (json!([chart("web"), lent]), &[][..], true),
        // It rolls out what others merged.
        (json!([theirs, lent]), &[][..], false),
        (json!([chart("web")]), &[][..], false),
        (json!([chart("web")]), &declared[..], true),
        (json!([chart("db")]), &declared[..], false),
    ];
    for (sources, declared, expected) in cases {
        let live = Live::new(json!({"spec": {"sources": sources}}));
        assert_eq!(
            is_of(&live, (&repo(), None), declared),
            expected,
            "{sources}"
        );
    }
    let ssh = Live::new(json!({"spec": {"source": {"repoURL": "git@github.com:Acme/Config"}}}));
    assert!(is_of(&ssh, (&repo(), Some("github.com")), &[]));
}

#[test]
fn a_failure_is_of_the_commit_that_was_synced() {
    let status = json!({"sync": {"revision": sha("b")}, "operationState": {"phase": "Failed", "message": "no", "syncResult": {"revision": sha("a")}}});
    let found = read(json!({"source": {"repoURL": OURS}}), status);
    assert_eq!(found.failed.unwrap().at, Some(sha("a")));
}
