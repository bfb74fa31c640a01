//! The forge against GitHub's official descriptions, and against clients that
//! were written by others.
//!
//! Every exchange of every test is held against the descriptions by
//! [`crate::support::contract`]; here are the checks that these checks work.

use std::process::Command;

use http::Method;
use serde_json::{Value, json};

use crate::support::{World, contract};

#[test]
fn the_descriptions_are_there() {
    contract::folder().unwrap_or_else(|how| panic!("{how}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_refuses_the_forge_refuses() {
    let world = World::new().await;
    let file = "apps/shop/staging/config.yaml";
    let number = world.propose(
        "bob",
        "hello",
        &[(file, Some(&world.file(file).replace("hello", "hi")))],
    );
    let refused = |login: &str, method: Method, path: &str, body: Value| {
        world
            .try_as_user(login, method, path, body)
            .expect_err(path)
            .to_string()
    };
    let table = [
        (
            "bob",
            Method::POST,
            "pulls".to_string(),
            json!({"title": "Twice", "head": "hello", "base": "main"}),
            "A pull request already exists for acme:hello.",
        ),
        (
            "bob",
            Method::POST,
            "pulls".to_string(),
            json!({"title": "No such head", "head": "nowhere", "base": "main"}),
            "\"code\":\"invalid\"",
        ),
        (
            "bob",
            Method::POST,
            "pulls".to_string(),
            json!({"title": "Nothing", "head": "main", "base": "main"}),
            "No commits between main and main",
        ),
        (
            "bob",
            Method::POST,
            "pulls".to_string(),
            json!({"title": "Field", "head": "hello", "base": "main", "unknown": 1}),
            "unknown field `unknown`",
        ),
        (
            "bob",
            Method::POST,
            format!("pulls/{number}/reviews"),
            json!({"event": "APPROVE"}),
            "Can not approve your own pull request",
        ),
        (
            "bob",
            Method::POST,
            format!("pulls/{number}/comments"),
            json!({"body": "x", "commit_id": world.head(number), "path": file, "line": 999}),
            "pull_request_review_thread.line must be part of the diff",
        ),
        (
            "bob",
            Method::PUT,
            format!("pulls/{number}/merge"),
            json!({"sha": "0".repeat(40)}),
            "Head branch was modified. Review and try the merge again.",
        ),
        (
            "rita",
            Method::PUT,
            format!("pulls/{number}/merge"),
            json!({}),
            "Must have push access",
        ),
        (
            "bob",
            Method::POST,
            format!("issues/{number}/comments"),
            json!({"body": "x".repeat(65_537)}),
            "Body is too long (maximum is 65536 characters)",
        ),
        (
            "bob",
            Method::POST,
            format!("statuses/{}", world.tip()),
            json!({"state": "success", "description": "x".repeat(141)}),
            "description is too long (maximum is 140 characters)",
        ),
        (
            "bob",
            Method::POST,
            "check-runs".to_string(),
            json!({"name": "x", "head_sha": world.tip()}),
            "You must authenticate via a GitHub App.",
        ),
        (
            "bob",
            Method::GET,
            "collaborators/nobody/permission".to_string(),
            Value::Null,
            "nobody is not a user",
        ),
        (
            "bob",
            Method::DELETE,
            "git/refs/heads/main".to_string(),
            Value::Null,
            "default branch",
        ),
    ];
    for (login, method, path, body, words) in table {
        let answer = refused(login, method, &path, body);
        assert!(answer.contains(words), "{path}: {answer}");
    }
}

/// git itself over the clone URLs, with a token as password; a wrong one is refused.
#[tokio::test(flavor = "multi_thread")]
async fn git_clones_and_pushes() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let token = world.forge.state().token_of("bob");
    let url = format!("{}/acme/shop.git", world.forge.url());
    let git = |token: &str, arguments: &[&str]| {
        use base64::Engine as _;
        let basic =
            base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}"));
        let mut command = Command::new("git");
        command.args([
            "-c",
            &format!("http.extraHeader=Authorization: Basic {basic}"),
            "-c",
            "user.name=bob",
            "-c",
            "user.email=bob@example.com",
            "-c",
            "credential.helper=",
        ]);
        command
            .args(arguments)
            .current_dir(folder.path())
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        let (command, arguments) = (command.output().unwrap(), arguments.join(" "));
        (
            command.status.success(),
            format!(
                "git {arguments}: {}",
                String::from_utf8_lossy(&command.stderr)
            ),
        )
    };
    assert!(!git("wrong", &["clone", "--quiet", &url, "a"]).0);
    let steps: [&[&str]; 4] = [
        &["clone", "--quiet", &url, "b"],
        &[
            "-C",
            "b",
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            "By git",
        ],
        &[
            "-C",
            "b",
            "push",
            "--quiet",
            "origin",
            "HEAD:refs/heads/pushed",
        ],
        &["-C", "b", "fetch", "--quiet"],
    ];
    for step in steps {
        let (ok, words) = git(&token, step);
        assert!(ok, "{words}");
    }
    let log = windlass::sandbox::forge::git::git(
        &world.forge.repository_path("acme", "shop"),
        &["log", "-1", "--format=%s", "pushed"],
    )
    .unwrap();
    assert_eq!(log, "By git");
}

#[tokio::test(flavor = "multi_thread")]
async fn octokit_and_pygithub_find_a_github() {
    let Ok(folder) = contract::folder() else {
        panic!("run the tests by `make test`")
    };
    let world = World::new().await;
    world
        .forge
        .push(
            "acme/shop",
            "pushed",
            "bob",
            "For PyGithub",
            &[("pushed.txt", Some("pushed\n"))],
        )
        .unwrap();
    let (app_id, key, secret) = {
        let state = world.forge.state();
        (
            state.app.id,
            state.app.private_key.clone(),
            state.app.webhook_secret.clone(),
        )
    };
    let body = r#"{"zen":"Keep it logically awesome."}"#;
    let signature = {
        use hmac::{Hmac, Mac as _};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    };
    let given = json!({
        "api": world.forge.api_url(), "appId": app_id, "privateKey": key, "token": world.forge.state().token_of("bob"), "repo": "acme/shop",
        "secret": secret, "delivery": {"body": body, "signature": signature},
    });
    let scripts = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract");
    // Node looks for packages beside the script.
    let copied = folder.join(format!("octokit-{}.mjs", std::process::id()));
    std::fs::copy(scripts.join("octokit.mjs"), &copied).unwrap();
    let runs = [
        (
            Command::new("node")
                .arg(&copied)
                .arg(given.to_string())
                .output(),
            "octokit: ok",
        ),
        (
            Command::new(folder.join("python/bin/python"))
                .arg(scripts.join("pygithub.py"))
                .arg(given.to_string())
                .output(),
            "pygithub: ok",
        ),
    ];
    let _ = std::fs::remove_file(&copied);
    for (output, words) in runs {
        let output = output.unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success() && said.contains(words), "{said}");
    }
}
