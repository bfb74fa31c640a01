//! What renders a pull request: charts, and the jail that renderers are in.

use std::process::Command;

use crate::support::lab::has;
use crate::support::{Setup, World};

const CHART: &str = "apiVersion: v2\nname: web\nversion: 0.1.0\n";
const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  greeting: {{ .Values.greeting | quote }}\n  where: {{ .Release.Namespace }}\n  new: {{ .Capabilities.APIVersions.Has \"apps/v1/Deployment\" | quote }}\n";

async fn world() -> World {
    let world = World::with(Setup::default()).await;
    let catalog = world.file("windlass.yaml");
    let rule = format!(
        "applications:\n  - path: web/{{application}}/{{stage}}\n    chart: charts/web\n    namespace: {}\n",
        world.namespace("shop-staging")
    );
    let catalog = catalog.replacen("applications:\n", &rule, 1);
    let files = [
        ("windlass.yaml", Some(catalog.as_str())),
        ("charts/web/Chart.yaml", Some(CHART)),
        ("charts/web/values.yaml", Some("greeting: default\n")),
        ("charts/web/templates/config.yaml", Some(TEMPLATE)),
        ("web/front/staging/values.yaml", Some("greeting: hello\n")),
    ];
    let commit = world.commit("A chart", &files);
    world.sync_status(&commit, "success").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_previewed_and_synced_with_the_values_of_its_stage() {
    let world = world().await;
    let live = world.config_map("staging", "front").await.unwrap();
    let namespace = world.namespace("shop-staging");
    assert_eq!(
        live["data"],
        serde_json::json!({"greeting": "hello", "where": namespace, "new": "true"})
    );
    let number = world.propose(
        "bob",
        "values",
        &[("web/front/staging/values.yaml", Some("greeting: goodbye\n"))],
    );
    world.previewed(number).await;
    let text = world.conversation(number);
    assert!(
        text.contains("**front/staging**")
            && text.contains("-  greeting: hello\n+  greeting: goodbye"),
        "{text}"
    );
    // The chart's own files are the application's too.
    let number = world.propose(
        "bob",
        "template",
        &[(
            "charts/web/templates/config.yaml",
            Some(&format!("{TEMPLATE}  more: x\n")),
        )],
    );
    world.previewed(number).await;
    let text = world.conversation(number);
    assert!(
        text.contains("**front/staging**") && text.contains("+  more: x"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_chart_must_not_do_is_said_to_its_author() {
    let world = world().await;
    let cases = [
        (
            "charts/web/templates/config.yaml",
            format!("{TEMPLATE}  random: {{{{ randAlphaNum 8 }}}}\n"),
            "web/templates/config.yaml renders differently each time",
        ),
        (
            "charts/web/Chart.yaml",
            format!(
                "{CHART}dependencies: [{{name: redis, version: 1.0.0, repository: https://charts.example.com}}]\n"
            ),
            "charts/web/Chart.yaml:4: the chart `redis` is not in this repository, and windlass may fetch nothing from elsewhere: run `helm dependency build charts/web` and commit its charts/, or have the server's administrator allow `- url: https://charts.example.com` (--sources)",
        ),
        (
            "charts/web/templates/config.yaml",
            format!("{{{{ fail \"no luck\" }}}}\n{TEMPLATE}"),
            "no luck",
        ),
        (
            "charts/web/templates/config.yaml",
            format!("{TEMPLATE}  day: {{{{ now | date \"2006-01-02\" | quote }}}}\n"),
            "web/templates/config.yaml renders differently each time",
        ),
    ];
    for (number, (path, text, expected)) in cases.iter().enumerate() {
        let number = world.propose("bob", &format!("case-{number}"), &[(path, Some(text))]);
        let check = world.previewed(number).await;
        assert_eq!(check["conclusion"], "failure");
        let said = world.conversation(number);
        has(&said, &[expected]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_chart_is_told_of_the_cluster_stays_with_the_commit() {
    let world = world().await;
    let group = format!("{}charts.example.com", world.prefix);
    let template = format!(
        "{TEMPLATE}  unused: {{{{ if .Values.dated }}}}{{{{ now }}}}{{{{ end }}}}\n  known: {{{{ (lookup \"v1\" \"Secret\" .Release.Namespace \"x\") | empty | quote }}}}\n---\n{{{{ if .Capabilities.APIVersions.Has \"{group}/v1\" }}}}\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: extra}}\n{{{{ end }}}}\n"
    );
    let number = world.propose(
        "bob",
        "template",
        &[("charts/web/templates/config.yaml", Some(&template))],
    );
    let check = world.previewed(number).await;
    assert_eq!(check["conclusion"], "success");
    let text = world.conversation(number);
    has(
        &text,
        &[
            "`web/templates/config.yaml` reads the cluster with `lookup`, which finds nothing here, as with `helm template`",
        ],
    );
    let merged = world.as_user(
        "ada",
        http::Method::PUT,
        &format!("pulls/{number}/merge"),
        serde_json::json!({}),
    );
    world
        .sync_status(merged["sha"].as_str().unwrap(), "success")
        .await;
    let definition = serde_json::json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")}, "spec": {"group": group, "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"}, "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    world.with_file(&["apply"], &definition.to_string());
    world.kubectl(&[
        "wait",
        "--for=condition=Established",
        &format!("crd/widgets.{group}"),
    ]);
    // A restarted windlass asks the cluster anew, and the commit is what it was.
    world.kill();
    world.start();
    world.quiet().await;
    assert!(world.config_map("staging", "extra").await.is_none());
    // The next commit is told what there is now, and its preview says what comes of it.
    let number = world.propose(
        "bob",
        "values",
        &[("web/front/staging/values.yaml", Some("greeting: goodbye\n"))],
    );
    world.previewed(number).await;
    has(
        &world.conversation(number),
        &[
            "**front/staging**",
            "+  name: extra",
            "+  greeting: goodbye",
        ],
    );
    // So is a sync that somebody asks for.
    let object = world.application("front.staging").await["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_string();
    world.kubectl(&[
        "annotate",
        "-n",
        &world.home(),
        "applications.windlass.dev",
        &object,
        "windlass.dev/sync-requested=now",
    ]);
    world
        .until("what the cluster serves now is used", async || {
            world.config_map("staging", "extra").await
        })
        .await;
    world.kubectl(&["delete", "crd", &format!("widgets.{group}")]);
}

#[test]
fn the_jail_has_no_files_no_network_and_bounds() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("inside"), "mine").unwrap();
    let jailed = |program: &str, arguments: &[&str]| {
        let said = Command::new(env!("CARGO_BIN_EXE_windlass"))
            .args([
                "jail",
                "--folder",
                folder.path().to_str().unwrap(),
                "--",
                program,
            ])
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        (
            said.status.success(),
            format!(
                "{}{}",
                String::from_utf8_lossy(&said.stdout),
                String::from_utf8_lossy(&said.stderr)
            ),
        )
    };
    assert_eq!(jailed("/bin/cat", &["inside"]), (true, "mine".into()));
    for outside in [
        "/etc/passwd",
        "/proc/self/environ",
        env!("CARGO_MANIFEST_DIR"),
    ] {
        let (ok, said) = jailed("/bin/cat", &[outside]);
        assert!(
            !ok && said.contains("Permission denied"),
            "{outside}: {said}"
        );
    }
    // No other program, and nothing that is not in the folder is written.
    let (ok, said) = jailed("/bin/sh", &["-c", "exec /bin/cat inside"]);
    assert!(!ok && said.contains("Permission denied"), "{said}");
    let (ok, said) = jailed("/bin/sh", &["-c", "(true); true"]);
    assert!(
        !ok && said.contains("fork"),
        "no other process either: {said}"
    );
    // Nobody else is signalled, and nothing is left to reach who started it by.
    let (_, said) = jailed(
        "/bin/bash",
        &["--norc", "-c", "kill -0 $PPID && echo reached"],
    );
    assert!(!said.contains("reached"), "{said}");
    let own = env!("CARGO_BIN_EXE_windlass");
    assert_eq!(
        jailed(own, &["escape"]),
        (true, "[]".into()),
        "what windlass itself tries at start"
    );
    let free = Command::new(own).arg("escape").output().unwrap();
    assert!(
        String::from_utf8_lossy(&free.stdout).contains("open a socket"),
        "it can tell"
    );
    let (ok, said) = jailed("/bin/sh", &["-c", "echo x > /tmp/windlass-jail"]);
    assert!(!ok && said.contains("Permission denied"), "{said}");
    // The shell of /dev/tcp has no socket; memory and files are bounded.
    let (ok, said) = jailed(
        "/bin/bash",
        &["--norc", "-c", "echo x > /dev/tcp/127.0.0.1/80"],
    );
    assert!(!ok && said.contains("Operation not permitted"), "{said}");
    let (ok, said) = jailed("/bin/dd", &["if=/dev/zero", "of=big", "bs=1M", "count=100"]);
    assert!(!ok, "{said}");
    let (_, limits) = jailed(
        "/bin/bash",
        &[
            "--norc",
            "-c",
            "ulimit -v; ulimit -d; ulimit -f; ulimit -n; ulimit -t",
        ],
    );
    assert_eq!(limits, "4194304\n1048576\n65536\n256\n60\n");
}
