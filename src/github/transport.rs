//! Requests: each waits for its turn with the installation's limiter; a GET is
//! conditional and retried, a write is sent once.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue};
use http_body_util::combinators::BoxBody;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::Instrument as _;

use super::answers::{classified, clock_skew, limited, unexpected, with_clock, without_answer};
use super::enterprise::heed;
use super::{Error, GitHub, Lane, Result, Session, Writer, locked};
use crate::domain::{FOREIGN_IDS, RepoName};
use crate::traces;

/// A request that is yet to be sent. Boxed, since octocrab's are large and many functions hold one.
pub(super) type Request<'a> =
    BoxFuture<'a, octocrab::Result<http::Response<BoxBody<Bytes, octocrab::Error>>>>;

/// An answer: its headers, and its body.
pub(super) struct Answered {
    headers: HeaderMap,
    body: Bytes,
}

/// A GET's answer that GitHub may confirm: its ETag, whether there is a next page, and its body.
pub(super) type Known = (HeaderValue, Option<String>, Bytes);

/// The most bytes of answers that are kept for conditional requests.
pub(super) const MOST_KNOWN: u64 = 32 << 20;

impl GitHub {
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        repo: &RepoName,
        path: &str,
        what: &str,
    ) -> Result<T> {
        let route = self.route(repo, path);
        Ok(self.get_page(repo, &route, what).await?.0)
    }

    /// The route of a path below a repository.
    fn route(&self, repo: &RepoName, path: &str) -> String {
        format!("/repos/{}/{path}", self.name_now(repo))
    }

    /// A page of a list, and the route of the next one.
    async fn get_page<T: DeserializeOwned>(
        &self,
        repo: &RepoName,
        route: &str,
        what: &str,
    ) -> Result<(T, Option<String>)> {
        let session = self.session_for(repo).await?;
        let answer = self.read(&session, route, what).await;
        self.heed(repo, &answer).await;
        if let Err(Error::Unauthorized { .. }) = answer {
            return self.read(&self.session_for(repo).await?, route, what).await;
        }
        answer
    }

    /// What an answer says besides: the repository has another name, or GitHub does not know our
    /// token any more.
    async fn heed<T>(&self, repo: &RepoName, answer: &Result<T>) {
        match answer {
            Err(Error::Moved { .. }) => self.repositories_changed.notify_one(),
            Err(Error::Unauthorized { .. }) => self.forget_session(repo).await,
            _ => {}
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
        let mut next = Some(self.route(repo, &format!("{path}{join}per_page=100")));
        while let Some(route) = next {
            let items: Vec<T>;
            (items, next) = self.get_page(repo, &route, what).await?;
            all.extend(items);
        }
        Ok(all)
    }

    /// A GET, retried while GitHub is unavailable; with the route of the next page, if there is
    /// one.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        session: &Session,
        route: &str,
        what: &str,
    ) -> Result<(T, Option<String>)> {
        let mut pause = Duration::from_millis(250);
        for _ in 0..3 {
            match self.read_once(session, route, what).await {
                // A fresh token may be refused for some seconds (octokit/auth-app.js#168).
                Err(Error::Unavailable { .. } | Error::Unauthorized { .. }) => {
                    tokio::time::sleep(pause).await
                }
                other => return other,
            }
            pause *= 3;
        }
        self.read_once(session, route, what).await
    }

    /// A conditional GET: an answer that did not change is not counted by GitHub. An ETag depends
    /// on the token (github/docs#34689), so a new session begins anew.
    async fn read_once<T: DeserializeOwned>(
        &self,
        session: &Session,
        route: &str,
        what: &str,
    ) -> Result<(T, Option<String>)> {
        let name = (session.id, route.to_string());
        let known = self.known.get(&name).await;
        let condition = known
            .as_ref()
            .map(|(etag, ..)| HeaderMap::from_iter([(http::header::IF_NONE_MATCH, etag.clone())]));
        let request = session.client._get_with_headers(route, condition).boxed();
        let answer = self.sent(session, None, request, what).await?;
        let (next, body) = match (answer, known) {
            (Some(Answered { headers, body }), _) => {
                let next = self.next_route(&headers);
                if let Some(etag) = headers.get(http::header::ETAG) {
                    let answer = (etag.clone(), next.clone(), body.clone());
                    self.known.insert(name, answer).await;
                }
                (next, body)
            }
            (None, Some((_, next, body))) => (next, body),
            (None, None) => return Err(unexpected(what, "304 without a condition".into())),
        };
        Ok((parsed(&body, what)?, next))
    }

    /// The route of the next page, from the `Link` header.
    fn next_route(&self, headers: &HeaderMap) -> Option<String> {
        let links = headers.get(http::header::LINK)?.to_str().ok()?;
        let next = links
            .split(',')
            .find(|link| link.contains("rel=\"next\""))?;
        let url = next.trim().strip_prefix('<')?.split_once('>')?.0;
        route_of(&self.api_url, url)
    }

    /// Sends a request when it is its turn. None: not modified.
    async fn sent(
        &self,
        session: &Session,
        lane: Option<Lane>,
        request: Request<'_>,
        what: &str,
    ) -> Result<Option<Answered>> {
        let limiter = &session.limiter;
        let _turn = limiter
            .turn(lane)
            .await
            .map_err(|limited| rate_limited(what, limited.wait))?;
        let span = traces::github(what);
        let response = request
            .instrument(span.clone())
            .await
            .inspect_err(|_| traces::failed(&span))
            .map_err(|error| without_answer(&error, what.into(), &self.api_url))?;
        heed(&self.version_told, response.headers());
        self.count(what, response.status().as_u16());
        limiter.answered(response.headers());
        if response.status() == http::StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let skew = clock_skew(response.headers());
        *locked(&self.clock_skew) = skew;
        let response = match octocrab::map_github_error(response).await {
            Ok(response) => response,
            Err(error) => {
                if let Some(wait) = limited(&error) {
                    return Err(rate_limited(what, limiter.limited(wait)));
                }
                return Err(match classified(error, what, &self.api_url) {
                    Error::Unauthorized { what, message } => Error::Unauthorized {
                        what,
                        message: with_clock(message, skew),
                    },
                    other => other,
                });
            }
        };
        let headers = response.headers().clone();
        let body = http_body_util::BodyExt::collect(response.into_body())
            .await
            .map_err(|error| without_answer(&error, what.into(), &self.api_url))?;
        Ok(Some(Answered {
            headers,
            body: body.to_bytes(),
        }))
    }

    /// A write of the App itself: only tokens are requested so.
    pub(super) async fn sent_as_app<T: DeserializeOwned>(
        &self,
        app: &Session,
        request: Request<'_>,
        what: &str,
    ) -> Result<T> {
        modified(self.sent(app, None, request, what).await?, what)
    }

    /// Asks a GraphQL query; `data` of the answer, or its first error.
    pub(super) async fn query(
        &self,
        repo: &RepoName,
        document: &str,
        variables: Value,
        what: &str,
    ) -> Result<Value> {
        self.operate(repo, None, (document, variables), what).await
    }

    /// Sends a GraphQL document with its variables; `lane`: it is a mutation.
    async fn operate(
        &self,
        repo: &RepoName,
        lane: Option<Lane>,
        (document, variables): (&str, Value),
        what: &str,
    ) -> Result<Value> {
        let session = self.session_for(repo).await?;
        if let Some(wait) = session.limiter.graphql_limited() {
            return Err(rate_limited(what, wait));
        }
        let body = json!({"query": document, "variables": variables});
        let request = session.graphql._post("/graphql", Some(&body)).boxed();
        let answer = self.sent(&session, lane, request, what).await;
        self.heed(repo, &answer).await;
        let answer: Value = modified(answer?, what)?;
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
            "STALE_DATA" | "NOT_FOUND" => Error::Stale { what, message },
            // The headers say until when, if it is the hour that is used up.
            "RATE_LIMITED" => {
                let wait = session.limiter.graphql_limited();
                rate_limited(&what, wait.unwrap_or_else(|| session.limiter.limited(None)))
            }
            _ => Error::Refused {
                what,
                status: 200,
                message,
                accepted: None,
            },
        })
    }
}

