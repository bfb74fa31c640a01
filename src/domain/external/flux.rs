//! Flux's `Kustomization`: its status, and requests to it and to its `GitRepository`.
//!
//! Facts: fluxcd.io/flux/components/kustomize/kustomizations and
//! …/source/gitrepositories: annotation `reconcile.fluxcd.io/requestedAt`, whose value the
//! controller copies to `status.lastHandledReconcileAt`.

use serde_json::{Value, json};

use super::{Applied, ExternalStatus, Failure, Request, patch, text};
use crate::domain::build::flux::NAMESPACE;
use crate::domain::health::Health;
use crate::domain::manifest::ResourceKey;
use crate::domain::{CommitSha, Live, RepoName};

const REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";
const SOURCES: &str = "source.toolkit.fluxcd.io";
const GIT_REPOSITORY: &str = "GitRepository";
/// Reasons of `Ready` for which it waits for something else, and looks again by itself.
const WAITING: [&str; 2] = ["DependencyNotReady", "HealthCheckCanceled"];
/// Reasons of a failure after `lastAttemptedRevision` is set. The others are of an attempt before it.
const ATTEMPTED: [&str; 4] = [
    "BuildFailed",
    "HealthCheckFailed",
    "PruneFailed",
    "ReconciliationFailed",
];

/// A Kustomization's status.
pub fn status(live: &Live) -> ExternalStatus {
    let (spec, status) = (&live["spec"], &live["status"]);
    let conditions = status["conditions"].as_array();
    let condition = |kind: &str| {
        conditions.and_then(|all| all.iter().find(|condition| condition["type"] == kind))
    };
    let ready = condition("Ready");
    let message = ready.map_or_else(String::new, |ready| text(&ready["message"]));
    let is = |condition: Option<&Value>, status: &str| {
        condition.is_some_and(|condition| condition["status"] == status)
    };
    let observed = status["observedGeneration"].as_i64() >= live["metadata"]["generation"].as_i64();
    let reason = |of: Option<&Value>| of.map_or_else(String::new, |of| text(&of["reason"]));
    // Where it failed and tries again, Flux says so by `Reconciling`.
    let retries = is(ready, "False") && reason(condition("Reconciling")) == "ProgressingWithRetry";
    // Its source is about to have another artifact.
    let awaits_source = reason(ready) == "ArtifactFailed" && message.contains("retrying in");
    let waits = WAITING.contains(&reason(ready).as_str()) || awaits_source;
    let health = if is_suspended(live) {
        (Health::Suspended, "it is suspended".to_string())
    } else if retries && !waits {
        (Health::Degraded, message.clone())
    } else if waits
        || !observed
        || is(condition("Reconciling"), "True")
        || is(ready, "Unknown")
        || ready.is_none()
    {
        (Health::Progressing, message.clone())
    } else if is(ready, "True") {
        (Health::Healthy, String::new())
    } else {
        (Health::Degraded, message.clone())
    };
    let failed = (health.0 == Health::Degraded).then(|| Failure {
        why: message.clone(),
        at: match ATTEMPTED.contains(&reason(ready).as_str()) {
            true => commit(&status["lastAttemptedRevision"]),
            false => None,
        },
    });
    ExternalStatus {
        applied: applied(status).map(Applied::Commit),
        synced: status["lastAppliedRevision"] == status["lastAttemptedRevision"] && observed,
        failed,
        waits: Some(message).filter(|message| waits && !message.is_empty()),
        health,
        // Otherwise it is ready as soon as its objects are applied.
        assesses_objects: spec["wait"] == true,
    }
}

/// The commit of a revision: `main@sha1:…`; `main/…` before Flux 2.0.
fn commit(revision: &Value) -> Option<CommitSha> {
    revision.as_str()?.rsplit([':', '/']).next()?.parse().ok()
}

/// The commit that it applied: itself, or the one that its OCI artifact was built from.
fn applied(status: &Value) -> Option<CommitSha> {
    commit(&status["lastAppliedRevision"]).or_else(|| commit(&status["lastAppliedOriginRevision"]))
}

