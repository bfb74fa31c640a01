//! Who looks at the page, and what of it they may see.
//!
//! Without a sign-in it is served at the private address alone, and whoever reaches that sees
//! everything. With one it is served at the public address too, and each person sees the config
//! repositories that they may read on GitHub; of a public one, which everybody may read, those who may
//! write to it.
//!
//! A session is a random number in a cookie; what it stands for is kept in memory, so that a restart
//! ends it. GitHub then signs people in again without a question.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{ACCEPT, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use moka::sync::Cache;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::super::{Server, refusal};
use super::{Missing, ready};
use crate::controller::Writer;
use crate::domain::activity::Subject;
use crate::domain::command::Permission;
use crate::domain::{PullRequestKey, RepoName};
use crate::github::{self, SignIn};
use crate::outgoing::Outgoing;
use crate::random;

/// How long somebody is signed in.
const SESSION: Duration = Duration::from_secs(8 * 3600);
/// How soon a right that is taken away on GitHub ends here.
const RIGHTS: Duration = Duration::from_secs(300);
/// How long a sign-in on GitHub may take.
const SIGNING_IN: u64 = 600;
const MOST_SESSIONS: u64 = 10_000;
/// Codes that are looked up at once: anybody may send one.
const AT_ONCE: usize = 4;

/// The path of the App's callback URL.
pub const BACK: &str = "/signed-in";

const SESSION_COOKIE: &str = "windlass-session";
const STATE_COOKIE: &str = "windlass-sign-in";

/// Who looks at a page.
#[derive(Clone)]
pub enum Viewer {
    /// Whoever reaches the private address.
    Anybody,
    /// Somebody who signed in.
    Person(Arc<Person>),
}

/// Somebody who signed in.
pub struct Person {
    login: String,
    /// The config repositories that they may see.
    sees: BTreeSet<RepoName>,
    sees_all: bool,
}

impl Viewer {
    pub fn sees(&self, repo: &RepoName) -> bool {
        match self {
            Self::Anybody => true,
            Self::Person(person) => person.sees.contains(repo),
        }
    }

    /// Whether they may see what is of no repository.
    pub fn sees_all(&self) -> bool {
        match self {
            Self::Anybody => true,
            Self::Person(person) => person.sees_all,
        }
    }

    pub fn sees_subject(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Application(key) => self.sees(&key.repo),
            Subject::PullRequest(PullRequestKey { repo, .. }) => self.sees(repo),
        }
    }

    pub fn login(&self) -> Option<&str> {
        match self {
            Self::Anybody => None,
            Self::Person(person) => Some(&person.login),
        }
    }
}

/// The people who are signed in.
pub struct Sessions {
    sign_in: SignIn,
    /// The address that people open.
    address: String,
    logins: Cache<String, String>,
    people: Cache<String, Arc<Person>>,
    lookups: Semaphore,
}

impl Sessions {
    /// `address`: without a slash at its end.
    pub fn new(
        api: &str,
        address: &str,
        secret: SecretString,
        outgoing: &Outgoing,
    ) -> anyhow::Result<Self> {
        let sign_in = SignIn::new(api, format!("{address}{BACK}"), secret, outgoing)?;
        Ok(Self {
            sign_in,
            address: address.into(),
            logins: Cache::builder()
                .max_capacity(MOST_SESSIONS)
                .time_to_live(SESSION)
                .build(),
            people: Cache::builder()
                .max_capacity(MOST_SESSIONS)
                .time_to_live(RIGHTS)
                .build(),
            lookups: Semaphore::new(AT_ONCE),
        })
    }

