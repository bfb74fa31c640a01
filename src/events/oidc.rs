//! The tokens that GitHub signs for runs of workflows: OpenID Connect, with GitHub's public keys
//! (docs.github.com/actions/concepts/security/openid-connect).

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Refusal, Run};
use crate::outgoing::{Outgoing, causes};

/// A token of GitHub has about two kilobytes.
const MOST_TOKEN: usize = 16 << 10;
/// GitHub has a handful of keys.
const MOST_KEYS: usize = 64;
const MOST_ANSWER: usize = 256 << 10;
/// Seconds by which clocks may differ.
const LEEWAY: u64 = 60;
/// A key that is not known is looked for at most so often: anybody can make up its name.
const READ_AGAIN: Duration = Duration::from_secs(60);
const TRY_AGAIN: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(10);
/// Keys are read again after the first time, and not used any more after the second.
const OLD: Duration = Duration::from_secs(6 * 3600);
const TOO_OLD: Duration = Duration::from_secs(24 * 3600);
/// Tokens are remembered longer than they live, which is some minutes.
const REMEMBERED: Duration = Duration::from_secs(3600);
const MOST_REMEMBERED: u64 = 100_000;

/// Checks the tokens of one issuer for one audience.
pub struct Oidc {
    issuer: String,
    audience: String,
    http: reqwest::Client,
    keys: RwLock<Keys>,
    /// When the keys may be read again; held while they are.
    next_read: Mutex<Option<Instant>>,
    /// Each token's number, with the digest of the event that it announced.
    used: Cache<String, [u8; 32]>,
}

#[derive(Default)]
struct Keys {
    known: HashMap<String, DecodingKey>,
    read: Option<Instant>,
}

/// Where the GitHub of an API has its tokens from.
pub fn issuer_of(api_url: &str) -> String {
    match api_url.strip_prefix("https://api.") {
        Some("github.com") => "https://token.actions.githubusercontent.com".into(),
        // A tenant with data residency.
        Some(tenant) if tenant.ends_with(".ghe.com") => format!("https://token.actions.{tenant}"),
        _ => format!("{}/_services/token", api_url.trim_end_matches("/api/v3")),
    }
}

/// Whether a token is one that somebody signed, and not the shared one.
pub(super) fn looks_signed(token: &str) -> bool {
    token.len() <= MOST_TOKEN && token.starts_with("eyJ") && token.matches('.').count() == 2
}

impl Oidc {
    /// `audience`: whom the tokens have to be for; each server has its own.
    pub fn new(issuer: &str, audience: &str, outgoing: &Outgoing) -> anyhow::Result<Self> {
        let http = outgoing.client()?.timeout(PATIENCE).build();
        Ok(Self {
            issuer: issuer.trim_end_matches('/').into(),
            audience: audience.into(),
            http: http.context("a client for GitHub's keys")?,
            keys: RwLock::default(),
            next_read: Mutex::default(),
            used: Cache::builder()
                .max_capacity(MOST_REMEMBERED)
                .time_to_live(REMEMBERED)
                .build(),
        })
    }

    /// The run that a token is of.
    pub(super) async fn verify(&self, token: &str) -> Result<Run, Refusal> {
        let not_ours = |why: String| Refusal::NotOurs(why);
        let header =
            jsonwebtoken::decode_header(token).map_err(|_| not_ours("it cannot be read".into()))?;
        if header.alg != Algorithm::RS256 {
            return Err(not_ours("it is not signed by RS256".into()));
        }
        let kid = header
            .kid
            .ok_or_else(|| not_ours("it names no key".into()))?;
        let key = self.key(&kid).await?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        (validation.leeway, validation.validate_nbf) = (LEEWAY, true);
        let decoded = jsonwebtoken::decode::<Run>(token, &key, &validation);
        decoded.map(|decoded| decoded.claims).map_err(|error| {
            use jsonwebtoken::errors::ErrorKind;
            not_ours(match error.kind() {
                ErrorKind::InvalidAudience => format!(
                    "its audience is another one: request it with the audience {}",
                    self.audience
                ),
                ErrorKind::InvalidIssuer => format!("its issuer is not {}", self.issuer),
                ErrorKind::ExpiredSignature => {
                    "it is out of date: request one for each event".into()
                }
                ErrorKind::Json(_) => "it lacks claims of a run of GitHub Actions".into(),
                ErrorKind::InvalidSignature => {
                    format!("its signature is not by a key of {}", self.issuer)
                }
                ErrorKind::ImmatureSignature => {
                    "it is not valid yet: this server's clock may be behind".into()
                }
                ErrorKind::MissingRequiredClaim(claim) => format!("it lacks the claim `{claim}`"),
                _ => "it cannot be read".into(),
            })
        })
    }

