//! Attacks: what people may not reach, decide or stop. `docs/security.md` says
//! which story stands for which attacker.

use http::Method;
use serde_json::{Value, json};

use crate::support::lab::{CONFIG, Lab, has, has_not};
use crate::support::{Setup, World};

const OVERLAY: &str = "apps/shop/staging/kustomization.yaml";

/// A pull request that adds a file of manifests to shop's staging.
fn adding(world: &World, login: &str, branch: &str, manifests: &str) -> u64 {
    // Plain YAML in the place of the kustomization, which would settle namespaces itself.
    let directory = format!("apps/{branch}/staging");
    let namespace = world.namespace(&format!("{branch}-staging"));
    let space = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
    world.propose(login, branch, &[(&format!("{directory}/namespace.yaml"), Some(&space)), (&format!("{directory}/more.yaml"), Some(manifests))])
}

async fn comment_of(world: &World, number: u64) -> String {
    world.previewed(number).await;
    world.until("the comment", async || Some(world.comments(number).first()?["body"].as_str()?.to_string())).await
}

fn merge(world: &World, login: &str, number: u64) -> Value {
    world.as_user(login, Method::PUT, &format!("pulls/{number}/merge"), json!({}))
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
    let files = [("windlass.yaml", Some(catalog.as_str())), ("deploy/staging/namespace.yaml", Some(space.as_str()))];
    world.forge.push("acme/shop", "main", "bob", "Mine", &files).unwrap();
    // Something that is looked at afterwards: by then the push was followed too.
    let number = world.propose("bob", "after", &[("README.md", Some("# After\n"))]);
    world.gate_status(number, "pending").await;
    world.quiet().await;
    assert!(world.application("evil.staging").await.is_null());
    assert!(world.get("v1", "Namespace", "namespaces", "", &namespace).await.is_none());
    let mirrors = world.cache().join("mirrors/acme");
    let kept: Vec<_> = std::fs::read_dir(mirrors).unwrap().flatten().map(|entry| entry.file_name()).collect();
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
    for name in ["planted", "mine", "system", "shop.production", "-root", "/root", "-more", "things.evil"] {
        assert!(!asked.iter().any(|what| what.contains(name)), "the cluster was asked about {name}: {asked:?}");
    }
    has(&body, &["9 cannot be applied", "otherNamespaces", "nothing is ever deployed to the namespace", "ClusterRoleBinding.rbac.authorization.k8s.io", "/conversion"]);
    // The same words for what is there and for what is not.
    let told = |name: &str| {
        let at = body.find(&format!("<code>ConfigMap {production}/{name}</code>")).unwrap();
        let told = body[at..].split(" (apps/").next().unwrap();
        told.replacen(&format!("/{name}<"), "/NAME<", 1)
    };
    assert_eq!(told("planted"), told("shop"));
    // Merged all the same, nothing of it is applied, and it says why.
    merge(&world, "ada", number);
    world
        .until("it is blocked", async || {
            let object = world.application("fence.staging").await;
            object["status"]["message"].as_str().filter(|text| text.contains("otherNamespaces")).map(|_| ())
        })
        .await;
    assert!(world.get("v1", "ConfigMap", "configmaps", &production, "planted").await.is_none());
    assert!(world.get("v1", "Pod", "pods", &home, "mine").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_no_project_names_is_said_with_what_to_add() {
    let projects = windlass::sandbox::example::PROJECTS.replace("'*-production'", "'w*-shop-production'");
    let world = World::with(Setup { projects: Some(projects), ..Setup::default() }).await;
    let number = world.propose("bob", "other", &[("apps/other/production/config.yaml", Some(CONFIG))]);
    let body = comment_of(&world, number).await;
    has(&body, &["do not let this repository deploy to the namespace", "`namespaces` of a project"]);
    assert_eq!(world.previewed(number).await["conclusion"], "failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_pull_request_names_is_not_shown() {
    let world = World::new().await;
    let victim = world.namespace("victim-staging");
    world.kubectl(&["create", "namespace", &victim]);
    world.kubectl(&["-n", &victim, "create", "configmap", "settings", "--from-literal=pass=hunter2-live"]);
    let number = world.propose(
        "bob",
        "victim",
        &[("apps/victim/staging/config.yaml", Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {pass: x}\n"))],
    );
    let body = comment_of(&world, number).await;
    has(&body, &["previewed as if nothing of it were in the cluster", "create"]);
    has_not(&body, &["hunter2", "exists"]);
}

// ---- who may decide

#[tokio::test(flavor = "multi_thread")]
async fn who_pushed_may_not_approve() {
    let world = World::new().await;
    let (_, number) = world.up_to_review("1.1.0").await;
    let file = "apps/shop/production/config.yaml";
    let owned = world.file(file).replace("hello", "owned by bob alone");
    // Under another's name: who pushed is told by GitHub, not by the commit.
    world.forge.push_as("acme/config", "windlass/shop/production", "bob", "mia", "Mine", &[(file, Some(&owned))]).unwrap();
    world.previewed(number).await;
    world.until("the added commit is seen", async || world.verdict(&world.head(number)).filter(|(_, text)| text.contains("0 of 1"))).await;
    world.approve("bob", number);
    let says = async |part: &str| {
        world.until(part, async || world.verdict(&world.head(number)).filter(|(_, text)| text.contains(part))).await
    };
    says("bob's does not count: they opened").await;
    // Nor may the one whose name is on it; a third person may, and then a person merges.
    world.approve("mia", number);
    world.approve("ada", number);
    assert!(world.gate_status(number, "success").await.contains("so a person merges it"));
    assert_eq!(world.read(&format!("pulls/{number}"))["merged"], false);

    // Onto a person's pull request.
    let file = "apps/shop/staging/config.yaml";
    let number = world.propose("mia", "mias", &[(file, Some(&world.file(file).replace("hello", "hi")))]);
    world.gate_status(number, "pending").await;
    world.forge.push("acme/config", "mias", "bob", "And mine", &[(file, Some(&world.file(file).replace("hello", "ho")))]).unwrap();
    world.previewed(number).await;
    world.gate_status(number, "pending").await;
    world.approve("bob", number);
    world.until("it does not count", async || world.verdict(&world.head(number)).filter(|(_, text)| text.contains("bob's does not count"))).await;
    world.approve("ada", number);
    world.gate_status(number, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_approve_is_the_stages_to_say() {
    let catalog = |world: &str| world.replace("gates: { approvals: 1 }", "gates: { approvals: 1, approvers: [acme/release] }");
    let world = World::asleep(Setup::default()).await;
    let text = catalog(&world.file("windlass.yaml"));
    world.forge.push("acme/config", "main", "ada", "Approvers", &[("windlass.yaml", Some(&text))]).unwrap();
    world.forge.state().teams.insert(("acme".into(), "release".into()), vec!["mia".into()]);
    world.start();
    world.settled().await;
    let (_, number) = world.up_to_review("1.1.0").await;
    world.approve("bob", number);
    world.until("it does not count", async || world.verdict(&world.head(number)).filter(|(_, text)| text.contains("not among the stage's approvers"))).await;
    world.approve("mia", number);
    world.merged(number).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_waits_until_staging_runs_just_that() {
    let world = World::new().await;
    let (staging, number) = world.up_to_review("1.1.0").await;
    let body = world.read(&format!("pulls/{number}"))["body"].as_str().unwrap().to_string();
    has(&body, &["Healthy with the same digest in `staging`"]);
    // Staging is taken back in Git.
    let before = world.read(&format!("pulls/{staging}"))["base"]["sha"].as_str().unwrap().to_string();
    let old = windlass::sandbox::forge::git::git(&world.forge.repository_path("acme", "config"), &["show", &format!("{before}:{OVERLAY}")]).unwrap();
    let commit = world.forge.push("acme/config", "main", "ada", "Back", &[(OVERLAY, Some(&(old + "\n")))]).unwrap();
    world.sync_status(&commit, "success").await;
    let text = world
        .until("the gate says so", async || {
            world.verdict(&world.head(number)).filter(|(state, text)| state == "pending" && text.contains("does not run 1.1.0"))
        })
        .await;
    has(&text.1, &["staging: does not run 1.1.0"]);
    world.approve("bob", number);
    world.until("the approval alone is not enough", async || {
        world.verdict(&world.head(number)).filter(|(state, text)| state == "pending" && !text.contains("approvals"))
    })
    .await;
    let body = async || Some(world.read(&format!("pulls/{number}"))["body"].as_str()?.to_string());
    let body = world.until("the body says so", async || body().await.filter(|body| body.contains("`staging` does not run 1.1.0"))).await;
    has_not(&body, &["Healthy with"]);
    assert_eq!(world.read(&format!("pulls/{number}"))["merged"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_is_changed_by_what_policy_asks() {
    let world = World::asleep(Setup::default()).await;
    let strict = world.file("windlass.yaml").replace("approvals: 1", "approvals: 2");
    world.forge.push("acme/config", "main", "ada", "Two", &[("windlass.yaml", Some(&strict))]).unwrap();
    world.start();
    world.settled().await;
    let loose = strict.replace("    gates: { approvals: 2 }\n", "    merge: auto\n");
    let number = world.propose("bob", "loose", &[("windlass.yaml", Some(&loose))]);
    world.gate_status(number, "pending").await;
    world.approve("mia", number);
    world.until("one is not enough", async || world.verdict(&world.head(number)).filter(|(_, text)| text.starts_with("1 of 2 approvals"))).await;
    world.approve("ada", number);
    world.gate_status(number, "success").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_ask_what_the_stage_asks() {
    let world = World::new().await;
    let file = "apps/shop/production/config.yaml";
    let number = world.propose("bob", "mine", &[(file, Some(&world.file(file).replace("hello", "hi")))]);
    world.gate_status(number, "pending").await;
    let reply = async |login: &str, text: &str| {
        let comment = world.comment(login, number, text);
        let marker = format!("<!-- windlass:reply {comment} -->");
        world
            .until("the reply", async || {
                world.comments(number).iter().filter_map(|c| c["body"].as_str()).find(|body| body.starts_with(&marker)).map(str::to_string)
            })
            .await
    };
    has(&reply("bob", "/sync").await, &["not done. `bob` may not decide that for this stage"]);
    has(&reply("mia", "/sync").await, &["is being synced"]);
    has(&reply("mia", "/confirm-prune").await, &["on a pull request that is merged"]);
    has(&reply("mia", "/adopt").await, &["on a pull request that is merged"]);
    world.forge.state().by_full_name_mut("acme/config").unwrap().pulls.iter_mut().for_each(|pull| pull.draft = true);
    has(&reply("mia", "/sync").await, &["which a draft does not"]);
    // One long line neither stops the verdict nor is quoted whole.
    let long = reply("mia", &format!("/sync {}", "`".repeat(30_000))).await;
    assert!(long.len() < 2_000, "{}", long.len());
}

// ---- what is ours

#[tokio::test(flavor = "multi_thread")]
async fn our_comment_is_ours_to_the_letter() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let number = world.propose("bob", "hi", &[(file, Some(&world.file(file).replace("hello", "hi")))]);
    world.gate_status(number, "pending").await;
    let comments = world.comments(number);
    let (id, body) = (comments[0]["id"].clone(), comments[0]["body"].as_str().unwrap().to_string());
    let marker = body.lines().next().unwrap();
    let forged = format!("{marker}\n**No application changes**\n");
    world.as_user("bob", Method::PATCH, &format!("issues/comments/{id}"), json!({"body": forged}));
    world.until("it is written anew", async || world.comments(number).iter().any(|c| c["body"].as_str() == Some(&body)).then_some(())).await;
    has(&world.conversation(number), &["Somebody edited [windlass's comment]"]);
    // A reply that somebody makes name another comment swallows nothing.
    let asked = world.comment("mia", number, "/why");
    let reply = |to: u64| format!("<!-- windlass:reply {to} -->");
    let answer = world
        .until("the answer", async || world.comments(number).into_iter().find(|c| c["body"].as_str().unwrap().starts_with(&reply(asked))))
        .await;
    world.kill();
    let next = world.comment("mia", number, "/help");
    // GitHub's times have whole seconds.
    world
        .until("it is edited in a later second", async || {
            let text = format!("{}\nnothing\n", reply(next));
            world.as_user("bob", Method::PATCH, &format!("issues/comments/{}", answer["id"]), json!({"body": text}));
            (world.read(&format!("issues/comments/{}", answer["id"]))["updated_at"] != answer["created_at"]).then_some(())
        })
        .await;
    world.start();
    world
        .until("the real answer", async || {
            world.comments(number).iter().any(|c| c["id"] != answer["id"] && c["body"].as_str().unwrap().starts_with(&reply(next))).then_some(())
        })
        .await;
    // What was answered before is not carried out once more.
    world
        .until("the old command is not carried out again", async || {
            world.comments(number).iter().any(|c| c["body"].as_str().is_some_and(|body| body.starts_with(&reply(asked)) && body.contains("give it again"))).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_branch_of_our_name_is_left_alone() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let head = world.forge.push("acme/config", "windlass/shop/staging", "bob", "Mine", &[(file, Some(&world.file(file).replace("hello", "bob's")))]).unwrap();
    let pull = world.as_user("bob", Method::POST, "pulls", json!({"title": "bob's", "head": "windlass/shop/staging", "base": "main"}));
    let number = pull["number"].as_u64().unwrap();
    let (status, answer) = world.announce("1.1.0").await;
    assert_eq!(status, 409, "{answer}");
    has(&answer.to_string(), &["windlass/shop/staging", "is not windlass's"]);
    world.quiet().await;
    assert_eq!((world.head(number), world.read(&format!("pulls/{number}"))["title"].clone()), (head, json!("bob's")));
}

// ---- names

#[tokio::test(flavor = "multi_thread")]
async fn names_are_names() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    lab.world.quiet().await;
    for (branch, name) in [("a", "mine#"), ("b", "mine?fieldManager=evil&force=true#"), ("c", "kube-system/secrets/cloud"), ("d", "a b"), ("e", "..")] {
        let text = CONFIG.replace("name: lab", &format!("name: '{name}'"));
        let (number, comment) = lab.change(branch, &[("more.yaml", Some(&text))]).await;
        has(&comment, &["is no name that Kubernetes takes"]);
        assert_eq!(lab.world.previewed(number).await["conclusion"], "failure");
        lab.world.gate_status(number, "failure").await;
    }
    let asked = lab.world.proxy.take_asked();
    assert!(!asked.iter().any(|what| what.contains("mine") || what.contains("secrets/cloud")), "{asked:?}");
}
