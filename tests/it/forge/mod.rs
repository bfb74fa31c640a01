//! The forge by itself: what it refuses, holds back and redirects, as GitHub does. No cluster, no
//! windlass.

mod deliveries;
mod installations;
mod lag;
mod names;
mod quotas;

use std::sync::Arc;

use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use windlass::sandbox::forge::state::{Outgoing, Role};
use windlass::sandbox::forge::{Exchange, Forge};
use windlass::sandbox::installation::APP_MANIFEST;
use windlass::sandbox::process::Folder;

use crate::support::contract::Contract;
use crate::support::watched;

const CONFIG: &str = "acme/config";

/// A mutation that is whole, whatever its input.
const COMMIT: &str = "mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { clientMutationId } }";

/// A forge with one repository, and what asks it.
struct Alone {
    forge: Forge,
    http: reqwest::Client,
    contract: Arc<Contract>,
    _folder: Folder,
}

/// An answer: status, headers, body.
struct Told {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Told {
    fn header(&self, name: &str) -> String {
        let value = self.headers.get(name);
        value.map_or(String::new(), |value| value.to_str().unwrap().into())
    }

    fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// The ids of a list.
    fn ids(&self) -> Vec<u64> {
        let list = self.body.as_array().unwrap().iter();
        list.map(|one| one["id"].as_u64().unwrap()).collect()
    }
}

impl Alone {
    async fn new() -> Self {
        let folder = Folder::temporary().unwrap();
        let forge = Forge::start(folder.path(), 0).await.unwrap();
        let contract = watched(&forge);
        let file = (
            "windlass.yaml".to_string(),
            "applications: {}\n".to_string(),
        );
        forge.create_repository(CONFIG, &[file]).unwrap();
        let mut manifest: Value = serde_json::from_str(APP_MANIFEST).unwrap();
        let more = ["create", "delete", "status"].map(Value::from);
        let events = manifest["default_events"].as_array_mut().unwrap();
        events.extend(more);
        let mut state = forge.state();
        state.register_app(&manifest).unwrap();
        state.add_user("mia", windlass::sandbox::forge::state::UserKind::User);
        let repo = state.by_full_name_mut(CONFIG).unwrap();
        repo.roles.insert("mia".into(), Role::Write);
        drop(state);
        let http = reqwest::Client::builder()
            .no_proxy()
            .user_agent("test")
            .redirect(reqwest::redirect::Policy::none());
        Self {
            forge,
            http: http.build().unwrap(),
            contract,
            _folder: folder,
        }
    }

    /// A JSON web token of the App.
    fn jwt(&self) -> String {
        let state = self.forge.state();
        let now = jiff::Timestamp::now().as_second();
        let key = EncodingKey::from_rsa_pem(state.app.private_key.as_bytes()).unwrap();
        let claims = json!({"iat": now - 60, "exp": now + 500, "iss": state.app.id.to_string()});
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap()
    }

    async fn ask(&self, token: &str, method: Method, path: &str, body: Value) -> Told {
        let url = if path == "/graphql" {
            format!("{}/api/graphql", self.forge.url())
        } else {
            format!("{}{path}", self.forge.api_url())
        };
        let mut request = self.http.request(method, url).bearer_auth(token);
        if !body.is_null() {
            request = request.json(&body);
        }
        told(request).await
    }

    async fn get(&self, token: &str, path: &str) -> Told {
        self.ask(token, Method::GET, path, Value::Null).await
    }

    async fn post(&self, token: &str, path: &str, body: Value) -> Told {
        self.ask(token, Method::POST, path, body).await
    }

    async fn mint(&self, installation: u64) -> Told {
        let path = format!("/app/installations/{installation}/access_tokens");
        self.post(&self.jwt(), &path, Value::Null).await
    }

    fn installation(&self) -> u64 {
        self.forge.state().app.installation
    }

    /// A token of the installation that there is from the start.
    async fn token(&self) -> String {
        let minted = self.mint(self.installation()).await;
        minted.body["token"].as_str().unwrap().to_string()
    }

    /// A pull request of mia's, its number and its head.
    fn propose(&self, branch: &str) -> (u64, String) {
        let files = [("file", Some(branch))];
        let head = self.forge.push(CONFIG, branch, "mia", branch, &files);
        let path = format!("/repos/{CONFIG}/pulls");
        let body = json!({"title": branch, "head": branch, "base": "main"});
        let pull = self
            .forge
            .as_user("mia", Method::POST, &path, body)
            .unwrap();
        (pull["number"].as_u64().unwrap(), head.unwrap())
    }

    /// What was announced since the last time, by event and action; held against GitHub's
    /// descriptions.
    fn announced(&self) -> Vec<(String, Value)> {
        let sent: Vec<Outgoing> = self.forge.state().outbox.drain(..).collect();
        let told = sent.into_iter().map(|one| {
            let exchange = Exchange::webhook(&one);
            self.contract.see(&exchange);
            (exchange.path, one.payload)
        });
        told.collect()
    }

    /// The names of what was announced since the last time.
    fn events(&self) -> Vec<String> {
        self.announced().into_iter().map(|(name, _)| name).collect()
    }

    /// Ends a test: everything was as GitHub describes it.
    fn held(&self) {
        assert_eq!(self.contract.take_violations(), Vec::<String>::new());
    }
}

async fn told(request: reqwest::RequestBuilder) -> Told {
    let answer = request.send().await.unwrap();
    Told {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.json().await.unwrap_or_default(),
    }
}
