//! Who may reach which repositories, namespaces and kinds.

use http::Method;
use serde_json::{Value, json};

use super::merge;
use crate::support::lab::{CONFIG, has, has_not};
use crate::support::{Setup, World, plane};

/// A pull request that adds a file of manifests to shop's staging.
fn adding(world: &World, login: &str, branch: &str, manifests: &str) -> u64 {
    // Plain YAML in the place of the kustomization, which would settle namespaces itself.
    let directory = format!("apps/{branch}/staging");
    let namespace = world.namespace(&format!("{branch}-staging"));
    let space = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
    world.propose(
        login,
        branch,
        &[
            (&format!("{directory}/namespace.yaml"), Some(&space)),
            (&format!("{directory}/more.yaml"), Some(manifests)),
        ],
    )
}

async fn comment_of(world: &World, number: u64) -> String {
    world.previewed(number).await;
    world
        .until("the comment", async || {
            Some(
                world.comments(number).first()?["body"]
                    .as_str()?
                    .to_string(),
            )
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_the_settings_do_not_name_steers_nothing() {
    let world = World::new().await;
    world.quiet().await;
    let namespace = world.namespace("evil-staging");
    let catalog = format!(
        "version: 1\nstages:\n  staging: {{ cluster: local, merge: auto }}\napplications:\n  - name: evil\n    path: deploy/{{stage}}\n    namespace: {namespace}\n"
    );
    let space = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
    let files = [
        ("windlass.yaml", Some(catalog.as_str())),
        ("deploy/staging/namespace.yaml", Some(space.as_str())),
    ];
    world
        .forge
        .push("acme/shop", "main", "bob", "Mine", &files)
        .unwrap();
    // Something that is looked at afterwards: by then the push was followed too.
    let number = world.propose("bob", "after", &[("README.md", Some("# After\n"))]);
    world.gate_status(number, "pending").await;
    world.quiet().await;
    assert!(world.application("evil.staging").await.is_null());
    assert!(
        world
            .get("v1", "Namespace", "namespaces", "", &namespace)
            .await
            .is_none()
    );
    let mirrors = world.cache().join("mirrors/acme");
    let kept: Vec<_> = std::fs::read_dir(mirrors)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(kept, ["config.git"], "nothing else is mirrored");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_outside_is_refused_before_anything_is_asked() {
    let world = World::new().await;
    let (production, home) = (world.namespace("shop-production"), world.home());
    let manifests = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: planted, namespace: {production}}}\n\
         ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: shop, namespace: {production}}}\n\
         ---\napiVersion: v1\nkind: Pod\nmetadata: {{name: mine, namespace: {home}}}\nspec: {{serviceAccountName: windlass, containers: [{{name: a, image: a}}]}}\n\
         ---\napiVersion: v1\nkind: Pod\nmetadata: {{name: system, namespace: kube-system}}\nspec: {{containers: [{{name: a, image: a}}]}}\n\
         ---\napiVersion: windlass.dev/v1alpha1\nkind: Promotion\nmetadata: {{name: shop.production, namespace: {home}}}\nspec: {{}}\n\
         ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {home}-root}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}\n\
         ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: root}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}}\n\
         ---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {home}-more}}\n\
         ---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: things.evil.example}}\nspec: {{group: evil.example, scope: Namespaced, names: {{kind: Thing, plural: things}}, conversion: {{strategy: Webhook}}, versions: []}}\n"
    );
    world.quiet().await;
    let number = adding(&world, "bob", "fence", &manifests);
    let body = comment_of(&world, number).await;
    let asked = world.proxy.take_asked();
    for name in [
        "planted",
        "mine",
        "system",
        "shop.production",
        "-root",
        "/root",
        "-more",
        "things.evil",
    ] {
        assert!(
            !asked.iter().any(|what| what.contains(name)),
            "the cluster was asked about {name}: {asked:?}"
        );
    }
    has(
        &body,
        &[
            "9 cannot be applied",
            "otherNamespaces",
            "nothing is ever deployed to the namespace",
            "ClusterRoleBinding.rbac.authorization.k8s.io",
            "/conversion",
        ],
    );
    // The same words for what is there and for what is not.
    let told = |name: &str| {
        let at = body
            .find(&format!("<code>ConfigMap {production}/{name}</code>"))
            .unwrap();
        let told = body[at..].split(" (apps/").next().unwrap();
        told.replacen(&format!("/{name}<"), "/NAME<", 1)
    };
    assert_eq!(told("planted"), told("shop"));
    // Merged all the same, nothing of it is applied, and it says why.
    merge(&world, "ada", number);
    world
        .until("it is blocked", async || {
            let object = world.application("fence.staging").await;
            object["status"]["message"]
                .as_str()
                .filter(|text| text.contains("otherNamespaces"))
                .map(|_| ())
        })
        .await;
    assert!(
        world
            .get("v1", "ConfigMap", "configmaps", &production, "planted")
            .await
            .is_none()
    );
    assert!(
        world
            .get("v1", "Pod", "pods", &home, "mine")
            .await
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_no_project_names_is_said_with_what_to_add() {
    let projects =
        windlass::sandbox::example::PROJECTS.replace("'*-production'", "'w*-shop-production'");
    let world = World::with(Setup {
        projects: Some(projects),
        ..Setup::default()
    })
    .await;
    let number = world.propose(
        "bob",
        "other",
        &[("apps/other/production/config.yaml", Some(CONFIG))],
    );
    let body = comment_of(&world, number).await;
    has(
        &body,
        &[
            "do not let this repository deploy to the namespace",
            "`namespaces` of a project",
        ],
    );
    assert_eq!(world.previewed(number).await["conclusion"], "failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_pull_request_names_is_not_shown() {
    let world = World::new().await;
    let victim = world.namespace("victim-staging");
    world.kubectl(&["create", "namespace", &victim]);
    world.kubectl(&[
        "-n",
        &victim,
        "create",
        "configmap",
        "settings",
        "--from-literal=pass=hunter2-live",
    ]);
    let number = world.propose(
        "bob",
        "victim",
        &[(
            "apps/victim/staging/config.yaml",
            Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {pass: x}\n"),
        )],
    );
    let body = comment_of(&world, number).await;
    has(
        &body,
        &[
            "the preview assumes that none of its objects exist",
            "create",
        ],
    );
    has_not(&body, &["hunter2", "exists"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_cannot_write_and_syncs_have_the_rights_of_their_project() {
    let world = World::asleep(Setup::default()).await;
    let home = world.home();
    // The identity of previews, attacked: what it has the rights for it may still only dry-run.
    let account = format!("system:serviceaccount:{home}:windlass-preview");
    let try_as = |arguments: &[&str]| plane().kubectl(&[arguments, &["--as", &account]].concat());
    world.kubectl(&["-n", &home, "create", "configmap", "there"]);
    let refused = |outcome: anyhow::Result<String>| {
        outcome.is_err_and(|error| error.to_string().contains("windlass's previews only look"))
    };
    let tries = std::sync::atomic::AtomicUsize::new(0);
    world
        .until("the policy is in force", async || {
            // What changes nothing is not sent.
            let label = format!(
                "try=a{}",
                tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
            );
            refused(try_as(&[
                "-n",
                &home,
                "label",
                "--overwrite",
                "configmap",
                "there",
                &label,
            ]))
            .then_some(())
        })
        .await;
    assert!(
        try_as(&[
            "-n",
            &home,
            "create",
            "configmap",
            "mine",
            "--dry-run=server"
        ])
        .is_ok()
    );
    for arguments in [
        &["-n", &home, "delete", "configmap", "there"][..],
        &["-n", &home, "label", "configmap", "there", "a=b"],
        &[
            "-n",
            &home,
            "patch",
            "configmap",
            "there",
            "-p",
            "{\"data\":{\"a\":\"b\"}}",
        ],
        &["create", "namespace", &format!("{home}-2")],
    ] {
        assert!(refused(try_as(arguments)), "{arguments:?}");
    }
    assert!(
        world
            .get("v1", "ConfigMap", "configmaps", &home, "there")
            .await
            .is_some()
    );

    // A project whose service account may not write Deployments.
    world.kubectl(&["-n", &home, "create", "serviceaccount", "deployer"]);
    let role = |rules: Value| {
        json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": format!("{home}-deployer")}, "rules": rules},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": format!("{home}-deployer")},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("{home}-deployer")},
                "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": home}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "acts", "namespace": home},
                "rules": [{"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["deployer"], "verbs": ["impersonate"]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "acts", "namespace": home},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "acts"},
                "subjects": [{"kind": "ServiceAccount", "name": "windlass", "namespace": home}]},
        ]})
    };
    let apply = |value: &Value| {
        let file = std::env::temp_dir().join(format!("{home}-roles.json"));
        std::fs::write(&file, value.to_string()).unwrap();
        world.kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            file.to_str().unwrap(),
        ]);
    };
    let some = json!({"apiGroups": [""], "resources": ["configmaps", "namespaces", "secrets", "services"], "verbs": ["get", "create", "patch", "delete"]});
    apply(&role(json!([some])));
    let projects = windlass::sandbox::example::PROJECTS.to_string()
        + &format!("    serviceAccount: {home}/deployer\n");
    std::fs::write(
        world.cache().parent().unwrap().join("projects.yaml"),
        projects,
    )
    .unwrap();
    world.start();
    world
        .until("it may not", async || {
            let object = world.application("shop.staging").await;
            object["status"]["message"]
                .as_str()
                .filter(|text| text.contains("deployments") && text.contains("deployer"))
                .map(|_| ())
        })
        .await;
    assert!(world.deployment("staging").await.is_null());
    let more = json!({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "create", "patch", "delete"]});
    apply(&role(json!([some, more])));
    for stage in ["staging", "production"] {
        world.kubectl(&[
            "-n",
            &home,
            "annotate",
            &format!("applications.windlass.dev/shop.{stage}"),
            "windlass.dev/sync-requested=now",
        ]);
    }
    world.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_fork_is_fetched() {
    let world = World::new().await;
    let fork = world.forge.fork("acme/config", "rita").unwrap();
    let head = world
        .forge
        .push(&fork, "big", "rita", "Big", &[("big.txt", Some("x"))])
        .unwrap();
    let pull = world.as_user(
        "rita",
        Method::POST,
        "pulls",
        json!({"title": "Big", "head": "rita:big", "base": "main"}),
    );
    world.previewed(pull["number"].as_u64().unwrap()).await;
    world.quiet().await;
    let mirror = world.cache().join("mirrors/acme/config.git");
    assert!(windlass::sandbox::forge::git::git(&mirror, &["cat-file", "-e", &head]).is_err());
}
