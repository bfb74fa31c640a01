//! What a sync does beside applying: hooks, proofs, questions, receipts, and
//! stages that others keep.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};
use crate::support::{Setup, World, digest_of, plane};

const CHART: &str = "apiVersion: v2\nname: lab\nversion: 0.1.0\n";

fn hook(name: &str, when: &str, more: &str, outcome: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations: {{helm.sh/hook: \"{when}\"{more}}}\nspec:\n  backoffLimit: 0\n  template:\n    metadata: {{annotations: {{{outcome}}}}}\n    spec: {{restartPolicy: Never, containers: [{{name: a, image: migrate}}]}}\n"
    )
}

async fn job(lab: &Lab, name: &str) -> Value {
    lab.object("batch/v1", "Job", "jobs", name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_of_a_chart_run_once_for_each_change() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let namespace = lab.namespace();
    let files = [
        ("apps/chart/staging/Chart.yaml".to_string(), CHART.to_string()),
        ("apps/chart/staging/values.yaml".to_string(), "greeting: hello\n".to_string()),
        (
            "apps/chart/staging/templates/config.yaml".to_string(),
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: chart}\ndata: {greeting: {{ .Values.greeting }}}\n".to_string(),
        ),
        ("apps/chart/staging/templates/install.yaml".to_string(), hook("install", "pre-install", "", "")),
        (
            "apps/chart/staging/templates/migrate.yaml".to_string(),
            hook("migrate", "pre-install,pre-upgrade", ", helm.sh/hook-weight: \"5\"", ""),
        ),
        (
            "apps/chart/staging/templates/notify.yaml".to_string(),
            hook("notify", "post-upgrade", ", helm.sh/hook-delete-policy: hook-succeeded", ""),
        ),
        ("apps/chart/staging/templates/gone.yaml".to_string(), hook("gone", "pre-delete", "", "")),
    ];
    let catalog = lab.world.file("windlass.yaml");
    let rule = format!(
        "applications:\n  - name: chart\n    path: apps/chart/{{stage}}\n    namespace: {namespace}\n"
    );
    let catalog = catalog.replacen("applications:\n", &rule, 1);
    let mut all: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    all.push(("windlass.yaml", Some(&catalog)));
    let commit = lab
        .world
        .forge
        .push("acme/config", "main", "ada", "A chart with hooks", &all)
        .unwrap();
    lab.world.sync_status(&commit, "success").await;
    let first = job(&lab, "migrate").await;
    assert!(
        first["status"]["completionTime"].is_string() && job(&lab, "install").await.is_object()
    );
    assert!(
        job(&lab, "notify").await.is_null() && job(&lab, "gone").await.is_null(),
        "neither is for an installation"
    );
    // A change runs those for upgrades, and says so before.
    let number = lab.world.propose(
        "bob",
        "upgrade",
        &[(
            "apps/chart/staging/values.yaml",
            Some("greeting: goodbye\n"),
        )],
    );
    lab.world.previewed(number).await;
    let text = lab.world.conversation(number);
    has(
        &text,
        &[
            "1 configure · 2 hooks run",
            "runs before the rest is synced (pre-install,pre-upgrade)",
            "runs after the rest is synced (post-upgrade)",
            "is a hook that windlass does not run (`pre-delete`)",
        ],
    );
    has_not(&text, &["Deletes and creates anew"]);
    lab.merge(number, "success").await;
    let second = job(&lab, "migrate").await;
    assert_ne!(
        first["metadata"]["uid"], second["metadata"]["uid"],
        "it ran anew"
    );
    lab.world
        .until("what succeeded is deleted", async || {
            job(&lab, "notify").await.is_null().then_some(())
        })
        .await;
    // Nothing moved: nothing runs again, not even after a restart.
    lab.world.quiet().await;
    lab.world.kill();
    lab.world.start();
    lab.world.quiet().await;
    assert_eq!(
        job(&lab, "migrate").await["metadata"]["uid"],
        second["metadata"]["uid"]
    );
    assert!(job(&lab, "notify").await.is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_stops_the_sync_and_runs_again_when_asked() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let before = |outcome: &str| hook("migrate", "pre-upgrade", "", outcome);
    let failing = before("sandbox.windlass/outcome: crash-loop");
    let changed = CONFIG.replace("'1'", "'2'");
    let (number, text) = lab
        .change(
            "hook",
            &[
                ("hook.yaml", Some(&failing)),
                ("config.yaml", Some(&changed)),
            ],
        )
        .await;
    has(&text, &["1 hook runs"]);
    lab.world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    lab.world
        .until("the hook is there", async || {
            job(&lab, "migrate").await.is_object().then_some(())
        })
        .await;
    // What the job controller would say after its back-off limit.
    let failed = r#"{"status":{"conditions":[{"type":"FailureTarget","status":"True","reason":"BackoffLimitExceeded"},{"type":"Failed","status":"True","reason":"BackoffLimitExceeded","lastTransitionTime":"2026-01-01T00:00:00Z","lastProbeTime":"2026-01-01T00:00:00Z"}]}}"#;
    lab.kubectl(&[
        "delete",
        "pod",
        "-l",
        "job-name=migrate",
        "--force",
        "--grace-period=0",
    ]);
    let _ = plane().kubectl(&[
        "-n",
        &lab.namespace(),
        "patch",
        "job/migrate",
        "--subresource=status",
        "--type=merge",
        "-p",
        failed,
    ]);
    let tip = lab.world.tip();
    has(
        &lab.world.sync_status(&tip, "failure").await,
        &["a hook that runs before the sync failed: Job migrate"],
    );
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"],
        "1",
        "nothing came after it"
    );
    let (number, _) = lab
        .change("mended", &[("hook.yaml", Some(&before("")))])
        .await;
    lab.merge(number, "success").await;
    let value =
        async || lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"].clone();
    assert_eq!(value().await, "2");
    // The next time too the rest waits for it, though the run before came out well.
    let stuck = before("sandbox.windlass/outcome: never-ready");
    let (number, _) = lab
        .change(
            "stuck",
            &[
                ("hook.yaml", Some(&stuck)),
                ("config.yaml", Some(&CONFIG.replace("'1'", "'3'"))),
            ],
        )
        .await;
    lab.world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    lab.world
        .until("the hook is waited for", async || {
            let message = lab.world.application("lab.staging").await["status"]["message"].clone();
            message
                .as_str()?
                .contains(
                    "a hook that runs before the sync is not healthy yet: Job migrate: is running",
                )
                .then_some(())
        })
        .await;
    assert_eq!(value().await, "2", "nothing went ahead of it");
    let (number, _) = lab
        .change("mended-again", &[("hook.yaml", Some(&before("")))])
        .await;
    lab.merge(number, "success").await;
    assert_eq!(value().await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_takes_the_place_of_nothing_that_is_none() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.kubectl(&["create", "configmap", "precious", "--from-literal=a=1"]);
    let named = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: precious, annotations: {windlass.dev/hook: before}}\n";
    let (number, text) = lab.change("hook", &[("hook.yaml", Some(named))]).await;
    has(
        &text,
        &[
            "**1 cannot be applied**",
            "exists already and is no hook of this application",
        ],
    );
    lab.merge(number, "failure").await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "precious")
            .await["data"]["a"],
        "1"
    );
    // Nor does a mark of ours in a manifest make one of what is kept.
    let marked = CONFIG
        .replace(
            "  name: lab\n",
            "  name: lab\n  annotations: {windlass.dev/hook-run: x}\n",
        )
        .replace("'1'", "'2'");
    let uid = lab.object("v1", "ConfigMap", "configmaps", "lab").await["metadata"]["uid"].clone();
    let (number, text) = lab
        .change(
            "marked",
            &[("hook.yaml", None), ("config.yaml", Some(&marked))],
        )
        .await;
    has(&text, &["1 configure"]);
    lab.merge(number, "success").await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["metadata"]["uid"],
        uid
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_leaves_git_is_deleted_only_when_that_is_confirmed() {
    let lab = Lab::with(&[
        ("config.yaml", CONFIG),
        (
            "kept.yaml",
            &CONFIG.replace(
                "name: lab",
                "name: kept\n  annotations: {windlass.dev/prune: never}",
            ),
        ),
    ])
    .await;
    let gone = ["namespace.yaml", "config.yaml", "kept.yaml"]
        .map(|file| format!("apps/lab/staging/{file}"));
    let files: Vec<_> = gone.iter().map(|path| (path.as_str(), None)).collect();
    let commit = lab
        .world
        .forge
        .push("acme/config", "main", "ada", "No lab", &files)
        .unwrap();
    let message = async || {
        lab.world.application("lab.staging").await["status"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_string()
    };
    lab.world
        .until("it is said what waits", async || {
            let message = message().await;
            (message.contains("acme/config declares lab/staging no more")
                && message.contains("windlass confirm-prune lab/staging"))
            .then_some(())
        })
        .await;
    assert!(
        lab.object("v1", "ConfigMap", "configmaps", "lab")
            .await
            .is_object()
    );
    let pending = || {
        lab.world
            .status(&commit, "windlass/sync")
            .filter(|(state, _)| state == "pending")
            .map(|(_, text)| text)
    };
    lab.world
        .until("the commit says what waits", async || {
            pending()?
                .contains("acme/config declares lab/staging no more")
                .then_some(())
        })
        .await;
    // The namespace itself is in the way of what must stay: it is protected first.
    lab.kubectl(&[
        "annotate",
        "namespace",
        &lab.namespace(),
        "windlass.dev/prune=never",
    ]);
    lab.world.kubectl(&[
        "-n",
        &lab.world.home(),
        "annotate",
        "applications.windlass.dev/lab.staging",
        "poke=1",
    ]);
    lab.world
        .until("the namespace is not listed any more", async || {
            (!message().await.contains("deletes Namespace")
                && !message().await.contains("; Namespace"))
            .then_some(())
        })
        .await;
    has(
        &lab.world.windlass(&["confirm-prune", "lab/staging"]),
        &["lab/staging deletes:", "ConfigMap"],
    );
    lab.world
        .until("it is gone", async || {
            lab.object("v1", "ConfigMap", "configmaps", "lab")
                .await
                .is_null()
                .then_some(())
        })
        .await;
    assert!(
        lab.object("v1", "ConfigMap", "configmaps", "kept")
            .await
            .is_object(),
        "what must not be pruned stays"
    );
    has(
        &lab.world.sync_status(&commit, "success").await,
        &["lab/staging is gone"],
    );
    lab.world
        .until("what stays is told", async || {
            message()
                .await
                .contains("stays: it is marked `windlass.dev/prune: never`")
                .then_some(())
        })
        .await;
}

/// An image index, served as the OCI distribution specification has it: content by digest.
async fn registry(content: String) -> (String, tokio::task::JoinHandle<()>) {
    async fn manifest(
        State(content): State<Arc<String>>,
        Path(path): Path<String>,
    ) -> axum::response::Response {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(content.as_bytes())));
        if path.is_empty() {
            return StatusCode::OK.into_response();
        }
        match path.ends_with(&format!("/manifests/{digest}")) {
            true => (
                [
                    (
                        header::CONTENT_TYPE,
                        "application/vnd.oci.image.index.v1+json",
                    ),
                    (
                        header::HeaderName::from_static("docker-content-digest"),
                        digest.as_str(),
                    ),
                ],
                content.to_string(),
            )
                .into_response(),
            false => StatusCode::NOT_FOUND.into_response(),
        }
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let app = Router::new()
        .route("/v2/", axum::routing::get(|| async { "{}" }))
        .route("/v2/{*path}", axum::routing::get(manifest))
        .with_state(Arc::new(content));
    (
        address,
        tokio::spawn(async move { drop(axum::serve(listener, app).await) }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_proven_by_what_the_runtime_reports_and_never_green_without() {
    let platform = digest_of("platform");
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1, "digest": platform, "platform": {"os": "linux", "architecture": "amd64"}}]}).to_string();
    let announced = format!("sha256:{}", hex::encode(Sha256::digest(index.as_bytes())));
    let (address, server) = registry(index).await;
    let image = format!("{address}/acme/lab");
    let rules = format!("    images: {{ \"{image}\": {{ source: acme/shop }} }}\n");
    let running = |id: &str| {
        deployment("", "").replace("lab:1", &format!("{image}:1@{announced}")).replace(
            "metadata: {labels: {app: lab}}",
            &format!("metadata: {{labels: {{app: lab}}, annotations: {{sandbox.windlass/image-id: \"{image}@{id}\"}}}}"),
        )
    };
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let catalog = lab.world.file("windlass.yaml");
    let start = catalog.find("    images:\n").unwrap();
    let end = start + catalog[start..].match_indices('\n').nth(1).unwrap().0 + 1;
    let ruled = format!("{}{rules}{}", &catalog[..start], &catalog[end..]);
    // The runtime reports the manifest of its platform, which the announced index lists.
    let files = [
        ("windlass.yaml", Some(ruled.as_str())),
        (
            "apps/lab/staging/deployment.yaml",
            Some(&running(&platform)),
        ),
    ];
    let commit = lab
        .world
        .forge
        .push("acme/config", "main", "ada", "An index", &files)
        .unwrap();
    lab.world.sync_status(&commit, "success").await;
    assert_eq!(
        lab.world.application("lab.staging").await["status"]["proven"],
        json!([announced])
    );
    // Something else runs under the announced name.
    let other = digest_of("something else");
    let text = running(&other).replace(&format!("{image}:1@"), &format!("{image}:2@"));
    // Another digest is announced than was proven before.
    let text = text.replace(&announced, &digest_of("announced"));
    let commit = lab
        .world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "Something else",
            &[("apps/lab/staging/deployment.yaml", Some(&text))],
        )
        .unwrap();
    let said = lab
        .world
        .until("it is said to be unproven", async || {
            lab.world
                .status(&commit, "windlass/sync")
                .filter(|(state, text)| state == "pending" && text.contains("unproven: pods run"))
                .map(|(_, text)| text)
        })
        .await;
    has(&said, &["lab/staging"]);
    server.abort();
}

