//! Requests to sources: https, within limits of time and size, to public addresses unless the settings
//! name the host, and redirected only as far as the caller can vouch for what comes. Errors name no
//! URL that a server gave, which may hold a signature.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};

use super::super::run::Trouble;
use super::sources::{Credentials, Sources, is_loopback};
use crate::outgoing::{Outgoing, advice, causes, proxy_of};

/// For connecting, and for one request as a whole.
const CONNECTING: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(60);
const MOST_REDIRECTS: usize = 5;

/// Who vouches for an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Its source: it is redirected to other sources only.
    Source,
    /// A digest that the caller compares: it may come from anywhere.
    Digest,
}

/// What is asked.
pub(super) struct Ask<'a> {
    pub(super) url: Url,
    pub(super) accept: &'a str,
    /// The most bytes of the answer.
    pub(super) most: u64,
    pub(super) trust: Trust,
    /// The `Authorization` that its registry asked for, in place of the source's credentials.
    pub(super) authorization: Option<&'a SecretString>,
}

/// The answer, if it is one that says something about the content.
pub(super) enum Answer {
    Content(Vec<u8>),
    /// 404, 410.
    Missing,
    /// 401, with what it asks for.
    Unauthorized(String),
}

pub(super) struct Web {
    client: reqwest::Client,
    sources: Arc<Sources>,
}

impl Web {
    pub(super) fn new(sources: Sources, outgoing: &Outgoing) -> anyhow::Result<Self> {
        let client = outgoing
            .client()?
            .connect_timeout(CONNECTING)
            .timeout(DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .dns_resolver(Arc::new(Guard::new(&sources)))
            .build()?;
        Ok(Self {
            client,
            sources: Arc::new(sources),
        })
    }

    pub(super) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The credentials for a URL: those of the source that it is below.
    pub(super) fn credentials(&self, url: &str) -> Result<Option<Credentials>, Trouble> {
        let source = self.sources.of(url);
        let credentials = source.map_or(Ok(None), |source| source.credentials());
        credentials.map_err(|error| Trouble::Passing(format!("{error:#}")))
    }

    /// Asks with the source's credentials, where there are some, and follows redirects.
    pub(super) async fn get(&self, ask: Ask<'_>) -> Result<Answer, Trouble> {
        let mut url = ask.url.clone();
        for hop in 0..=MOST_REDIRECTS {
            self.check(&url)?;
            if ask.trust == Trust::Source && hop > 0 && self.sources.of(url.as_str()).is_none() {
                return Err(Trouble::Author(format!(
                    "{} redirects to {}, which is no source of the server's settings (--sources)",
                    host(&ask.url),
                    host(&url)
                )));
            }
            let request = self.client.get(url.clone()).header(ACCEPT, ask.accept);
            let request = match ask.authorization {
                // Only to whom it was given for.
                Some(value) if same_place(&url, &ask.url) => {
                    request.header(AUTHORIZATION, value.expose_secret())
                }
                Some(_) => request,
                None => authorized(request, self.credentials(url.as_str())?),
            };
            let answer = self.send(request, &url).await?;
            if !answer.status().is_redirection() {
                return self.read(answer, &ask, &url).await;
            }
            let to = answer
                .headers()
                .get(LOCATION)
                .and_then(|to| to.to_str().ok());
            let next = to.and_then(|to| url.join(to).ok());
            url = next
                .ok_or_else(|| Trouble::Passing(format!("{} redirects to nowhere", host(&url))))?;
        }
        Err(Trouble::Passing(format!(
            "{} redirects more than {MOST_REDIRECTS} times",
            host(&ask.url)
        )))
    }

    /// A token of a registry's authority.
    pub(super) async fn token(
        &self,
        url: Url,
        credentials: Option<Credentials>,
    ) -> Result<Vec<u8>, Trouble> {
        self.check(&url)?;
        let request = self.client.get(url.clone());
        let request = match credentials {
            Some(Credentials { user, secret }) => {
                let user = user.unwrap_or_else(|| "x-access-token".into());
                request.basic_auth(user, Some(secret.expose_secret()))
            }
            None => request,
        };
        let answer = self.send(request, &url).await?;
        let ask = Ask {
            url: url.clone(),
            accept: "",
            most: 1 << 20,
            trust: Trust::Source,
            authorization: None,
        };
        match self.read(answer, &ask, &url).await? {
            Answer::Content(content) => Ok(content),
            _ => Err(refused(&url)),
        }
    }

    async fn send(&self, request: RequestBuilder, url: &Url) -> Result<Response, Trouble> {
        request
            .send()
            .await
            .map_err(|error| unreachable(url, error))
    }

    async fn read(
        &self,
        mut answer: Response,
        ask: &Ask<'_>,
        url: &Url,
    ) -> Result<Answer, Trouble> {
        match answer.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Answer::Missing),
            StatusCode::UNAUTHORIZED => {
                let asks = answer.headers().get(WWW_AUTHENTICATE);
                let asks = asks.and_then(|asks| asks.to_str().ok());
                return Ok(Answer::Unauthorized(asks.unwrap_or_default().into()));
            }
            StatusCode::FORBIDDEN => return Err(refused(url)),
            status if !status.is_success() => {
                return Err(Trouble::Passing(format!("{} answers {status}", host(url))));
            }
            _ => {}
        }
        let too_large = || {
            let most = ask.most >> 20;
            Trouble::Author(format!("{} gives more than {most} MiB", host(url)))
        };
        if answer
            .content_length()
            .is_some_and(|length| length > ask.most)
        {
            return Err(too_large());
        }
        let mut content = Vec::new();
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| unreachable(url, error))?
        {
            if (content.len() + chunk.len()) as u64 > ask.most {
                return Err(too_large());
            }
            content.extend_from_slice(&chunk);
        }
        Ok(Answer::Content(content))
    }

    /// https, and no literal address that is not public.
    fn check(&self, url: &Url) -> Result<(), Trouble> {
        let host = url.host_str().unwrap_or_default();
        let known = self.sources.private_hosts().any(|private| private == host);
        let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let private = literal.is_some_and(|address| !is_public(address)) || is_loopback(host);
        let plain = url.scheme() != "https";
        if (private && !known) || (plain && !(known && is_loopback(host))) {
            return Err(Trouble::Author(format!(
                "{host} is not asked: only https, and private addresses only of sources that have `private: true` (--sources)"
            )));
        }
        Ok(())
    }
}

