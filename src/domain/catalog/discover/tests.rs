//! What `discover` finds: each row is an entry, files, and the applications that come of them.

use super::super::Tree;
use super::*;

fn kustomization(metadata: &str, path: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{{metadata}}}\nspec: {{path: {path}, sourceRef: {{kind: GitRepository, name: flux-system}}}}\n"
    )
}

fn repository(url: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: flux-system, namespace: flux-system}}\nspec: {{url: {url}}}\n"
    )
}

/// `application/stage namespace: directory by NAMESPACE/NAME`.
fn found(text: &str, files: &[(&str, String)]) -> Result<Vec<String>, String> {
    let catalog = Catalog::parse(text).map_err(|Invalid(why)| why)?;
    let mut objects = Objects::of_files(files.iter().map(|(file, _)| *file));
    for (file, text) in files {
        if Objects::may_have(file, text) {
            objects.add(file, text);
        }
    }
    let tree = Tree::new(files.iter().map(|(file, _)| *file));
    let targets = catalog.expand_with(&tree, &objects, &"acme/config".parse().unwrap());
    let line = |target: &Target| {
        let by = target.stage.reconcile.object().map(|(key, _)| key);
        let by = by.map(|key| format!("{}/{}", key.namespace.unwrap_or_default(), key.name));
        format!(
            "{}/{} {}: {} by {}",
            target.application,
            target.stage.name,
            target.destination.namespace,
            target.path,
            by.unwrap_or_default()
        )
    };
    let targets = targets.map_err(|Invalid(why)| why)?;
    Ok(targets.iter().map(line).collect())
}

#[test]
fn one_word_is_enough() {
    let own = "name: shop, namespace: flux-system";
    let files = [
        ("clusters/home/shop.yaml", kustomization(own, "./apps/shop")),
        (
            "clusters/home/source.yaml",
            repository("ssh://git@github.com/Acme/config.git"),
        ),
        // A namespace that a kustomization above sets wins; one that a file leaves out is Flux's own.
        (
            "apps/media/kustomization.yaml",
            "namespace: media\nresources: [plex/ks.yaml]\n".into(),
        ),
        (
            "apps/media/plex/ks.yaml",
            kustomization("name: &app plex", "./apps/media/plex/app"),
        ),
        (
            "apps/infra/ks.yaml",
            kustomization("name: infra", "./infra"),
        ),
        (
            "docs/template.yaml",
            "kustomize.toolkit.fluxcd.io: {{ no yaml\n".into(),
        ),
    ];
    let all = [
        "infra/live flux-system: infra by flux-system/infra",
        "media-plex/live media: apps/media/plex/app by media/plex",
        "shop/live flux-system: apps/shop by flux-system/shop",
    ];
    assert_eq!(found("version: 1\ndiscover: flux\n", &files).unwrap(), all);
    // Of another repository.
    let mut others = files.to_vec();
    others[1].1 = repository("https://github.com/acme/other");
    assert_eq!(
        found("version: 1\ndiscover: flux\n", &others).unwrap(),
        all[1..2]
    );
}

#[test]
fn finding_nothing_is_said() {
    let repo = "acme/config".parse().unwrap();
    for (text, says) in [("discover: flux", true), ("applications: []", false)] {
        let catalog = Catalog::parse(&format!("version: 1\n{text}\n")).unwrap();
        let said = catalog.undiscovered(&[], &repo);
        let begins = "windlass.yaml: `discover` finds no object whose source is acme/config";
        assert_eq!(
            said.is_some_and(|said| said.starts_with(begins)),
            says,
            "{text}"
        );
    }
}