/// Another reconciler, played here: its object and its writes, under its own field manager.
struct Other {
    by: &'static str,
    name: &'static str,
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    version: &'static str,
    manager: &'static str,
    /// kubectl's arguments by which it applies.
    how: &'static [&'static str],
    /// Its marks on an object of the application in this namespace of the lab, itself being in the other one.
    marks: fn(&str, &str) -> String,
    /// Its object's status: it is at a revision, and all is well.
    status: fn(&str) -> Value,
}

fn argo_cd() -> Other {
    Other {
        by: "argocd",
        name: "Argo CD",
        group: "argoproj.io",
        kind: "Application",
        plural: "applications",
        version: "v1alpha1",
        manager: "argocd-controller",
        how: &["apply", "--server-side", "--force-conflicts"],
        marks: |lab, _| {
            format!(
                "annotations: {{argocd.argoproj.io/tracking-id: \"lab-staging:apps/Deployment:{lab}/lab\"}}"
            )
        },
        status: |revision| json!({"sync": {"status": "Synced", "revision": revision}, "health": {"status": "Healthy"}}),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_argo_cd_keeps_is_previewed_and_read_and_not_applied() {
    kept_by(argo_cd()).await;
}

/// Argo CD's way where nothing else is said: as kubectl without `--server-side`.
#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_argo_cd_keeps_by_client_side_apply_is_previewed_as_well() {
    let marks = |_: &str, _: &str| "labels: {app.kubernetes.io/instance: lab-staging}".to_string();
    kept_by(Other {
        how: &["apply"],
        marks,
        ..argo_cd()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_flux_keeps_is_previewed_and_read_and_not_applied() {
    kept_by(Other {
        by: "flux",
        name: "Flux",
        group: "kustomize.toolkit.fluxcd.io",
        kind: "Kustomization",
        plural: "kustomizations",
        version: "v1",
        manager: "kustomize-controller",
        how: &["apply", "--server-side", "--force-conflicts"],
        marks: |_, own| {
            let mark = "kustomize.toolkit.fluxcd.io";
            format!("labels: {{{mark}/name: lab-staging, {mark}/namespace: {own}}}")
        },
        status: |revision| {
            let at = format!("main@sha1:{revision}");
            json!({"observedGeneration": 1_000, "lastAppliedRevision": at, "lastAttemptedRevision": at,
                "conditions": [{"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded"}]})
        },
    })
    .await;
}

async fn kept_by(other: Other) {
    let world = World::asleep(Setup::default()).await;
    let Other {
        by,
        group,
        kind,
        plural,
        version,
        ..
    } = other;
    let (namespace, own) = (world.namespace("lab-staging"), world.namespace(by));
    let kubectl = |arguments: &[&str], text: &str| {
        let file = std::env::temp_dir().join(format!("{}{by}.yaml", world.prefix));
        std::fs::write(&file, text).unwrap();
        plane()
            .kubectl(&[arguments, &["-f", file.to_str().unwrap()]].concat())
            .unwrap()
    };
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")}, "spec": {"group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural}, "versions": [{"name": version, "served": true, "storage": true, "schema": schema}]}});
    kubectl(&["apply", "--server-side"], &definition.to_string());
    world.kubectl(&[
        "wait",
        "--for=condition=Established",
        &format!("crd/{plural}.{group}"),
        "--timeout=30s",
    ]);
    world.kubectl(&["create", "namespace", &namespace]);
    world.kubectl(&["create", "namespace", &own]);
    let marks = (other.marks)(&namespace, &own);
    let marked = |image: &str| {
        let text = deployment("", "").replace("lab:1", image);
        text.replace(
            "metadata: {name: lab}",
            &format!("metadata: {{name: lab, namespace: {namespace}, {marks}}}"),
        )
    };
    let manager = format!("--field-manager={}", other.manager);
    let as_other = [other.how, &[manager.as_str()]].concat();
    kubectl(&as_other, &marked("lab:1"));
    let config = |name: &str, data: &str, marks: &str| {
        let metadata = format!("{{name: {name}, namespace: {namespace}{marks}}}");
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {metadata}\ndata: {{{data}}}\n")
    };
    // Flux fills in what its Kustomization says.
    let region = if by == "flux" { "eu-1" } else { "${REGION}" };
    for name in ["less", "gone"] {
        kubectl(
            &as_other,
            &config(
                name,
                &format!("a: '1', b: '2', region: '{region}'"),
                &format!(", {marks}"),
            ),
        );
    }
    let status = |revision: &str| {
        let metadata = json!({"name": "lab-staging", "namespace": own});
        json!({"apiVersion": format!("{group}/{version}"), "kind": kind, "metadata": metadata, "status": (other.status)(revision),
            "spec": {"postBuild": {"substitute": {"REGION": "eu-1"}}}})
        .to_string()
    };
    let catalog = world.file("windlass.yaml").replacen(
        "    cluster: local\n",
        &format!("    cluster: local\n    reconcile: {{ by: {by}, namespace: {own} }}\n"),
        1,
    );
    let gone = ["kustomization", "namespace", "config", "secret"]
        .map(|file| format!("apps/shop/staging/{file}.yaml"));
    let mut files: Vec<_> = gone.iter().map(|path| (path.as_str(), None)).collect();
    let text = deployment("", "");
    let [less, gone] =
        ["less", "gone"].map(|name| config(name, "a: '1', b: '2', region: '${REGION}'", ""));
    files.extend([
        ("apps/lab/staging/less.yaml", Some(less.as_str())),
        ("apps/lab/staging/gone.yaml", Some(gone.as_str())),
    ]);
    files.extend([
        ("windlass.yaml", Some(catalog.as_str())),
        ("apps/lab/staging/deployment.yaml", Some(text.as_str())),
    ]);
    let first = world
        .forge
        .push("acme/config", "main", "ada", "Kept by another", &files)
        .unwrap();
    kubectl(&["apply"], &status(&first));
    world.start();
    assert!(
        world
            .sync_status(&first, "success")
            .await
            .contains("synced and healthy")
    );
    // A preview under its own field manager: only the change, and no word about who keeps the object.
    let number = world.propose(
        "bob",
        "image",
        &[(
            "apps/lab/staging/deployment.yaml",
            Some(&text.replace("lab:1", "lab:2")),
        )],
    );
    world.previewed(number).await;
    let conversation = world.conversation(number);
    has(
        &conversation,
        &[
            "1 configure",
            "verified by the cluster",
            "-      - image: lab:1\n+      - image: lab:2",
        ],
    );
    has_not(
        &conversation,
        &["windlass.dev/owner", "is kept by", "sets back"],
    );
    // What goes is told to go, in every way that the other applies.
    let fewer = config("less", "a: '1', region: '${REGION}'", "");
    let takes = world.propose(
        "bob",
        "less",
        &[
            ("apps/lab/staging/less.yaml", Some(&fewer)),
            ("apps/lab/staging/gone.yaml", None),
        ],
    );
    world.previewed(takes).await;
    let said = world.conversation(takes);
    has(
        &said,
        &[
            "1 configure",
            "1 prune",
            "-  b: '2'",
            "Deletes `ConfigMap lab-staging/gone`",
        ],
    );
    has(&said, &["less</code> configure +0 −1"]);
    has_not(&said, &["sets back", "last-applied"]);
    if by == "flux" {
        has_not(&said, &["${REGION}"]);
    }
    let merged = world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    )["sha"]
        .as_str()
        .unwrap()
        .to_string();
    world
        .until("it waits for the other", async || {
            world.application("lab.staging").await["status"]["message"]
                .as_str()?
                .contains(&format!("of {} is at {}", other.name, &first[..12]))
                .then_some(())
        })
        .await;
    let image = async || {
        let live = world
            .get("apps/v1", "Deployment", "deployments", &namespace, "lab")
            .await
            .unwrap();
        live["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(image().await, "lab:1", "windlass applies nothing");
    kubectl(&as_other, &marked("lab:2"));
    kubectl(&["apply"], &status(&merged));
    world.sync_status(&merged, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_becomes_a_pull_request_that_keeps_it_or_has_it_set_back() {
    let lab = Lab::ruled(
        "    drift: propose\n",
        &[
            ("deployment.yaml", &deployment("", "")),
            ("config.yaml", CONFIG),
        ],
    )
    .await;
    lab.kubectl(&["scale", "deployment/lab", "--replicas=5"]);
    let asked = async || lab.world.pull_from("windlass-drift/lab/staging");
    let pull = lab
        .world
        .until("a pull request asks", async || asked().await)
        .await;
    let number = pull["number"].as_u64().unwrap();
    has(
        pull["title"].as_str().unwrap(),
        &["lab/staging: keep what was changed by hand?"],
    );
    has(
        pull["body"].as_str().unwrap(),
        &["`.spec.replicas`", "close it to have it set back"],
    );
    lab.world.previewed(number).await;
    has(
        &lab.world.conversation(number),
        &[
            "1 configure",
            "the cluster has it so already: somebody changed it by hand",
            "-  replicas: 2\n+  replicas: 5",
        ],
    );
    has_not(
        &lab.world.conversation(number),
        &["sets back what others changed"],
    );
    assert_eq!(
        lab.deployment().await["spec"]["replicas"],
        5,
        "it is left until somebody decides"
    );
    // Kept.
    lab.merge(number, "success").await;
    has(
        &lab.world.file("apps/lab/staging/deployment.yaml"),
        &["  replicas: 5\n"],
    );
    // Another one, refused.
    lab.kubectl(&[
        "patch",
        "configmap/lab",
        "--type=merge",
        "-p",
        r#"{"data":{"a":"by hand"}}"#,
    ]);
    let second = lab
        .world
        .until("a second one asks", async || {
            asked()
                .await
                .filter(|pull| pull["number"].as_u64() > Some(number) && pull["state"] == "open")
        })
        .await;
    let second = second["number"].as_u64().unwrap();
    lab.world.as_user(
        "ada",
        Method::PATCH,
        &format!("pulls/{second}"),
        json!({"state": "closed"}),
    );
    lab.world.windlass(&["sync", "lab/staging"]);
    lab.world
        .until("it is set back", async || {
            (lab.object("v1", "ConfigMap", "configmaps", "lab").await["data"]["a"] == "1")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_commit_stands_is_told_where_people_look() {
    let world = World::new().await;
    let source = world
        .forge
        .as_user(
            "ada",
            Method::GET,
            "/repos/acme/shop/git/ref/heads/main",
            Value::Null,
        )
        .unwrap();
    let source = source["object"]["sha"].as_str().unwrap().to_string();
    let event = json!({"image": "ghcr.io/acme/shop", "digest": digest_of("1.1.0"), "tag": "1.1.0", "commit": source, "source": "acme/shop"});
    world
        .until("the event is taken", async || {
            world
                .event(&event, Some(&world.windlass.events_token))
                .await
                .filter(|(status, _)| *status != 503)
        })
        .await;
    let staging = world.pull_request("staging").await;
    let commit = world.merged(staging).await;
    world.sync_status(&commit, "success").await;
    // GitHub's environments.
    let deployments = world.until("the deployment succeeds", async || {
        let all = world.read(&format!("deployments?sha={commit}"));
        let id = all.as_array()?.first()?["id"].as_u64()?;
        (world.read(&format!("deployments/{id}/statuses"))[0]["state"] == "success").then_some(all)
    });
    assert_eq!(deployments.await[0]["environment"], "staging");
    // The commit that the image was built from.
    let told = world.until("the source is told", async || {
        let statuses = world
            .forge
            .as_user(
                "ada",
                Method::GET,
                &format!("/repos/acme/shop/commits/{source}/status"),
                Value::Null,
            )
            .ok()?;
        statuses["statuses"]
            .as_array()?
            .iter()
            .find(|status| status["context"] == "windlass/staging" && status["state"] == "success")
            .cloned()
    });
    has(
        told.await["description"].as_str().unwrap(),
        &["synced and healthy"],
    );
    // The receipt, as git itself reads it.
    let receipt: Value = world
        .until("the receipt", async || {
            serde_json::from_str(&world.forge.note("acme/config", "windlass", &commit)?).ok()
        })
        .await;
    let application = &receipt["applications"][0];
    assert_eq!(
        (&application["application"], &application["outcome"]),
        (&json!("shop/staging"), &json!("synced, healthy"))
    );
    assert!(
        application["plan"].as_str().unwrap().starts_with("wl1:")
            && application["finished"].is_string(),
        "{receipt}"
    );
    assert_eq!(
        application["objects"],
        json!([{"object": format!("Deployment {}/shop", world.namespace("shop-staging")), "action": "configure"}])
    );
    assert_eq!(receipt["pull_requests"][0]["number"], staging);
    let tree = world.read(&format!("git/commits/{commit}"))["tree"]["sha"].clone();
    assert_eq!(
        (&receipt["tree"], &application["inputs"]),
        (
            &tree,
            &world.application("shop.staging").await["status"]["inputs"]
        )
    );
    // The next stage's pull request names where the change of the source can be read.
    let production = world.pull_request("production").await;
    world.previewed(production).await;
    has(
        &world.conversation(production),
        &[
            "| source |",
            &format!("[{}](https://forge/acme/shop/commit/", &source[..7]),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_kinds_are_healthy_by_their_rule() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let group = format!("{}health.example", lab.world.prefix);
    lab.may_write(&group, "backups");
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: backups.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: Backup, plural: backups}}\n  versions: [{{name: v1, served: true, storage: true, subresources: {{status: {{}}}}, schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]\n"
    );
    lab.with_file(&["apply"], &definition);
    lab.world.kubectl(&[
        "wait",
        "--for=condition=Established",
        &format!("crd/backups.{group}"),
        "--timeout=20s",
    ]);
    let rules = format!(
        "health:\n  - {{ group: {group}, kind: Backup, failed: \"self.status.phase == 'Failed'\", healthy: \"self.status.phase == 'Done'\" }}\n"
    );
    let catalog = lab.world.file("windlass.yaml").replacen(
        "applications:\n",
        &format!("{rules}applications:\n"),
        1,
    );
    let backup =
        format!("apiVersion: {group}/v1\nkind: Backup\nmetadata: {{name: lab}}\nspec: {{}}\n");
    let commit = lab
        .world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "A backup",
            &[
                ("windlass.yaml", Some(&catalog)),
                ("apps/lab/staging/backup.yaml", Some(&backup)),
            ],
        )
        .unwrap();
    lab.world
        .until("it is waited for", async || {
            let status = lab.world.application("lab.staging").await["status"].clone();
            (status["health"] == "Progressing" && status["sync"] == "Synced").then_some(())
        })
        .await;
    let phase = |phase: &str| {
        lab.kubectl(&[
            "patch",
            &format!("backups.{group}/lab"),
            "--subresource=status",
            "--type=merge",
            "-p",
            &format!("{{\"status\":{{\"phase\":\"{phase}\"}}}}"),
        ])
    };
    phase("Failed");
    has(
        &lab.world.sync_status(&commit, "failure").await,
        &["Backup lab: failed, by the rule of windlass.yaml"],
    );
    phase("Done");
    lab.world.sync_status(&commit, "success").await;
}
