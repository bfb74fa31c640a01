//! Argo CD's `Application`: its status, and requests to it.
//!
//! Facts: the types of github.com/argoproj/argo-cd, pkg/apis/application/v1alpha1, and
//! argo-cd.readthedocs.io ("Sync Applications with Kubectl", annotation
//! `argocd.argoproj.io/refresh`, which the controller removes).

use serde_json::{Value, json};

use super::{Applied, ExternalStatus, Request, has_all, patch, text};
use crate::domain::build::argocd::sources;
use crate::domain::health::Health;
use crate::domain::{CommitSha, Live, RepoName};

/// The controller compares the Application with its newest commit, and removes the annotation.
const REFRESH: &str = "argocd.argoproj.io/refresh";
/// How a requested operation says whose it is.
const OURS: &str = "windlass";

/// An Application's status. `declared`: the object as Git has it, if Git has it.
pub fn status(live: &Live, repo: &RepoName, declared: Option<&Value>) -> ExternalStatus {
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
        is_as_declared: is_as_declared(live, declared),
        synced: status["sync"]["status"] == "Synced" || keeps_only_deletions(status),
        health,
        assesses_objects: true,
        failed: failed(status),
    }
}

/// The commit of the repository that it applied, whichever of its sources that is.
fn applied(live: &Live, repo: &RepoName) -> Option<Applied> {
    let (spec, sync) = (&live["spec"], &live["status"]["sync"]);
    let commit = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
    if spec["sourceHydrator"].is_object() {
        return hydrated(live).map(Applied::Commit);
    }
    let sources = sources(live);
    let is_git = |source: &&Value| source["chart"].is_null();
    let is_ours = |source: &&Value| is_git(source) && repo.has_url(&text(&source["repoURL"]));
    let at = sources.iter().position(is_ours);
    let Some(at) = at.or_else(|| sources.iter().position(is_git)) else {
        let is_compared = match spec["sources"].as_array() {
            Some(all) if !all.is_empty() => has_all(&sync["comparedTo"], &json!({"sources": all})),
            _ => has_all(&sync["comparedTo"], &json!({"source": spec["source"]})),
        };
        return is_compared.then_some(Applied::Elsewhere);
    };
    let revision = match sync["revisions"].as_array() {
        Some(revisions) if !revisions.is_empty() => revisions.get(at).and_then(commit),
        _ => commit(&sync["revision"]),
    };
    revision.map(Applied::Commit)
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

/// Whether the charts are those that Git declares. Where the repository is a source itself, nothing
/// else is compared: a kustomization may patch the object on its way into the cluster.
fn is_as_declared(live: &Live, declared: Option<&Value>) -> bool {
    let Some(declared) = declared else {
        return true;
    };
    let (live, declared) = (sources(live), sources(declared));
    let reads_git = declared.iter().any(|source| source["chart"].is_null());
    live.len() == declared.len()
        && live
            .iter()
            .zip(&declared)
            .all(|(live, wanted)| match reads_git {
                false => has_all(live, wanted),
                true if wanted["chart"].is_null() => true,
                true => ["chart", "targetRevision"]
                    .iter()
                    .all(|field| has_all(&live[field], &wanted[field])),
            })
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

fn failed(status: &Value) -> Option<String> {
    let operation = &status["operationState"];
    let has_failed = matches!(operation["phase"].as_str(), Some("Failed" | "Error"));
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut errors = conditions.filter(|condition| text(&condition["type"]).ends_with("Error"));
    has_failed
        .then(|| text(&operation["message"]))
        .or_else(|| errors.next().map(|condition| text(&condition["message"])))
}

/// Whether one of its sources is this repository: only then it takes requests from there.
pub fn reads(live: &Live, repo: &RepoName) -> bool {
    let hydrated = &live["spec"]["sourceHydrator"]["drySource"];
    let all = sources(live).into_iter().chain([hydrated]);
    let mut urls = all.map(|source| text(&source["repoURL"]));
    urls.any(|url| repo.has_url(&url))
}

/// Has it compare itself with its newest commit.
pub fn refresh(live: &Live) -> Request {
    match live.annotation(REFRESH) {
        Some(_) => Request::Pending,
        None => Request::Patch(patch(
            live,
            json!({"metadata": {"annotations": {REFRESH: "normal"}}}),
        )),
    }
}

/// Has it sync, as its sync policy says how. `id` names the request.
pub fn sync(live: &Live, id: &str) -> Request {
    let (policy, state) = (
        &live["spec"]["syncPolicy"],
        &live["status"]["operationState"],
    );
    if live["operation"].is_object() {
        return Request::Pending;
    }
    let is_running = matches!(state["phase"].as_str(), Some("Running" | "Terminating"));
    if is_running {
        return Request::Pending;
    }
    let ours = json!({"name": OURS, "value": id});
    let info = state["operation"]["info"].as_array();
    if info.is_some_and(|all| all.contains(&ours)) {
        return Request::Done;
    }
    let mut operation = json!({
        "initiatedBy": {"username": OURS},
        "info": [ours],
        "sync": {"prune": policy["automated"]["prune"] == true},
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
            "metadata": {"annotations": {REFRESH: "normal"}},
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
        self::status(
            &Live::new(json!({"spec": spec, "status": status})),
            &repo(),
            None,
        )
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
        assert!(found.synced && found.assesses_objects && found.is_as_declared);
        assert_eq!(found.health, (Health::Progressing, "waits".into()));
        assert_eq!(found.failed, None);
        let failed = read(
            json!({}),
            json!({"sync": {"status": "OutOfSync"}, "operationState": {"phase": "Failed", "message": "no"}}),
        );
        assert_eq!(
            (failed.synced, failed.failed.as_deref()),
            (false, Some("no"))
        );
        let broken = read(
            json!({}),
            json!({"conditions": [{"type": "SharedResourceWarning"}, {"type": "ComparisonError", "message": "bad chart"}]}),
        );
        assert_eq!(broken.failed.as_deref(), Some("bad chart"));
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
        let live = Live::new(json!({"spec": spec, "status": compared("2.0.0")}));
        for (declared, same) in [("2.0.0", true), ("3.0.0", false)] {
            let declared = json!({"spec": {"source": chart(declared)}});
            let found = status(&live, &repo(), Some(&declared));
            assert_eq!(found.is_as_declared, same);
        }
        let mut other_values = json!({"spec": {"source": chart("2.0.0")}});
        other_values["spec"]["source"]["helm"]["values"] = "a: 2".into();
        assert!(!status(&live, &repo(), Some(&other_values)).is_as_declared);
    }

    #[test]
    fn beside_this_repository_only_the_versions_of_charts_are_compared() {
        let of = |version: &str, path: &str| {
            json!({"spec": {"sources": [
                {"repoURL": "https://charts.example.com", "chart": "web", "targetRevision": version},
                {"repoURL": OURS, "ref": path},
            ]}})
        };
        let live = Live::new(of("1.0.0", "values"));
        let cases = [
            ("1.0.0", "values", true),
            ("1.0.0", "v", true),
            ("1.1.0", "values", false),
        ];
        for (version, path, same) in cases {
            let found = status(&live, &repo(), Some(&of(version, path)));
            assert_eq!(found.is_as_declared, same, "{version} {path}");
        }
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
        assert!(reads(&Live::new(json!({"spec": spec})), &repo()));
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
    fn only_an_application_of_this_repository_takes_requests() {
        for (url, reads_it) in [
            (OURS, true),
            ("git@github.com:Acme/Config", true),
            ("https://github.com/other/config", false),
        ] {
            let live = Live::new(json!({"spec": {"source": {"repoURL": url}}}));
            assert_eq!(reads(&live, &repo()), reads_it, "{url}");
        }
    }
}
