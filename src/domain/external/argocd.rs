//! Argo CD's `Application`: its status, and requests to it.
//!
//! Facts: the types of github.com/argoproj/argo-cd, pkg/apis/application/v1alpha1, and
//! argo-cd.readthedocs.io ("Sync Applications with Kubectl", annotation
//! `argocd.argoproj.io/refresh`, which the controller removes).

use serde_json::{Value, json};

use super::{Applied, ExternalStatus, Failure, Request, is_alike, patch, text};
use crate::domain::build::argocd::{charts as argocd_charts, only_lends, sources};
use crate::domain::health::Health;
use crate::domain::{CommitSha, Live, RepoName};

/// The controller compares the Application with its newest commit, and removes the annotation.
const REFRESH: &str = "argocd.argoproj.io/refresh";
/// Its hydrator looks at the newest commit of the dry source.
const HYDRATE: &str = "argocd.argoproj.io/hydrate";
/// How a requested operation says whose it is.
const OURS: &str = "windlass";

/// An Application's status.
pub fn status(live: &Live, repo: &RepoName) -> ExternalStatus {
    let status = &live["status"];
    let why = text(&status["health"]["message"]);
    let health = match status["health"]["status"].as_str() {
        Some("Healthy") => (Health::Healthy, String::new()),
        Some("Suspended") => (Health::Suspended, why),
        Some("Progressing") => (Health::Progressing, why),
        Some("Missing") => (Health::Missing, why),
        Some("Degraded") => (Health::Degraded, why),
        _ => (Health::Unknown, why),
    };
    ExternalStatus {
        applied: applied(live, repo),
        synced: status["sync"]["status"] == "Synced" || keeps_only_deletions(status),
        health,
        assesses_objects: true,
        failed: failed(live, repo),
        waits: Some(text(&status["operationState"]["message"]))
            .filter(|message| is_running(live) && !message.is_empty()),
    }
}

fn is_running(live: &Live) -> bool {
    let phase = live["status"]["operationState"]["phase"].as_str();
    matches!(phase, Some("Running" | "Terminating"))
}

/// The commit of the repository that it applied, whichever of its sources that is.
fn applied(live: &Live, repo: &RepoName) -> Option<Applied> {
    let (spec, sync) = (&live["spec"], &live["status"]["sync"]);
    if spec["sourceHydrator"].is_object() {
        return hydrated(live).map(Applied::Commit);
    }
    let Some(at) = own_source(live, repo) else {
        let compared = &sync["comparedTo"];
        let is_compared = ["source", "sources"]
            .iter()
            .all(|field| is_alike(&compared[field], &spec[field]));
        return is_compared.then_some(Applied::Elsewhere);
    };
    commit_of(sync, at).map(Applied::Commit)
}

/// The source that is the repository, or else the first one in Git. None: all are charts.
fn own_source(live: &Live, repo: &RepoName) -> Option<usize> {
    let sources = sources(live);
    let is_git = |source: &&Value| source["chart"].is_null();
    let is_ours = |source: &&Value| is_git(source) && repo.has_url(&text(&source["repoURL"]));
    let at = sources.iter().position(is_ours);
    at.or_else(|| sources.iter().position(is_git))
}

/// The commit of a source in what it compared or synced.
fn commit_of(of: &Value, source: usize) -> Option<CommitSha> {
    let commit = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
    match of["revisions"].as_array() {
        Some(revisions) if !revisions.is_empty() => revisions.get(source).and_then(commit),
        _ => commit(&of["revision"]),
    }
}

/// The commit that its hydrator made what it applied from.
fn hydrated(live: &Live) -> Option<CommitSha> {
    let status = &live["status"];
    let last = &status["sourceHydrator"]["lastSuccessfulOperation"];
    let is_last =
        last["hydratedSHA"].is_string() && last["hydratedSHA"] == status["sync"]["revision"];
    let dry = last["drySHA"].as_str().filter(|_| is_last);
    dry.and_then(|text| text.parse().ok())
}

/// It synced, and all that differs are objects that left Git and that it does not delete by itself.
fn keeps_only_deletions(status: &Value) -> bool {
    let operation = &status["operationState"];
    let is_of_it = |field: &str| {
        !status["sync"][field].is_null() && operation["syncResult"][field] == status["sync"][field]
    };
    let resources = status["resources"].as_array().into_iter().flatten();
    let mut differing = resources
        .filter(|one| one["status"] == "OutOfSync")
        .peekable();
    operation["phase"] == "Succeeded"
        && (is_of_it("revision") || is_of_it("revisions"))
        && differing.peek().is_some()
        && differing.all(|one| one["requiresPruning"] == true)
}

