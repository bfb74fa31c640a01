//! What windlass requests of Argo CD and Flux: that they fetch what was merged, and `/sync`.

use http::Method;
use serde_json::{Value, json};

use super::external::define;
use crate::support::lab::{CONFIG, deployment, has};
use crate::support::{Setup, World, plane};

/// A world whose lab in staging is reconciled by another tool, whose object of the same name as the
/// lab is in a namespace of its own.
struct Kept {
    world: World,
    /// The namespace of their objects.
    own: String,
    /// Their kind, as kubectl names it.
    kind: &'static str,
    /// The newest commit.
    first: String,
}

impl Kept {
    async fn new(by: &str, kind: &'static str, files: &[(&str, &str)]) -> Self {
        let world = World::asleep(Setup::default()).await;
        let (namespace, own) = (world.namespace("lab-staging"), world.namespace(by));
        world.kubectl(&["create", "namespace", &namespace]);
        world.kubectl(&["create", "namespace", &own]);
        let catalog = world.file("windlass.yaml").replacen(
            "    cluster: local\n",
            &format!("    cluster: local\n    reconcile: {{ by: {by}, namespace: {own} }}\n"),
            1,
        );
        let gone = ["kustomization", "namespace", "config", "secret"]
            .map(|file| format!("apps/shop/staging/{file}.yaml"));
        let mut all: Vec<_> = gone.iter().map(|path| (path.as_str(), None)).collect();
        all.push(("windlass.yaml", Some(catalog.as_str())));
        all.extend(files.iter().map(|(path, text)| (*path, Some(*text))));
        let first = world.commit("Kept by another", &all);
        Self {
            world,
            own,
            kind,
            first,
        }
    }

    /// The repository, as their objects name it.
    fn url(&self) -> String {
        format!("{}/acme/config.git", self.world.forge.url())
    }

    fn apply(&self, object: Value) {
        self.world
            .with_file(&["-n", &self.own, "apply"], &object.to_string());
    }

    fn patch(&self, what: &str, patch: Value) {
        let patch = patch.to_string();
        self.world
            .kubectl(&["-n", &self.own, "patch", what, "--type=merge", "-p", &patch]);
    }

    /// Their object of the lab.
    fn object(&self) -> String {
        format!("{}/lab-staging", self.kind)
    }

    fn get(&self, what: &str) -> Value {
        let text = self
            .world
            .kubectl(&["-n", &self.own, "get", what, "-o", "json"]);
        serde_json::from_str(&text).unwrap()
    }

    /// What `deploy/rbac.yaml` says how to grant.
    fn grant(&self) {
        let home = self.world.home();
        self.world.kubectl(&[
            "create",
            "clusterrolebinding",
            &format!("{home}-requests"),
            "--clusterrole=windlass-requests",
            &format!("--serviceaccount={home}:windlass"),
        ]);
    }

    /// A change of the lab's file, merged by a person: its number, and its commit.
    async fn merge(&self, branch: &str, path: &str, text: &str) -> (u64, String) {
        let number = self.world.propose("bob", branch, &[(path, Some(text))]);
        self.world.previewed(number).await;
        let merge = format!("pulls/{number}/merge");
        let merged = self.world.as_user("ada", Method::PUT, &merge, json!({}));
        (number, merged["sha"].as_str().unwrap().to_string())
    }

    /// The outcome of the last of so many `/sync`.
    async fn outcome(&self, number: u64, count: usize) -> String {
        let outcome = self
            .world
            .until("the outcome", async || {
                let comments = self.world.comments(number);
                let bodies = comments.iter().filter_map(|one| one["body"].as_str());
                let ended = bodies.filter(|body| body.contains("The sync has ended"));
                let all: Vec<_> = ended.collect();
                (all.len() == count).then(|| all[count - 1].to_string())
            })
            .await;
        self.world.scrub(&outcome)
    }

    async fn message(&self, part: &str) -> String {
        let found = self
            .world
            .until(part, async || {
                let object = self.world.application("lab.staging").await;
                let message = object["status"]["message"].as_str()?;
                message.contains(part).then(|| message.to_string())
            })
            .await;
        self.world.scrub(&found)
    }
}

