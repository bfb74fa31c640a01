//! What a repository may hold and windlass does not read: Git LFS, submodules. It is said with the
//! path, and never rendered as if it were something else.

use http::Method;
use serde_json::{Value, json};

use crate::support::lab::has;
use crate::support::{Setup, World, image_event};
use windlass::sandbox::example;
use windlass::sandbox::forge::state::Role;

const CONFIG: &str = "apps/shop/staging/config.yaml";
const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

/// Opens a pull request with a submodule at this path, on top of a branch's files.
fn with_submodule(world: &World, branch: &str, from: &str, path: &str) -> u64 {
    let at = world.read(&format!("git/ref/heads/{from}"));
    let parent = at["object"]["sha"].as_str().unwrap();
    let entry = json!({"path": path, "mode": "160000", "type": "commit", "sha": "a".repeat(40)});
    let tree = world.read(&format!("git/commits/{parent}"))["tree"]["sha"].clone();
    let tree = json!({"base_tree": tree, "tree": [entry]});
    let tree = world.as_user("bob", Method::POST, "git/trees", tree);
    let commit = json!({"message": "A submodule", "tree": tree["sha"], "parents": [parent]});
    let commit = world.as_user("bob", Method::POST, "git/commits", commit);
    let made = json!({"ref": format!("refs/heads/{branch}"), "sha": commit["sha"]});
    world.as_user("bob", Method::POST, "git/refs", made);
    let body = json!({"title": branch, "head": branch, "base": "main"});
    let opened = world.as_user("bob", Method::POST, "pulls", body);
    opened["number"].as_u64().unwrap()
}

/// The preview refuses a pull request; its words.
async fn refused(world: &World, number: u64) -> String {
    let check = world.previewed(number).await;
    assert_eq!(check["conclusion"], "failure");
    world.conversation(number)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_git_lfs_is_refused_by_name() {
    let world = World::new().await;
    let before = world.config_map("staging", "shop").await.unwrap();
    let words = format!("{CONFIG} is in Git LFS");
    let number = world.propose("bob", "lfs", &[(CONFIG, Some(POINTER))]);
    has(&refused(&world, number).await, &[&words, "git lfs untrack"]);
    let number = world.propose("bob", "catalog", &[("windlass.yaml", Some(POINTER))]);
    let said = refused(&world, number).await;
    has(&said, &["windlass.yaml is in Git LFS"]);
    // Committed past every review, nothing of it is applied.
    let commit = world.commit("LFS", &[(CONFIG, Some(POINTER))]);
    world.sync_status(&commit, "failure").await;
    let object = world.application("shop.staging").await;
    has(object["status"]["message"].as_str().unwrap(), &[&words]);
    let after = world.config_map("staging", "shop").await.unwrap();
    assert_eq!(before["data"], after["data"]);
    // The other stage goes on.
    let other = world.application("shop.production").await;
    assert_eq!(other["status"]["health"], "Healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submodule_is_refused_where_an_application_reads_it() {
    let world = World::new().await;
    let path = "apps/shop/staging/kustomization.yaml";
    let text = world.file(path);
    let reads = text.replacen(
        "resources:\n",
        "resources:\n  - ../../../vendor/lib/deploy\n",
        1,
    );
    world.propose("bob", "reads", &[(path, Some(&reads))]);
    let number = with_submodule(&world, "referred-to", "reads", "vendor/lib");
    let words = ["vendor/lib is a submodule: windlass reads this repository only"];
    has(&refused(&world, number).await, &words);
    // In the place of an application's directory.
    let number = with_submodule(&world, "whole", "main", "apps/other/staging");
    let words = ["apps/other/staging is a submodule"];
    has(&refused(&world, number).await, &words);
    // In a directory whose manifests are all read.
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\n";
    let file = ("apps/plain/staging/config.yaml", Some(manifest));
    world.propose("bob", "plain", &[file]);
    let number = with_submodule(&world, "within", "plain", "apps/plain/staging/lib");
    let words = ["apps/plain/staging/lib is a submodule"];
    has(&refused(&world, number).await, &words);
    // Where nothing reads it, it is no matter.
    let number = with_submodule(&world, "unread", "main", "vendor/lib");
    let check = world.previewed(number).await;
    assert_eq!(
        check["conclusion"],
        "success",
        "{}",
        world.conversation(number)
    );
}

const HASHED: &str = "acme/hashed";

/// A config repository with SHA-256 ids is told as such, in its threads and in the log, and the
/// others go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_with_sha256_ids_is_told_and_harms_no_other() {
    let setup = Setup {
        projects: Some(example::PROJECTS.replace("[acme/config]", "[acme/config, acme/hashed]")),
        delivery_scan: Some(1),
        ..Setup::default()
    };
    let world = World::asleep(setup).await;
    let file = ("windlass.yaml".to_string(), world.file("windlass.yaml"));
    world
        .forge
        .create_sha256_repository(HASHED, &[file])
        .unwrap();
    {
        let mut state = world.forge.state();
        let hashed = state.by_full_name_mut(HASHED).unwrap();
        hashed.roles.insert("bob".into(), Role::Write);
    }
    world.start();
    world.settled().await;
    let greeting = [("README.md", Some("Hello"))];
    let push = |text| world.forge.push(HASHED, "change", "bob", text, &greeting);
    let head = push("One").unwrap();
    assert_eq!(head.len(), 64);
    let body = json!({"title": "A change", "head": "change", "base": "main"});
    let path = format!("/repos/{HASHED}/pulls");
    let opened = world
        .forge
        .as_user("bob", Method::POST, &path, body)
        .unwrap();
    let path = format!("/repos/{HASHED}/issues/{}/comments", opened["number"]);
    let thread = || {
        let read = world.forge.as_user("bob", Method::GET, &path, Value::Null);
        read.unwrap().as_array().unwrap().clone()
    };
    let told = world
        .until("the thread is told", async || thread().first().cloned())
        .await;
    insta::assert_snapshot!(told["body"].as_str().unwrap(), @"windlass does nothing in this repository: it has SHA-256 object ids, which windlass does not support. Put the configuration into a repository with SHA-1 ids, the default.");
    // What is announced with such a commit is refused with the reason.
    let mut event = image_event("1.1.0");
    event["commit"] = head.into();
    let (status, answer) = world.announce_as(&event).await;
    assert_eq!(status, 422);
    has(&answer.to_string(), &["SHA-256 object ids"]);
    // No delivery of it counts as failed, and the other repository goes on.
    push("Two").unwrap();
    let commit = world.commit("More", &[("README.md", Some("More"))]);
    world.sync_status(&commit, "success").await;
    world.quiet().await;
    assert_eq!(thread().len(), 1, "it is told once: {:?}", thread());
    let failed = world
        .forge
        .state()
        .deliveries
        .iter()
        .filter(|one| one.status_code != Some(202))
        .map(|one| (one.event.clone(), one.status_code))
        .collect::<Vec<_>>();
    assert!(failed.is_empty(), "{failed:?}");
    let log = std::fs::read_to_string(world.windlass.log()).unwrap();
    let words =
        "fetch acme/hashed: the repository has SHA-256 object ids, which windlass does not support";
    has(&log, &[words]);
}
