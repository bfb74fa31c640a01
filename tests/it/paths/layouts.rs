//! Repositories that are laid out otherwise than the example: files, shared charts, one stage,
//! directories above kustomizations.

use crate::support::lab::has;
use crate::support::{Setup, World};

const CHART: &str = "apiVersion: v2\nname: web\nversion: 0.1.0\n";
const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  all: {{ .Values.all }}\n  stage: {{ .Values.stage }}\n  color: {{ .Values.look.color }}\n  kubernetes: {{ .Capabilities.KubeVersion.Version }}\n";

fn config(name: &str, key: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  {key}: '1'\n")
}

fn rules(namespace: &str) -> String {
    format!(
        "applications:
  - path: jobs/{{stage}}/{{application}}.yaml
    namespace: {namespace}
  - path: charts/{{application}}/values-{{stage}}.yaml
    namespace: {namespace}
    chart: charts/{{application}}
    helm:
      release: \"{{application}}-of-{{stage}}\"
      values: [charts/common.yaml]
      set: {{ look.color: \"{{application}}-red\" }}
      kubeVersion: v1.20.3
  - path: clusters/{{group}}/{{application}}
    name: \"{{group}}-{{application}}\"
    stage: staging
    namespace: {namespace}
    exclude: [\"*/old\"]
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn files_charts_and_directories_above_kustomizations_are_applications() {
    let world = World::with(Setup::default()).await;
    let namespace = world.namespace("shop-staging");
    let catalog = world.file("windlass.yaml");
    let catalog = catalog.replacen("applications:\n", &rules(&namespace), 1);
    let (one, two, nested, old) = (
        config("one", "a"),
        config("two", "a"),
        config("nested", "a"),
        config("old", "a"),
    );
    let files = [
        ("windlass.yaml", catalog.as_str()),
        ("jobs/staging/one.yaml", &one),
        ("charts/web/Chart.yaml", CHART),
        ("charts/web/values.yaml", "all: of-the-chart\nstage: none\n"),
        ("charts/web/values-staging.yaml", "stage: staging\n"),
        ("charts/web/templates/config.yaml", TEMPLATE),
        ("charts/common.yaml", "all: of-all\nstage: of-all\n"),
        ("clusters/eu/infra/two.yaml", &two),
        (
            "clusters/eu/infra/dns/kustomization.yaml",
            "namePrefix: dns-\nresources: [nested.yaml]\n",
        ),
        ("clusters/eu/infra/dns/nested.yaml", &nested),
        ("clusters/eu/nothing/kustomization.yaml", "resources: []\n"),
        ("clusters/eu/old/old.yaml", &old),
    ];
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (*path, Some(*text)))
        .collect();
    let commit = world.commit("Layouts", &files);
    world.sync_status(&commit, "success").await;
    for name in ["one", "two", "dns-nested"] {
        assert!(world.config_map("staging", name).await.is_some(), "{name}");
    }
    assert!(world.config_map("staging", "old").await.is_none());
    let chart = world.config_map("staging", "web-of-staging").await.unwrap();
    assert_eq!(
        chart["data"],
        serde_json::json!({"all": "of-all", "stage": "staging", "color": "web-red", "kubernetes": "v1.20.3"})
    );
    let mut names: Vec<_> = world.applications().await;
    names.retain(|object| object["metadata"]["name"] == "eu-nothing.staging");
    assert_eq!(names[0]["status"]["health"], "Healthy");

    let change = [
        ("jobs/staging/one.yaml", Some(one.replace("'1'", "'2'"))),
        ("charts/common.yaml", Some("all: changed\n".into())),
        (
            "clusters/eu/infra/dns/nested.yaml",
            Some(nested.replace("'1'", "'2'")),
        ),
    ];
    let change: Vec<_> = change
        .iter()
        .map(|(path, text)| (*path, text.as_deref()))
        .collect();
    let number = world.propose("bob", "all", &change);
    world.previewed(number).await;
    has(
        &world.conversation(number),
        &[
            "**3 of 6 applications change**",
            "**one/staging**",
            "**web/staging**",
            "-  all: of-all\n+  all: changed",
            "**eu-infra/staging**",
            "<code>ConfigMap shop-staging/dns-nested</code> changed",
        ],
    );
}