    /// The address that people open.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A cookie; `seconds`: 0 takes it away.
    fn cookie(&self, name: &str, value: &str, seconds: u64) -> HeaderValue {
        let secure = match self.address.starts_with("https://") {
            true => "; Secure",
            false => "",
        };
        let text =
            format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// What somebody may see, as GitHub says now.
    async fn person(&self, ctx: &Writer, login: &str) -> Result<Arc<Person>, github::Error> {
        if let Some(known) = self.people.get(login) {
            return Ok(known);
        }
        let bases = ctx.bases();
        let mut sees = BTreeSet::new();
        for base in &bases {
            let permission = ctx.github.permission(&base.repo.name, login).await?;
            let needed = match base.repo.private {
                true => Permission::Read,
                false => Permission::Write,
            };
            if permission >= needed {
                sees.insert(base.repo.name.clone());
            }
        }
        let person = Arc::new(Person {
            login: login.into(),
            sees_all: sees.len() == bases.len() && !bases.is_empty(),
            sees,
        });
        self.people.insert(login.into(), person.clone());
        Ok(person)
    }
}

/// Lets those who are signed in through, and others sign in.
pub async fn signed_in(
    State(server): State<Arc<Server>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(sessions) = &server.sessions else {
        return Missing::Unknown("there is no page at this address").into_response();
    };
    let session = cookie(request.headers(), SESSION_COOKIE);
    let Some(login) = session.and_then(|session| sessions.logins.get(&session)) else {
        let accepts = request.headers().get(ACCEPT);
        let is_page = accepts.is_some_and(|types| {
            let types = types.to_str().unwrap_or_default();
            types.contains("text/html")
        });
        return match is_page {
            true => sign_in(&server, sessions, request.uri().path()).await,
            false => refusal(
                StatusCode::UNAUTHORIZED,
                "sign in: open the page in a browser",
            ),
        };
    };
    let ctx = match ready(&server) {
        Ok(ctx) => ctx,
        Err(missing) => return missing.into_response(),
    };
    let person = match sessions.person(ctx, &login).await {
        Ok(person) => person,
        Err(error) => return refusal(StatusCode::BAD_GATEWAY, error),
    };
    if person.sees.is_empty() {
        let why = format!(
            "{login} may not read the config repositories of this windlass on GitHub (a public one shows only to those who may write to it)"
        );
        return refusal(StatusCode::FORBIDDEN, why);
    }
    request.extensions_mut().insert(Viewer::Person(person));
    next.run(request).await
}

/// Sends somebody to GitHub; `to`: where they want to go.
async fn sign_in(server: &Server, sessions: &Sessions, to: &str) -> Response {
    let address = async {
        let ctx = server.ctx.get();
        let ctx = ctx.ok_or_else(|| anyhow::anyhow!("windlass is starting: try again"))?;
        let state = random::hexadecimal(16)?;
        let client = ctx.github.identity().await?.client_id.clone();
        anyhow::Ok((sessions.sign_in.address(&client, &state)?, state))
    };
    match address.await {
        Ok((address, state)) => {
            let kept = format!("{state}.{}", hex::encode(to));
            let cookie = sessions.cookie(STATE_COOKIE, &kept, SIGNING_IN);
            ([(SET_COOKIE, cookie)], Redirect::to(&address)).into_response()
        }
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

/// What GitHub brings back.
#[derive(Deserialize)]
pub struct Back {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
}

/// Where GitHub sends people back to.
pub async fn back(
    State(server): State<Arc<Server>>,
    Query(back): Query<Back>,
    headers: HeaderMap,
) -> Response {
    let (Some(sessions), Some(ctx)) = (&server.sessions, server.ctx.get()) else {
        return Missing::NotReady.into_response();
    };
    // Who begins in one browser and ends in another is not the same person.
    let kept = cookie(&headers, STATE_COOKIE).unwrap_or_default();
    let (state, to) = kept.split_once('.').unwrap_or_default();
    if state.is_empty() || state != back.state {
        let why = "this sign-in was not begun in this browser, or took more than ten minutes: open the page again";
        return refusal(StatusCode::BAD_REQUEST, why);
    }
    let Ok(_turn) = sessions.lookups.try_acquire() else {
        let why = "too many people sign in just now: try again";
        return refusal(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let signed_in = async {
        let client = ctx.github.identity().await?.client_id.clone();
        let login = sessions.sign_in.login(&client, &back.code).await?;
        anyhow::Ok((login, random::hexadecimal(32)?))
    };
    match signed_in.await {
        Ok((login, session)) => {
            tracing::info!(login, "signed in to the page");
            sessions.logins.insert(session.clone(), login);
            let cookie = sessions.cookie(SESSION_COOKIE, &session, SESSION.as_secs());
            let over = sessions.cookie(STATE_COOKIE, "", 0);
            let mut response = Redirect::to(&path(to)).into_response();
            response.headers_mut().append(SET_COOKIE, cookie);
            response.headers_mut().append(SET_COOKIE, over);
            response
        }
        Err(error) => {
            tracing::warn!(%error, "somebody could not be signed in");
            refusal(
                StatusCode::BAD_GATEWAY,
                "GitHub could not say who you are: open the page again",
            )
        }
    }
}

/// Ends the session.
pub async fn sign_out(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let Some(sessions) = &server.sessions else {
        return Missing::Unknown("nobody signs in here").into_response();
    };
    if let Some(session) = cookie(&headers, SESSION_COOKIE) {
        sessions.logins.invalidate(&session);
    }
    let over = sessions.cookie(SESSION_COOKIE, "", 0);
    ([(SET_COOKIE, over)], "You are signed out of windlass.\n").into_response()
}

/// The path that somebody wanted to go to: on this server, whatever a cookie says.
fn path(kept: &str) -> String {
    let read = hex::decode(kept).ok();
    let read = read.and_then(|bytes| String::from_utf8(bytes).ok());
    let plain = |c: char| c.is_ascii_graphic() && c != '\\';
    let is_here =
        |path: &String| path.starts_with('/') && !path.starts_with("//") && path.chars().all(plain);
    read.filter(is_here).unwrap_or_else(|| "/".into())
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(COOKIE).into_iter();
    let mut pairs = all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    Some(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_their_repositories_alone() {
        let [theirs, other]: [RepoName; 2] = ["a/b", "a/c"].map(|name| name.parse().unwrap());
        let person = Viewer::Person(Arc::new(Person {
            login: "rita".into(),
            sees: BTreeSet::from([theirs.clone()]),
            sees_all: false,
        }));
        let pull = |repo: &RepoName| {
            Subject::PullRequest(PullRequestKey {
                repo: repo.clone(),
                number: 1,
            })
        };
        assert!(person.sees(&theirs) && person.sees_subject(&pull(&theirs)));
        assert!(!person.sees(&other) && !person.sees_subject(&pull(&other)));
        assert!(!person.sees_all() && Viewer::Anybody.sees_all() && Viewer::Anybody.sees(&other));
    }

    #[test]
    fn nobody_is_sent_elsewhere() {
        for (kept, expected) in [
            ("/applications/shop/staging", "/applications/shop/staging"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nset-cookie: b", "/"),
            ("", "/"),
        ] {
            assert_eq!(path(&hex::encode(kept)), expected);
        }
        assert_eq!(path("no digits"), "/");
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; windlass-session=x"));
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        assert_eq!(cookie(&headers, SESSION_COOKIE).as_deref(), Some("x"));
        assert_eq!(cookie(&headers, "b").as_deref(), Some("2"));
        assert_eq!(cookie(&headers, "c"), None);
    }
}
