//! What a fence lets through, and mistakes in its settings.

use super::pattern::Pattern;
use super::*;
use crate::domain::Invalid;

const FILE: &str = "\
projects:
  shop:
    repositories: [acme/config]
    clusters: [local]
    namespaces: ['*-staging', '*-production']
    otherNamespaces: [shared]
    kinds: [CustomResourceDefinition.apiextensions.k8s.io, ClusterRole.rbac.authorization.k8s.io]
";

fn fence(namespace: &str) -> Fence {
    let projects = Projects::new(Project::parse_all(FILE).unwrap(), "windlass");
    projects.fence(
        &"Acme/Config".parse().unwrap(),
        &Destination {
            cluster: "local".into(),
            namespace: namespace.into(),
        },
    )
}

fn manifest(text: &str) -> Manifest {
    Manifest::parse_all(text, "f").unwrap().remove(0)
}

#[test]
fn patterns_match_whole_names() {
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("*", "", true),
        ("*-x", "a-x", true),
        ("*-x", "a-xy", false),
        ("a*b*c", "a1b2c", true),
        ("a*b*c", "a1c2b", false),
        ("a*a", "a", false),
    ] {
        assert_eq!(
            Pattern(pattern.into()).matches(text),
            expected,
            "{pattern} {text}"
        );
    }
}

#[test]
fn an_application_stays_in_its_namespace() {
    let object =
        |kind: &str, more: &str| format!("apiVersion: {kind}\nmetadata: {{name: x{more}}}\n");
    let table = [
        (object("v1\nkind: ConfigMap", ", namespace: shop-staging"), ""),
        (object("v1\nkind: ConfigMap", ", namespace: shop-production"), "otherNamespaces"),
        (object("v1\nkind: ConfigMap", ", namespace: shared"), ""),
        (object("v1\nkind: Pod", ", namespace: windlass"), "belongs to"),
        (object("v1\nkind: Pod", ", namespace: kube-system"), "belongs to"),
        (object("windlass.dev/v1alpha1\nkind: Promotion", ", namespace: shop-staging"), "Promotion.windlass.dev"),
        (object("rbac.authorization.k8s.io/v1\nkind: RoleBinding", ", namespace: shop-staging"), "RoleBinding.rbac"),
        (object("rbac.authorization.k8s.io/v1\nkind: ClusterRole", ""), ""),
        (object("v1\nkind: PersistentVolume", ""), "`PersistentVolume`"),
        (object("kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization", ", namespace: shop-staging"), "Kustomization.kustomize"),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop-staging}".into(), ""),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop-production}".into(), "otherNamespaces"),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {name: shared}".into(), "`Namespace`"),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop-staging, labels: {pod-security.kubernetes.io/enforce: privileged}}"
                .into(),
            "Namespace/pod-security",
        ),
        (object("apiextensions.k8s.io/v1\nkind: CustomResourceDefinition", ""), ""),
        (
            object("apiextensions.k8s.io/v1\nkind: CustomResourceDefinition", "") + "spec: {conversion: {strategy: Webhook}}",
            "CustomResourceDefinition.apiextensions.k8s.io/conversion",
        ),
        (object("apiextensions.k8s.io/v1\nkind: CustomResourceDefinition", "") + "spec: {group: windlass.dev}", "windlass.dev"),
    ];
    for (text, refusal) in table {
        match fence("shop-staging").check(&manifest(&text)) {
            Ok(()) => assert_eq!(refusal, "", "{text}"),
            Err(why) => assert!(
                !refusal.is_empty() && why.to_string().contains(refusal),
                "{text}: {why}"
            ),
        }
    }
}

#[test]
fn places_that_no_project_names_are_closed() {
    for (namespace, open) in [
        ("shop-staging", true),
        ("shop-dev", false),
        ("kube-system", false),
        ("windlass", false),
    ] {
        assert_eq!(fence(namespace).destination().is_ok(), open, "{namespace}");
    }
    let one = Projects::new(
        vec![Project::of_one_team(vec!["a/b".parse().unwrap()])],
        "windlass",
    );
    let fence = |repo: &str, namespace: &str| {
        one.fence(
            &repo.parse().unwrap(),
            &Destination {
                cluster: "x".into(),
                namespace: namespace.into(),
            },
        )
        .destination()
        .is_ok()
    };
    assert!(
        fence("a/b", "anything")
            && !fence("a/b", "kube-public")
            && !fence("a/b", "windlass")
            && !fence("a/c", "anything")
    );
}

#[test]
fn security_labels_that_go_need_the_same_grant() {
    let key = manifest("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop-staging}").key;
    let with = serde_json::json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let without = serde_json::json!({"metadata": {"labels": {"a": "b"}}});
    assert!(
        fence("shop-staging")
            .check_change(&key, &with, &without)
            .is_err()
    );
    assert!(
        fence("shop-staging")
            .check_change(&key, &with, &with)
            .is_ok()
    );
}

#[test]
fn projects_of_different_repositories_do_not_meet() {
    let overlap = |one: &str, other: &str| {
        let text = format!(
            "projects:\n  a: {{repositories: [x/a], namespaces: ['{one}'], serviceAccount: a-accounts/a}}\n  b: {{repositories: [x/b], namespaces: ['{other}']}}\n"
        );
        Projects::new(Project::parse_all(&text).unwrap(), "windlass")
    };
    for (one, other, meet) in [
        ("*", "*", true),
        ("a-*", "b-*", false),
        ("a-*", "*-production", true),
        ("a", "a", true),
        ("a", "b", false),
        ("a*c", "ab*", true),
        ("*-x", "*-y", false),
    ] {
        assert_eq!(
            overlap(one, other).overlap().is_some(),
            meet,
            "{one} {other}"
        );
    }
    // Where another project's account is, whoever may run a pod is that account.
    let fence = overlap("a-*", "*").fence(
        &"x/b".parse().unwrap(),
        &Destination {
            cluster: "c".into(),
            namespace: "a-accounts".into(),
        },
    );
    assert!(matches!(fence.destination(), Err(Outside::Closed { .. })));
}

#[test]
fn mistakes_in_the_file_are_named() {
    for (from, to, part) in [
        ("[acme/config]", "[]", "names no repository"),
        ("*-staging", "Staging!", "Staging!"),
        ("otherNamespaces", "others", "others"),
        ("ClusterRole.rbac", "Cluster Role", "is not a kind"),
    ] {
        let Invalid(why) = Project::parse_all(&FILE.replace(from, to)).unwrap_err();
        assert!(why.contains(part), "{why}");
    }
}