fn same_place(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

fn authorized(request: RequestBuilder, credentials: Option<Credentials>) -> RequestBuilder {
    match credentials {
        Some(Credentials {
            user: Some(user),
            secret,
        }) => request.basic_auth(user, Some(secret.expose_secret())),
        Some(Credentials { user: None, secret }) => request.bearer_auth(secret.expose_secret()),
        None => request,
    }
}

/// The host and port of a URL.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.into(), |port| format!("{host}:{port}"))
}

pub(super) fn refused(url: &Url) -> Trouble {
    Trouble::Author(format!(
        "{} does not let windlass in: its source needs `credentials` that it accepts, in the server's settings (--sources)",
        host(url)
    ))
}

fn unreachable(url: &Url, error: reqwest::Error) -> Trouble {
    let words = causes(&error.without_url());
    if words.contains(PRIVATE) {
        return Trouble::Author(format!(
            "{} {PRIVATE}: its source needs `private: true` in the server's settings (--sources)",
            host(url)
        ));
    }
    let told = advice(url.as_str(), &words).unwrap_or(words);
    Trouble::Passing(format!("{} cannot be reached: {told}", host(url)))
}

const PRIVATE: &str = "has no public address";

/// Resolves names to public addresses, and those of the settings' private hosts to any.
pub(super) struct Guard {
    private: Vec<String>,
}

impl Guard {
    pub(super) fn new(sources: &Sources) -> Self {
        let mut private: Vec<_> = sources.private_hosts().map(str::to_string).collect();
        // Whoever set a proxy may have it anywhere; it resolves names by itself.
        let proxies = ["https://example.com", "http://example.com"].map(proxy_of);
        let hosts = proxies.into_iter().flatten();
        private.extend(hosts.filter_map(|proxy| Some(proxy.rsplit_once(':')?.0.to_string())));
        Self { private }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let any = self.private.iter().any(|private| private == name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let usable = found.filter(|address| any || is_public(address.ip()));
            let usable: Vec<SocketAddr> = usable.collect();
            match usable.is_empty() {
                true => Err(PRIVATE.into()),
                false => Ok(Box::new(usable.into_iter()) as Addrs),
            }
        })
    }
}

/// Whether an address is one of the internet, by IANA's registries of special-purpose addresses.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => is_public_v4(address),
            // 2000::/3, without 6to4 and Teredo, which lead to addresses of their own.
            None => {
                let parts = address.segments();
                parts[0] & 0xe000 == 0x2000 && parts[0] != 0x2002 && parts[..2] != [0x2001, 0]
            }
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0)
            | (198, 18..=19, _)
            | (224..=255, _, _)
    );
    !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for (address, expected) in [
            ("140.82.121.4", true),
            ("2606:50c0:8000::153", true),
            ("10.0.0.1", false),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("172.31.0.1", false),
            ("100.64.0.1", false),
            ("192.168.1.1", false),
            ("0.0.0.0", false),
            ("::1", false),
            ("::ffff:10.0.0.1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("64:ff9b::a00:1", false),
            ("2002:a00:1::", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }
}
