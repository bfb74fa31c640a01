//! The App's credentials: a JWT for itself, a token for each installation.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt as _;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use octocrab::Octocrab;
use octocrab::service::middleware::retry::RetryConfig;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::enterprise::graphql_base;
use super::{Error, GitHub, Result, Session};

/// App id and private key.
#[derive(Clone)]
pub struct AppCredentials {
    app_id: u64,
    key: Arc<EncodingKey>,
}

impl std::fmt::Debug for AppCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AppCredentials({}, ***)", self.app_id)
    }
}

#[derive(Serialize)]
struct Claims {
    iat: i64,
    exp: i64,
    iss: String,
}

impl AppCredentials {
    /// `pem`: the key as GitHub gave it when the App was registered.
    pub fn new(app_id: u64, pem: &[u8]) -> anyhow::Result<Self> {
        let key = EncodingKey::from_rsa_pem(pem).map_err(|error| {
            anyhow::anyhow!("the App's private key is not an RSA key in PEM form: {error}")
        })?;
        Ok(Self {
            app_id,
            key: Arc::new(key),
        })
    }

    /// Dated a minute back and valid for nine, since clocks differ. GitHub allows ten minutes.
    fn jwt(&self) -> Result<String> {
        let now = Timestamp::now().as_second();
        let claims = Claims {
            iat: now - 60,
            exp: now + 9 * 60,
            iss: self.app_id.to_string(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key).map_err(|error| {
            Error::Unauthorized {
                what: "sign as the App".into(),
                message: error.to_string(),
            }
        })
    }
}

/// What an installation token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Listing the repositories.
    Listing,
    /// All permissions of the App, in one config repository.
    Config(u64),
    /// Fetching one config repository: git's transport gets a read-only token.
    Fetch(u64),
    /// Commit statuses of one repository that is not a config repository.
    Source(u64),
}

impl Scope {
    fn request(self) -> Value {
        match self {
            Self::Listing => json!({"permissions": {"metadata": "read"}}),
            Self::Config(id) => json!({"repository_ids": [id]}),
            Self::Fetch(id) => json!({"repository_ids": [id], "permissions": {"contents": "read"}}),
            Self::Source(id) => {
                json!({"repository_ids": [id], "permissions": {"statuses": "write"}})
            }
        }
    }
}

#[derive(Deserialize)]
struct MintedToken {
    token: SecretString,
}

/// The session of the App itself, in the place of an installation's id.
const THE_APP: u64 = 0;

impl GitHub {
    /// A GET as the App itself; with the route of the next page, if there is one.
    pub(super) async fn as_app<T: DeserializeOwned>(
        &self,
        route: &str,
        what: &str,
    ) -> Result<(T, Option<String>)> {
        self.read(&self.app_session().await?, route, what).await
    }

    /// A session of the App itself. A JWT expires after minutes.
    async fn app_session(&self) -> Result<Session> {
        let mint = async {
            let jwt = SecretString::from(self.credentials.jwt()?);
            self.new_session(THE_APP, jwt)
        };
        let session = self.app_session.try_get_with((), mint).await;
        session.map_err(|error: Arc<Error>| (*error).clone())
    }

    fn new_session(&self, installation: u64, token: SecretString) -> Result<Session> {
        Ok(Session {
            id: self.next_session.fetch_add(1, Ordering::Relaxed),
            minted: Instant::now(),
            client: self.client(&token, &self.api_url)?,
            graphql: self.client(&token, graphql_base(&self.api_url))?,
            token,
            limiter: self.limiter(installation),
        })
    }

    /// A session with a token of the given scope. Concurrent callers share one request for it, and
    /// it is cached until shortly before it expires.
    pub(super) async fn session(&self, installation: u64, scope: Scope) -> Result<Session> {
        let mint = async {
            let route = format!("/app/installations/{installation}/access_tokens");
            let (app, body) = (self.app_session().await?, scope.request());
            let request = app.client._post(route, Some(&body)).boxed();
            let minted: MintedToken = self
                .sent_as_app(&app, request, "get an installation token")
                .await?;
            self.new_session(installation, minted.token)
        };
        let session = self
            .sessions
            .try_get_with((installation, scope), mint)
            .await;
        session.map_err(|error: Arc<Error>| (*error).clone())
    }

    /// With a plain token, since octocrab drops other credentials on absolute URLs; without its
    /// retries, since it would re-send POSTs.
    fn client(&self, token: &SecretString, base: &str) -> Result<Octocrab> {
        let unexpected = |message: String| Error::Unexpected {
            what: "set up the GitHub client".into(),
            message,
        };
        Octocrab::builder()
            .base_uri(base)
            .map_err(|error| unexpected(error.to_string()))?
            .personal_token(token.expose_secret())
            .add_retry_config(RetryConfig::None)
            .add_header(
                http::HeaderName::from_static("x-github-api-version"),
                "2022-11-28".into(),
            )
            .build_with_reqwest(self.http.clone())
            .map_err(|error| unexpected(error.to_string()))
    }
}
