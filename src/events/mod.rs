//! Image events: a request of a CI system → [`ImageBuilt`].
//!
//! Types enforce the order of the checks. A [`Sender`] has the shared token, and
//! only its events are read; they are [`Verified`]. Only an event that the base
//! branch's `windlass.yaml` permits is [`Authorised`], and only that may propose
//! an image.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::domain::catalog::Target;
use crate::domain::image::{self, Candidate, Digest, Tag};
use crate::domain::{CommitSha, Invalid, RepoName};

/// "Image X with digest D was built from commit C of S." Other keys are ignored.
#[derive(Debug, Clone, Deserialize)]
pub struct ImageBuilt {
    image: String,
    digest: Digest,
    tag: Tag,
    commit: CommitSha,
    source: RepoName,
}

/// A sender that holds the shared token.
#[derive(Debug)]
pub struct Sender(());

/// An event whose sender holds the shared token.
#[derive(Debug, Clone)]
pub struct Verified(Candidate);

/// An event whose source may announce the image for this target.
#[derive(Debug, Clone)]
pub struct Authorised {
    pub candidate: Candidate,
}

/// Why an event is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    #[error(
        "the bearer token is missing or wrong: send `Authorization: Bearer <the events token of the server>`"
    )]
    Unverified,
    #[error("{0}")]
    Malformed(String),
    #[error("`{source_repo}` may not announce `{image}`: windlass.yaml says that {allowed} may")]
    Unauthorised {
        source_repo: RepoName,
        image: String,
        allowed: RepoName,
    },
}

impl Sender {
    /// Checks the token, in constant time.
    pub fn verify(token: &SecretString, authorization: Option<&str>) -> Result<Self, Refusal> {
        let given = authorization
            .and_then(|value| {
                value
                    .strip_prefix("Bearer ")
                    .or_else(|| value.strip_prefix("bearer "))
            })
            .unwrap_or_default();
        // Comparing digests of equal length reveals nothing about the token.
        let same = Sha256::digest(given.trim()) == Sha256::digest(token.expose_secret());
        if same && !given.is_empty() {
            Ok(Self(()))
        } else {
            Err(Refusal::Unverified)
        }
    }

    /// Reads the event.
    pub fn event(&self, body: &[u8]) -> Result<Verified, Refusal> {
        let event: ImageBuilt = serde_json::from_slice(body).map_err(|error| {
            // A place in one line says nothing to who sent an object.
            let place = format!(" at line {} column {}", error.line(), error.column());
            let error = error.to_string().replace(&place, "");
            Refusal::Malformed(format!("{error}: send a JSON object with `image`, `digest`, `tag`, `commit` and `source` (owner/name)"))
        })?;
        let name =
            image::image_name(&event.image).map_err(|Invalid(why)| Refusal::Malformed(why))?;
        let with_tag = name
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':'));
        if with_tag {
            return Err(Refusal::Malformed(format!(
                "`image` is the name alone, without the tag: `{name}`"
            )));
        }
        Ok(Verified(Candidate {
            image: name,
            digest: event.digest,
            tag: event.tag,
            commit: event.commit,
            source: event.source,
        }))
    }
}

impl Verified {
    pub fn image(&self) -> &str {
        &self.0.image
    }

    /// Whether the source may announce this image for a target. None: the target does not use the
    /// image.
    pub fn authorise(&self, target: &Target) -> Option<Result<Authorised, Refusal>> {
        let rule = target.image(&self.0.image)?;
        if rule.source != self.0.source {
            return Some(Err(Refusal::Unauthorised {
                source_repo: self.0.source.clone(),
                image: self.0.image.clone(),
                allowed: rule.source.clone(),
            }));
        }
        // Under the name in the configuration: an image of Docker Hub has several names.
        Some(Ok(Authorised {
            candidate: Candidate {
                image: rule.image.clone(),
                ..self.0.clone()
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(image: &str) -> Vec<u8> {
        let digest = format!("sha256:{}", "a".repeat(64));
        serde_json::json!({"image": image, "digest": digest, "tag": "1", "commit": "c".repeat(40), "source": "acme/shop", "run": 5})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn only_the_token_verifies() {
        let token = SecretString::from("s3cret");
        let sender = Sender::verify(&token, Some("Bearer s3cret")).unwrap();
        assert_eq!(
            sender.event(&body("GHCR.io/Acme/shop")).unwrap().image(),
            "ghcr.io/acme/shop"
        );
        for bad in [
            None,
            Some(""),
            Some("Bearer "),
            Some("Bearer s3cre"),
            Some("s3cret"),
        ] {
            assert!(
                matches!(Sender::verify(&token, bad), Err(Refusal::Unverified)),
                "{bad:?}"
            );
        }
        for bad in [&body("a/b:tag")[..], b"{}", b"", b"[1]"] {
            assert!(matches!(sender.event(bad), Err(Refusal::Malformed(_))));
        }
    }
}
