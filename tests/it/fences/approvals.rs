//! Who may decide: approvals, owners, policies, verdicts.

use http::Method;
use serde_json::json;

use super::merge;
use crate::support::lab::{has, has_not};
use crate::support::{Setup, World};

const OVERLAY: &str = "apps/shop/staging/kustomization.yaml";

/// A world whose `windlass.yaml` says something else in one place, and that file.
async fn configured(setup: Setup, from: &str, to: &str) -> (World, String) {
    let world = World::asleep(setup).await;
    let catalog = world.file("windlass.yaml").replace(from, to);
    world.commit("Configured", &[("windlass.yaml", Some(&catalog))]);
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
            .contains("so a person has to merge it")
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
    let commit = world.commit("Back", &files);
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
    // Staging may put objects into production's namespace: then production's approvals count for
    // them.
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
                text.starts_with("1 of 2 approvals (shop/production requires 2)")
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
    // A reviewer reads what becomes of the policy.
    let shown = world.conversation(number);
    has(
        &shown,
        &[
            "**No application changes** · policy changes",
            "> [!CAUTION]\n> Policy of `shop/production`: 0 approvals required (before: 2).",
            "windlass merges image updates without a review.",
        ],
    );
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
    world.commit("Owners", &files);
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