const FILE: &str = "apps/lab/staging/config.yaml";

/// An application that people sync by hand.
#[tokio::test(flavor = "multi_thread")]
async fn argo_cd_is_requested_to_refresh_after_a_merge_and_to_sync_by_command() {
    let kept = Kept::new("argocd", "applications.argoproj.io", &[(FILE, CONFIG)]).await;
    let world = &kept.world;
    super::external::define_argo_cd(world);
    let at = |revision: &str, status: &str| json!({"sync": {"status": status, "revision": revision}, "health": {"status": "Healthy"}});
    kept.apply(json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "lab-staging"},
        "spec": {"source": {"repoURL": kept.url(), "path": "apps/lab/staging"}, "syncPolicy": {"syncOptions": ["CreateNamespace=true"]}},
        "status": at(&kept.first, "Synced")}));
    world.start();
    world.sync_status(&kept.first, "success").await;

    // windlass has no right to change their objects where nobody gave it.
    let (number, _) = kept.merge("one", FILE, &CONFIG.replace('1', "2")).await;
    let message = kept.message("may not request").await;
    has(
        &message,
        &[
            "the Application argocd/lab-staging of Argo CD is at",
            "windlass may not request a sync of the Application argocd/lab-staging of Argo CD",
            "Bind the ClusterRole `windlass-requests` to windlass's own service account",
        ],
    );
    assert_eq!(
        world.application("lab.staging").await["status"]["sync"],
        "OutOfSync"
    );
    world.comment("bob", number, "/sync");
    let refused = kept.outcome(number, 1).await;
    has(
        &refused,
        &[
            "@bob The sync has ended",
            "`lab/staging`: failed",
            "may not request",
        ],
    );
    kept.grant();
    world.comment("bob", number, "/sync");
    let operation = world
        .until("the operation", async || {
            let operation = kept.get(&kept.object())["operation"].clone();
            operation.is_object().then_some(operation)
        })
        .await;
    assert_eq!(operation["initiatedBy"]["username"], "windlass");
    assert_eq!(
        operation["sync"],
        json!({"prune": false, "syncOptions": ["CreateNamespace=true"]})
    );
    // Argo CD carries it out.
    let tip = world.tip();
    let mut done = at(&tip, "Synced");
    done["operationState"] =
        json!({"phase": "Succeeded", "operation": operation, "syncResult": {"revision": tip}});
    kept.patch(
        &kept.object(),
        json!({"operation": null, "metadata": {"annotations": {"argocd.argoproj.io/refresh": null}}, "status": done}),
    );
    insta::assert_snapshot!(kept.outcome(number, 2).await, @r"
    <!-- windlass:outcome (id) -->
    The sync has ended:

    - `lab/staging` is synced, healthy
    ");

    // A merge is requested to be looked at, once.
    let (_, merged) = kept.merge("two", FILE, &CONFIG.replace('1', "3")).await;
    world
        .until("the refresh", async || {
            let object = kept.get(&kept.object());
            let annotation = &object["metadata"]["annotations"]["argocd.argoproj.io/refresh"];
            (annotation == "normal" && object["operation"].is_null()).then_some(())
        })
        .await;
    kept.patch(
        &kept.object(),
        json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": null}}, "status": at(&merged, "Synced")}),
    );
    world.sync_status(&merged, "success").await;
    let object = kept.get(&kept.object());
    assert!(object["metadata"]["annotations"]["argocd.argoproj.io/refresh"].is_null());

    // Where all is well, a refusal is told as well, and nothing is requested again and again.
    let home = world.home();
    world.kubectl(&["delete", "clusterrolebinding", &format!("{home}-requests")]);
    let account = format!("--as=system:serviceaccount:{home}:windlass");
    world
        .until("the right is gone", async || {
            let asks = [
                "auth",
                "can-i",
                "patch",
                "applications.argoproj.io",
                "-A",
                &account,
            ];
            let may = plane().kubectl(&asks);
            may.is_err().then_some(())
        })
        .await;
    world.comment("bob", number, "/sync");
    let refused = kept.outcome(number, 3).await;
    has(
        &refused,
        &["`lab/staging` is synced, healthy", "may not request"],
    );
    // Another repository's Application is not followed.
    kept.patch(
        &kept.object(),
        json!({"spec": {"source": {"repoURL": format!("{}/other/config.git", world.forge.url())}}}),
    );
    world.comment("bob", number, "/sync");
    has(
        &kept.outcome(number, 4).await,
        &["has another source than this repository, so windlass does not follow it"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_is_requested_to_fetch_a_merge_and_its_objects_say_whether_they_are_well() {
    let path = "apps/lab/staging/deployment.yaml";
    let text = deployment("", "");
    let kept = Kept::new(
        "flux",
        "kustomizations.kustomize.toolkit.fluxcd.io",
        &[(path, &text)],
    )
    .await;
    let world = &kept.world;
    for (group, kind, plural) in [
        (
            "kustomize.toolkit.fluxcd.io",
            "Kustomization",
            "kustomizations",
        ),
        (
            "source.toolkit.fluxcd.io",
            "GitRepository",
            "gitrepositories",
        ),
    ] {
        define(world, group, "v1", kind, plural);
    }
    let fetched = |commit: &str| json!({"artifact": {"revision": format!("main@sha1:{commit}")}});
    let applied = |commit: &str| {
        let at = format!("main@sha1:{commit}");
        json!({"observedGeneration": 1_000, "lastAppliedRevision": at, "lastAttemptedRevision": at,
            "conditions": [{"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded"}]})
    };
    let source = "gitrepositories.source.toolkit.fluxcd.io/config";
    kept.apply(json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": "config"},
        "spec": {"url": kept.url(), "interval": "1h"}, "status": fetched(&kept.first)}));
    kept.apply(json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "lab-staging"},
        "spec": {"path": "apps/lab/staging", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "config"}}, "status": applied(&kept.first)}));
    kept.grant();
    let namespace = world.namespace("lab-staging");
    let as_flux = |text: &str| {
        let arguments = [
            "-n",
            namespace.as_str(),
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=kustomize-controller",
        ];
        world.with_file(&arguments, text);
    };
    as_flux(&text);
    world.start();
    world.sync_status(&kept.first, "success").await;

    let broken = text.replace("lab:1", "lab:broken");
    let (number, merged) = kept.merge("one", path, &broken).await;
    let requested = async |what: &str, is: &dyn Fn(&str) -> bool| {
        world
            .until(what, async || {
                let object = kept.get(what);
                let annotation =
                    &object["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"];
                is(annotation.as_str()?).then(|| annotation.clone())
            })
            .await
    };
    requested(source, &|id| id == merged).await;
    // Flux applies it. Its Kustomization does not wait, and is ready: the pods crash.
    as_flux(&broken);
    kept.patch(source, json!({"status": fetched(&merged)}));
    kept.patch(&kept.object(), json!({"status": applied(&merged)}));
    let failed = world.sync_status(&merged, "failure").await;
    has(&failed, &["Deployment lab"]);

    // A request of a person goes to the source and then to the Kustomization.
    world.comment("bob", number, "/sync");
    let id = requested(source, &|id| id != merged).await;
    kept.patch(source, json!({"status": {"lastHandledReconcileAt": id}}));
    assert_eq!(requested(&kept.object(), &|of| id == *of).await, id);
    kept.patch(
        &kept.object(),
        json!({"status": {"lastHandledReconcileAt": id}}),
    );
    has(
        &kept.outcome(number, 1).await,
        &[
            "@bob The sync has ended",
            "`lab/staging`: failed. Deployment lab: pod lab-",
        ],
    );

    // Nothing is requested of what somebody suspended.
    kept.patch(source, json!({"spec": {"suspend": true}}));
    kept.merge("two", path, &text).await;
    kept.message("is suspended").await;
}