/// The route of a URL, whatever name the server knows itself by.
fn route_of(api_url: &str, url: &str) -> Option<String> {
    let path = |url: &str| {
        let uri: http::Uri = url.parse().ok()?;
        Some(
            uri.path_and_query()?
                .as_str()
                .trim_end_matches('/')
                .to_string(),
        )
    };
    Some(path(url)?.strip_prefix(&path(api_url)?)?.to_string())
}

fn parsed<T: DeserializeOwned>(body: &Bytes, what: &str) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| match error.to_string() {
        message if message.contains(FOREIGN_IDS) => Error::ForeignIds { what: what.into() },
        message => unexpected(what, message),
    })
}

/// The body of an answer to a request that had no condition.
fn modified<T: DeserializeOwned>(answer: Option<Answered>, what: &str) -> Result<T> {
    match answer {
        Some(answer) => parsed(&answer.body, what),
        None => Err(unexpected(what, "304 without a condition".into())),
    }
}

pub(super) fn rate_limited(what: &str, wait: Duration) -> Error {
    let wait = jiff::SignedDuration::try_from(wait).unwrap_or(jiff::SignedDuration::from_mins(1));
    Error::RateLimited {
        what: what.into(),
        until: Timestamp::now() + wait,
    }
}

impl Writer<'_> {
    pub(super) async fn write<T: DeserializeOwned>(
        &self,
        repo: &RepoName,
        method: &str,
        path: &str,
        body: &Value,
        what: &str,
    ) -> Result<T> {
        let session = self.session_for(repo).await?;
        let route = self.route(repo, path);
        let lane = Some(Lane::of(method, path, body));
        let client = &session.client;
        let request = match method {
            "POST" => client._post(route, Some(body)).boxed(),
            "PATCH" => client._patch(route, Some(body)).boxed(),
            "DELETE" => client._delete(route, None::<&()>).boxed(),
            _ => client._put(route, Some(body)).boxed(),
        };
        let answer = self.sent(&session, lane, request, what).await;
        self.heed(repo, &answer).await;
        match answer? {
            Some(answer) if !answer.body.is_empty() => parsed(&answer.body, what),
            _ => parsed(&Bytes::from_static(b"null"), what),
        }
    }

    pub(super) async fn mutate(
        &self,
        repo: &RepoName,
        document: &str,
        input: Value,
        what: &str,
    ) -> Result<Value> {
        self.mutate_all(repo, document, json!({"input": input}), what)
            .await
    }

    /// Several mutations, carried out one after the other, in one request. Err: one of them failed;
    /// the first such error.
    pub(super) async fn mutate_all(
        &self,
        repo: &RepoName,
        document: &str,
        variables: Value,
        what: &str,
    ) -> Result<Value> {
        self.operate(repo, Some(Lane::Decide), (document, variables), what)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::route_of;

    #[test]
    fn a_next_page_is_found_by_its_path() {
        for (api, url) in [
            (
                "https://api.github.com",
                "https://api.github.com/a/b?page=2",
            ),
            (
                "https://GIT.corp/api/v3",
                "https://git.corp/api/v3/a/b?page=2",
            ),
        ] {
            assert_eq!(route_of(api, url).as_deref(), Some("/a/b?page=2"));
        }
        assert_eq!(
            route_of("https://git.corp/api/v3", "https://git.corp/a"),
            None
        );
    }
}
