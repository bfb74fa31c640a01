//! Each row: the files of a repository, and the entries and applications that a draft has for it.

use super::super::Catalog;
use super::*;

const OBJECT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

fn drafted(files: &[(&str, &str)]) -> Draft {
    let mut contents = Contents::new(files.iter().map(|(file, _)| file.to_string()));
    let mut objects = Objects::of_files(files.iter().map(|(file, _)| *file));
    for (file, text) in files {
        if contents.wanted().contains(&file.to_string()) {
            contents.add(file, text);
        }
        if Objects::may_have(file, text) {
            objects.add(file, text);
        }
    }
    draft(&contents, &objects, &"acme/config".parse().unwrap()).unwrap()
}

/// The lines that are no comment, without the head.
fn lines(draft: &Draft) -> Vec<String> {
    Catalog::parse(&draft.text).unwrap();
    let all = draft
        .text
        .lines()
        .map(|line| line.split("  #").next().unwrap());
    let all = all.filter(|line| !line.trim_start().starts_with('#'));
    let all = all.map(|line| line.trim_end().to_string());
    all.filter(|line| !line.is_empty() && line != "version: 1")
        .collect()
}

fn check(files: &[(&str, &str)], expected: &[&str], applications: usize) {
    let draft = drafted(files);
    assert_eq!(lines(&draft), expected, "{:?}", draft.left_out);
    assert_eq!(draft.applications, applications, "{:?}", draft.left_out);
}

#[test]
fn overlays_of_kustomizations() {
    check(
        &[
            ("apps/shop/base/kustomization.yaml", "resources: [a.yaml]"),
            ("apps/shop/base/a.yaml", OBJECT),
            (
                "apps/shop/overlays/staging/kustomization.yaml",
                "namespace: shop-staging\nresources: [../../base]",
            ),
            (
                "apps/shop/overlays/production/kustomization.yaml",
                "namespace: shop-production\nresources: [../../base]",
            ),
            (
                "apps/web/overlays/production/kustomization.yaml",
                "namespace: web-production",
            ),
            (".github/workflows/ci.yaml", "on: push"),
            ("docker-compose.yaml", "services: {}"),
        ],
        &[
            "stages:",
            "  staging:",
            "    cluster: local",
            "  production:",
            "    cluster: local",
            "    after: [staging]",
            "    gates: { approvals: 1 }",
            "applications:",
            "  - path: \"apps/{application}/overlays/{stage}\"",
            "    namespace: \"{application}-{stage}\"",
        ],
        3,
    );
}

#[test]
fn one_cluster_without_stages() {
    let ns = |name: &str| format!("namespace: {name}\nresources: [a.yaml]");
    let (media, net) = (ns("media"), ns("network"));
    check(
        &[
            ("kubernetes/apps/media/plex/app/kustomization.yaml", &media),
            (
                "kubernetes/apps/media/sonarr/app/kustomization.yaml",
                &media,
            ),
            ("kubernetes/apps/network/envoy/app/kustomization.yaml", &net),
            ("kubernetes/apps/network/dns/app/kustomization.yaml", &net),
            (
                "kubernetes/components/x/kustomization.yaml",
                "kind: Component",
            ),
        ],
        &[
            "applications:",
            "  - path: \"kubernetes/apps/{namespace}/{application}/app\"",
            "    namespace: \"{namespace}\"",
        ],
        4,
    );
}

#[test]
fn manifests_and_charts() {
    check(
        &[
            ("manifests/blog/deployment.yaml", OBJECT),
            ("manifests/blog/more/service.yaml", OBJECT),
            (
                "manifests/wiki/all.yml",
                "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: docs}",
            ),
            ("charts/shop/Chart.yaml", "name: shop"),
            ("charts/shop/values.yaml", ""),
            ("charts/shop/templates/a.yaml", "{{ if }}"),
            ("charts/shop/values-staging.yaml", ""),
            ("charts/shop/values-prod.yaml", ""),
            ("mkdocs.yml", "site_name: x"),
        ],
        &[
            "stages:",
            "  shared:",
            "    cluster: local",
            "  staging:",
            "    cluster: staging",
            "  prod:",
            "    cluster: prod",
            "    after: [staging]",
            "    gates: { approvals: 1 }",
            "applications:",
            "  - path: manifests/blog",
            "    name: blog",
            "    stage: shared",
            "    namespace: default",
            "  - path: manifests/wiki",
            "    name: wiki",
            "    stage: shared",
            "    namespace: docs",
            "  - path: \"charts/{application}/values-{stage}.yaml\"",
            "    chart: \"charts/{application}\"",
            "    namespace: default",
        ],
        4,
    );
}

#[test]
fn what_cannot_be_an_application_is_said() {
    let draft = drafted(&[
        ("kustomization.yaml", "resources: [k8s]"),
        ("k8s/kustomization.yaml", "resources: []"),
        ("other/a.yaml", OBJECT),
        ("other/sub/kustomization.yaml", ""),
    ]);
    assert_eq!(
        draft.left_out,
        [
            "the manifests in other itself: there are kustomizations or charts below it",
            "the root of the repository: an application is a directory below it",
        ]
    );
    assert_eq!(
        lines(&draft),
        [
            "applications:",
            "  - path: other/sub",
            "    name: other-sub",
            "    namespace: default"
        ]
    );
    let nothing = Contents::new(["README.md".to_string()]);
    let none = draft_of(&nothing);
    assert_eq!(
        none,
        "there is no directory with a kustomization, a Helm chart or manifests"
    );
}

