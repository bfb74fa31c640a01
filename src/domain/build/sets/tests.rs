//! Each row: the generators and the template of a set, and the Applications that come of them.

use super::*;

fn tree() -> Tree {
    let directories = [
        "apps",
        "apps/shop",
        "apps/Web_App",
        "apps/old",
        "apps/shop/deep",
        ".github/x",
    ];
    let files = [
        (
            "envs/eu/config.json",
            r#"{"cluster": {"name": "eu-1"}, "size": 3}"#,
        ),
        (
            "envs/us/config.json",
            r#"[{"cluster": {"name": "us-1"}}, {"cluster": {"name": "us-2"}}]"#,
        ),
    ];
    Tree {
        directories: directories.map(str::to_string).into(),
        files: files.map(|(path, text)| (path.into(), text.into())).into(),
        clusters: Vec::new(),
    }
}

const URL: &str = "https://github.com/acme/config.git";

/// `name: path`, of each Application.
fn made(generators: &str, name: &str, path: &str, go: bool) -> Result<Vec<String>, String> {
    made_of(&tree(), generators, name, path, go)
}

fn made_of(
    tree: &Tree,
    generators: &str,
    name: &str,
    path: &str,
    go: bool,
) -> Result<Vec<String>, String> {
    let set = format!(
        "kind: ApplicationSet\nmetadata: {{name: all, namespace: argocd}}\nspec:\n  goTemplate: {go}\n  goTemplateOptions: [missingkey=error]\n  generators: {generators}\n  template:\n    metadata: {{name: '{name}'}}\n    spec: {{source: {{repoURL: {URL}, path: '{path}'}}}}\n"
    )
    .replace("REPO", URL);
    let set = yaml::documents(&set).unwrap().remove(0);
    let all = applications(&set, tree).map_err(|Invalid(why)| why)?;
    let all = all.applications;
    let line = |object: &Value| {
        assert_eq!(object["metadata"]["namespace"], "argocd");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        format!(
            "{}: {}",
            text(&object["metadata"]["name"]),
            text(&object["spec"]["source"]["path"])
        )
    };
    Ok(all.iter().map(line).collect())
}

const DIRECTORIES: &str =
    "[{git: {repoURL: REPO, directories: [{path: apps/*}, {path: apps/old, exclude: true}]}}]";
const LIST: &str = "[{list: {elements: [{env: staging, n: 1}, {env: prod}]}}]";
const FILES: &str = "[{git: {repoURL: REPO, files: [{path: 'envs/**/config.json'}]}}]";

/// Generators, the name and the path of the template, and what is made.
type Row<'a> = (&'a str, &'a str, &'a str, &'a [&'a str]);