fn failed(live: &Live, repo: &RepoName) -> Option<Failure> {
    let status = &live["status"];
    let operation = &status["operationState"];
    let has_failed = matches!(operation["phase"].as_str(), Some("Failed" | "Error"));
    let at = own_source(live, repo).and_then(|at| commit_of(&operation["syncResult"], at));
    let of_operation = has_failed.then(|| Failure {
        why: text(&operation["message"]),
        at,
    });
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut errors = conditions.filter(|condition| text(&condition["type"]).ends_with("Error"));
    let of_comparison = || {
        Some(Failure {
            why: text(&errors.next()?["message"]),
            at: None,
        })
    };
    of_operation.or_else(of_comparison)
}

/// Whether what it renders is of this repository: only then it is the repository's to follow and
/// to sync. `charts`: those of the object as Git has it, by which a chart of elsewhere is.
pub fn is_of(live: &Live, repo: &RepoName, charts: &[(String, String)]) -> bool {
    let is_ours = |source: &Value| repo.has_url(&text(&source["repoURL"]));
    let hydrated = &live["spec"]["sourceHydrator"]["drySource"];
    if hydrated.is_object() {
        return is_ours(hydrated);
    }
    let sources = sources(live);
    let is_other_git =
        |source: &&&Value| source["chart"].is_null() && !only_lends(source) && !is_ours(source);
    !sources.iter().any(|source| is_other_git(&source))
        && (sources.iter().any(|source| is_ours(source))
            || !charts.is_empty() && argocd_charts(live) == charts)
}

/// Has it compare itself with its newest commit.
pub fn refresh(live: &Live) -> Request {
    match live.annotation(REFRESH) {
        Some(_) => Request::Pending,
        None => Request::Patch(patch(
            live,
            json!({"metadata": {"annotations": looks(live)}}),
        )),
    }
}

/// The annotations by which it looks at the newest commit.
fn looks(live: &Live) -> Value {
    match live["spec"]["sourceHydrator"].is_object() {
        true => json!({REFRESH: "normal", HYDRATE: "normal"}),
        false => json!({REFRESH: "normal"}),
    }
}

/// Has it sync, as its sync policy says how. `id` names the request.
pub fn sync(live: &Live, id: &str) -> Request {
    let (policy, state) = (
        &live["spec"]["syncPolicy"],
        &live["status"]["operationState"],
    );
    if live["operation"].is_object() || is_running(live) {
        return Request::Pending;
    }
    let ours = json!({"name": OURS, "value": id});
    let info = state["operation"]["info"].as_array();
    if info.is_some_and(|all| all.contains(&ours)) {
        return Request::Done;
    }
    let automated = &policy["automated"];
    let mut operation = json!({
        "initiatedBy": {"username": OURS},
        "info": [ours],
        "sync": {"prune": automated["prune"] == true && automated["enabled"] != false},
    });
    if policy["syncOptions"].is_array() {
        operation["sync"]["syncOptions"] = policy["syncOptions"].clone();
    }
    if policy["retry"].is_object() {
        operation["retry"] = policy["retry"].clone();
    }
    Request::Patch(patch(
        live,
        json!({
            "metadata": {"annotations": looks(live)},
            "operation": operation,
        }),
    ))
}

#[cfg(test)]
mod tests {
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
        assert!(is_of(&live, &repo(), &[]));
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
            assert_eq!(is_of(&live, &repo(), declared), expected, "{sources}");
        }
        let ssh = Live::new(json!({"spec": {"source": {"repoURL": "git@github.com:Acme/Config"}}}));
        assert!(is_of(&ssh, &repo(), &[]));
    }

    #[test]
    fn a_failure_is_of_the_commit_that_was_synced() {
        let status = json!({"sync": {"revision": sha("b")}, "operationState": {"phase": "Failed", "message": "no", "syncResult": {"revision": sha("a")}}});
        let found = read(json!({"source": {"repoURL": OURS}}), status);
        assert_eq!(found.failed.unwrap().at, Some(sha("a")));
    }
}