#[test]
fn a_directory_or_a_label_tells_the_stage() {
    let stages = "version: 1\nstages: { staging: { cluster: s }, production: { cluster: p, after: [staging] } }\n";
    let at = |environment: &str| {
        let metadata =
            format!("name: shop, namespace: flux-system, labels: {{env: {environment}}}");
        kustomization(&metadata, &format!("./apps/{environment}"))
    };
    let files = [
        ("clusters/staging/apps/shop.yaml", at("staging")),
        ("clusters/production/shop.yaml", at("production")),
        ("clusters/lab/shop.yaml", at("lab")),
    ];
    let all = [
        "shop/staging flux-system: apps/staging by flux-system/shop",
        "shop/production flux-system: apps/production by flux-system/shop",
    ];
    for entry in [
        "discover: { by: flux, under: 'clusters/{stage}' }\n",
        "discover: { by: flux, label: env }\n",
        "discover:\n  - { by: flux, under: clusters/staging, stage: staging }\n  - { by: flux, stage: production, exclude: ['clusters/lab/*', 'clusters/staging/*'] }\n",
    ] {
        let text = format!("{stages}{entry}");
        assert_eq!(found(&text, &files).unwrap(), all, "{entry}");
    }
}

#[test]
fn what_is_ambiguous_is_said() {
    let same = |namespace: &str| {
        let metadata = format!("name: shop, namespace: {namespace}");
        kustomization(&metadata, "./apps")
    };
    let files = [("a.yaml", same("one")), ("b.yaml", same("two"))];
    let text = "version: 1\ndiscover: flux\n";
    assert_eq!(
        found(text, &files).unwrap(),
        [
            "one-shop/live one: apps by one/shop",
            "two-shop/live two: apps by two/shop"
        ]
    );
    // What is no name, as in a template, is no application; what cannot be built says so itself.
    let odd = kustomization("name: '${cluster}-apps', namespace: x", "./apps");
    let lost = kustomization("name: lost, namespace: flux-system", "../../apps");
    let odd = [("a.yaml", odd), ("b.yaml", lost)];
    assert_eq!(
        found(text, &odd).unwrap(),
        ["lost/live flux-system: b.yaml by flux-system/lost"]
    );
    let twice = [("a.yaml", same("one")), ("b.yaml", same("one"))];
    let why = found(text, &twice).unwrap_err();
    assert!(
        why.contains("`a.yaml` and `b.yaml` are both one-shop/live"),
        "{why}"
    );
    for (text, expected) in [
        ("version: 1\n", "add `applications:`, or `discover: flux`"),
        ("version: 1\ndiscover: helm\n", "unknown variant `helm`"),
        (
            "version: 1\nstages: { a: {}, b: {} }\ndiscover: flux\n",
            "`discover` does not say which stage an object is for",
        ),
        (
            "version: 1\nstages: { a: {}, b: {} }\ndiscover: { by: flux, stage: a, label: x }\n",
            "says the stage twice",
        ),
    ] {
        let why = found(text, &[]).unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}

#[test]
fn argo_cd_applications_of_this_repository_count() {
    let application = |name: &str, source: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}}}\nspec: {{destination: {{namespace: shop}}, source: {source}}}\n---\n"
        )
    };
    let own = "repoURL: 'https://github.com/acme/config.git'";
    let text = [
        (
            "one",
            format!("{{{own}, path: apps/one, targetRevision: HEAD}}"),
        ),
        (
            "two",
            "{repoURL: 'https://charts.example.com', chart: two, targetRevision: 1.2.3}".into(),
        ),
        (
            "tagged",
            format!("{{{own}, path: apps/one, targetRevision: v1}}"),
        ),
        (
            "other",
            "{repoURL: 'https://github.com/acme/other', path: apps/one}".into(),
        ),
    ]
    .map(|(name, source)| application(name, &source))
    .concat();
    assert_eq!(
        found(
            "version: 1\ndiscover: argocd\n",
            &[("argocd/apps.yaml", text)]
        )
        .unwrap(),
        [
            "one/live shop: apps/one by argocd/one",
            "two/live shop: argocd/apps.yaml by argocd/two"
        ]
    );
}

#[test]
fn templates_of_charts_and_patches_declare_nothing() {
    let set = |name: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}}}\nspec: {{source: {{repoURL: 'https://github.com/acme/config', path: apps/{name}}}}}\n"
        )
    };
    let gone = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: gone}\n$patch: delete\n";
    let files = [
        ("charts/root/Chart.yaml", "name: root".to_string()),
        ("charts/root/templates/argocd/app.yaml", set("templated")),
        ("base/one.yaml", set("one")),
        ("base/templates/two.yaml", set("two")),
        (
            "overlays/a/kustomization.yaml",
            "resources: [../../base]\npatches: [{path: patches/one.yaml}]\npatchesStrategicMerge: [more.yaml]\n".into(),
        ),
        ("overlays/a/patches/one.yaml", set("one")),
        ("overlays/a/more.yaml", set("two")),
        ("overlays/b/delete.yaml", gone.into()),
    ];
    assert_eq!(
        found("version: 1\ndiscover: argocd\n", &files).unwrap(),
        [
            "one/live argocd: apps/one by argocd/one",
            "two/live argocd: apps/two by argocd/two"
        ]
    );
}

