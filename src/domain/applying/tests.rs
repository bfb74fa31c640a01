use serde_json::{Value, json};

use super::*;
use crate::domain::catalog::Named;

fn named() -> Named {
    Named {
        cluster: None,
        namespace: "tools".into(),
        name: "shop".into(),
    }
}

fn key(kind: &str, namespace: Option<&str>) -> ResourceKey {
    ResourceKey {
        group: "apps".into(),
        kind: kind.into(),
        namespace: namespace.map(Into::into),
        name: "web".into(),
    }
}

fn argo_cd(spec: Value, settings: Value) -> Applying {
    let object = json!({"spec": spec, "status": {"controllerNamespace": "tools"}});
    let settings = json!({"data": settings});
    Applying::of(
        &Reconciler::ArgoCd(named()),
        "shop",
        Some(&Live::new(object.clone())),
        Some(&Live::new(settings.clone())),
    )
    .unwrap()
}

fn flux(spec: Value) -> Applying {
    Applying::of(
        &Reconciler::Flux(named()),
        "shop",
        Some(&Live::new(json!({"spec": spec}))),
        None,
    )
    .unwrap()
}

fn annotated(name: &str, value: &str) -> Value {
    json!({"metadata": {"annotations": {name: value}}})
}

#[test]
fn objects_carry_the_marks_of_their_reconciler() {
    let marked = |applying: &Applying, key: &ResourceKey| {
        let mut value = json!({"metadata": {"name": "web"}});
        applying.mark(key, &mut value);
        value["metadata"].clone()
    };
    let (usual, cluster) = (key("Deployment", Some("shop")), key("Widget", None));
    let name = "kustomize.toolkit.fluxcd.io";
    assert_eq!(
        marked(&flux(json!({})), &cluster)["labels"],
        json!({format!("{name}/name"): "shop", format!("{name}/namespace"): "tools"})
    );
    let id = |metadata: &Value| metadata["annotations"]["argocd.argoproj.io/tracking-id"].clone();
    let plain = argo_cd(json!({"destination": {"namespace": "there"}}), json!({}));
    assert_eq!(id(&marked(&plain, &usual)), "shop:apps/Deployment:shop/web");
    assert_eq!(id(&marked(&plain, &cluster)), "shop:apps/Widget:there/web");
    assert!(marked(&plain, &key("CustomResourceDefinition", None))["annotations"].is_null());
    let labels = argo_cd(
        json!({}),
        json!({"application.resourceTrackingMethod": "label", "application.instanceLabelKey": "by"}),
    );
    assert_eq!(marked(&labels, &usual)["labels"], json!({"by": "shop"}));
    assert!(id(&marked(&labels, &usual)).is_null());
    let elsewhere = json!({"status": {"controllerNamespace": "argocd"}});
    let elsewhere = Applying::of(
        &Reconciler::ArgoCd(named()),
        "shop",
        Some(&Live::new(elsewhere.clone())),
        None,
    )
    .unwrap();
    assert_eq!(
        id(&marked(&elsewhere, &usual)),
        "tools_shop:apps/Deployment:shop/web"
    );
}

#[test]
fn marks_are_as_on_the_live_object_if_the_settings_are_not_known() {
    let unknown = Applying::of(&Reconciler::ArgoCd(named()), "shop", None, None).unwrap();
    let by_label =
        Live::new(json!({"metadata": {"labels": {"app.kubernetes.io/instance": "shop"}}}));
    let mut value = json!({"metadata": {}});
    unknown.mark(&key("Deployment", None), &mut value);
    assert!(value["metadata"]["annotations"].is_object());
    unknown.mark_as_live(&mut value, &by_label);
    assert_eq!(value["metadata"]["labels"], by_label["metadata"]["labels"]);
    assert_eq!(value["metadata"]["annotations"], json!({}));
    let known = argo_cd(json!({}), json!({}));
    known.mark_as_live(
        &mut value,
        &Live::new(json!({"metadata": {"labels": {"app.kubernetes.io/instance": "other"}}})),
    );
    assert_eq!(value["metadata"]["labels"], by_label["metadata"]["labels"]);
}

#[test]
fn what_is_kept_is_kept_by_its_own_reconciler_alone() {
    let live = |name: &str, value: &str| {
        let mut live = annotated(name, value);
        flux(json!({})).mark(&key("Deployment", None), &mut live);
        live
    };
    let (argo, no_argo) = (
        "argocd.argoproj.io/sync-options",
        json!({"syncPolicy": {"automated": {}}}),
    );
    let (flux_mark, windlass) = ("kustomize.toolkit.fluxcd.io/prune", "windlass.dev/prune");
    let argo_cd = |spec| argo_cd(spec, json!({}));
    for (applying, live, kept) in [
        (
            flux(json!({"prune": true})),
            live(flux_mark, "Disabled"),
            true,
        ),
        (
            flux(json!({"prune": true})),
            live(argo, "Prune=false"),
            false,
        ),
        (flux(json!({"prune": true})), live(windlass, "never"), false),
        (flux(json!({"prune": true})), json!({"metadata": {}}), true),
        (flux(json!({})), live(windlass, "x"), true),
        (
            argo_cd(json!({})),
            annotated(argo, "Replace=true, Prune=false"),
            true,
        ),
        (argo_cd(json!({})), annotated(argo, "Prune=confirm"), true),
        (argo_cd(json!({})), annotated(flux_mark, "disabled"), false),
        (
            argo_cd(json!({})),
            annotated("helm.sh/resource-policy", "keep"),
            false,
        ),
        (
            argo_cd(json!({"syncPolicy": {"syncOptions": ["Prune=false"]}})),
            json!({}),
            true,
        ),
        (argo_cd(no_argo), json!({}), true),
    ] {
        assert_eq!(
            applying.keeps(&Live::new(live.clone())).is_some(),
            kept,
            "{applying:?} {live}"
        );
    }
}

