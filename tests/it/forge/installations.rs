//! Installations: several, with chosen repositories, suspended, kept out, and with fresh tokens.

use serde_json::json;

use super::{Alone, COMMIT, CONFIG};

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_reaches_what_it_was_given() {
    let alone = Alone::new().await;
    for name in ["globex/one", "globex/two"] {
        alone.forge.create_repository(name, &[]).unwrap();
    }
    let all = alone.token().await;
    assert_eq!(alone.get(&all, "/repos/globex/one").await.status, 200);
    let globex = alone
        .forge
        .install("globex", Some(&["globex/one"]))
        .unwrap();
    let token = alone.mint(globex).await;
    assert_eq!(token.body["repository_selection"], "selected");
    let token = token.body["token"].as_str().unwrap().to_string();
    for (name, own, other) in [
        ("globex/one", 200, 404),
        ("globex/two", 404, 404),
        (CONFIG, 404, 200),
    ] {
        let path = format!("/repos/{name}");
        assert_eq!(alone.get(&token, &path).await.status, own, "{name}");
        assert_eq!(alone.get(&all, &path).await.status, other, "{name}");
    }
    alone.forge.grant(globex, "globex/two", true).unwrap();
    assert_eq!(alone.get(&token, "/repos/globex/two").await.status, 200);
    alone.forge.grant(globex, "globex/one", false).unwrap();
    assert_eq!(alone.get(&token, "/repos/globex/one").await.status, 404);
    let named = json!({"repositories": ["one"]});
    let path = format!("/app/installations/{globex}/access_tokens");
    assert_eq!(alone.post(&alone.jwt(), &path, named).await.status, 422);
    let listed = alone
        .get(&alone.jwt(), "/app/installations?per_page=1")
        .await;
    assert!(listed.header("link").contains("page=2>; rel=\"next\""));
    let found = alone
        .get(&alone.jwt(), "/repos/globex/two/installation")
        .await;
    assert_eq!(found.body["id"], globex);
    alone.forge.uninstall(globex).unwrap();
    assert_eq!(alone.get(&token, "/repos/globex/two").await.status, 401);
    assert_eq!(
        alone.events(),
        [
            "installation-created",
            "installation-repositories-added",
            "installation-repositories-removed",
            "installation-deleted",
        ]
    );
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_installation_is_refused() {
    let alone = Alone::new().await;
    let (id, token) = (alone.installation(), alone.token().await);
    alone.forge.suspend(id, true).unwrap();
    let words = "This installation has been suspended";
    for refused in [
        alone.mint(id).await,
        alone.get(&token, &format!("/repos/{CONFIG}")).await,
    ] {
        assert_eq!((refused.status, refused.message()), (403, words));
    }
    // Of what happens meanwhile it hears nothing.
    let change = [("file", Some("text"))];
    alone
        .forge
        .push(CONFIG, "main", "mia", "Change", &change)
        .unwrap();
    assert_eq!(alone.events(), ["installation-suspend"]);
    alone.forge.suspend(id, false).unwrap();
    assert_eq!(alone.mint(id).await.status, 201);
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ip_allow_list_refuses_with_its_organisation() {
    let alone = Alone::new().await;
    let (id, token) = (alone.installation(), alone.token().await);
    alone.forge.state().installation_mut(id).unwrap().ip_refused = true;
    let refused = alone.get(&token, "/installation/repositories").await;
    let words = "Although you appear to have the correct authorization credentials, the `acme` organization has an IP allow list enabled, and your IP address is not permitted to access this resource.";
    assert_eq!((refused.status, refused.message()), (403, words));
    let query = json!({"query": COMMIT, "variables": {"input": {}}});
    let refused = alone.post(&token, "/graphql", query).await;
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["message"]),
        (200, &json!(words))
    );
    alone.held();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_is_not_known_everywhere() {
    let alone = Alone::new().await;
    let path = format!("/repos/{CONFIG}");
    alone.forge.state().faults.fresh_token_401 = 2;
    let token = alone.token().await;
    for expected in [401, 401, 200] {
        assert_eq!(alone.get(&token, &path).await.status, expected);
    }
    // Each token by itself: a new one is no better.
    alone.forge.state().faults.token_unsettled = 1;
    for _ in 0..2 {
        let token = alone.token().await;
        assert_eq!(alone.get(&token, &path).await.message(), "Bad credentials");
        assert_eq!(alone.get(&token, &path).await.status, 200);
    }
}