#[test]
fn an_object_may_deploy_to_another_cluster_that_the_entry_names() {
    let application = |name: &str, destination: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: argocd}}\nspec: {{source: {{repoURL: 'https://github.com/acme/config', path: apps/{name}}}, destination: {{{destination}, namespace: web}}}}\n"
        )
    };
    let of = |destination: &str, clusters: &str| {
        let text = format!(
            "version: 1\nstages: {{live: {{cluster: hub}}}}\ndiscover: {{by: argocd, clusters: {clusters}}}\n"
        );
        let catalog = Catalog::parse(&text).unwrap();
        let file = application("web", destination);
        let mut objects = Objects::of_files(["a.yaml"]);
        objects.add("a.yaml", &file);
        let repo = "acme/config".parse().unwrap();
        let targets = catalog.expand_with(&Tree::new(["a.yaml"]), &objects, &repo);
        let target = targets.unwrap().remove(0);
        let written = &target.declared.as_ref().unwrap().written;
        let object = objects.object(written).unwrap();
        let build = written.build(object).map(|_| ());
        let hub = target.stage.reconcile.hub().map(str::to_string);
        (
            target.destination.cluster,
            hub,
            build.map_err(|Invalid(why)| why),
        )
    };
    let hub = || Some("hub".to_string());
    let own = "server: 'https://kubernetes.default.svc'";
    assert_eq!(of(own, "{}"), ("hub".into(), None, Ok(())));
    assert_eq!(of("name: eu", "{eu: {}}"), ("eu".into(), hub(), Ok(())));
    let by_address = "{eu: {server: 'https://eu.example.com', cluster: edge-1}}";
    assert_eq!(
        of("server: 'https://eu.example.com'", by_address),
        ("edge-1".into(), hub(), Ok(()))
    );
    let (cluster, at, build) = of("name: us", "{eu: {}}");
    assert_eq!((cluster.as_str(), at), ("hub", None));
    assert_eq!(
        build.unwrap_err(),
        "a.yaml: Application web: it deploys to another cluster than its own, `us`: name that in `clusters` of this entry of `discover`"
    );
}

#[test]
fn kustomizations_above_an_object_lengthen_its_name() {
    let files = [
        (
            "envs/kustomization.yaml",
            "namePrefix: all-\nresources: [eu, us]\n".to_string(),
        ),
        (
            "envs/eu/kustomization.yaml",
            "nameSuffix: -eu\nresources: [ks.yaml]\n".into(),
        ),
        (
            "envs/us/kustomization.yaml",
            "nameSuffix: -us\nresources: [ks.yaml]\n".into(),
        ),
        (
            "envs/eu/ks.yaml",
            kustomization("name: shop, namespace: flux-system", "./a"),
        ),
        (
            "envs/us/ks.yaml",
            kustomization("name: shop, namespace: flux-system", "./b"),
        ),
    ];
    assert_eq!(
        found("version: 1\ndiscover: flux\n", &files).unwrap(),
        [
            "all-shop-eu/live flux-system: a by flux-system/all-shop-eu",
            "all-shop-us/live flux-system: b by flux-system/all-shop-us"
        ]
    );
    // One that does not name the file does not change it.
    let beside = [
        (
            "a/kustomization.yaml",
            "namePrefix: prod-\nresources: [b.yaml]\n".to_string(),
        ),
        (
            "a/ks.yaml",
            kustomization("name: shop, namespace: flux-system", "./a"),
        ),
    ];
    assert_eq!(
        found("version: 1\ndiscover: flux\n", &beside).unwrap(),
        ["shop/live flux-system: a by flux-system/shop"]
    );
}
