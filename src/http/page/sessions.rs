//! Who is signed in to the page: the way to GitHub and back, and cookies.
//!
//! A session is a random number in a cookie; what it stands for is kept in memory, so that a restart
//! ends it. GitHub then signs people in again without a question.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{ACCEPT, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use moka::Expiry;
use moka::sync::Cache;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::super::{Server, refusal};
use super::viewer::{Person, Viewer};
use super::{Missing, ready};
use crate::controller::Writer;
use crate::github::SignIn;
use crate::outgoing::Outgoing;
use crate::random;

/// How long somebody is signed in.
const SESSION: Duration = Duration::from_secs(8 * 3600);
/// How soon a right that is taken away on GitHub ends here; and when what could not be read is read
/// again.
const RIGHTS: Duration = Duration::from_secs(300);
const READ_AGAIN: Duration = Duration::from_secs(30);
/// How long a sign-in on GitHub may take.
const SIGNING_IN: u64 = 600;
const MOST_SESSIONS: u64 = 10_000;
/// Codes that are looked up at once, since anybody may send one; and how long one waits for its turn.
const AT_ONCE: usize = 4;
const PATIENCE: Duration = Duration::from_secs(10);

/// The path of the App's callback URL.
pub const BACK: &str = "/signed-in";

const SESSION_COOKIE: &str = "windlass-session";
const STATE_COOKIE: &str = "windlass-sign-in";

/// How long what somebody may see counts.
struct Rights;

impl Expiry<String, Arc<Person>> for Rights {
    fn expire_after_create(
        &self,
        _: &String,
        person: &Arc<Person>,
        _: std::time::Instant,
    ) -> Option<Duration> {
        Some(match person.is_certain {
            true => RIGHTS,
            false => READ_AGAIN,
        })
    }
}

/// The people who are signed in.
pub struct Sessions {
    sign_in: SignIn,
    /// The address that people open.
    address: String,
    logins: Cache<String, String>,
    people: moka::future::Cache<String, Arc<Person>>,
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
            people: moka::future::Cache::builder()
                .max_capacity(MOST_SESSIONS)
                .expire_after(Rights)
                .build(),
            lookups: Semaphore::new(AT_ONCE),
        })
    }

    /// The address that people open.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A cookie's name: of this very host, where the address is https.
    fn name(&self, name: &str) -> String {
        match self.is_secure() {
            true => format!("__Host-{name}"),
            false => name.into(),
        }
    }

    fn is_secure(&self) -> bool {
        self.address.starts_with("https://")
    }

    /// A cookie; `seconds`: 0 takes it away.
    fn cookie(&self, name: &str, value: &str, seconds: u64) -> HeaderValue {
        let name = self.name(name);
        let secure = if self.is_secure() { "; Secure" } else { "" };
        let text =
            format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Who is signed in.
    fn login(&self, headers: &HeaderMap) -> Option<String> {
        self.logins.get(&self.session(headers)?)
    }

    fn session(&self, headers: &HeaderMap) -> Option<String> {
        cookie(headers, &self.name(SESSION_COOKIE))
    }

    /// What somebody may see, as GitHub said in the last minutes. However often it is asked, GitHub
    /// is asked once.
    async fn person(&self, ctx: &Writer, login: &str) -> Arc<Person> {
        let read = async { Arc::new(Person::read(ctx, login).await) };
        self.people.get_with(login.to_string(), read).await
    }
}

fn sees_nothing(login: &str) -> Response {
    let why = format!(
        "{login} may not read the config repositories of this windlass on GitHub (a public one shows only to those who may write to it)"
    );
    refusal(StatusCode::FORBIDDEN, why)
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
    let Some(login) = sessions.login(request.headers()) else {
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
    let person = sessions.person(ctx, &login).await;
    if person.sees.is_empty() {
        return sees_nothing(&login);
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
    let kept = cookie(&headers, &sessions.name(STATE_COOKIE)).unwrap_or_default();
    let (state, to) = kept.split_once('.').unwrap_or_default();
    if state.is_empty() || state != back.state {
        // Another tab of this browser was faster.
        if sessions.login(&headers).is_some() {
            return Redirect::to("/").into_response();
        }
        let why = "this sign-in was not begun in this browser, or took more than ten minutes: open the page again";
        return refusal(StatusCode::BAD_REQUEST, why);
    }
    let turn = tokio::time::timeout(PATIENCE, sessions.lookups.acquire());
    let Ok(Ok(_turn)) = turn.await else {
        let why = "too many people sign in just now: try again";
        return refusal(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let signed_in = async {
        let client = ctx.github.identity().await?.client_id.clone();
        let login = sessions.sign_in.login(&client, &back.code).await?;
        anyhow::Ok((login, random::hexadecimal(32)?))
    };
    match signed_in.await {
        Ok((login, _)) if sessions.person(ctx, &login).await.sees.is_empty() => {
            sees_nothing(&login)
        }
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
    if let Some(session) = sessions.session(&headers) {
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
