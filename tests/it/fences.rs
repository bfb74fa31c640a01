//! Attacks: what people may not reach, decide or stop. `docs/security.md` says
//! which story stands for which attacker.

use http::Method;
use serde_json::{Value, json};

use crate::support::lab::{CONFIG, Lab, has, has_not};
use crate::support::{Setup, World, plane};

const OVERLAY: &str = "apps/shop/staging/kustomization.yaml";

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

fn merge(world: &World, login: &str, number: u64) -> Value {
    world.as_user(
        login,
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    )
}

// ---- who may reach what

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
            "previewed as if nothing of it were in the cluster",
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

// ---- who may decide

/// A world whose `windlass.yaml` says something else in one place, and that file.
async fn configured(setup: Setup, from: &str, to: &str) -> (World, String) {
    let world = World::asleep(setup).await;
    let catalog = world.file("windlass.yaml").replace(from, to);
    world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "Configured",
            &[("windlass.yaml", Some(&catalog))],
        )
        .unwrap();
    world.start();
    world.settled().await;
    (world, catalog)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pushed_may_not_approve() {
    let world = World::new().await;
    let (_, number) = world.up_to_review("1.1.0").await;
    let file = "apps/shop/production/config.yaml";
    let owned = world.file(file).replace("hello", "owned by bob alone");
    // Under another's name: who pushed is told by GitHub, not by the commit.
    world
        .forge
        .push_as(
            "acme/config",
            "windlass/shop/production",
            "bob",
            "mia",
            "Mine",
            &[(file, Some(&owned))],
        )
        .unwrap();
    world.previewed(number).await;
    world.gate_says(number, "0 of 1").await;
    world.approve("bob", number);
    world
        .gate_says(number, "bob's does not count: they opened")
        .await;
    // Nor may the one whose name is on it; a third person may, and then a person merges.
    world.approve("mia", number);
    world.approve("ada", number);
    assert!(
        world
            .gate_status(number, "success")
            .await
            .contains("so a person merges it")
    );
    assert_eq!(world.read(&format!("pulls/{number}"))["merged"], false);

    // Onto a person's pull request.
    let file = "apps/shop/staging/config.yaml";
    let number = world.propose(
        "mia",
        "mias",
        &[(file, Some(&world.file(file).replace("hello", "hi")))],
    );
    world.gate_status(number, "pending").await;
    world
        .forge
        .push(
            "acme/config",
            "mias",
            "bob",
            "And mine",
            &[(file, Some(&world.file(file).replace("hello", "ho")))],
        )
        .unwrap();
    world.previewed(number).await;
    world.gate_status(number, "pending").await;
    world.approve("bob", number);
    world.gate_says(number, "bob's does not count").await;
    world.approve("ada", number);
    world.gate_status(number, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_approve_is_the_stages_to_say() {
    let (world, _) = configured(
        Setup::default(),
        "gates: { approvals: 1 }",
        "gates: { approvals: 1, approvers: [acme/release] }",
    )
    .await;
    world
        .forge
        .state()
        .teams
        .insert(("acme".into(), "release".into()), vec!["mia".into()]);
    let (_, number) = world.up_to_review("1.1.0").await;
    world.approve("bob", number);
    world
        .gate_says(number, "not among the stage's approvers")
        .await;
    world.approve("mia", number);
    world.merged(number).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_waits_until_staging_runs_just_that() {
    let world = World::new().await;
    let (staging, number) = world.up_to_review("1.1.0").await;
    let body = world.read(&format!("pulls/{number}"))["body"]
        .as_str()
        .unwrap()
        .to_string();
    has(&body, &["Healthy with the same digest in `staging`"]);
    // Staging is taken back in Git.
    let before = world.read(&format!("pulls/{staging}"))["base"]["sha"]
        .as_str()
        .unwrap()
        .to_string();
    let old = windlass::sandbox::forge::git::git(
        &world.forge.repository_path("acme", "config"),
        &["show", &format!("{before}:{OVERLAY}")],
    )
    .unwrap();
    // What windlass proposes anew for staging waits for a review from now on.
    let catalog = world
        .file("windlass.yaml")
        .replace("    merge: auto", "    merge: reviewed");
    let files = [
        (OVERLAY, Some(old + "\n")),
        ("windlass.yaml", Some(catalog)),
    ];
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (*path, text.as_deref()))
        .collect();
    let commit = world
        .forge
        .push("acme/config", "main", "ada", "Back", &files)
        .unwrap();
    world.sync_status(&commit, "success").await;
    let text = world
        .until("the gate says so", async || {
            world
                .verdict(&world.head(number))
                .filter(|(state, text)| state == "pending" && text.contains("does not run 1.1.0"))
        })
        .await;
    has(&text.1, &["staging: does not run 1.1.0"]);
    world.approve("bob", number);
    world
        .until("the approval alone is not enough", async || {
            world
                .verdict(&world.head(number))
                .filter(|(state, text)| state == "pending" && !text.contains("approvals"))
        })
        .await;
    let body = async || {
        Some(
            world.read(&format!("pulls/{number}"))["body"]
                .as_str()?
                .to_string(),
        )
    };
    let body = world
        .until("the body says so", async || {
            body()
                .await
                .filter(|body| body.contains("`staging` does not run 1.1.0"))
        })
        .await;
    has_not(&body, &["Healthy with"]);
    assert_eq!(world.read(&format!("pulls/{number}"))["merged"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_into_anothers_namespace_needs_anothers_policy() {
    // Staging may put objects into production's namespace: then production's approvals count for them.
    let projects = windlass::sandbox::example::PROJECTS.replace(
        "    kinds:",
        "    otherNamespaces: ['*-shop-production']\n    kinds:",
    );
    let (world, _) = configured(
        Setup {
            projects: Some(projects),
            ..Setup::default()
        },
        "approvals: 1",
        "approvals: 2",
    )
    .await;
    let namespace = world.namespace("shop-production");
    let planted = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: planted, namespace: {namespace}}}\n"
    );
    let own = world.namespace("lab-staging");
    let space = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {own}}}\n");
    let number = world.propose(
        "bob",
        "planted",
        &[
            ("apps/lab/staging/planted.yaml", Some(&planted)),
            ("apps/lab/staging/namespace.yaml", Some(&space)),
        ],
    );
    world.gate_status(number, "pending").await;
    world.approve("mia", number);
    world
        .until("one is not enough", async || {
            world.verdict(&world.head(number)).filter(|(_, text)| {
                text.starts_with("1 of 2 approvals (shop/production asks for 2)")
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_is_changed_by_what_policy_asks() {
    let (world, strict) = configured(Setup::default(), "approvals: 1", "approvals: 2").await;
    let loose = strict.replace("    gates: { approvals: 2 }\n", "    merge: auto\n");
    let number = world.propose("bob", "loose", &[("windlass.yaml", Some(&loose))]);
    world.gate_status(number, "pending").await;
    world.approve("mia", number);
    world
        .until("one is not enough", async || {
            world
                .verdict(&world.head(number))
                .filter(|(_, text)| text.starts_with("1 of 2 approvals"))
        })
        .await;
    world.approve("ada", number);
    world.gate_status(number, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_ask_what_the_stage_asks() {
    let world = World::new().await;
    let file = "apps/shop/production/config.yaml";
    let number = world.propose(
        "bob",
        "mine",
        &[(file, Some(&world.file(file).replace("hello", "hi")))],
    );
    world.gate_status(number, "pending").await;
    let reply = async |login: &str, text: &str| {
        let comment = world.comment(login, number, text);
        let marker = format!("<!-- windlass:reply {comment} -->");
        world
            .until("the reply", async || {
                world
                    .comments(number)
                    .iter()
                    .filter_map(|c| c["body"].as_str())
                    .find(|body| body.starts_with(&marker))
                    .map(str::to_string)
            })
            .await
    };
    has(
        &reply("bob", "/sync").await,
        &["not done. `bob` may not decide that for this stage"],
    );
    has(&reply("mia", "/sync").await, &["is being synced"]);
    has(
        &reply("mia", "/confirm-prune").await,
        &["on a pull request that is merged"],
    );
    has(
        &reply("mia", "/adopt").await,
        &["on a pull request that is merged"],
    );
    world
        .forge
        .state()
        .by_full_name_mut("acme/config")
        .unwrap()
        .pulls
        .iter_mut()
        .for_each(|pull| pull.draft = true);
    has(&reply("mia", "/sync").await, &["which a draft does not"]);
    // One long line neither stops the verdict nor is quoted whole.
    let long = reply("mia", &format!("/sync {}", "`".repeat(30_000))).await;
    assert!(long.len() < 2_000, "{}", long.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bots_commit_is_somebodys() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let number = world.propose(
        "mia",
        "mias",
        &[(file, Some(&world.file(file).replace("hello", "hi")))],
    );
    world.gate_status(number, "pending").await;
    // bob's workflow pushes onto mia's branch.
    world.forge.state().add_user(
        "github-actions[bot]",
        windlass::sandbox::forge::state::UserKind::Bot,
    );
    let changed = world.file(file).replace("hello", "bob's");
    world
        .forge
        .push(
            "acme/config",
            "mias",
            "github-actions[bot]",
            "By a workflow",
            &[(file, Some(&changed))],
        )
        .unwrap();
    world.previewed(number).await;
    world.gate_status(number, "pending").await;
    world.approve("bob", number);
    world
        .until("it does not count", async || {
            world.verdict(&world.head(number)).filter(|(state, text)| {
                state == "pending" && text.contains("github-actions[bot] wrote or pushed")
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_decide_about_their_files_and_about_owners() {
    let world = World::asleep(Setup::default()).await;
    let catalog = world
        .file("windlass.yaml")
        .replace("approvals: 1", "approvals: 1, approvers: [CODEOWNERS]");
    let owners = "*.md @bob\n/apps/shop/production/ @mia\n";
    let files = [
        ("windlass.yaml", Some(catalog.as_str())),
        (".github/CODEOWNERS", Some(owners)),
        ("apps/shop/production/NOTES.md", Some("x\n")),
    ];
    world
        .forge
        .push("acme/config", "main", "ada", "Owners", &files)
        .unwrap();
    world.start();
    world.settled().await;
    let file = "apps/shop/production/config.yaml";
    let changed = world.file(file).replace("hello", "hi");
    // A file of bob's beside it does not make him an owner of it.
    let number = world.propose(
        "ada",
        "both",
        &[(file, Some(&changed)), ("README.md", Some("# bob's\n"))],
    );
    world.gate_status(number, "pending").await;
    world.approve("bob", number);
    let refused = |number: u64| {
        let head = world.head(number);
        world.verdict(&head).filter(|(state, text)| {
            state == "pending" && text.contains("bob's does not count: they are not among")
        })
    };
    world
        .until("bob owns another file", async || refused(number))
        .await;
    world.approve("mia", number);
    world.gate_status(number, "success").await;
    merge(&world, "ada", number);
    // Nor does he become one by his own approval.
    let number = world.propose("ada", "owners", &[(".github/CODEOWNERS", Some("* @bob\n"))]);
    world.gate_status(number, "pending").await;
    world.approve("bob", number);
    world
        .until("the owners that there are decide", async || refused(number))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_is_of_its_pull_request_alone() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let number = world.propose(
        "bob",
        "hi",
        &[(file, Some(&world.file(file).replace("hello", "hi")))],
    );
    world.gate_status(number, "pending").await;
    world.approve("mia", number);
    world.gate_status(number, "success").await;
    let head = world.head(number);
    world.as_user(
        "bob",
        Method::PATCH,
        &format!("pulls/{number}"),
        json!({"state": "closed"}),
    );
    world
        .until("it is taken back", async || {
            world
                .verdict(&head)
                .filter(|(state, _)| state == "cancelled")
        })
        .await;
    let pull = world.as_user(
        "bob",
        Method::POST,
        "pulls",
        json!({"title": "Once more", "head": "hi", "base": "main"}),
    );
    let text = world
        .gate_status(pull["number"].as_u64().unwrap(), "pending")
        .await;
    assert_eq!(text, "0 of 1 approvals (a person's change needs a review)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_deleted_repeats_nothing() {
    let world = World::new().await;
    let (_, number) = world.up_to_review("1.1.0").await;
    let asked = world.comment("mia", number, "/sync");
    let marker = format!("<!-- windlass:reply {asked} -->");
    let reply = async |but: &Value| {
        let found = |c: &Value| c["body"].as_str().unwrap().starts_with(&marker) && c["id"] != *but;
        world
            .until("a reply", async || {
                world.comments(number).into_iter().find(|c| found(c))
            })
            .await
    };
    let first = reply(&Value::Null).await;
    has(first["body"].as_str().unwrap(), &["is being synced"]);
    {
        let mut state = world.forge.state();
        state
            .by_full_name_mut("acme/config")
            .unwrap()
            .comments
            .retain(|comment| json!(comment.id) != first["id"]);
    }
    world.comment("bob", number, "/why");
    has(
        reply(&first["id"]).await["body"].as_str().unwrap(),
        &["was done when this comment was seen first"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_of_a_comment_is_carried_out() {
    let world = World::new().await;
    let (staging, _) = world.up_to_review("1.1.0").await;
    let asked = world.comment("mia", staging, "/sync\n/adopt");
    let marker = format!("<!-- windlass:reply {asked} -->");
    let reply = world
        .until("a reply", async || {
            world
                .comments(staging)
                .into_iter()
                .find(|c| c["body"].as_str().unwrap().starts_with(&marker))
        })
        .await;
    has(
        reply["body"].as_str().unwrap(),
        &["is being synced", "Nothing waits to be adopted"],
    );
    let kept = world.application("shop.staging").await["metadata"]["annotations"]["windlass.dev/handled-commands"].clone();
    assert_eq!(kept, format!("{asked}-sync"));
}

// ---- what is ours

#[tokio::test(flavor = "multi_thread")]
async fn our_comment_is_ours_to_the_letter() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let number = world.propose(
        "bob",
        "hi",
        &[(file, Some(&world.file(file).replace("hello", "hi")))],
    );
    world.gate_status(number, "pending").await;
    let comments = world.comments(number);
    let (id, body) = (
        comments[0]["id"].clone(),
        comments[0]["body"].as_str().unwrap().to_string(),
    );
    let marker = body.lines().next().unwrap();
    let forged = format!("{marker}\n**No application changes**\n");
    world.as_user(
        "bob",
        Method::PATCH,
        &format!("issues/comments/{id}"),
        json!({"body": forged}),
    );
    world
        .until("it is written anew", async || {
            world
                .comments(number)
                .iter()
                .any(|c| c["body"].as_str() == Some(&body))
                .then_some(())
        })
        .await;
    has(
        &world.conversation(number),
        &["Somebody edited [windlass's comment]"],
    );
    // A reply that somebody makes name another comment swallows nothing.
    let asked = world.comment("mia", number, "/why");
    let reply = |to: u64| format!("<!-- windlass:reply {to} -->");
    let answer = world
        .until("the answer", async || {
            world
                .comments(number)
                .into_iter()
                .find(|c| c["body"].as_str().unwrap().starts_with(&reply(asked)))
        })
        .await;
    world.kill();
    let next = world.comment("mia", number, "/help");
    // GitHub's times have whole seconds.
    world
        .until("it is edited in a later second", async || {
            let text = format!("{}\nnothing\n", reply(next));
            world.as_user(
                "bob",
                Method::PATCH,
                &format!("issues/comments/{}", answer["id"]),
                json!({"body": text}),
            );
            (world.read(&format!("issues/comments/{}", answer["id"]))["updated_at"]
                != answer["created_at"])
                .then_some(())
        })
        .await;
    world.start();
    world
        .until("the real answer", async || {
            world
                .comments(number)
                .iter()
                .any(|c| {
                    c["id"] != answer["id"] && c["body"].as_str().unwrap().starts_with(&reply(next))
                })
                .then_some(())
        })
        .await;
    // What was answered before is not carried out once more.
    world
        .until("the old command is not carried out again", async || {
            world
                .comments(number)
                .iter()
                .any(|c| {
                    c["body"].as_str().is_some_and(|body| {
                        body.starts_with(&reply(asked)) && body.contains("give it again")
                    })
                })
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_branch_of_our_name_is_left_alone() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let head = world
        .forge
        .push(
            "acme/config",
            "windlass/shop/staging",
            "bob",
            "Mine",
            &[(file, Some(&world.file(file).replace("hello", "bob's")))],
        )
        .unwrap();
    let pull = world.as_user(
        "bob",
        Method::POST,
        "pulls",
        json!({"title": "bob's", "head": "windlass/shop/staging", "base": "main"}),
    );
    let number = pull["number"].as_u64().unwrap();
    let (status, answer) = world.announce("1.1.0").await;
    assert_eq!(status, 409, "{answer}");
    has(
        &answer.to_string(),
        &["windlass/shop/staging", "is not windlass's"],
    );
    world.quiet().await;
    assert_eq!(
        (
            world.head(number),
            world.read(&format!("pulls/{number}"))["title"].clone()
        ),
        (head, json!("bob's"))
    );
}

// ---- names

#[tokio::test(flavor = "multi_thread")]
async fn names_are_names() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.world.quiet().await;
    for (branch, name) in [
        ("a", "mine#"),
        ("b", "mine?fieldManager=evil&force=true#"),
        ("c", "kube-system/secrets/cloud"),
        ("d", "a b"),
        ("e", ".."),
    ] {
        let text = CONFIG.replace("name: lab", &format!("name: '{name}'"));
        let (number, comment) = lab.change(branch, &[("more.yaml", Some(&text))]).await;
        has(&comment, &["is no name that Kubernetes takes"]);
        assert_eq!(lab.world.previewed(number).await["conclusion"], "failure");
        lab.world.gate_status(number, "failure").await;
    }
    let asked = lab.world.proxy.take_asked();
    assert!(
        !asked
            .iter()
            .any(|what| what.contains("mine") || what.contains("secrets/cloud")),
        "{asked:?}"
    );
}

// ---- what is told

#[tokio::test(flavor = "multi_thread")]
async fn a_guess_of_an_immutable_secret_is_not_confirmed() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.with_file(&["create"], "apiVersion: v1\nkind: Secret\nmetadata: {name: theirs}\nimmutable: true\nstringData: {pass: hunter2}\n");
    let guess = async |branch: &str, text: &str| {
        let secret = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: theirs}}\nimmutable: true\nstringData: {{pass: {text}}}\n"
        );
        let (_, comment) = lab.change(branch, &[("secret.yaml", Some(&secret))]).await;
        comment
            .lines()
            .filter(|line| !line.starts_with("<!--") && !line.starts_with("<sub>"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let right = guess("right", "hunter2").await;
    assert_eq!(right, guess("wrong", "hunter3").await);
    has(
        &right,
        &["is immutable, and was not made by this application"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_said_and_what_is_dangerous_comes_first() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    // More than ten pages of data, and one object that matters, whose name would come last.
    let long: String = (0..1_000)
        .map(|n| format!("    line {n} of what nobody reads to its end\n"))
        .collect();
    let all: String =
        (0..12).map(|n| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a{n:02}}}\ndata:\n  text: |\n{long}")).collect();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: zzz}\nspec: {containers: [{name: a, image: a}]}\n";
    let (number, comment) = lab
        .change(
            "flood",
            &[("data.yaml", Some(&all)), ("zzz.yaml", Some(pod))],
        )
        .await;
    has(&comment, &["not shown"]);
    let check = lab.world.previewed(number).await;
    assert_eq!(check["conclusion"], "neutral");
    has(
        check["output"]["title"].as_str().unwrap(),
        &["changes not shown"],
    );
    let text = check["output"]["text"].as_str().unwrap();
    let first = text.find("<summary>").map(|at| &text[at..]).unwrap();
    assert!(
        first.starts_with("<summary><code>Pod "),
        "{}",
        &first[..200]
    );
    lab.world.approve("mia", number);
    let waits = lab.world.gate_status(number, "pending").await;
    has(&waits, &["do not fit into the preview", "/accept-unseen"]);
    // Not the author himself; somebody who may approve.
    lab.world.comment("bob", number, "/accept-unseen");
    lab.world
        .until("it does not count", async || {
            lab.world
                .conversation(number)
                .contains("That does not count")
                .then_some(())
        })
        .await;
    lab.world.comment("ada", number, "/accept-unseen");
    lab.world.gate_status(number, "success").await;
}

// ---- nothing takes the service down

#[tokio::test(flavor = "multi_thread")]
async fn strangers_hold_no_memory_and_no_connection() {
    use std::io::{Read as _, Write as _};
    let world = World::new().await;
    let address = world.windlass.url.trim_start_matches("http://").to_string();
    let resident = || windlass::judged_by::resident(world.pid().unwrap()).unwrap() >> 20;
    let before = resident();
    // Bodies without a signature are not read at all; with a wrong one only as many as there is room for.
    let mut held = Vec::new();
    for number in 0..40 {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream
            .set_write_timeout(Some(std::time::Duration::from_millis(300)))
            .unwrap();
        let signature = if number % 2 == 0 {
            format!("x-hub-signature-256: sha256={}\r\n", "0".repeat(64))
        } else {
            String::new()
        };
        let head = format!(
            "POST /webhook HTTP/1.1\r\nhost: a\r\ncontent-length: 25000000\r\n{signature}\r\n"
        );
        let _ = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&vec![b'x'; 20 << 20]));
        held.push(stream);
    }
    let after = resident();
    assert!(after < before + 160, "{before} MiB became {after} MiB");
    drop(held);
    // Half a request is closed after its deadline.
    let mut half = std::net::TcpStream::connect(&address).unwrap();
    half.write_all(b"POST /webhook HTTP/1.1\r\nhost").unwrap();
    half.set_read_timeout(Some(std::time::Duration::from_secs(30)))
        .unwrap();
    let mut rest = Vec::new();
    half.read_to_end(&mut rest).unwrap();
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
    // More connections than there are places: none of them costs the next one its answer once they are gone.
    let many: Vec<_> = (0..700)
        .filter_map(|_| std::net::TcpStream::connect(&address).ok())
        .collect();
    drop(many);
    world.announce("1.1.0").await;
    assert_eq!(world.pull_request("staging").await, 1);
    // Metrics are elsewhere.
    let answer = reqwest::get(format!("{}/metrics", world.windlass.url))
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renderer_elsewhere_does_the_same_and_its_absence_is_said() {
    let world = World::with(Setup {
        renders_elsewhere: true,
        ..Setup::default()
    })
    .await;
    let file = "apps/shop/staging/config.yaml";
    let number = world.propose(
        "bob",
        "hi",
        &[(file, Some(&world.file(file).replace("hello", "hi")))],
    );
    assert_eq!(world.previewed(number).await["conclusion"], "success");
    drop(world.renderer.lock().unwrap().take());
    let number = world.propose(
        "bob",
        "ho",
        &[(file, Some(&world.file(file).replace("hello", "ho")))],
    );
    assert_eq!(world.previewed(number).await["conclusion"], "failure");
    has(&world.conversation(number), &["no renderer listens at"]);
    *world.renderer.lock().unwrap() =
        Some(crate::support::renderer(world.cache().parent().unwrap()));
    world.comment("bob", number, "/preview");
    world
        .until("it is rendered again", async || {
            world
                .conversation(number)
                .contains("+  greeting: ho")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_takes_no_more_than_its_part() {
    // The forge works on the bomb too, in this process: what windlass asks of the cluster does not go through it.
    let world = World::with(Setup {
        direct: true,
        ..Setup::default()
    })
    .await;
    let path = |file: &str| format!("apps/bomb/staging/{file}");
    let namespace = world.namespace("bomb-staging");
    let chart = "apiVersion: v2\nname: bomb\nversion: 0.1.0\n";
    let propose = |branch: &str, template: &str| {
        let (about, template_path) = (path("Chart.yaml"), path("templates/a.yaml"));
        let space = (
            path("templates/namespace.yaml"),
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"),
        );
        world.propose(
            "bob",
            branch,
            &[
                (&about, Some(chart)),
                (&template_path, Some(template)),
                (&space.0, Some(&space.1)),
            ],
        )
    };
    let number = propose(
        "memory",
        "{{ $x := repeat 1500000000 \"x\" }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: \"{{ len $x }}\"}\n",
    );
    assert_eq!(world.previewed(number).await["conclusion"], "failure");
    has(&world.conversation(number), &["bomb/staging"]);
    // A tree of a quarter of a million files out of a few objects.
    let repo = world.forge.repository_path("acme", "config");
    let git = |arguments: &[&str]| windlass::sandbox::forge::git::git(&repo, arguments).unwrap();
    let node = |sha: &str, kind: &str| windlass::sandbox::forge::git::Node {
        mode: if kind == "tree" { "040000" } else { "100644" }.into(),
        kind: kind.into(),
        sha: sha.into(),
    };
    let blob = windlass::sandbox::forge::git::write_blob(&repo, b"a: b\n").unwrap();
    let mut below = node(&blob, "blob");
    for _ in 0..5 {
        let names: Vec<String> = (0..12).map(|n| format!("f{n}")).collect();
        let changes: Vec<_> = names
            .iter()
            .map(|name| windlass::sandbox::forge::git::NodeChange {
                path: name,
                node: Some(below.clone()),
            })
            .collect();
        below = node(
            &windlass::sandbox::forge::git::write_tree(&repo, None, &changes).unwrap(),
            "tree",
        );
    }
    let tip = world.tip();
    let base = git(&["rev-parse", &format!("{tip}^{{tree}}")]);
    let change = windlass::sandbox::forge::git::NodeChange {
        path: "apps/bomb",
        node: Some(below),
    };
    let tree = windlass::sandbox::forge::git::write_tree(&repo, Some(&base), &[change]).unwrap();
    let post = |path: &str, body: Value| world.as_user("bob", Method::POST, path, body);
    let commit = post(
        "git/commits",
        json!({"message": "A bomb", "tree": tree, "parents": [tip]}),
    )["sha"]
        .clone();
    post("git/refs", json!({"ref": "refs/heads/tree", "sha": commit}));
    let number = post(
        "pulls",
        json!({"title": "A bomb", "head": "tree", "base": "main"}),
    )["number"]
        .as_u64()
        .unwrap();
    assert_eq!(world.previewed(number).await["conclusion"], "failure");
    has(&world.conversation(number), &["more than 200000 files"]);
    // What renders was laid out, and is gone.
    let left = std::fs::read_dir(world.cache().join("render"))
        .unwrap()
        .count();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_windlass_died_of_is_left_alone_until_somebody_asks() {
    let world = World::new().await;
    world.quiet().await;
    world.kill();
    let file = "apps/shop/staging/config.yaml";
    let number = world.propose(
        "bob",
        "bad",
        &[(file, Some(&world.file(file).replace("hello", "hi")))],
    );
    // As two deaths in the middle of it leave it.
    let head = world.head(number);
    std::fs::write(
        world.cache().join(format!("heads/acme__config__{number}")),
        format!("{head}\n{head}\n"),
    )
    .unwrap();
    world.start();
    assert_eq!(world.previewed(number).await["conclusion"], "failure");
    has(
        &world.conversation(number),
        &[
            "windlass ended twice while it looked at this commit",
            "/preview",
        ],
    );
    world.comment("mia", number, "/preview");
    world
        .until("it is tried again", async || {
            world
                .conversation(number)
                .contains("-  greeting: hello\n+  greeting: hi")
                .then_some(())
        })
        .await;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_is_given_back() {
    let world = World::new().await;
    let holder = async || {
        let lease = world
            .get(
                "coordination.k8s.io/v1",
                "Lease",
                "leases",
                &world.home(),
                "windlass",
            )
            .await?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_string)
    };
    assert_eq!(holder().await.as_deref(), Some("windlass"));
    std::process::Command::new("kill")
        .arg(world.pid().unwrap().to_string())
        .status()
        .unwrap();
    world
        .until("it ends", async || (!world.is_running()).then_some(()))
        .await;
    assert_eq!(holder().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_grew_is_made_anew() {
    let world = World::new().await;
    world.quiet().await;
    let packs = world.cache().join("mirrors/acme/config.git/objects/pack");
    for number in 0..2_001 {
        std::fs::write(packs.join(format!("left-{number}")), "").unwrap();
    }
    let file = "apps/shop/staging/config.yaml";
    let commit = world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "On",
            &[(file, Some(&world.file(file).replace("hello", "hi")))],
        )
        .unwrap();
    world.sync_status(&commit, "success").await;
    assert!(std::fs::read_dir(&packs).unwrap().count() < 20);
    let number = world.propose(
        "bob",
        "on",
        &[(file, Some(&world.file(file).replace("hi", "ho")))],
    );
    assert_eq!(world.previewed(number).await["conclusion"], "success");
}