fn draft_of(contents: &Contents) -> String {
    let repo = "acme/config".parse().unwrap();
    draft(contents, &Objects::default(), &repo)
        .unwrap_err()
        .to_string()
}

#[test]
fn names_that_repeat_are_made_longer() {
    check(
        &[
            ("team-a/api/prod/kustomization.yaml", "namespace: a"),
            ("team-b/api/prod/kustomization.yaml", "namespace: b"),
            ("team-b/web/prod/kustomization.yaml", "namespace: b"),
        ],
        &[
            "stages:",
            "  prod:",
            "    cluster: local",
            "applications:",
            "  - path: team-a/api/prod",
            "    name: team-a-api",
            "    stage: prod",
            "    namespace: a",
            "  - path: team-b/api/prod",
            "    name: team-b-api",
            "    stage: prod",
            "    namespace: b",
            "  - path: \"team-b/{application}/{stage}\"",
            "    namespace: b",
        ],
        3,
    );
}

#[test]
fn objects_of_flux_and_argo_cd_come_first() {
    let flux = |name: &str, path: &str| {
        format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: flux-system}}\nspec: {{path: {path}, sourceRef: {{kind: GitRepository, name: flux-system}}}}\n"
        )
    };
    let (apps, prod) = (
        flux("apps", "./apps/staging"),
        flux("apps", "./apps/production"),
    );
    check(
        &[
            ("clusters/home/apps.yaml", &apps),
            ("apps/staging/kustomization.yaml", ""),
        ],
        &["discover: flux"],
        1,
    );
    check(
        &[
            ("clusters/staging/apps.yaml", &apps),
            ("clusters/production/apps.yaml", &prod),
        ],
        &[
            "stages:",
            "  staging:",
            "    cluster: staging",
            "  production:",
            "    cluster: production",
            "discover:",
            "  - by: flux",
            "    under: \"clusters/{stage}\"",
        ],
        2,
    );
    check(
        &[
            ("clusters/eu/apps.yaml", &apps),
            ("clusters/us/apps.yaml", &prod),
        ],
        &[
            "stages:",
            "  eu:",
            "    cluster: eu",
            "  us:",
            "    cluster: us",
            "discover:",
            "  - by: flux",
            "    under: \"clusters/{stage}\"",
        ],
        2,
    );
}

#[test]
fn what_is_declared_twice_is_left_out_once() {
    let application = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: shop, namespace: argocd}\nspec: {source: {repoURL: https://github.com/acme/config, path: apps/shop}}\n";
    let files = [
        ("argocd/eu/other/shop.yaml", application),
        ("argocd/eu/shop.yaml", application),
        ("argocd/us/shop.yaml", application),
        ("apps/shop/a.yaml", OBJECT),
    ];
    check(
        &files,
        &[
            "discover:",
            "  - by: argocd",
            "    exclude:",
            "      - argocd/eu/shop.yaml",
            "      - argocd/us/shop.yaml",
        ],
        1,
    );
    assert_eq!(
        drafted(&files).left_out,
        [
            "argocd/eu/shop.yaml: it declares shop, and so does argocd/eu/other/shop.yaml",
            "argocd/us/shop.yaml: it declares shop, and so does argocd/eu/other/shop.yaml"
        ]
    );
}

#[test]
fn files_that_are_no_manifests_are_left_out() {
    check(
        &[
            ("apps/shop/a.yaml", OBJECT),
            ("apps/shop/b.yaml", OBJECT),
            ("apps/shop/playbook.yml", "- hosts: all"),
            ("apps/shop/empty.yaml", "# nothing"),
            ("ansible/a.yaml", OBJECT),
            ("ansible/boot.yml", "- hosts: all"),
            ("ansible/group.yml", "a: 1"),
        ],
        &[
            "applications:",
            "  - path: apps/shop",
            "    name: shop",
            "    namespace: default",
            "    exclude: [apps/shop/playbook.yml]",
        ],
        1,
    );
}

#[test]
fn other_clusters_of_argo_cd_are_named() {
    let application = |name: &str, destination: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: argocd}}\nspec: {{source: {{repoURL: https://github.com/acme/config, path: apps/{name}}}, destination: {{{destination}}}}}\n"
        )
    };
    let [eu, us, own] = [
        application("eu", "name: eu-1"),
        application("us", "server: 'https://us.example.com:6443'"),
        application("own", "server: 'https://kubernetes.default.svc'"),
    ];
    check(
        &[("a/eu.yaml", &eu), ("a/us.yaml", &us), ("a/own.yaml", &own)],
        &[
            "discover:",
            "  - by: argocd",
            "    clusters:",
            "      eu-1: {}",
            "      us.example.com: { server: \"https://us.example.com:6443\" }",
        ],
        3,
    );
}

#[test]
fn overlays_alone_are_of_an_application_with_the_name_of_the_repository() {
    check(
        &[
            ("envs/qa/kustomization.yaml", "namespace: qa"),
            ("envs/prod/kustomization.yaml", "namespace: prod"),
        ],
        &[
            "stages:",
            "  qa:",
            "    cluster: local",
            "  prod:",
            "    cluster: local",
            "    after: [qa]",
            "    gates: { approvals: 1 }",
            "applications:",
            "  - path: envs/prod",
            "    name: config",
            "    stage: prod",
            "    namespace: prod",
            "  - path: envs/qa",
            "    name: config",
            "    stage: qa",
            "    namespace: qa",
        ],
        2,
    );
}
