//! Image events: a request of a CI system → [`ImageBuilt`].
//!
//! Types enforce the order of the checks. A [`Sender`] has the shared token, or one that GitHub
//! signed for a run of a workflow, and only its events are read; they are [`Verified`]. Only an
//! event that the base branch's `windlass.yaml` permits is [`Authorised`], and only that may propose
//! an image.
//!
//! - [`run`]: a run of a workflow, as GitHub's token tells of it
//! - [`oidc`]: the tokens that GitHub signs, and its keys

mod oidc;
mod run;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::domain::catalog::Target;
use crate::domain::image::{self, Candidate, Digest, Tag};
use crate::domain::{CommitSha, Invalid, RepoName};

pub use oidc::{Oidc, issuer_of};
pub use run::Run;

/// "Image X with digest D was built from commit C of S." Other keys are ignored.
#[derive(Debug, Clone, Deserialize)]
pub struct ImageBuilt {
    image: String,
    digest: Digest,
    tag: Tag,
    commit: CommitSha,
    source: RepoName,
}

/// Whose events are taken.
pub struct Senders {
    /// Holders of the shared token.
    pub token: Option<SecretString>,
    /// Runs of workflows on GitHub.
    pub oidc: Option<Oidc>,
}

/// A sender whose token was checked.
#[derive(Debug, Clone)]
pub struct Sender(Proof);

/// What a sender has shown.
#[derive(Debug, Clone)]
enum Proof {
    /// The shared token.
    Shared,
    /// That it is a run of a workflow.
    Run(Box<Run>),
}

/// An event whose sender was checked.
#[derive(Debug, Clone)]
pub struct Verified {
    candidate: Candidate,
    proof: Proof,
}

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
    #[error("the token is not one of GitHub's for this server: {0}")]
    NotOurs(String),
    #[error("GitHub's keys cannot be read: {0}: try again")]
    NoKeys(String),
    #[error("this token announced something else before: request one for each event")]
    Replayed,
    #[error("{0}")]
    Malformed(String),
    #[error("`{source_repo}` may not announce `{image}`: windlass.yaml says that {allowed} may")]
    Unauthorised {
        source_repo: RepoName,
        image: String,
        allowed: RepoName,
    },
    #[error("a run of {repository} may not announce `{image}`: {why}")]
    Run {
        repository: String,
        image: String,
        why: String,
    },
    #[error(
        "`{image}` is announced by a workflow alone (`workflow` or `refs` in windlass.yaml): send GitHub's OIDC token instead of the shared one"
    )]
    OnlyRuns { image: String },
}

impl Senders {
    /// Checks what the `Authorization` header has, before anything else is read.
    pub async fn verify(&self, authorization: Option<&str>) -> Result<Sender, Refusal> {
        let given = authorization
            .and_then(|value| {
                value
                    .strip_prefix("Bearer ")
                    .or_else(|| value.strip_prefix("bearer "))
            })
            .unwrap_or_default()
            .trim();
        if let Some(oidc) = self.oidc.as_ref().filter(|_| oidc::looks_signed(given)) {
            let run = oidc.verify(given).await?;
            return Ok(Sender(Proof::Run(run.into())));
        }
        let token = self.token.as_ref().ok_or(Refusal::Unverified)?;
        // Comparing digests of equal length reveals nothing about the token.
        let same = Sha256::digest(given) == Sha256::digest(token.expose_secret());
        if same && !given.is_empty() {
            Ok(Sender(Proof::Shared))
        } else {
            Err(Refusal::Unverified)
        }
    }

    /// Reads the event of a sender. A token that GitHub signed is good for one event, which may come
    /// again.
    pub fn event(&self, sender: &Sender, body: &[u8]) -> Result<Verified, Refusal> {
        let event = sender.event(body)?;
        if let (Proof::Run(run), Some(oidc)) = (&sender.0, &self.oidc)
            && !oidc.is_first(&run.id, body)
        {
            return Err(Refusal::Replayed);
        }
        Ok(event)
    }
}

impl Sender {
    /// Whether it may know how the promotion of a target goes on.
    pub fn may_follow(&self, target: &Target) -> bool {
        match &self.0 {
            Proof::Shared => true,
            Proof::Run(run) => target.images.iter().any(|rule| run.is_of(&rule.source)),
        }
    }

    fn event(&self, body: &[u8]) -> Result<Verified, Refusal> {
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
        Ok(Verified {
            candidate: Candidate {
                image: name,
                digest: event.digest,
                tag: event.tag,
                commit: event.commit,
                source: event.source,
            },
            proof: self.0.clone(),
        })
    }
}

impl Verified {
    pub fn image(&self) -> &str {
        &self.candidate.image
    }

    /// Whether the source may announce this image for a target. None: the target does not use the
    /// image. `id_of`: the number of a repository, if the App sees it.
    pub fn authorise(
        &self,
        target: &Target,
        id_of: impl Fn(&RepoName) -> Option<u64>,
    ) -> Option<Result<Authorised, Refusal>> {
        let rule = target.image(self.image())?;
        let permitted = match &self.proof {
            _ if rule.source != self.candidate.source => Err(Refusal::Unauthorised {
                source_repo: self.candidate.source.clone(),
                image: self.candidate.image.clone(),
                allowed: rule.source.clone(),
            }),
            Proof::Shared if rule.is_for_runs() => Err(Refusal::OnlyRuns {
                image: rule.image.clone(),
            }),
            Proof::Shared => Ok(()),
            Proof::Run(run) => run
                .may_announce(rule, &self.candidate.commit, id_of(&rule.source))
                .map_err(|why| Refusal::Run {
                    repository: run.repository.clone(),
                    image: rule.image.clone(),
                    why,
                }),
        };
        // Under the name in the configuration: an image of Docker Hub has several names.
        let authorised = |()| Authorised {
            candidate: Candidate {
                image: rule.image.clone(),
                ..self.candidate.clone()
            },
        };
        Some(permitted.map(authorised))
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

    #[tokio::test]
    async fn only_the_token_verifies() {
        let senders = Senders {
            token: Some(SecretString::from("s3cret")),
            oidc: None,
        };
        let sender = senders.verify(Some("Bearer s3cret")).await.unwrap();
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
                matches!(senders.verify(bad).await, Err(Refusal::Unverified)),
                "{bad:?}"
            );
        }
        for bad in [&body("a/b:tag")[..], b"{}", b"", b"[1]"] {
            assert!(matches!(sender.event(bad), Err(Refusal::Malformed(_))));
        }
    }
}
