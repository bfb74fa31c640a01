use serde_json::json;

use super::*;
use crate::domain::manifest::Manifest;

fn kustomization(spec: Value) -> Build {
    let object = json!({"metadata": {"name": "apps"}, "spec": spec});
    flux::build(&object, "flux-system").unwrap()
}

/// Each row: a path of a Kustomization, and the directory.
#[test]
fn a_path_is_from_the_root() {
    for (path, directory) in [
        ("./apps/staging", Some("apps/staging")),
        ("apps/staging/", Some("apps/staging")),
        ("./", Some("")),
        ("", Some("")),
        ("./a/../b", Some("b")),
        ("../x", None),
    ] {
        assert_eq!(path_inside(path).as_deref(), directory, "{path}");
    }
}

/// What fluxcd/pkg/kustomize writes into a kustomization.
#[test]
fn additions_stand_in_the_kustomization() {
    let build = kustomization(json!({
        "path": "./apps", "targetNamespace": "shop", "namePrefix": "a-", "components": ["../more"],
        "patches": [{"patch": "x: 1", "target": {"kind": "Deployment"}, "options": {}}],
        "images": [
            {"name": "one", "newTag": "2"}, {"name": "two", "digest": "sha256:aa"}, {"name": "three", "newTag": "3"},
        ],
    }));
    let document = json!({
        "namespace": "old", "nameSuffix": "-z", "resources": ["a.yaml"], "patches": [{"path": "p.yaml"}],
        "images": [{"name": "one", "newName": "uno", "newTag": "1", "digest": "sha256:bb"}, {"name": "two", "newTag": "1"}],
    });
    let text = build.additions.add_to(&document).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({
            "namespace": "shop", "namePrefix": "a-", "nameSuffix": "-z", "resources": ["a.yaml"],
            "components": ["../more"],
            "patches": [{"path": "p.yaml"}, {"patch": "x: 1", "target": {"kind": "Deployment"}}],
            "images": [
                {"name": "one", "newName": "uno", "newTag": "2"},
                {"name": "two", "digest": "sha256:aa"},
                {"name": "three", "newTag": "3"},
            ],
        })
    );
    assert!(
        kustomization(json!({"path": "./apps"}))
            .additions
            .is_empty()
    );
}

#[test]
fn objects_are_finished_as_flux_does() {
    let build = kustomization(json!({
        "postBuild": {"substitute": {"name": "web", "long": "a\nb"}},
        "commonMetadata": {"labels": {"team": "shop"}, "annotations": {"note": "n"}},
    }));
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '${name}', labels: {own: '1'}}\ndata: {a: '${long}', b: '${other:=x}'}\n";
    let change = |object: &mut Value| build.finish(object);
    let manifests = Manifest::parse_changed(text, "a.yaml", &change).unwrap();
    assert_eq!(manifests[0].key.name, "web");
    // What may come from elsewhere stays, until the cluster is asked.
    assert_eq!(
        manifests[0].value["data"],
        json!({"a": "ab", "b": "${other:=x}"})
    );
    assert_eq!(
        manifests[0].value["metadata"],
        json!({
            "name": "web", "annotations": {"note": "n"},
            "labels": {
                "own": "1", "team": "shop", "kustomize.toolkit.fluxcd.io/name": "apps",
                "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
            },
        })
    );
}

fn application(spec: Value) -> Result<Build, Invalid> {
    argocd::build(&json!({"metadata": {"name": "web"}, "spec": spec}))
}

