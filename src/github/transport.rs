//! Requests: a GET is retried, a write is sent once, with a minimum interval
//! between writes. Errors are sorted into ours.

use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Error, GitHub, Result, Session, Writer};
use crate::domain::RepoName;

impl GitHub {
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        repo: &RepoName,
        path: &str,
        what: &str,
    ) -> Result<T> {
        let route = format!("/repos/{repo}/{path}");
        let session = self.session_for(repo).await?;
        match self.read(&session, &route, what).await {
            Err(Error::Unauthorized { .. }) => {
                self.forget_session(repo).await;
                self.read(&self.session_for(repo).await?, &route, what)
                    .await
            }
            other => other,
        }
    }

    /// Every page of a list.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        repo: &RepoName,
        path: String,
        what: &str,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let join = if path.contains('?') { '&' } else { '?' };
        for page in 1.. {
            let items: Vec<T> = self
                .get(repo, &format!("{path}{join}per_page=100&page={page}"), what)
                .await?;
            let last = items.len() < 100;
            all.extend(items);
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// A GET, retried while GitHub is unavailable.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        session: &Session,
        route: &str,
        what: &str,
    ) -> Result<T> {
        let mut pause = Duration::from_millis(250);
        for _ in 0..3 {
            match session
                .client
                .get::<T, _, ()>(route, None)
                .await
                .map_err(|error| classified(error, what))
            {
                // A fresh token may be refused for some seconds (octokit/auth-app.js#168).
                Err(Error::Unavailable { .. } | Error::Unauthorized { .. }) => {
                    tokio::time::sleep(pause).await
                }
                other => return other,
            }
            pause *= 3;
        }
        session
            .client
            .get::<T, _, ()>(route, None)
            .await
            .map_err(|error| classified(error, what))
    }

    /// Waits until the minimum time since the last write has passed.
    pub(super) async fn pace(&self) {
        let mut last = self.budget.lock().await;
        if let Some(last) = *last {
            tokio::time::sleep_until(last + self.write_interval).await;
        }
        *last = Some(tokio::time::Instant::now());
    }
}

impl Writer<'_> {
    pub(super) async fn write(
        &self,
        repo: &RepoName,
        method: &str,
        path: &str,
        body: &Value,
        what: &str,
    ) -> Result<Value> {
        self.pace().await;
        let session = self.session_for(repo).await?;
        let route = format!("/repos/{repo}/{path}");
        let answer = match method {
            "POST" => session.client.post::<_, Value>(&route, Some(body)).await,
            "PATCH" => {
                session
                    .client
                    .patch::<Value, _, _>(&route, Some(body))
                    .await
            }
            _ => session.client.put::<Value, _, _>(&route, Some(body)).await,
        };
        let answer = answer.map_err(|error| classified(error, what));
        if let Err(Error::Unauthorized { .. }) = answer {
            self.forget_session(repo).await;
        }
        answer
    }

    pub(super) async fn mutate(
        &self,
        repo: &RepoName,
        document: &str,
        input: Value,
        what: &str,
    ) -> Result<Value> {
        self.pace().await;
        self.query(repo, document, json!({"input": input}), what)
            .await
    }
}

impl GitHub {
    /// Sends a GraphQL document; `data` of the answer, or its first error.
    pub(super) async fn query(
        &self,
        repo: &RepoName,
        document: &str,
        variables: Value,
        what: &str,
    ) -> Result<Value> {
        let session = self.session_for(repo).await?;
        let body = json!({"query": document, "variables": variables});
        let answer: Value = session
            .graphql
            .post("/graphql", Some(&body))
            .await
            .map_err(|error| classified(error, what))?;
        let Some(error) = answer["errors"]
            .as_array()
            .and_then(|errors| errors.first())
        else {
            return Ok(answer["data"].clone());
        };
        let (what, message) = (
            what.to_string(),
            error["message"].as_str().unwrap_or_default().to_string(),
        );
        Err(match error["type"].as_str().unwrap_or_default() {
            "STALE_DATA" => Error::Stale { what, message },
            "NOT_FOUND" => Error::Stale { what, message },
            "RATE_LIMITED" => Error::RateLimited {
                what,
                until: Timestamp::now() + jiff::SignedDuration::from_secs(60),
            },
            _ => Error::Refused {
                what,
                status: 200,
                message,
            },
        })
    }
}

pub(super) fn found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sorts a transport error. Messages never contain the request, and so no token.
pub(super) fn classified(error: octocrab::Error, what: &str) -> Error {
    let octocrab::Error::GitHub { source, .. } = error else {
        return without_answer(&error, what.to_string());
    };
    let what = what.to_string();
    let (status, mut message) = (source.status_code.as_u16(), source.message.clone());
    for detail in source.errors.iter().flatten() {
        message = format!(
            "{message}: {}",
            detail["message"]
                .as_str()
                .map_or_else(|| detail.to_string(), str::to_string)
        );
    }
    if let Some(until) = limited_until(&source, &message) {
        return Error::RateLimited { what, until };
    }
    match status {
        404 => Error::NotFound { what },
        401 => Error::Unauthorized { what, message },
        500..=599 => Error::Unavailable {
            what,
            message: format!("{status}: {message}"),
        },
        _ => Error::Refused {
            what,
            status,
            message,
        },
    }
}

/// An error without an answer of GitHub, or with one that cannot be read.
fn without_answer(error: &octocrab::Error, what: String) -> Error {
    let message = match error {
        octocrab::Error::Serde { source, .. } => {
            return Error::Unexpected {
                what,
                message: source.to_string(),
            };
        }
        octocrab::Error::Json { source, .. } => {
            return Error::Unexpected {
                what,
                message: source.to_string(),
            };
        }
        octocrab::Error::Service { source, .. } => source.to_string(),
        octocrab::Error::Hyper { source, .. } => source.to_string(),
        octocrab::Error::Reqwest { source, .. } => source.to_string(),
        _ => "the request could not be made".into(),
    };
    Error::Unavailable { what, message }
}

/// Until when we are rate limited, if the answer says so.
fn limited_until(source: &octocrab::GitHubError, message: &str) -> Option<Timestamp> {
    let header = |name: &str| {
        source
            .headers
            .as_ref()
            .and_then(|headers| headers.get(name)?.to_str().ok()?.parse::<i64>().ok())
    };
    let (after, remaining, reset) = (
        header("retry-after"),
        header("x-ratelimit-remaining"),
        header("x-ratelimit-reset"),
    );
    let status = source.status_code.as_u16();
    let limited = status == 429
        || (status == 403
            && (after.is_some()
                || remaining == Some(0)
                || message.contains("secondary rate limit")));
    let now = Timestamp::now();
    limited.then(|| match (after, remaining, reset) {
        (Some(seconds), _, _) => now + jiff::SignedDuration::from_secs(seconds),
        (None, Some(0), Some(reset)) => Timestamp::from_second(reset).unwrap_or(now),
        _ => now + jiff::SignedDuration::from_secs(60),
    })
}