/// The GitRepository that it applies, and its API version. None: its source is something else.
pub fn source(live: &Live) -> Option<(ResourceKey, &'static str)> {
    let source = &live["spec"]["sourceRef"];
    if source["kind"] != GIT_REPOSITORY {
        return None;
    }
    let own = live["metadata"]["namespace"].as_str().unwrap_or(NAMESPACE);
    let key = ResourceKey {
        group: SOURCES.into(),
        kind: GIT_REPOSITORY.into(),
        namespace: Some(source["namespace"].as_str().unwrap_or(own).into()),
        name: source["name"].as_str()?.into(),
    };
    Some((key, "v1"))
}

/// What a GitRepository follows that no merge into a branch changes: a tag, a commit, a range of
/// versions. In words.
pub fn pinned(source: &Live) -> Option<String> {
    let reference = &source["spec"]["ref"];
    // In the order in which source-controller takes them.
    let fields = [
        ("commit", "the commit"),
        ("name", "the ref"),
        ("semver", "tags in the range"),
        ("tag", "the tag"),
    ];
    let found = |(field, words): &(&str, &str)| {
        let value = reference[*field]
            .as_str()
            .filter(|value| !value.is_empty())?;
        let is_branch = *field == "name" && value.starts_with("refs/heads/");
        (!is_branch).then(|| format!("{words} `{}`", value.replace('`', "")))
    };
    fields.iter().find_map(found)
}

/// Whether a GitRepository is this repository. `host`: GitHub's, if it is known.
pub fn is_of(source: &Live, (repo, host): (&RepoName, Option<&str>)) -> bool {
    repo.has_url_at(host, &text(&source["spec"]["url"]))
}

/// Whether it may be this repository by a mirror's URL: it is no other one of this host.
pub fn may_mirror(source: &Live, repo: &RepoName, host: &str) -> bool {
    !repo.is_other_at(host, &text(&source["spec"]["url"]))
}

/// Whether an object of Flux is not reconciled until somebody resumes it.
pub fn is_suspended(live: &Live) -> bool {
    live["spec"]["suspend"] == true
}

/// The commit that a GitRepository has fetched.
pub fn fetched(source: &Live) -> Option<CommitSha> {
    commit(&source["status"]["artifact"]["revision"])
}