    /// Whether a token was not used yet, or for the same event.
    pub(super) fn is_first(&self, id: &str, event: &[u8]) -> bool {
        let digest: [u8; 32] = Sha256::digest(event).into();
        self.used.get_with(id.to_string(), || digest) == digest
    }

    /// A key of GitHub. Keys are read again if one is not known, and now and then, since GitHub may
    /// take one back.
    async fn key(&self, kid: &str) -> Result<DecodingKey, Refusal> {
        if let Some(key) = self.known(kid, OLD) {
            return Ok(key);
        }
        // Who waits here finds what the one before read, or that it is not yet time for another read.
        let mut next_read = self.next_read.lock().await;
        if let Some(key) = self.known(kid, OLD) {
            return Ok(key);
        }
        if next_read.is_none_or(|next| next <= Instant::now()) {
            // Before: whoever asks may go away meanwhile.
            *next_read = Some(Instant::now() + PATIENCE + TRY_AGAIN);
            match self.read().await {
                Ok(keys) => {
                    *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
                    *next_read = Some(Instant::now() + READ_AGAIN);
                }
                Err(error) => {
                    tracing::warn!(issuer = self.issuer, %error, "GitHub's keys cannot be read");
                    *next_read = Some(Instant::now() + TRY_AGAIN);
                }
            }
        }
        // While they cannot be read again, the old ones count a while longer.
        if let Some(key) = self.known(kid, TOO_OLD) {
            return Ok(key);
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        Err(match keys.read {
            // It may be a newer key than the last read showed: then CI tries again.
            Some(read) if read.elapsed() < READ_AGAIN => {
                Refusal::NotOurs(format!("{} has no such key", self.issuer))
            }
            _ => Refusal::NoKeys(self.issuer.clone()),
        })
    }

    /// A known key, if the keys were read within this time.
    fn known(&self, kid: &str, within: Duration) -> Option<DecodingKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.known.get(kid)?;
        (keys.read?.elapsed() < within).then(|| key.clone())
    }

    async fn read(&self) -> anyhow::Result<Keys> {
        let url = format!("{}/.well-known/jwks", self.issuer);
        let answer = async || {
            let mut answer = self.http.get(&url).send().await?.error_for_status()?;
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() > MOST_ANSWER {
                    break;
                }
            }
            Ok(body)
        };
        let body = answer()
            .await
            .map_err(|error: reqwest::Error| anyhow::anyhow!("{url}: {}", causes(&error)))?;
        let set: JwkSet =
            serde_json::from_slice(&body).with_context(|| format!("{url} has no keys"))?;
        let key = |key: &jsonwebtoken::jwk::Jwk| {
            Some((key.common.key_id.clone()?, DecodingKey::from_jwk(key).ok()?))
        };
        let known: HashMap<_, _> = set.keys.iter().take(MOST_KEYS).filter_map(key).collect();
        anyhow::ensure!(!known.is_empty(), "{url} has no keys");
        Ok(Keys {
            known,
            read: Some(Instant::now()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_github_has_its_issuer() {
        for (api, issuer) in [
            (
                "https://api.github.com",
                "https://token.actions.githubusercontent.com",
            ),
            (
                "https://api.acme.ghe.com",
                "https://token.actions.acme.ghe.com",
            ),
            (
                "https://git.corp/api/v3",
                "https://git.corp/_services/token",
            ),
        ] {
            assert_eq!(issuer_of(api), issuer);
        }
    }

    #[test]
    fn the_shared_token_is_told_from_a_signed_one() {
        assert!(looks_signed("eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2ln"));
        for token in [
            "",
            "s3cret",
            "eyJ",
            "eyJ.a",
            &format!("eyJ.{}.b", "a".repeat(MOST_TOKEN)),
        ] {
            assert!(!looks_signed(token), "{token}");
        }
    }
}
