//! Hooks of charts and of Argo CD.

use http::Method;
use serde_json::{Value, json};

use crate::support::lab::{CONFIG, Lab, has, has_not};
use crate::support::plane;

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
    let commit = lab.world.commit("A chart with hooks", &all);
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
            "1 changed · 2 hooks run",
            "runs before the rest is synced (pre-install,pre-upgrade)",
            "runs after the rest is synced (post-upgrade)",
            "is a hook that windlass does not run (`pre-delete`)",
        ],
    );
    has_not(&text, &["Deletes and recreates"]);
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
            "already exists and is not a hook of this application",
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
    has(&text, &["1 changed"]);
    lab.merge(number, "success").await;
    assert_eq!(
        lab.object("v1", "ConfigMap", "configmaps", "lab").await["metadata"]["uid"],
        uid
    );
}