fn check(go: bool, rows: &[Row<'_>]) {
    for (generators, name, path, expected) in rows {
        let found = made(generators, name, path, go).unwrap();
        assert_eq!(found, *expected, "{generators} {name}");
    }
}

const BY_NAMES: &[Row<'_>] = &[
    (
        DIRECTORIES,
        "{{path.basenameNormalized}}",
        "{{path}}",
        &["web-app: apps/Web_App", "shop: apps/shop"],
    ),
    (
        LIST,
        "shop-{{env}}",
        "apps/{{env}}/{{missing}}",
        &[
            "shop-staging: apps/staging/{{missing}}",
            "shop-prod: apps/prod/{{missing}}",
        ],
    ),
    (
        FILES,
        "{{cluster.name}}",
        "{{path[1]}}/{{size}}",
        &["eu-1: eu/3", "us-1: us/{{size}}", "us-2: us/{{size}}"],
    ),
    (
        "[{matrix: {generators: [{list: {elements: [{env: a}, {env: b}]}}, {git: {repoURL: REPO, directories: [{path: apps/s*}]}}]}}]",
        "{{env}}-{{path.basename}}",
        "{{path}}",
        &["a-shop: apps/shop", "b-shop: apps/shop"],
    ),
    (
        "[{list: {elements: [{env: a}, {env: b}]}, selector: {matchExpressions: [{key: env, operator: NotIn, values: [a]}]}}]",
        "{{env}}",
        "x",
        &["b: x"],
    ),
    (
        "[{clusters: {values: {ns: x}}}]",
        "{{name}}-{{values.ns}}",
        "{{server}}",
        &["in-cluster-x: https://kubernetes.default.svc"],
    ),
];

#[test]
fn templates_by_names() {
    check(false, BY_NAMES);
}

const OF_GO: &[Row<'_>] = &[
    (
        DIRECTORIES,
        "{{ .path.basename | lower | replace \"_\" \"-\" }}",
        "{{ .path.path }}",
        &["web-app: apps/Web_App", "shop: apps/shop"],
    ),
    (
        LIST,
        "{{if eq .env \"prod\"}}live{{else}}{{.env}}{{end}}",
        "{{ index . \"env\" }}",
        &["staging: staging", "live: prod"],
    ),
    (
        FILES,
        "{{.cluster.name}}",
        "{{index .path.segments 1}}/{{default 1 (trunc 1 .cluster.name)}}",
        &["eu-1: eu/e", "us-1: us/u", "us-2: us/u"],
    ),
    (
        "[{merge: {mergeKeys: [env], generators: [{list: {elements: [{env: a, path: x}, {env: b, path: y}]}}, {list: {elements: [{env: b, path: z}]}}]}}]",
        "{{ .env }}",
        "{{ .path }}",
        &["a: x", "b: z"],
    ),
];

#[test]
fn templates_of_go() {
    check(true, OF_GO);
}

#[test]
fn what_a_generator_does_not_read_is_said() {
    let odd = "[{git: {repoURL: REPO, directories: [{path: 'apps/[ab]'}]}}]";
    assert!(
        made(odd, "x", "x", true)
            .unwrap_err()
            .contains("`apps/[ab]`")
    );
    let elsewhere = "[{git: {repoURL: REPO, revision: v1, directories: [{path: apps/*}]}}]";
    assert!(
        made(elsewhere, "x", "x", true)
            .unwrap_err()
            .contains("another revision (v1)")
    );
}

#[test]
fn hostile_sets_end_in_words() {
    let many = |count: usize| {
        format!(
            "{{list: {{elements: [{}]}}}}",
            vec!["{a: b}"; count].join(", ")
        )
    };
    let product = format!(
        "[{{matrix: {{generators: [{}, {}]}}}}]",
        many(1_000),
        many(1_000)
    );
    let nested = format!("{{{{ {}.a{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
    let one = "[{list: {elements: [{a: b}]}}]";
    let long = format!("[{{list: {{elements: [{{a: {}}}]}}}}]", "x".repeat(100_000));
    let rows = [
        (
            product.as_str(),
            "x",
            "more Applications than windlass evaluates",
        ),
        (
            one,
            nested.as_str(),
            "more than 20 parentheses are in each other",
        ),
        (
            long.as_str(),
            "{{.a}}{{.a}}{{.a}}",
            "becomes longer than 256 KiB",
        ),
    ];
    let bomb = format!(
        "{{{{ \"aaaaaaaaaa\" {} }}}}",
        "| replace \"a\" \"aaaaaaaaaa\" ".repeat(9)
    );
    assert!(
        made(one, &bomb, "x", true)
            .unwrap_err()
            .contains("too long")
    );
    for template in [
        "{metadata: x, spec: {}}",
        "x",
        "{metadata: {name: a}, spec: [1]}",
    ] {
        let set = json!({"kind": KIND, "metadata": {"name": "all"}, "spec": {
            "generators": [{"list": {"elements": [{"a": "b"}], "template": {"metadata": {"name": "a"}}}}],
            "templatePatch": "spec: {a: 1}",
            "template": yaml::parse::<Value>(template).unwrap()}});
        let _ = applications(&set, &tree());
    }
    for (generators, name, expected) in rows {
        let why = made(generators, name, "x", true).unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}

#[test]
fn what_is_not_in_git_is_said() {
    let rows = [
        (
            "[{scmProvider: {github: {}}}]",
            "x",
            "ApplicationSet all: the generator `scmProvider` is not evaluated: what it finds is not in Git",
        ),
        (
            "[{clusters: {selector: {matchLabels: {env: a}}}}]",
            "x",
            "ApplicationSet all: the generator `clusters` selects by labels: name Argo CD's clusters with their labels in `clusters` of `discover`",
        ),
        (
            "[{git: {repoURL: https://github.com/a/b, directories: [{path: '*'}]}}]",
            "x",
            "ApplicationSet all: the generator `git` reads another repository (https://github.com/a/b)",
        ),
        (
            "[{list: {elements: [{a: b}]}}]",
            "{{ .b }}",
            "ApplicationSet all: there is no parameter `.b`",
        ),
        (
            "[{list: {elements: [{a: b}]}}]",
            "{{ range .a }}{{ end }}",
            "ApplicationSet all: `range` in templates is not evaluated",
        ),
        (
            "[{list: {elements: [{a: b}]}}]",
            "{{ sha256sum .a }}",
            "ApplicationSet all: the function `sha256sum` of templates is not evaluated",
        ),
    ];
    for (generators, name, expected) in rows {
        assert_eq!(made(generators, name, "x", true).unwrap_err(), expected);
    }
}

#[test]
fn clusters_are_chosen_by_the_labels_that_windlass_yaml_gives_them() {
    let cluster = |name: &str, server: Option<&str>, tier: &str| Cluster {
        name: name.into(),
        server: server.map(Into::into),
        labels: [("acme.com/tier".to_string(), tier.to_string())].into(),
    };
    let eu = cluster("EU_1", Some("https://eu.example.com"), "edge");
    let us = cluster("us-1", None, "edge");
    let core = cluster("core", None, "core");
    let tree = Tree {
        clusters: vec![eu, us, core],
        ..tree()
    };
    let edge = "[{clusters: {selector: {matchLabels: {acme.com/tier: edge}}}}]";
    let rows: &[(&str, bool, &str, &str, &[&str])] = &[
        (
            edge,
            false,
            "{{nameNormalized}}",
            "{{name}}/{{metadata.labels.acme.com/tier}}/{{server}}",
            &[
                "eu-1: EU_1/edge/https://eu.example.com",
                "us-1: us-1/edge/{{server}}",
            ],
        ),
        (
            edge,
            true,
            "{{.nameNormalized}}",
            "{{index .metadata.labels \"acme.com/tier\"}}",
            &["eu-1: edge", "us-1: edge"],
        ),
        (
            "[{clusters: {selector: {matchExpressions: [{key: acme.com/tier, operator: NotIn, values: [edge]}]}}}]",
            false,
            "{{name}}",
            "x",
            &["core: x"],
        ),
        (
            "[{clusters: {selector: {matchLabels: {argocd.argoproj.io/secret-type: cluster}}}}]",
            false,
            "{{nameNormalized}}",
            "x",
            &["eu-1: x", "us-1: x", "core: x"],
        ),
        (
            "[{clusters: {}}]",
            false,
            "{{nameNormalized}}",
            "x",
            &["in-cluster: x", "eu-1: x", "us-1: x", "core: x"],
        ),
    ];
    for (generators, go, name, path, expected) in rows {
        let found = made_of(&tree, generators, name, path, *go).unwrap();
        assert_eq!(found, *expected, "{generators}");
    }
}