#[test]
fn an_application_is_rendered_as_argo_cd_does() {
    let build = application(json!({
        "destination": {"namespace": "shop"},
        "source": {"repoURL": "https://github.com/acme/config", "path": "charts/web", "helm": {
            "valueFiles": ["values-prod.yaml", "../common.yaml", "/all.yaml"], "ignoreMissingValueFiles": true,
            "values": "a: 1\n", "parameters": [
                {"name": "image.tag", "value": "1.10"}, {"name": "count", "value": "3"}, {"name": "on", "value": "true"},
                {"name": "id", "value": "007"}, {"name": "text", "value": "3", "forceString": true}],
        }},
    }))
    .unwrap();
    assert_eq!(build.place, Place::Directory("charts/web".into()));
    let set = [
        ("image.tag", json!("1.10")),
        ("count", json!(3)),
        ("on", json!(true)),
        ("id", json!("007")),
        ("text", json!("3")),
    ];
    let HelmOptions {
        release,
        namespace,
        values,
        inline,
        ..
    } = build.helm.clone();
    assert_eq!(
        (release.as_deref(), namespace.as_deref(), inline),
        (Some("web"), Some("shop"), Some(json!({"a": 1})))
    );
    let files = [
        "charts/web/values-prod.yaml",
        "charts/common.yaml",
        "all.yaml",
    ];
    assert_eq!(values.unwrap(), files);
    assert_eq!(
        build.helm.set,
        set.map(|(name, value)| (name.to_string(), value))
    );
}

#[test]
fn an_application_may_take_a_chart_from_elsewhere_with_values_from_here() {
    let lent = json!({"repoURL": "https://github.com/acme/config", "ref": "values"});
    let chart = json!({"repoURL": "registry.example.com/charts", "chart": "web", "targetRevision": "1.2.3",
        "helm": {"releaseName": "shop", "valueFiles": ["$values/web/prod.yaml"]}});
    let build = application(json!({"sources": [lent, chart]})).unwrap();
    assert_eq!(
        build.place,
        Place::Chart {
            repository: "oci://registry.example.com/charts".into(),
            name: "web".into(),
            version: "1.2.3".into()
        }
    );
    assert_eq!(build.helm.values.unwrap(), ["web/prod.yaml"]);
    assert_eq!(build.helm.release.as_deref(), Some("shop"));
    for (spec, why) in [
        (
            json!({"sources": [{"repoURL": "https://x/a.git", "path": "a"}, {"repoURL": "https://x/b", "path": "b"}]}),
            "its sources are of several repositories",
        ),
        (
            json!({"sources": [{"ref": "values"}]}),
            "none of its sources is rendered",
        ),
        (
            json!({"sources": vec![chart.clone(); 21]}),
            "it has 21 sources that are rendered",
        ),
        (json!({"source": {"plugin": {}}}), "plugins"),
        (
            json!({"source": {"path": "a", "helm": {"fileParameters": [{"name": "a"}]}}}),
            "`fileParameters`",
        ),
        (json!({"source": {"path": "../a"}}), "leads out"),
        (
            json!({"source": {"path": "a", "helm": {"valueFiles": ["https://x/y.yaml"]}}}),
            "not in this repository",
        ),
    ] {
        let Invalid(said) = application(spec).unwrap_err();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn what_helm_would_read_as_something_else_is_refused() {
    let helm = |helm: Value| application(json!({"source": {"path": "a", "helm": helm}}));
    for odd in [
        json!({"releaseName": "--post-renderer=x"}),
        json!({"valueFiles": ["a.yaml,/etc/hostname"]}),
        json!({"kubeVersion": "--set-file"}),
        json!({"parameters": [{"name": "a=1,b", "value": "2"}]}),
    ] {
        let Invalid(why) = helm(odd).unwrap_err();
        assert!(
            why.contains("is no name, path or version for helm"),
            "{why}"
        );
    }
}

#[test]
fn a_name_that_no_release_may_have_is_none() {
    let long = "a".repeat(54);
    let object = json!({"metadata": {"name": long}, "spec": {"source": {"path": "a"}, "destination": {"namespace": "b".repeat(63)}}});
    let build = argocd::build(&object).unwrap();
    assert_eq!(build.helm.release, None);
}

/// A name that is too long is cut at a character.
#[test]
fn releases_are_read_with_care() {
    let key = ResourceKey {
        group: release::GROUP.into(),
        kind: "HelmRelease".into(),
        namespace: Some("shop".into()),
        name: "web".into(),
    };
    let value = |spec: Value| json!({"metadata": {"name": "web"}, "spec": spec});
    let release = |spec: Value| Manifest::new(key.clone(), "v2", value(spec));
    let of = |spec: Value| release::HelmRelease::of(&release(spec), &[], &sources(), "shop");
    let why = |spec: Value| of(spec).unwrap_err();
    let absent = json!({"chartRef": {"kind": "OCIRepository", "name": "x"}});
    assert!(why(absent).contains("is not in this repository"));
    assert!(why(json!({"suspend": true})).contains("suspended"));
    let long = json!({"releaseName": format!("a{}", "é".repeat(60)), "chart": {"spec": {"sourceRef": {"kind": "GitRepository", "name": "x"}}}});
    assert!(why(long).contains("is not read"));
    // A source of another application, by its namespace; and the repository itself.
    let chart = |kind: &str, name: &str, namespace: Value, more: Value| {
        let reference = json!({"kind": kind, "name": name, "namespace": namespace});
        let mut spec = json!({"chart": "./charts/web", "version": "1.0.0", "sourceRef": reference});
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"chart": {"spec": spec}})
    };
    let elsewhere = of(chart(
        "HelmRepository",
        "all",
        json!("flux-system"),
        json!({}),
    ));
    assert_eq!(
        elsewhere.unwrap().chart,
        Place::Chart {
            repository: "https://charts.example".into(),
            name: "./charts/web".into(),
            version: "1.0.0".into(),
        }
    );
    assert!(why(chart("HelmRepository", "all", Value::Null, json!({}))).contains("not in this"));
    let files = json!({"valuesFiles": ["./charts/web/values.yaml", "env/home.yaml"]});
    let own = of(chart(
        "GitRepository",
        "config",
        json!("flux-system"),
        files.clone(),
    ))
    .unwrap();
    assert_eq!(own.chart, Place::Directory("charts/web".into()));
    let read = ["charts/web/values.yaml".to_string(), "env/home.yaml".into()];
    assert_eq!(own.options.values.as_deref(), Some(&read[..]));
    assert!(why(chart("GitRepository", "config", Value::Null, json!({}))).contains("is not read"));
    assert!(
        why(chart("HelmRepository", "all", json!("flux-system"), files)).contains("valuesFiles")
    );
}

