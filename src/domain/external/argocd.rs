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
        at: at.filter(|_| !live["spec"]["sourceHydrator"].is_object()),
    });
    let hydration = &status["sourceHydrator"]["currentOperation"];
    let of_hydration = (hydration["phase"] == "Failed").then(|| Failure {
        why: text(&hydration["message"]),
        at: hydration["drySHA"]
            .as_str()
            .and_then(|text| text.parse().ok()),
    });
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut errors = conditions.filter(|condition| text(&condition["type"]).ends_with("Error"));
    let of_comparison = || {
        Some(Failure {
            why: text(&errors.next()?["message"]),
            at: None,
        })
    };
    of_hydration.or(of_operation).or_else(of_comparison)
}

/// Whether what it renders is of this repository: only then it is the repository's to follow and
/// to sync. `host`: GitHub's, if it is known. `charts`: those of the object as Git has it, by which a chart of elsewhere is.
pub fn is_of(
    live: &Live,
    (repo, host): (&RepoName, Option<&str>),
    charts: &[(String, String)],
) -> bool {
    let is_ours = |source: &Value| repo.has_url_at(host, &text(&source["repoURL"]));
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

/// Whether it may be of the repository by a mirror's URL: none of the sources that it renders is
/// another repository of this host.
pub fn may_mirror(live: &Live, repo: &RepoName, host: &str) -> bool {
    let sources = sources(live);
    let rendered = sources
        .iter()
        .filter(|source| source["chart"].is_null() && !only_lends(source));
    let urls: Vec<_> = rendered.map(|source| text(&source["repoURL"])).collect();
    !urls.is_empty() && !urls.iter().any(|url| repo.is_other_at(host, url))
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
mod tests;