/// Has an object of Flux reconciled now. `id` names the request.
pub fn request(live: &Live, id: &str) -> Request {
    let is_requested = live.annotation(REQUESTED) == Some(id);
    let is_handled = live["status"]["lastHandledReconcileAt"] == id;
    match (is_handled, is_requested) {
        (true, _) => Request::Done,
        (false, true) => Request::Pending,
        (false, false) => Request::Patch(patch(
            live,
            json!({"metadata": {"annotations": {REQUESTED: id}}}),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha() -> CommitSha {
        "a".repeat(40).parse().unwrap()
    }

    #[test]
    fn its_words_are_read() {
        let revision = format!("main@sha1:{}", sha());
        let ready = |status: &str| {
            Live::new(
                json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "lastAppliedRevision": revision, "lastAttemptedRevision": revision,
                "conditions": [{"type": "Ready", "status": status, "message": "m"}]}}),
            )
        };
        let healthy = status(&ready("True"));
        assert_eq!(healthy.applied, Some(Applied::Commit(sha())));
        assert_eq!((healthy.synced, healthy.health.0), (true, Health::Healthy));
        assert!(!healthy.assesses_objects);
        let failure = Failure {
            why: "m".into(),
            at: None,
        };
        assert_eq!(status(&ready("False")).failed, Some(failure));
        let new = status(&Live::new(json!({"metadata": {"generation": 1}})));
        assert_eq!(new.health.0, Health::Progressing);
        let waits = status(&Live::new(json!({"spec": {"wait": true}})));
        assert!(waits.assesses_objects);
    }

    /// kustomize-controller, `finalizeStatus` and `--requeue-dependency`.
    #[test]
    fn a_failure_that_it_tries_again_is_one_and_a_dependency_is_none() {
        let of = |reason: &str, reconciling: Value| {
            let mut conditions =
                vec![json!({"type": "Ready", "status": "False", "reason": reason, "message": "m"})];
            conditions.extend(reconciling.is_object().then_some(reconciling));
            status(&Live::new(
                json!({"status": {"observedGeneration": 1, "conditions": conditions}}),
            ))
        };
        let retries =
            json!({"type": "Reconciling", "status": "True", "reason": "ProgressingWithRetry"});
        let builds = json!({"type": "Reconciling", "status": "True", "reason": "Progressing"});
        let failed = of("BuildFailed", retries.clone());
        assert_eq!(
            (failed.health.0, failed.failed.is_some()),
            (Health::Degraded, true)
        );
        let again = of("BuildFailed", builds);
        assert_eq!((again.health.0, again.failed), (Health::Progressing, None));
        let path = of("ArtifactFailed", retries.clone());
        assert_eq!(path.failed.map(|failed| failed.at), Some(None));
        for reconciling in [Value::Null, retries] {
            let waits = of("DependencyNotReady", reconciling);
            assert_eq!((waits.health.0, waits.failed), (Health::Progressing, None));
            assert_eq!(waits.waits.as_deref(), Some("m"));
        }
    }

    #[test]
    fn an_artifact_counts_by_the_commit_that_it_was_built_from() {
        let artifact = format!("latest@sha256:{}", "b".repeat(64));
        let origin = format!("main@sha1:{}", sha());
        for (applied_revision, origin, expected) in [
            (format!("main/{}", sha()), Value::Null, Some(sha())),
            (artifact.clone(), json!(origin), Some(sha())),
            (artifact, Value::Null, None),
        ] {
            let found = status(&Live::new(json!({"status": {
                "lastAppliedRevision": applied_revision, "lastAppliedOriginRevision": origin}})));
            assert_eq!(found.applied, expected.map(Applied::Commit));
        }
    }

    #[test]
    fn a_request_is_made_once() {
        let of = |annotation: &str, handled: &str| {
            Live::new(
                json!({"metadata": {"resourceVersion": "7", "annotations": {REQUESTED: annotation}},
                "status": {"lastHandledReconcileAt": handled}}),
            )
        };
        let cases = [
            (of("two", "two"), Request::Pending, "one"),
            (of("one", "two"), Request::Pending, ""),
            (of("one", "one"), Request::Done, ""),
            (of("two", "one"), Request::Done, ""),
        ];
        for (live, expected, patched) in cases {
            let expected = match patched {
                "" => expected,
                id => Request::Patch(
                    json!({"metadata": {"resourceVersion": "7", "annotations": {REQUESTED: id}}}),
                ),
            };
            assert_eq!(request(&live, "one"), expected);
        }
    }

    #[test]
    fn its_source_is_found() {
        let of = |source: Value| {
            source_name(&Live::new(
                json!({"metadata": {"namespace": "apps"}, "spec": {"sourceRef": source}}),
            ))
        };
        assert_eq!(
            of(json!({"kind": "GitRepository", "name": "config"})).unwrap(),
            "apps/config"
        );
        assert_eq!(
            of(json!({"kind": "GitRepository", "name": "config", "namespace": "flux-system"}))
                .unwrap(),
            "flux-system/config"
        );
        assert_eq!(of(json!({"kind": "OCIRepository", "name": "config"})), None);
        let [repo, other] = ["acme/config", "acme/other"].map(|name| name.parse().unwrap());
        let source = Live::new(json!({"spec": {"url": "ssh://git@github.com/acme/config"},
            "status": {"artifact": {"revision": format!("main@sha1:{}", sha())}}}));
        assert!(is_of(&source, (&repo, None)) && !is_of(&source, (&other, None)));
        assert_eq!(fetched(&source), Some(sha()));
    }

    fn source_name(live: &Live) -> Option<String> {
        let (key, _) = source(live)?;
        Some(format!("{}/{}", key.namespace?, key.name))
    }
}