#[test]
fn flux_leaves_what_is_marked() {
    let ssa = "kustomize.toolkit.fluxcd.io/ssa";
    let plain = Live::new(json!({}));
    for (mark, live, left) in [
        ("Ignore", None, true),
        ("IfNotPresent", None, false),
        ("IfNotPresent", Some(&plain), true),
        ("Merge", Some(&plain), false),
    ] {
        assert_eq!(
            flux(json!({}))
                .leaves(&annotated(ssa, mark), live)
                .is_some(),
            left,
            "{mark}"
        );
    }
    let live = annotated("kustomize.toolkit.fluxcd.io/reconcile", "disabled");
    assert!(
        flux(json!({}))
            .leaves(&plain, Some(&Live::new(live.clone())))
            .is_some()
    );
}

#[test]
fn how_argo_cd_applies_is_said_by_options() {
    let server = json!({"syncPolicy": {"syncOptions": ["ServerSideApply=true"]}});
    let option = |text: &str| annotated("argocd.argoproj.io/sync-options", text);
    let definition = json!({"kind": "CustomResourceDefinition", "metadata": option("Force=true,Replace=true")["metadata"]});
    for (spec, wanted, method, recreates) in [
        (json!({}), json!({}), Method::Merge, false),
        (json!({}), option("Force=true"), Method::Merge, true),
        (
            json!({}),
            option("ServerSideApply=true,Force=true"),
            Method::ServerSide,
            false,
        ),
        (json!({}), option("Replace=true"), Method::Replace, false),
        (json!({}), definition, Method::Replace, true),
        (server.clone(), json!({}), Method::ServerSide, false),
        (
            server.clone(),
            option("ServerSideApply=false, Force=true"),
            Method::Merge,
            true,
        ),
        (
            server,
            option("Force=true,Replace=true"),
            Method::Recreate,
            false,
        ),
    ] {
        let applying = argo_cd(spec, json!({}));
        assert_eq!(applying.method(&wanted), method, "{wanted}");
        assert_eq!(
            applying.recreates(&wanted, &Live::new(json!({}))),
            recreates,
            "{wanted}"
        );
    }
}

/// Group, kind, what was applied last, what Git has, what is live, and what comes of it.
type Merge<'a> = (&'a str, &'a str, Value, Value, Value, Value);

fn merges<const N: usize>(cases: [Merge<'_>; N]) {
    for (group, kind, last, wanted, live, result) in cases {
        let last = (!last.is_null()).then_some(&last);
        assert_eq!(
            three_way(group, kind, last, &wanted, &Live::new(live.clone())),
            result,
            "{kind}"
        );
    }
}

#[test]
fn a_client_side_apply_merges_three_ways() {
    let spec =
        |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let cases = [
        // What Git no longer has goes; what others added stays, where it stood.
        (
            "apps",
            "Deployment",
            spec(
                json!([{"name": "a", "env": [{"name": "X"}, {"name": "Y"}], "ports": [{"containerPort": 1}]}]),
            ),
            spec(json!([{"name": "a", "env": [{"name": "Y"}]}])),
            spec(
                json!([{"name": "side"}, {"name": "a", "tty": false, "env": [{"name": "X"}, {"name": "Z"}, {"name": "Y"}], "ports": [{"containerPort": 1}]}]),
            ),
            spec(
                json!([{"name": "side"}, {"name": "a", "tty": false, "env": [{"name": "Z"}, {"name": "Y"}]}]),
            ),
        ),
    ];
    merges(cases);
}

#[test]
fn maps_and_custom_resources_are_merged_in_their_own_way() {
    let cases = [
        // A map that only holds what Git has.
        (
            "apps",
            "Deployment",
            json!({}),
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
            json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}, "paused": true}}),
            json!({"spec": {"strategy": {"type": "Recreate"}, "paused": true}}),
        ),
        // A volume with another source.
        (
            "apps",
            "StatefulSet",
            json!({}),
            json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
            json!({"volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 420}}]}),
            json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
        ),
        // Without a record of the last apply nothing goes.
        (
            "",
            "ConfigMap",
            Value::Null,
            json!({"data": {"a": "1"}}),
            json!({"data": {"a": "0", "b": "2"}}),
            json!({"data": {"a": "1", "b": "2"}}),
        ),
        // Lists of custom resources are replaced, maps are merged.
        (
            "acme.example",
            "Widget",
            json!({"spec": {"gone": 1}}),
            json!({"spec": {"containers": [{"name": "a"}]}}),
            json!({"spec": {"gone": 1, "added": 2, "containers": [{"name": "b"}]}}),
            json!({"spec": {"added": 2, "containers": [{"name": "a"}]}}),
        ),
    ];
    merges(cases);
}
