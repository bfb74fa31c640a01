//! Lag: what was written is not read at once, by the App.

use http::Method;
use serde_json::json;
use windlass::sandbox::forge::git::git;

use super::{Alone, CONFIG};

/// Where refs are as git sees them with a token.
fn listed(alone: &Alone, token: &str, name: &str) -> String {
    let url = alone
        .forge
        .url()
        .replace("http://", &format!("http://x-access-token:{token}@"));
    let here = alone.forge.repository_path("acme", "config");
    let lines = git(&here, &["ls-remote", &format!("{url}/{CONFIG}.git"), name]).unwrap();
    lines.split('\t').next().unwrap_or_default().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_is_missing_and_then_there() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    let (number, _) = alone.propose("change");
    alone.forge.state().faults.lag.comments = 2;
    let path = format!("/repos/{CONFIG}/issues/{number}/comments");
    let made = alone.post(&token, &path, json!({"body": "one"})).await;
    let id = made.body["id"].as_u64().unwrap();
    assert_eq!(alone.get(&token, &path).await.ids(), Vec::<u64>::new());
    // Others see it; that is no read of the App's.
    let mia = alone.forge.state().token_of("mia");
    assert_eq!(alone.get(&mia, &path).await.ids(), [id]);
    let one = format!("/repos/{CONFIG}/issues/comments/{id}");
    assert_eq!(alone.get(&token, &one).await.status, 404);
    assert_eq!(alone.get(&token, &path).await.ids(), [id]);
    // An edit is seen late, too.
    let edit = alone.ask(&token, Method::PATCH, &one, json!({"body": "two"}));
    assert_eq!(edit.await.body["body"], "two");
    assert_eq!(alone.get(&token, &one).await.body["body"], "one");
    assert_eq!(alone.get(&token, &path).await.body[0]["body"], "one");
    assert_eq!(alone.get(&token, &path).await.body[0]["body"], "two");
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_and_statuses_and_pull_requests_come_late() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    let (_, head) = alone.propose("change");
    {
        let lag = &mut alone.forge.state().faults.lag;
        (lag.checks, lag.statuses, lag.pulls) = (1, 1, 1);
    }
    let check = json!({"name": "gate", "head_sha": head, "status": "in_progress"});
    alone
        .post(&token, &format!("/repos/{CONFIG}/check-runs"), check)
        .await;
    let checks = format!("/repos/{CONFIG}/commits/{head}/check-runs");
    for count in [0, 1] {
        assert_eq!(alone.get(&token, &checks).await.body["total_count"], count);
    }
    let statuses = format!("/repos/{CONFIG}/statuses/{head}");
    let combined = format!("/repos/{CONFIG}/commits/{head}/status");
    for (posted, late, then) in [
        ("failure", "pending", "failure"),
        ("success", "failure", "success"),
    ] {
        alone
            .post(&token, &statuses, json!({"state": posted, "context": "ci"}))
            .await;
        assert_eq!(alone.get(&token, &combined).await.body["state"], late);
        assert_eq!(alone.get(&token, &combined).await.body["state"], then);
    }
    let (number, _) = alone.propose("other");
    let pull = format!("/repos/{CONFIG}/pulls/{number}");
    assert_eq!(alone.get(&token, &pull).await.status, 404);
    assert_eq!(alone.get(&token, &pull).await.status, 200);
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_is_listed_where_it_was() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    let before = listed(&alone, &token, "refs/heads/main");
    alone.forge.state().faults.lag.refs = 2;
    let change = [("file", Some("text"))];
    let after = alone
        .forge
        .push(CONFIG, "main", "mia", "Change", &change)
        .unwrap();
    assert_ne!(before, after);
    assert_eq!(listed(&alone, &token, "refs/heads/main"), before);
    assert_eq!(listed(&alone, &token, "HEAD"), before);
    assert_eq!(listed(&alone, &token, "refs/heads/main"), after);
    alone
        .forge
        .push(CONFIG, "new", "mia", "Branch", &change)
        .unwrap();
    for expected in ["", ""] {
        assert_eq!(listed(&alone, &token, "refs/heads/new"), expected);
    }
    assert_eq!(listed(&alone, &token, "refs/heads/new").len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_a_fork_comes_late() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    let fork = alone.forge.fork(CONFIG, "mia").unwrap();
    let change = [("file", Some("text"))];
    let head = alone
        .forge
        .push(&fork, "change", "mia", "Change", &change)
        .unwrap();
    alone.forge.state().faults.lag.fork_heads = 1;
    let body = json!({"title": "Change", "head": "mia:change", "base": "main"});
    let path = format!("/repos/{CONFIG}/pulls");
    let pull = alone
        .forge
        .as_user("mia", Method::POST, &path, body)
        .unwrap();
    let statuses = format!("/repos/{CONFIG}/statuses/{head}");
    let status = || alone.post(&token, &statuses, json!({"state": "success"}));
    let refused = status().await;
    let words = format!("No commit found for SHA: {head}");
    assert_eq!((refused.status, refused.message()), (422, words.as_str()));
    let reference = format!("refs/pull/{}/head", pull["number"]);
    assert_eq!(listed(&alone, &token, &reference), "");
    assert_eq!(listed(&alone, &token, &reference), head);
    assert_eq!(status().await.status, 201);
    alone.held();
}
