//! Renderers that go on running say what fresh ones say, and serve one trust each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass::judged_by::{Job, MOST_TIME, Program, Programs, Runner, Trouble, Trust};
use windlass::sandbox::tools::Tools;

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {spec: {containers: [{name: web, image: web:1}, {name: log, image: log:1}]}}}
";
const WIDGET: &str = "apiVersion: example.com/v1
kind: Widget
metadata: {name: web}
parts: [{name: a, size: 1}, {name: b, size: 1}]
";
/// Lists of parts are merged by their names.
const SCHEMA: &str = r##"{"definitions": {
  "example.Part": {"type": "object", "properties": {"name": {"type": "string"}, "size": {"type": "integer"}}},
  "example.Widget": {"type": "object",
    "properties": {"parts": {"type": "array", "items": {"$ref": "#/definitions/example.Part"}, "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge"}},
    "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Widget"}]}}}"##;
const WIDGET_PATCH: &str = "resources: [widget.yaml]
patches: [{patch: '{apiVersion: example.com/v1, kind: Widget, metadata: {name: web}, parts: [{name: b, size: 2}]}'}]
";
const WITH_SCHEMA: &str = "openapi: {path: schema.json}
resources: [widget.yaml]
patches: [{patch: '{apiVersion: example.com/v1, kind: Widget, metadata: {name: web}, parts: [{name: b, size: 2}]}'}]
";
const ESCAPED: &str = "\"open\\u0061pi\": {path: schema.json}
resources: [widget.yaml]
patches: [{patch: '{apiVersion: example.com/v1, kind: Widget, metadata: {name: web}, parts: [{name: b, size: 2}]}'}]
";
const CHART: &str = "{apiVersion: v2, name: web, version: 0.1.0}";
const HOOKS: &str = "apiVersion: batch/v1
kind: Job
metadata: {name: {{ .Release.Name }}-migrate, annotations: {helm.sh/hook: pre-install}}
---
apiVersion: v1
kind: Pod
metadata: {name: try, annotations: {helm.sh/hook: test}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: {{ .Release.Namespace }}}
data: {size: {{ .Values.size | quote }}, api: {{ .Capabilities.APIVersions.Has \"example.com/v1\" | quote }}, kubernetes: {{ .Capabilities.KubeVersion.Version }}}
";

type Files = &'static [(&'static str, &'static str)];

fn job(program: Program, arguments: &[&str], files: Files, trust: Trust) -> Job {
    let files = files
        .iter()
        .map(|(path, text)| (path.to_string(), Arc::from(text.as_bytes())));
    Job {
        program,
        arguments: arguments.iter().map(|word| word.to_string()).collect(),
        files: files.collect(),
        links: BTreeMap::new(),
        trust,
        most: MOST_TIME,
    }
}

/// One of each kind that keeps something in the process that renders it, and what is wrong.
fn jobs() -> Vec<Job> {
    let kustomize: [Files; 10] = [
        &[
            (
                "app/kustomization.yaml",
                "{resources: [web.yaml], images: [{name: web, newTag: '2'}], configMapGenerator: [{name: a, literals: [x=1]}], patches: [{path: patch.yaml}]}",
            ),
            ("app/web.yaml", DEPLOYMENT),
            (
                "app/patch.yaml",
                "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {template: {spec: {containers: [{name: log, image: log:2}]}}}}",
            ),
        ],
        // Without the schema the patch replaces the list.
        &[
            ("app/kustomization.yaml", WIDGET_PATCH),
            ("app/widget.yaml", WIDGET),
        ],
        &[
            ("app/kustomization.yaml", WITH_SCHEMA),
            ("app/widget.yaml", WIDGET),
            ("app/schema.json", SCHEMA),
        ],
        &[
            ("app/kustomization.yaml", WIDGET_PATCH),
            ("app/widget.yaml", WIDGET),
        ],
        // The field's name may be written otherwise.
        &[
            ("app/kustomization.yaml", ESCAPED),
            ("app/widget.yaml", WIDGET),
            ("app/schema.json", SCHEMA),
        ],
        &[
            ("app/kustomization.yaml", WIDGET_PATCH),
            ("app/widget.yaml", WIDGET),
        ],
        // A schema that is none.
        &[
            ("app/kustomization.yaml", WITH_SCHEMA),
            ("app/widget.yaml", WIDGET),
            ("app/schema.json", "{\"definitions\": {"),
        ],
        &[("app/kustomization.yaml", "resources: [gone.yaml]")],
        &[("app/kustomization.yaml", "resources: []")],
        &[
            ("app/kustomization.yaml", "resources: [web.yaml, web.yaml]"),
            ("app/web.yaml", DEPLOYMENT),
        ],
    ];
    let helm: [(&[&str], Files); 6] = [
        (
            &[
                "--namespace",
                "shop",
                "--include-crds",
                "--skip-tests",
                "--api-versions",
                "example.com/v1",
                "--kube-version",
                "v1.31.0",
                "--values",
                "./values.yaml",
                "--set-json",
                "size=3",
            ],
            &[
                ("chart/Chart.yaml", CHART),
                ("chart/templates/all.yaml", HOOKS),
                (
                    "chart/crds/widgets.yaml",
                    "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.example.com}}",
                ),
                ("values.yaml", "size: 2"),
            ],
        ),
        // What the one before was told is not told to this one.
        (
            &["--no-hooks"],
            &[
                ("chart/Chart.yaml", CHART),
                ("chart/templates/all.yaml", HOOKS),
            ],
        ),
        (
            &["--namespace", "shop"],
            &[
                ("chart/Chart.yaml", CHART),
                ("chart/values.schema.json", r#"{"required": ["size"]}"#),
                ("chart/templates/all.yaml", HOOKS),
            ],
        ),
        (
            &["--namespace", "shop"],
            &[
                ("chart/Chart.yaml", CHART),
                ("chart/templates/all.yaml", "{{ fail \"no luck\" }}"),
            ],
        ),
        (
            &["--namespace", "shop"],
            &[(
                "chart/Chart.yaml",
                "{apiVersion: v2, name: web, version: 0.1.0, type: library}",
            )],
        ),
        (
            &["--namespace", "shop"],
            &[(
                "chart/Chart.yaml",
                "{apiVersion: v2, name: web, version: 0.1.0, dependencies: [{name: redis, version: 1.0.0, repository: 'https://charts.example.com'}]}",
            )],
        ),
    ];
    let built = kustomize.iter().map(|files| {
        job(
            Program::Kustomize,
            &["build", "./app"],
            files,
            Trust::Merged,
        )
    });
    let templated = helm.iter().map(|(options, files)| {
        let words = [&["template", "web", "./chart"], *options].concat();
        job(Program::Helm, &words, files, Trust::Merged)
    });
    built.chain(templated).collect()
}

fn renderer(work: &Path, warm: bool) -> Runner {
    let tools = Tools::locate().unwrap();
    let program = |name: &str| tools.program(name).unwrap();
    let programs = Programs {
        kustomize: program("kustomize"),
        helm: Some(program("helm")),
        warm: warm.then(|| program("windlass-renderer")),
        launcher: Some(env!("CARGO_BIN_EXE_windlass").into()),
    };
    Runner::local(programs, work.into()).unwrap()
}

/// What people are told; a panic has a trace of the process too.
fn words(printed: Result<String, Trouble>) -> Result<String, String> {
    printed.map_err(|trouble| {
        let (Trouble::Author(words) | Trouble::Passing(words)) = trouble;
        let panic = words.lines().next().and_then(|line| {
            let line = line.strip_prefix("panic: ")?;
            Some(line.split(" [recovered").next().unwrap_or(line).to_string())
        });
        panic.unwrap_or(words)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renderer_that_goes_on_says_what_a_fresh_one_says() {
    let (once, going_on) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (once, going_on) = (
        renderer(once.path(), false),
        renderer(going_on.path(), true),
    );
    let jobs = jobs();
    let mut expected = Vec::new();
    for job in &jobs {
        expected.push(words(once.run(job).await.1));
    }
    // The cases are different ones.
    assert_ne!(expected[1], expected[2]);
    assert!(
        expected[10]
            .as_ref()
            .is_ok_and(|text| text.contains("size: \"3\""))
    );
    let failed = expected.iter().filter(|one| one.is_err()).count();
    assert_eq!(failed, 7, "{expected:#?}");
    // Forth and back: each comes after others, and before them.
    for at in (0..jobs.len()).chain((0..jobs.len()).rev()) {
        assert_eq!(
            words(going_on.run(&jobs[at]).await.1),
            expected[at],
            "job {at}"
        );
    }
}

/// The processes that render in a folder.
fn processes(work: &Path) -> BTreeSet<PathBuf> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.map(|one| one.path())
        .filter(|process| {
            std::fs::read_link(process.join("cwd")).is_ok_and(|place| place.starts_with(work))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renderer_serves_one_trust_and_another_takes_its_place_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let renderer = renderer(folder.path(), true);
    let render = async |trust: &Trust| {
        let job = Job {
            trust: trust.clone(),
            ..jobs().swap_remove(0)
        };
        renderer.run(&job).await.1.unwrap();
        processes(folder.path())
    };
    let (first, second) = (Trust::Head("a".into()), Trust::Head("b".into()));
    let merged = render(&Trust::Merged).await;
    assert_eq!(merged.len(), 1);
    assert_eq!(render(&Trust::Merged).await, merged);
    let with_first = render(&first).await;
    assert_eq!(with_first.len(), 2);
    assert!(with_first.is_superset(&merged));
    assert_eq!(render(&first).await, with_first);
    let with_second = render(&second).await;
    let news: Vec<_> = with_second.difference(&with_first).collect();
    assert_eq!(news.len(), 1, "{with_second:?}");
    // Killed while it waits: the next job finds another.
    let pid = news[0].file_name().unwrap().to_str().unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-KILL", pid])
        .status();
    assert!(killed.unwrap().success());
    let after = render(&second).await;
    assert!(!after.contains(news[0]), "{after:?}");
    drop(renderer);
}
