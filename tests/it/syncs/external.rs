//! Stages that Argo CD or Flux keep.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::support::lab::{deployment, has, has_not};
use crate::support::{Setup, World, plane};

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
    /// Its marks on an object of the application, such as `/ConfigMap:NAMESPACE/NAME`, itself being
    /// in the namespace.
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
        marks: |object, _| {
            format!("annotations: {{argocd.argoproj.io/tracking-id: \"lab-staging:{object}\"}}")
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
    kept_by(Other {
        how: &["apply"],
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

/// kubectl on the objects of a text.
pub fn kubectl(world: &World, arguments: &[&str], text: &str) -> String {
    let digest = text.bytes().fold(0_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    let file = std::env::temp_dir().join(format!("{}{digest:x}.yaml", world.prefix));
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    plane()
        .kubectl(&[arguments, &["-f", file]].concat())
        .unwrap()
}

/// A kind of another reconciler, without its controller.
pub fn define(world: &World, group: &str, version: &str, kind: &str, plural: &str) {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")}, "spec": {"group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural}, "versions": [{"name": version, "served": true, "storage": true, "schema": schema}]}});
    kubectl(world, &["apply", "--server-side"], &definition.to_string());
    let definition = format!("crd/{plural}.{group}");
    world.kubectl(&[
        "wait",
        "--for=condition=Established",
        &definition,
        "--timeout=30s",
    ]);
}

/// A world that knows Argo CD's Applications; the namespaces of an application and of Argo CD.
pub async fn world_of_argo_cd() -> (World, String, String) {
    let world = World::asleep(Setup::default()).await;
    let (namespace, argo) = (world.namespace("lab-staging"), world.namespace("argocd"));
    define_argo_cd(&world);
    for name in [&namespace, &argo] {
        world.kubectl(&["create", "namespace", name]);
    }
    (world, namespace, argo)
}

/// Argo CD's Application, without its controller.
pub fn define_argo_cd(world: &World) {
    define(
        world,
        "argoproj.io",
        "v1alpha1",
        "Application",
        "applications",
    );
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
    let kubectl = |arguments: &[&str], text: &str| kubectl(&world, arguments, text);
    define(&world, group, version, kind, plural);
    world.kubectl(&["create", "namespace", &namespace]);
    world.kubectl(&["create", "namespace", &own]);
    let marks = |object: &str| {
        let (group_and_kind, name) = object.split_once(':').unwrap();
        (other.marks)(&format!("{group_and_kind}:{namespace}/{name}"), &own)
    };
    let marked = |image: &str| {
        let marks = marks("apps/Deployment:lab");
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
                &format!(", {}", marks(&format!("/ConfigMap:{name}"))),
            ),
        );
    }
    let by_server = other.how.contains(&"--server-side");
    let url = format!("{}/acme/config.git", world.forge.url());
    let status = |revision: &str| {
        let metadata = json!({"name": "lab-staging", "namespace": own});
        let options = [format!("ServerSideApply={by_server}")];
        json!({"apiVersion": format!("{group}/{version}"), "kind": kind, "metadata": metadata, "status": (other.status)(revision),
            "spec": {"source": {"repoURL": url, "path": "apps/lab/staging"}, "prune": true, "syncPolicy": {"automated": {"prune": true}, "syncOptions": options}, "postBuild": {"substitute": {"REGION": "eu-1"}}}})
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
    let first = world.commit("Kept by another", &files);
    kubectl(&["apply"], &status(&first));
    world.start();
    assert!(
        world
            .sync_status(&first, "success")
            .await
            .contains("synced and healthy")
    );
    // A preview under its own field manager: only the change, and no word about who keeps the
    // object.
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
            "1 changed",
            "verified by the cluster",
            "-      - image: lab:1\n+      - image: lab:2",
        ],
    );
    has_not(
        &conversation,
        &["windlass.dev/owner", "is managed by", "sync reverts"],
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
            "1 changed",
            "1 deleted",
            "-  b: '2'",
            "Deletes `ConfigMap lab-staging/gone`",
        ],
    );
    has(&said, &["less</code> changed +0 −1"]);
    has_not(&said, &["sync reverts", "last-applied"]);
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
    // Whatever happens later is seen by a watch. Without one, each change would be read after three
    // seconds at the earliest.
    let fails = status(&merged)
        .replace("\"Healthy\"", "\"Degraded\"")
        .replace("\"True\"", "\"False\"")
        .replace("ReconciliationSucceeded", "HealthCheckFailed");
    let mut fastest = Duration::MAX;
    for (text, is_well) in [(&fails, false), (&status(&merged), true)].repeat(2) {
        let began = Instant::now();
        kubectl(&["apply"], text);
        world
            .until("what their object says is seen", async || {
                let status = world.application("lab.staging").await["status"].clone();
                let is_now = status["health"] == "Healthy" && status["blocked"] != true;
                (is_now == is_well).then_some(())
            })
            .await;
        fastest = fastest.min(began.elapsed());
    }
    assert!(fastest < Duration::from_secs(3), "it is polled");
}
