//! Names: repositories renamed, transferred and archived, and the default branch renamed.

use serde_json::json;
use windlass::sandbox::forge::git::git;

use super::{Alone, CONFIG, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_repository_is_found_by_its_old_name() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    let id = alone.get(&token, &format!("/repos/{CONFIG}")).await.body["id"].clone();
    assert_eq!(
        alone.forge.rename(CONFIG, "settings").unwrap(),
        "acme/settings"
    );
    let old = alone
        .get(&token, &format!("/repos/{CONFIG}/pulls?state=all"))
        .await;
    let to = format!(
        "{}/repositories/{id}/pulls?state=all",
        alone.forge.api_url()
    );
    assert_eq!((old.status, old.message()), (301, "Moved Permanently"));
    assert_eq!(
        (old.header("location"), &old.body["url"]),
        (to.clone(), &json!(to))
    );
    let there = told(alone.http.get(to).bearer_auth(&token)).await;
    assert_eq!((there.status, there.body), (200, json!([])));
    let write = alone
        .post(
            &token,
            &format!("/repos/{CONFIG}/pulls"),
            json!({"title": "x"}),
        )
        .await;
    assert_eq!(write.status, 307);
    let whole = alone.get(&token, &format!("/repositories/{id}")).await;
    assert_eq!(whole.body["full_name"], "acme/settings");
    // git follows, and pushes to the old path.
    let folder = tempfile::tempdir().unwrap();
    let url = alone
        .forge
        .url()
        .replace("http://", &format!("http://x-access-token:{token}@"));
    let url = format!("{url}/{CONFIG}.git");
    git(folder.path(), &["clone", "--quiet", &url, "."]).unwrap();
    git(
        folder.path(),
        &["push", "--quiet", "origin", "HEAD:refs/heads/copy"],
    )
    .unwrap();
    let events = alone.announced();
    let (name, payload) = &events[0];
    assert_eq!(name, "repository-renamed");
    assert_eq!(payload["changes"]["repository"]["name"]["from"], "config");
    assert_eq!(payload["repository"]["full_name"], "acme/settings");
    assert_eq!(events[1].0, "push");
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transferred_repository_leaves_the_installation_that_has_it_not() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    alone.forge.install("globex", None).unwrap();
    alone.announced();
    assert_eq!(
        alone.forge.transfer(CONFIG, "globex").unwrap(),
        "globex/config"
    );
    let events = alone.announced();
    assert_eq!(events[0].0, "repository-transferred");
    let from = &events[0].1["changes"]["owner"]["from"]["organization"]["login"];
    assert_eq!(*from, "acme");
    assert_eq!(
        alone.get(&token, &format!("/repos/{CONFIG}")).await.status,
        404
    );
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_gets_another_name_and_its_repositories_follow() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    alone.forge.rename_organisation("acme", "initech").unwrap();
    let events = alone.announced();
    let (name, payload) = &events[0];
    assert_eq!(name, "installation-target-renamed");
    assert_eq!(payload["changes"]["login"]["from"], "acme");
    assert_eq!(payload["account"]["login"], "initech");
    let old = alone.get(&token, &format!("/repos/{CONFIG}")).await;
    assert_eq!(old.status, 301);
    let new = alone.get(&token, "/repos/initech/config").await;
    assert_eq!(new.body["full_name"], "initech/config");
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_repository_is_read_only() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    let (number, head) = alone.propose("change");
    alone.forge.archive(CONFIG, true).unwrap();
    for (path, body) in [
        (format!("statuses/{head}"), json!({"state": "success"})),
        (
            format!("issues/{number}/comments"),
            json!({"body": "hello"}),
        ),
    ] {
        let refused = alone
            .post(&token, &format!("/repos/{CONFIG}/{path}"), body)
            .await;
        let words = "Repository was archived so is read-only.";
        assert_eq!((refused.status, refused.message()), (403, words));
    }
    let read = alone.get(&token, &format!("/repos/{CONFIG}")).await;
    assert_eq!(read.body["archived"], true);
    alone.forge.archive(CONFIG, false).unwrap();
    let path = format!("/repos/{CONFIG}/issues/{number}/comments");
    assert_eq!(
        alone
            .post(&token, &path, json!({"body": "hello"}))
            .await
            .status,
        201
    );
    let events = alone.events();
    let about: Vec<_> = events
        .iter()
        .filter(|name| name.starts_with("repository"))
        .collect();
    assert_eq!(about, ["repository-archived", "repository-unarchived"]);
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_branch_gets_another_name() {
    let alone = Alone::new().await;
    let token = alone.token().await;
    let (number, _) = alone.propose("change");
    alone.announced();
    alone.forge.rename_branch(CONFIG, "main", "trunk").unwrap();
    let repo = alone.get(&token, &format!("/repos/{CONFIG}")).await;
    assert_eq!(repo.body["default_branch"], "trunk");
    let pull = alone
        .get(&token, &format!("/repos/{CONFIG}/pulls/{number}"))
        .await;
    assert_eq!(
        (&pull.body["base"]["ref"], &pull.body["state"]),
        (&json!("trunk"), &json!("open"))
    );
    let events = alone.announced();
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "create",
        "push",
        "repository-edited",
        "pull-request-edited",
        "delete",
        "push",
    ];
    assert_eq!(names, expected);
    assert_eq!(events[2].1["changes"]["default_branch"]["from"], "main");
    alone.held();
}
