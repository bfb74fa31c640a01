//! How people lay out their repositories: each row is a `windlass.yaml`, files,
//! and the applications that come of them.

use super::*;

/// `application/stage namespace: place`, in the order of the catalog.
fn found(text: &str, files: &[&str]) -> Vec<String> {
    let catalog = Catalog::parse(text).unwrap();
    let targets = catalog.expand(&Tree::new(files.iter().copied())).unwrap();
    let line = |target: &Target| {
        let (chart, values) = (&target.chart, &target.helm.values);
        let chart = chart.as_ref().map(|chart| format!(" chart {chart}"));
        let values = values
            .as_ref()
            .map(|all| format!(" values {}", all.join(" ")));
        format!(
            "{}/{} {}: {}{}{}",
            target.application,
            target.stage.name,
            target.destination.namespace,
            target.path,
            chart.unwrap_or_default(),
            values.unwrap_or_default()
        )
    };
    targets.iter().map(line).collect()
}

type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

/// Each row: the rules of a file with two stages, the files of the repository, and what is found.
fn check(table: &[Row<'_>]) {
    for (rules, files, expected) in table {
        assert_eq!(found(&staged(rules), files), *expected, "{rules}");
    }
}

/// A file with two stages and these rules.
fn staged(rules: &str) -> String {
    format!(
        "version: 1\nstages: {{ staging: {{}}, production: {{ after: [staging] }} }}\napplications:\n{rules}"
    )
}

#[test]
fn stages_may_stand_anywhere_in_the_path() {
    check(&[
        (
            "  - { path: 'apps/{application}/overlays/{stage}', namespace: '{application}' }",
            &[
                "apps/shop/base/kustomization.yaml",
                "apps/shop/overlays/production/kustomization.yaml",
                "apps/shop/overlays/staging/kustomization.yaml",
                "apps/shop/overlays/kind/kustomization.yaml",
            ],
            &[
                "shop/staging shop: apps/shop/overlays/staging",
                "shop/production shop: apps/shop/overlays/production",
            ],
        ),
        (
            "  - { path: 'envs/{stage}/{application}', namespace: '{application}-{stage}' }",
            &["envs/staging/shop/a.yaml", "envs/production/shop/a.yml"],
            &[
                "shop/staging shop-staging: envs/staging/shop",
                "shop/production shop-production: envs/production/shop",
            ],
        ),
        (
            "  - { path: 'clusters/*/{application}-{stage}', namespace: x }",
            &["clusters/eu/my-shop-staging/a.json"],
            &["my-shop/staging x: clusters/eu/my-shop-staging"],
        ),
    ]);
}

#[test]
fn a_file_may_be_an_application_or_its_values() {
    check(&[
        (
            "  - { path: 'deploy/{stage}/{application}.yaml', namespace: x }",
            &[
                "deploy/staging/shop.yaml",
                "deploy/staging/README.md",
                "deploy/qa/shop.yaml",
            ],
            &["shop/staging x: deploy/staging/shop.yaml"],
        ),
        (
            "  - { path: 'charts/{application}/values-{stage}.yaml', chart: 'charts/{application}', namespace: '{application}' }",
            &[
                "charts/shop/Chart.yaml",
                "charts/shop/values.yaml",
                "charts/shop/values-staging.yaml",
                "charts/shop/values-production.yaml",
            ],
            &[
                "shop/staging shop: charts/shop/values-staging.yaml chart charts/shop",
                "shop/production shop: charts/shop/values-production.yaml chart charts/shop",
            ],
        ),
        (
            "  - { path: 'values/{application}/{stage}.yaml', chart: charts/one, namespace: x, helm: { values: ['values/common.yaml', 'values/{application}.yaml'] } }",
            &[
                "charts/one/Chart.yaml",
                "values/common.yaml",
                "values/a.yaml",
                "values/a/staging.yaml",
            ],
            &[
                "a/staging x: values/a/staging.yaml chart charts/one values values/common.yaml values/a.yaml",
            ],
        ),
    ]);
}

#[test]
fn a_stage_may_be_a_constant_or_the_only_one() {
    let text = staged(
        "  - { name: proxy, path: platform/proxy, stage: production, namespace: proxy }
  - { path: 'staging-apps/{application}', stage: staging, namespace: x }",
    );
    let files = [
        "platform/proxy/a.yaml",
        "staging-apps/shop/a.yaml",
        "staging-apps/README.md",
    ];
    assert_eq!(
        found(&text, &files),
        [
            "proxy/production proxy: platform/proxy",
            "shop/staging x: staging-apps/shop"
        ]
    );
    // One cluster and one stage: the layout of many homes.
    let home = "version: 1
applications:
  - path: kubernetes/apps/{namespace}/{application}/app
    namespace: \"{namespace}\"
  - path: kubernetes/apps/{namespace}/{group}/{application}
    name: \"{group}-{application}\"
    namespace: \"{namespace}\"
    exclude: [\"*/app\", \"*/components\"]
";
    let files = [
        "kubernetes/apps/media/kustomization.yaml",
        "kubernetes/apps/media/plex/app/kustomization.yaml",
        "kubernetes/apps/media/plex/ks.yaml",
        "kubernetes/apps/network/envoy/gateway_api/kustomization.yaml",
        "kubernetes/apps/network/envoy/components/kustomization.yaml",
    ];
    assert_eq!(
        found(home, &files),
        [
            "envoy-gateway-api/live network: kubernetes/apps/network/envoy/gateway_api",
            "plex/live media: kubernetes/apps/media/plex/app"
        ]
    );
    let (catalog, tree) = (Catalog::parse(home).unwrap(), Tree::default());
    let stage = &catalog.stages[0];
    assert_eq!(
        (stage.cluster.as_str(), stage.merge),
        ("local", MergePolicy::Reviewed)
    );
    assert_eq!(catalog.unmatched(&tree).len(), 2);
}

#[test]
fn only_what_can_be_rendered_counts() {
    let text = staged(
        "  - { path: 'components/{application...}/{stage}', namespace: x, exclude: ['components/old/*'] }",
    );
    let files = [
        "components/build/logs/staging/kustomization.yaml",
        "components/build/staging/README.md",
        // Kustomizations of its clusters: none by itself.
        "components/policies/staging/one/kustomization.yaml",
        "components/old/api/staging/kustomization.yaml",
        "components/web/production/deploy/web.yaml",
    ];
    assert_eq!(
        found(&text, &files),
        [
            "build-logs/staging x: components/build/logs/staging",
            "web/production x: components/web/production"
        ]
    );
    let catalog = Catalog::parse(&staged(
        "  - { path: 'policies/{application}/{stage}', namespace: x }",
    ))
    .unwrap();
    let tree = Tree::new(["policies/a/staging/one/kustomization.yaml"]);
    assert_eq!(
        catalog.unmatched(&tree),
        [
            "windlass.yaml: `policies/{application}/{stage}` matches only directories that cannot be rendered, such as `policies/a/staging`: they hold no kustomization, no chart and no manifests of their own"
        ]
    );
    assert!(catalog.may_place("policies/new/staging/x/y.yaml"));
    assert!(!catalog.may_place("policies/new/qa/y.yaml"));
}

#[test]
fn helm_is_told_what_a_rule_says() {
    let text = staged(
        "  - path: apps/{application}/{stage}
    namespace: x
    chart: charts/web
    helm:
      release: \"{application}\"
      namespace: \"{stage}\"
      set: { image.tag: \"{stage}\", replicas: 2, hosts: [a] }
      skipCRDs: true
      kubeVersion: \"1.33\"
      apiVersions: [a.example/v1]
",
    );
    let catalog = Catalog::parse(&text).unwrap();
    let targets = catalog
        .expand(&Tree::new(["apps/Web/staging/values.yaml"]))
        .unwrap();
    let set = [
        ("image.tag", serde_json::json!("staging")),
        ("replicas", 2.into()),
        ("hosts", serde_json::json!(["a"])),
    ];
    assert_eq!(
        targets[0].helm,
        HelmOptions {
            release: Some("web".into()),
            namespace: Some("staging".into()),
            values: None,
            set: set.map(|(path, value)| (path.into(), value)).into(),
            skip_crds: true,
            kube_version: Some("1.33".into()),
            api_versions: vec!["a.example/v1".into()],
            ignore_missing_values: false,
            inline: None,
        }
    );
    for odd in [
        "values: [../a.yaml]",
        "values: ['a.yaml,b.yaml']",
        "set: { 'a=1,b': x }",
        "kubeVersion: --post-renderer",
    ] {
        let text = text
            .replace("skipCRDs: true", odd)
            .replace("set: { image", "ignored: { image");
        assert!(Catalog::parse(&text).is_err(), "{odd}");
    }
    // What a directory is called stays inside of the text.
    let tree = Tree::new(["apps/x\",a=1/staging/values.yaml"]);
    assert_eq!(catalog.expand(&tree).unwrap(), []);
}
