//! Whom the fetcher may ask: the sources of the server's settings.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::super::run::Trouble;

/// The sources that may be fetched from; none by default.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<Source>);

/// What is below an address.
#[derive(Debug, Clone)]
pub(super) struct Source {
    address: Address,
    credentials: Option<PathBuf>,
    /// Whether it may have an address that is not public.
    pub(super) private: bool,
}

/// An address without what a request adds. Compared by whole parts of its path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    oci: bool,
    host: String,
    port: Option<u16>,
    path: Vec<String>,
}

/// A user's name, if there is one, and a password or token.
pub(super) struct Credentials {
    pub(super) user: Option<String>,
    pub(super) secret: SecretString,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sources: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    url: String,
    credentials: Option<PathBuf>,
    #[serde(default)]
    private: bool,
}

pub(super) fn is_loopback(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].contains(&host)
}

impl Sources {
    /// The file of `--sources`.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        Self::parse(file).with_context(|| format!("--sources {}", file.display()))
    }

    fn parse(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).context("it cannot be read")?;
        let File { sources } = serde_saphyr::from_str(&text)?;
        let sources = sources.into_iter().map(Source::new);
        Ok(Self(sources.collect::<anyhow::Result<_>>()?))
    }

    /// The source that a URL is below.
    pub(super) fn of(&self, url: &str) -> Option<&Source> {
        let address = Address::parse(url).ok()?;
        let all = self.0.iter().filter(|source| source.address.has(&address));
        // The nearest one: it may have credentials of its own.
        all.max_by_key(|source| source.address.path.len())
    }

    /// An error with the line to add: nothing may be fetched from there.
    pub(super) fn allowed(&self, url: &str) -> Result<&Source, Trouble> {
        if let Err(why) = Address::parse(url) {
            return Err(Trouble::Author(why));
        }
        self.of(url).ok_or_else(|| {
            Trouble::Author(format!(
                "the server's settings do not let windlass fetch from there: its administrator can add `- url: {url}` to the file of --sources"
            ))
        })
    }

    /// The hosts that may have addresses that are not public.
    pub(super) fn private_hosts(&self) -> impl Iterator<Item = &str> {
        let private = self.0.iter().filter(|source| source.private);
        private.map(|source| source.address.host.as_str())
    }
}

impl Source {
    fn new(entry: Entry) -> anyhow::Result<Self> {
        let address = Address::parse(&entry.url).map_err(anyhow::Error::msg)?;
        let source = Self {
            // An address in place of a name is meant as it is.
            private: entry.private
                || is_loopback(&address.host)
                || address.host.parse::<std::net::Ipv4Addr>().is_ok()
                || address.host.starts_with('['),
            credentials: entry.credentials,
            address,
        };
        source.credentials().with_context(|| entry.url)?;
        Ok(source)
    }

    /// Read each time, since files of Secrets are replaced. An error never shows them.
    pub(super) fn credentials(&self) -> anyhow::Result<Option<Credentials>> {
        let Some(file) = &self.credentials else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the credentials {}", file.display()))?;
        let text = SecretString::from(text.trim());
        let (user, secret) = match text.expose_secret().split_once(':') {
            Some((user, secret)) => (Some(user.to_string()), secret),
            None => (None, text.expose_secret()),
        };
        if secret.is_empty() || secret.contains(char::is_whitespace) {
            bail!(
                "{} is not one line with USER:PASSWORD or a token",
                file.display()
            );
        }
        Ok(Some(Credentials {
            user,
            secret: secret.into(),
        }))
    }
}

impl Address {
    /// An error without the URL, which may hold a password.
    fn parse(text: &str) -> Result<Self, String> {
        let oci = text.strip_prefix("oci://");
        let url = match oci {
            Some(rest) => Url::parse(&format!("https://{rest}")),
            None => Url::parse(text),
        };
        let url = url.map_err(|error| format!("its address is no URL: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("its address has credentials in it: take them out, they belong into the server's settings (--sources)".into());
        }
        let host = url.host_str().unwrap_or_default();
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(host)) {
            return Err("its address is neither https:// nor oci://".into());
        }
        let path = url.path();
        // Servers may read these as `/`, and then `..` in between.
        let lower = path.to_ascii_lowercase();
        if ["%2f", "%5c", "%2e"]
            .iter()
            .any(|code| lower.contains(code))
        {
            return Err("its address has an encoded `/`, `\\` or `.` in it".into());
        }
        let parts = path.split('/').filter(|part| !part.is_empty());
        Ok(Self {
            oci: oci.is_some(),
            host: host.into(),
            port: url.port_or_known_default(),
            path: parts.map(str::to_string).collect(),
        })
    }

    fn has(&self, other: &Self) -> bool {
        (self.oci, &self.host, self.port) == (other.oci, &other.host, other.port)
            && other.path.starts_with(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> anyhow::Result<Sources> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        Sources::read(file.path())
    }

    #[test]
    fn only_what_is_below_a_source_is_allowed() {
        let sources = sources(
            "sources:\n- url: https://charts.example.com/stable\n- url: oci://ghcr.io/acme\n- url: https://github.com/acme/\n",
        )
        .unwrap();
        for (url, expected) in [
            ("https://charts.example.com/stable", true),
            ("https://charts.example.com/stable/", true),
            ("https://charts.example.com:443/stable/x/y.tgz", true),
            ("https://CHARTS.example.com/stable", true),
            ("oci://ghcr.io/acme/charts", true),
            ("https://github.com/acme/bases", true),
            ("https://charts.example.com/stable2", false),
            ("https://charts.example.com/stable/../incubator", false),
            ("https://charts.example.com/stable/%2e%2e/incubator", false),
            ("https://charts.example.com/stable/..%2fincubator", false),
            ("https://charts.example.com/", false),
            ("https://charts.example.com:8443/stable", false),
            ("http://charts.example.com/stable", false),
            ("https://charts.example.com.evil/stable", false),
            ("https://charts.example.com@evil/stable", false),
            ("https://me:pw@charts.example.com/stable", false),
            ("oci://charts.example.com/stable", false),
            ("https://ghcr.io/acme", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(sources.allowed(url).is_ok(), expected, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_settings_is_said_without_credentials() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "me:hidden hidden\n").unwrap();
        let file = secret.path().display();
        for (text, said) in [
            (
                "sources:\n- url: http://charts.example.com\n",
                "neither https:// nor oci://",
            ),
            ("sources:\n- uri: x\n", "unknown field `uri`"),
            (
                "sources:\n- url: https://me:hidden@x.example\n",
                "credentials in it",
            ),
            (
                &format!("sources:\n- url: https://x.example\n  credentials: {file}\n"),
                "is not one line with",
            ),
            (
                "sources:\n- url: https://x.example\n  credentials: /no/such\n",
                "cannot read the credentials /no/such",
            ),
        ] {
            let error = format!("{:#}", sources(text).unwrap_err());
            assert!(error.contains(said) && !error.contains("hidden"), "{error}");
        }
    }
}
