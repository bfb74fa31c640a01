//! What GitHub Actions signs for runs of workflows: tokens of OpenID Connect, and the public keys
//! (docs.github.com/actions/reference/security/oidc). An Enterprise Server has them at
//! `/_services/token`.

use anyhow::Context as _;
use jiff::Timestamp;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::rest::parse_query;
use super::state::random_hex;
use super::{Call, Forge, Inner, Reply};

/// The name of its one key. It is the App's as well: a forge makes one.
const KEY: &str = "forge-1";
/// Seconds that a token lives.
const LIFE: i64 = 300;

impl Forge {
    /// A token of a run of a workflow in a repository, for an audience. `claims` are put over those
    /// of a push to its default branch.
    pub fn actions_token(
        &self,
        full_name: &str,
        audience: &str,
        claims: &Value,
    ) -> anyhow::Result<String> {
        self.inner.actions_token(full_name, audience, claims)
    }
}

impl Inner {
    fn actions_token(
        &self,
        full_name: &str,
        audience: &str,
        claims: &Value,
    ) -> anyhow::Result<String> {
        let issuer = format!("{}/_services/token", self.origin());
        let state = self.state();
        let repo = state.by_full_name(full_name).context("a repository")?;
        let now = Timestamp::now().as_second();
        let reference = format!("refs/heads/{}", repo.default_branch);
        let workflow = format!("{full_name}/.github/workflows/build.yaml@{reference}");
        let mut all = json!({
            "iss": issuer, "aud": audience, "jti": random_hex(32), "iat": now, "nbf": now - 600, "exp": now + LIFE,
            "sub": format!("repo:{full_name}:ref:{reference}"), "repository": full_name, "repository_id": repo.id.to_string(),
            "repository_owner": repo.owner, "ref": reference, "ref_type": "branch", "sha": "c".repeat(40), "event_name": "push",
            "workflow_ref": workflow, "job_workflow_ref": workflow, "run_id": "1", "run_attempt": "1", "runner_environment": "github-hosted",
        });
        for (name, value) in claims.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        let key = EncodingKey::from_rsa_pem(state.app.private_key.as_bytes())?;
        let header = Header {
            kid: Some(KEY.into()),
            ..Header::new(Algorithm::RS256)
        };
        Ok(jsonwebtoken::encode(&header, &all, &key)?)
    }

    /// A job asks for its token (`ACTIONS_ID_TOKEN_REQUEST_URL`). Here, its bearer token is the name of
    /// the repository.
    pub(super) fn actions_request(&self, call: &Call) -> Reply {
        let bearer = call.headers.get(http::header::AUTHORIZATION);
        let bearer = bearer.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let query = parse_query(&call.query);
        let token = bearer
            .zip(query.get("audience"))
            .map(|(repo, audience)| self.actions_token(repo, audience, &json!({})));
        match token {
            Some(Ok(token)) => Reply::json(200, json!({"count": token.len(), "value": token})),
            _ => Reply::error(401, "Bad credentials"),
        }
    }

    /// The keys that its tokens are signed with.
    pub(super) fn actions_keys(&self) -> Reply {
        let pem = self.state().app.private_key.clone();
        let key = EncodingKey::from_rsa_pem(pem.as_bytes())
            .and_then(|key| Jwk::from_encoding_key(&key, Algorithm::RS256));
        match key {
            Ok(mut key) => {
                key.common.key_id = Some(KEY.into());
                Reply::json(200, json!(JwkSet { keys: vec![key] }))
            }
            Err(error) => Reply::error(500, error.to_string()),
        }
    }
}