/// A source of Flux's own namespace, and the repository there.
fn sources() -> release::Sources {
    let metadata = json!({"name": "all", "namespace": "flux-system"});
    release::Sources {
        all: vec![
            json!({"kind": "HelmRepository", "metadata": metadata, "spec": {"url": "https://charts.example"}}),
        ],
        own: ("flux-system".into(), "config".into()),
    }
}

#[test]
fn kustomize_options_and_files_are_argo_cds() {
    let build = application(json!({"source": {"path": "apps/web", "kustomize": {
        "images": ["ghcr.io/acme/web:2", "old=host:5000/new@sha256:aa"], "namespace": "shop", "commonLabels": {"team": "a"},
        "commonAnnotations": {"note": "n"}, "replicas": [{"name": "web", "count": 3}],
    }}}))
    .unwrap();
    let document = json!({"resources": ["a.yaml"], "images": [{"name": "ghcr.io/acme/web", "newName": "mine/web", "newTag": "1"}]});
    let text = build.additions.add_to(&document).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({
            "resources": ["a.yaml"], "namespace": "shop", "replicas": [{"name": "web", "count": 3}],
            "images": [
                {"name": "ghcr.io/acme/web", "newTag": "2"},
                {"name": "old", "newName": "host:5000/new", "digest": "sha256:aa"},
            ],
            "labels": [{"pairs": {"team": "a"}, "includeSelectors": true, "includeTemplates": true}],
            "commonAnnotations": {"note": "n"},
        })
    );
    let directory = |more: Value| {
        let mut source = json!({"path": "a"});
        source["directory"] = more;
        application(json!({"source": source})).unwrap().files
    };
    for (files, path, counts) in [
        (directory(json!({})), "a.yaml", true),
        (directory(json!({})), "b/a.yaml", false),
        (directory(json!({"recurse": true})), "b/a.yaml", true),
        (directory(json!({"include": "{a*,*.yml}"})), "b.yml", true),
        (directory(json!({"include": "a*"})), "b.yml", false),
        (directory(json!({"exclude": "*.json"})), "b.json", false),
    ] {
        assert_eq!(files.counts(path), counts, "{path} {files:?}");
    }
}
