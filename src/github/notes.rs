//! Notes on commits go to GitHub by a push: git's own requests count for none of the API's limits.
//!
//! The push names the commit that the ref has to be at, so two writers do not lose
//! each other's notes.

use std::fmt::Display;

use secrecy::ExposeSecret as _;

use super::transport::rate_limited;
use super::{Error, Result, Session, Writer};
use crate::domain::{CommitSha, RepoName};
use crate::outgoing::{advice, causes};

const WHAT: &str = "push notes";
const NONE: &str = "0000000000000000000000000000000000000000";

impl Writer<'_> {
    /// Moves a ref from the commit that it is expected at; `pack`: the objects that this needs.
    pub async fn push(
        &self,
        repo: &RepoName,
        name: &str,
        (before, after): (Option<&CommitSha>, &CommitSha),
        pack: Vec<u8>,
    ) -> Result<()> {
        let session = self.session_for(repo).await?;
        // While the installation is limited nothing is sent, not even this.
        let turn = session.limiter.turn(None).await;
        let _turn = turn.map_err(|limited| rate_limited(WHAT, limited.wait))?;
        let url = self.repository(repo)?.clone_url;
        let listed = self
            .http
            .get(format!("{url}/info/refs?service=git-receive-pack"));
        let listed = self.answer(repo, &session, listed).await?;
        let before = before.map_or(NONE, CommitSha::as_str);
        if listed_at(&listed, name).unwrap_or(NONE) != before {
            return Err(stale("the ref has moved"));
        }
        let command = format!("{before} {after} {name}\0report-status agent=windlass");
        let mut body = format!("{:04x}{command}0000", command.len() + 4).into_bytes();
        body.extend(pack);
        let request = self
            .http
            .post(format!("{url}/git-receive-pack"))
            .header("content-type", "application/x-git-receive-pack-request")
            .body(body);
        report(&self.answer(repo, &session, request).await?, name)
    }

    /// The body of an answer of git's.
    async fn answer(
        &self,
        repo: &RepoName,
        session: &Session,
        request: reqwest::RequestBuilder,
    ) -> Result<String> {
        let unavailable = |message: &dyn Display| Error::Unavailable {
            what: WHAT.into(),
            message: message.to_string(),
        };
        let known = self.repository(repo)?;
        let token = session.token.expose_secret();
        let request = request.basic_auth("x-access-token", Some(token));
        let answer = request.send().await;
        let answer = answer.map_err(|error| {
            let (url, words) = (&known.clone_url, causes(&error));
            unavailable(&advice(url, &words).unwrap_or(words))
        })?;
        let (status, what) = (answer.status(), WHAT.to_string());
        let body = answer.bytes().await;
        let body = body.map_err(|error| unavailable(&causes(&error)))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        match status.as_u16() {
            200 => Ok(text),
            301 | 302 | 307 | 308 => {
                self.repositories_changed.notify_one();
                Err(Error::Moved { what, to: None })
            }
            401 => {
                self.forget_session(repo).await;
                let message = "git does not accept the token".into();
                Err(Error::Unauthorized { what, message })
            }
            404 => Err(Error::NotFound { what }),
            408 | 429 => Err(unavailable(&status)),
            403 if text.contains("rate limit") => Err(unavailable(&status)),
            status @ 400..500 => Err(Error::Refused {
                what,
                status,
                message: text.chars().take(200).collect(),
                accepted: None,
            }),
            _ => Err(unavailable(&status)),
        }
    }
}

fn stale(message: &str) -> Error {
    Error::Stale {
        what: WHAT.into(),
        message: message.into(),
    }
}

/// The commit that a ref is at, by git's list of refs (gitprotocol-http): lines of a length, an id,
/// a name and, the first one, capabilities.
fn listed_at<'a>(listed: &'a str, name: &str) -> Option<&'a str> {
    let lines = listed.lines().filter_map(|line| {
        let (line, _) = line.split_once('\0').unwrap_or((line, ""));
        line.rsplit_once(' ')
    });
    let mut found = lines.filter(|(_, listed)| *listed == name);
    let (front, _) = found.next()?;
    front.get(front.len().checked_sub(NONE.len())?..)
}

/// What git says of a push (gitprotocol-pack): `ok REF`, or `ng REF REASON`.
fn report(told: &str, name: &str) -> Result<()> {
    if let Some((_, reason)) = told.split_once(&format!("ng {name} ")) {
        let reason = reason.lines().next().unwrap_or_default();
        // Words of GitHub for what its rules forbid; the other reasons are races.
        return Err(
            match reason.contains("declined") || reason.contains("prohibited") {
                true => Error::Refused {
                    what: WHAT.into(),
                    status: 200,
                    message: reason.into(),
                    accepted: None,
                },
                false => stale(reason),
            },
        );
    }
    match told.contains(&format!("ok {name}")) {
        true => Ok(()),
        false => Err(Error::Unexpected {
            what: WHAT.into(),
            message: told.chars().take(200).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "refs/notes/windlass";

    #[test]
    fn a_ref_is_found_in_the_list() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let listed = format!(
            "001f# service=git-receive-pack\n0000009b{a} refs/heads/main\0report-status atomic\n003f{b} {NAME}-old\n0040{b} {NAME}\n0000"
        );
        assert_eq!(listed_at(&listed, NAME), Some(b.as_str()));
        assert_eq!(listed_at(&listed, "refs/heads/main"), Some(a.as_str()));
        assert_eq!(listed_at(&listed, "refs/heads/mai"), None);
        assert_eq!(listed_at("", NAME), None);
    }

    #[test]
    fn a_refusal_is_told_from_a_race() {
        let of = |line: &str| report(&format!("000eunpack ok\n0020{line}\n0000"), NAME);
        assert!(of(&format!("ok {NAME}")).is_ok());
        let raced = of(&format!("ng {NAME} failed to update ref"));
        assert!(matches!(raced, Err(Error::Stale { .. })), "{raced:?}");
        let words = "push declined due to repository rule violations";
        let refused = of(&format!("ng {NAME} {words}"));
        assert!(matches!(refused, Err(Error::Refused { message, .. }) if message == words));
        assert!(matches!(report("", NAME), Err(Error::Unexpected { .. })));
    }
}
