//! The App's credentials: a JWT for itself, a token for each installation.

use std::sync::Arc;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use octocrab::Octocrab;
use octocrab::service::middleware::retry::RetryConfig;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::transport::classified;
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

impl GitHub {
    /// A GET as the App itself.
    pub(super) async fn as_app<T: DeserializeOwned>(&self, route: &str, what: &str) -> Result<T> {
        let jwt = SecretString::from(self.credentials.jwt()?);
        let client = self.client(&jwt, &self.api_url)?;
        client
            .get::<T, _, ()>(route, None)
            .await
            .map_err(|error| classified(error, what))
    }

    /// A session with a token of the given scope. Concurrent callers share one request for it, and
    /// it is cached until shortly before it expires.
    pub(super) async fn session(&self, installation: u64, scope: Scope) -> Result<Session> {
        let mint = async {
            let what = "get an installation token";
            let jwt = SecretString::from(self.credentials.jwt()?);
            let client = self.client(&jwt, &self.api_url)?;
            let route = format!("/app/installations/{installation}/access_tokens");
            let minted: MintedToken = client
                .post(route, Some(&scope.request()))
                .await
                .map_err(|error| classified(error, what))?;
            // On GitHub Enterprise Server, REST is at /api/v3 and GraphQL at /api/graphql.
            let graphql_base = self
                .api_url
                .strip_suffix("/v3")
                .unwrap_or(&self.api_url)
                .to_string();
            Ok(Session {
                client: self.client(&minted.token, &self.api_url)?,
                graphql: self.client(&minted.token, &graphql_base)?,
                token: minted.token,
            })
        };
        self.sessions
            .try_get_with((installation, scope), mint)
            .await
            .map_err(|error: Arc<Error>| match &*error {
                Error::NotFound { what } => Error::NotFound { what: what.clone() },
                Error::RateLimited { what, until } => Error::RateLimited {
                    what: what.clone(),
                    until: *until,
                },
                Error::Unauthorized { what, message } => Error::Unauthorized {
                    what: what.clone(),
                    message: message.clone(),
                },
                other => Error::Unavailable {
                    what: "get an installation token".into(),
                    message: other.to_string(),
                },
            })
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
