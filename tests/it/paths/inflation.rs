//! Charts in kustomizations.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::charts::Charts;
use crate::support::lab::{has, has_not};
use crate::support::{Setup, World, plane};

const CHART: &str = "apiVersion: v2\nname: web\nversion: 0.1.0\n";
const TEMPLATE: &str = "apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-web
  labels: {chart: {{ .Chart.Name }}}
data:
  where: {{ .Release.Namespace }}
  kubernetes: {{ .Capabilities.KubeVersion.Version | quote }}
  has: {{ .Capabilities.APIVersions.Has \"acme.example/v1\" | quote }}
  values: {{ toJson .Values | quote }}
{{- if .Values.more }}
---
apiVersion: v1
kind: ConfigMapList
metadata: {}
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: elsewhere-web, namespace: {{ .Values.more }}}
{{- end }}
";
const DEFAULTS: &str = "greeting: default\nlist: [a, b]\nkept: {a: 1, b: 2}\ngone: x\nmore: \"\"\n";

/// A chart in the overlay with values from everywhere, one in the base, and one in a component.
const TREE: [(&str, &str); 12] = [
    ("charts/web/Chart.yaml", CHART),
    ("charts/web/values.yaml", DEFAULTS),
    ("charts/web/templates/config.yaml", TEMPLATE),
    (
        "apps/chart/base/kustomization.yaml",
        "helmGlobals: {chartHome: ../../../charts}\nhelmCharts:\n- name: web\n  releaseName: base\n  valuesFile: values.yaml\n",
    ),
    ("apps/chart/base/values.yaml", "greeting: of the base\n"),
    (
        "apps/chart/component/kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\ngenerators: [chart.yaml]\n",
    ),
    (
        "apps/chart/component/chart.yaml",
        "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: x}\nname: web\nreleaseName: component\nnamespace: NAMESPACE\nchartHome: ../../../charts\nvaluesFile: chart.yaml\nvaluesMerge: replace\nvaluesInline: {greeting: of the component}\n",
    ),
    (
        "apps/chart/staging/kustomization.yaml",
        "namespace: NAMESPACE
resources: [../base]
components: [../component]
namePrefix: pre-
labels: [{pairs: {team: web}}]
helmCharts:
- name: web
  releaseName: own
  additionalValuesFiles: [more.yaml]
  valuesInline: {greeting: inline, list: [c], kept: {b: null, c: 3}, gone: null}
  kubeVersion: v1.30.0
  apiVersions: [acme.example/v1]
- name: web
  releaseName: merged
  valuesMerge: merge
  valuesInline: {greeting: inline, kept: {c: 3}}
",
    ),
    (
        "apps/chart/staging/more.yaml",
        "list: [d]\nmore: NAMESPACE\n",
    ),
    ("apps/chart/staging/charts/web/Chart.yaml", CHART),
    ("apps/chart/staging/charts/web/values.yaml", DEFAULTS),
    (
        "apps/chart/staging/charts/web/templates/config.yaml",
        TEMPLATE,
    ),
];

/// Rendered by kustomize itself.
fn by_kustomize(files: &[(String, String)], directory: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let program = |name: &str| plane().tools().program(name).unwrap();
    let out = Command::new(program("kustomize"))
        .args(["build", "--enable-helm", "--helm-command"])
        .arg(program("helm"))
        .arg(folder.path().join(directory))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    let text = String::from_utf8_lossy(&out.stdout);
    windlass::judged_by::yaml::documents(&text).unwrap()
}

/// Previews a change, and has it synced.
async fn synced(world: &World, files: &[(&str, Option<&str>)]) {
    let number = world.propose("bob", "charts", files);
    let check = world.previewed(number).await;
    let said = world.conversation(number);
    assert_eq!(check["conclusion"], "success", "{said}");
    let commit = world.commit("Charts", files);
    world.sync_status(&commit, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_of_a_kustomization_render_as_kustomize_renders_them() {
    let world = World::new().await;
    let namespace = world.namespace("chart-staging");
    world.kubectl(&["create", "namespace", &namespace]);
    let files: Vec<_> = TREE
        .iter()
        .map(|(path, text)| (path.to_string(), text.replace("NAMESPACE", &namespace)))
        .collect();
    let wanted = by_kustomize(&files, "apps/chart/staging");
    let pushed: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    synced(&world, &pushed).await;
    let mut names = BTreeMap::new();
    for object in &wanted {
        let name = object["metadata"]["name"].as_str().unwrap();
        let live = world
            .get("v1", "ConfigMap", "configmaps", &namespace, name)
            .await;
        let live = live.unwrap_or_default();
        let own = &object["metadata"]["namespace"];
        assert!(own.is_null() || *own == *namespace, "{own}");
        assert_eq!(live["data"], object["data"], "{name}");
        let labels = object["metadata"]["labels"].as_object().unwrap();
        for (label, value) in labels {
            assert_eq!(live["metadata"]["labels"][label], *value, "{name}");
        }
        names.insert(name, live["data"]["values"].clone());
    }
    assert_eq!(names.len(), 5, "{names:?}");
    let values: Value = serde_json::from_str(names["pre-own-web"].as_str().unwrap()).unwrap();
    assert_eq!(values["list"], json!(["d"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_from_elsewhere_is_fetched_or_its_refusal_says_what_to_write() {
    let charts = Charts::start().await;
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-cache\ndata:\n  greeting: {{ .Values.greeting | quote }}\n  version: {{ .Chart.Version | quote }}\n";
    charts.publish("cache", "3.0.0", template);
    let mut world = World::asleep(Setup::default()).await;
    charts.allow(&mut world);
    world.start();
    world.settled().await;
    let path = "apps/shop/staging/kustomization.yaml";
    let (before, address) = (world.file(path), charts.address.clone());
    let with = |entry: &str| {
        let entry = entry.replace("ADDRESS", &address);
        format!("{before}helmCharts:\n- {{name: cache, {entry}}}\n")
    };
    let entry = "releaseName: a, repo: 'oci://ADDRESS/acme', version: 3.0.0, valuesInline: {greeting: hello}";
    synced(&world, &[(path, Some(&with(entry)))]).await;
    let live = world.config_map("staging", "a-cache").await.unwrap();
    assert_eq!(
        live["data"],
        json!({"greeting": "hello", "version": "3.0.0"})
    );
    let repo = "repo: 'http://ADDRESS/charts'";
    for (number, (entry, expected)) in [
        (
            format!("releaseName: a, {repo}"),
            "apps/shop/staging/kustomization.yaml:13: `` is no exact version of the chart `cache`: write one, as in `version: 1.2.3`",
        ),
        (
            format!("{repo}, version: 3.0.0"),
            "the chart `cache` needs a `releaseName`: cache/templates/config.yaml has the name in it",
        ),
        (
            "releaseName: a".into(),
            "the chart `cache` is not in `apps/shop/staging/charts/cache`: commit it there, or name its `repo` and `version`",
        ),
        (
            format!("releaseName: a, version: 3.0.0, {}", repo.replace("charts", "other")),
            "do not let windlass fetch from there",
        ),
        (
            format!("releaseName: a, version: 3.0.0, {repo}, valuesFile: none.yaml"),
            "the values file `none.yaml` is not in this repository",
        ),
        (
            format!("nameTemplate: x, version: 3.0.0, {repo}"),
            "`nameTemplate` of the chart `cache` is not supported",
        ),
    ]
    .iter()
    .enumerate()
    {
        let text = with(entry);
        let number = world.propose("bob", &format!("case-{number}"), &[(path, Some(&text))]);
        let check = world.previewed(number).await;
        assert_eq!(check["conclusion"], "failure");
        let said = world.conversation(number);
        has(&said, &[expected]);
        has_not(&said, &["--enable-helm"]);
    }
}
