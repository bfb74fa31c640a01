//! The way out to GitHub's API, to git over HTTPS and to image registries: whom windlass trusts, and
//! what stands between.
//!
//! All of it goes by reqwest, which trusts the system's authorities (`SSL_CERT_FILE` and
//! `SSL_CERT_DIR` replace them) and uses the proxies of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
//! `NO_PROXY`. Here are the authorities that `--ca-file` adds, and words for what fails on the way.
//! The values of the proxies' variables may hold passwords: they are never shown.

use std::error::Error;
use std::path::Path;

use anyhow::{Context as _, bail};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The variables that reqwest reads, each pair in its order.
const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// An address that a flag names: https, except on loopback. `what` would travel in the clear otherwise.
pub fn secure_url(flag: &str, text: &str, what: &str) -> anyhow::Result<reqwest::Url> {
    let url: reqwest::Url = text
        .parse()
        .with_context(|| format!("{flag}: `{text}` is not a URL"))?;
    let loopback = url
        .host_str()
        .is_some_and(|host| host == "localhost" || host == "127.0.0.1" || host == "[::1]");
    if url.scheme() != "https" && !loopback {
        bail!("{flag}: `{text}` is not https: {what} would travel in the clear");
    }
    Ok(url)
}

/// The authorities that are trusted besides the system's.
#[derive(Clone, Default)]
pub struct Outgoing {
    authorities: Vec<CertificateDer<'static>>,
}

impl Outgoing {
    /// `ca_file`: PEM, one certificate or more. An error as well where reqwest would silently use
    /// no proxy.
    pub fn new(ca_file: Option<&Path>) -> anyhow::Result<Self> {
        for name in PROXIES {
            check_proxy(name, &std::env::var(name).unwrap_or_default())?;
        }
        let authorities = match ca_file {
            Some(file) => read(file).with_context(|| format!("--ca-file {}", file.display()))?,
            None => Vec::new(),
        };
        Ok(Self { authorities })
    }

    /// What clients are built from.
    pub fn client(&self) -> anyhow::Result<reqwest::ClientBuilder> {
        Ok(reqwest::Client::builder().tls_certs_merge(self.certificates()?))
    }

    /// For reqwest.
    pub fn certificates(&self) -> anyhow::Result<Vec<reqwest::Certificate>> {
        let certificates = self.authorities.iter();
        let certificates = certificates.map(|der| reqwest::Certificate::from_der(der));
        Ok(certificates.collect::<reqwest::Result<_>>()?)
    }

    /// As DER.
    pub fn authorities(&self) -> impl Iterator<Item = &[u8]> {
        self.authorities.iter().map(AsRef::as_ref)
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let text = std::fs::read(file).context("it cannot be read")?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = parsed.map_err(|error| anyhow::anyhow!("it is not PEM: {error}"))?;
    if certificates.is_empty() {
        bail!("it has no certificate (-----BEGIN CERTIFICATE-----)");
    }
    let mut store = rustls::RootCertStore::empty();
    for (at, certificate) in certificates.iter().enumerate() {
        let added = store.add(certificate.clone());
        added.with_context(|| format!("its certificate {} cannot be used", at + 1))?;
    }
    Ok(certificates)
}

/// reqwest passes over values that it does not understand, and would then use no proxy.
fn check_proxy(name: &str, value: &str) -> anyhow::Result<()> {
    let matcher = Matcher::builder().all(value.to_string()).build();
    let proxy = proxy_in(&matcher, "https://example.com");
    let is_http = proxy.is_some_and(|proxy| {
        let scheme = proxy.uri().scheme_str();
        scheme.is_some_and(|scheme| scheme == "http" || scheme == "https")
    });
    if !value.is_empty() && !is_http {
        bail!(
            "{name} is not the address of an HTTP proxy, as in http://HOST:PORT (its value may hold a password and is not shown)"
        );
    }
    Ok(())
}

fn proxy_in(matcher: &Matcher, url: &str) -> Option<Intercept> {
    matcher.intercept(&url.parse().ok()?)
}

/// Host and port of the proxy that a URL is asked through.
pub fn proxy_of(url: &str) -> Option<String> {
    proxy_in(&Matcher::from_system(), url).map(|proxy| name(&proxy))
}

fn name(proxy: &Intercept) -> String {
    // Not the authority: of a password with an `@`, a part would stand in it.
    let uri = proxy.uri();
    let host = uri.host().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    match uri.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.into(),
    }
}

/// An error with its causes, in one line; reqwest's own words, which repeat the URL, only where
/// there are no others.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let said = error.to_string();
        next = error.source();
        let is_idle = error.is::<reqwest::Error>() && next.is_some();
        if !is_idle && words.last() != Some(&said) {
            words.push(said);
        }
    }
    words.join(": ")
}

/// What somebody has to do about a request that failed before the server answered, if that can be
/// told from its causes: an authority that is not trusted, or the proxy.
pub fn advice(url: &str, causes: &str) -> Option<String> {
    advice_by(&Matcher::from_system(), url, causes)
}

/// The words of rustls (`UnknownIssuer`), hyper-util (`tunnel error`) and hyper (`Connect`) are all
/// that is left of an error that went through octocrab, gix or oci-client.
fn advice_by(matcher: &Matcher, url: &str, causes: &str) -> Option<String> {
    let host = url.split('/').nth(2).unwrap_or(url);
    if causes.contains("UnknownIssuer") {
        return Some(format!(
            "the certificate of {host} is signed by an authority that windlass does not trust (UnknownIssuer): give that authority's certificate by --ca-file (WINDLASS_CA_FILE)"
        ));
    }
    let proxy = proxy_in(matcher, url)?;
    let named = format!("the proxy {}", name(&proxy));
    let Some((_, tunnel)) = causes.split_once("tunnel error: ") else {
        let is_ours = causes.contains("client error (Connect)");
        return is_ours.then(|| format!("{causes} (on the way through {named})"));
    };
    Some(match tunnel {
        "proxy authorization required" if proxy.basic_auth().is_some() => {
            format!("{named} does not accept the credentials in its variable (407)")
        }
        "proxy authorization required" => format!(
            "{named} asks for credentials (407): put them into its variable, as in http://USER:PASSWORD@HOST:PORT"
        ),
        "unsuccessful" => format!("{named} refuses to connect to {host}"),
        other => match other.split_once("underlying connection: ") {
            Some((_, why)) => format!("{named} cannot be reached: {why}"),
            None => format!("{named} fails to connect to {host}: {other}"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_authorities_is_checked_and_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, said) in [
            ("", "it has no certificate"),
            ("-----BEGIN CERTIFICATE-----\n", "it is not PEM"),
            (broken, "its certificate 1 cannot be used"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = format!("{:#}", Outgoing::new(Some(file.path())).err().unwrap());
            let path = file.path().display().to_string();
            assert!(error.contains(said) && error.contains(&path), "{error}");
        }
        let error = Outgoing::new(Some(Path::new("/no/such.pem"))).err();
        let error = format!("{:#}", error.unwrap());
        assert!(
            error.contains("--ca-file /no/such.pem: it cannot"),
            "{error}"
        );
    }

    #[test]
    fn a_proxy_that_would_be_passed_over_is_an_error_without_its_password() {
        for good in ["", "http://me:hidden@proxy.corp:3128", "proxy.corp:3128"] {
            check_proxy("HTTPS_PROXY", good).unwrap();
        }
        for bad in ["socks5://me:hidden@proxy.corp", "http://", "http:/hidden"] {
            let error = check_proxy("HTTPS_PROXY", bad).unwrap_err().to_string();
            assert!(error.starts_with("HTTPS_PROXY is not"), "{error}");
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn what_a_proxy_does_is_not_told_as_the_servers_doing() {
        let of = |proxy: &str, causes: &str| {
            let matcher = Matcher::builder().all(proxy.to_string()).build();
            advice_by(&matcher, "https://github.corp/api/v3", causes).unwrap_or_default()
        };
        let (bare, known) = ("http://proxy:3128", "http://me:hidden@proxy:3128");
        let asks = "client error (Connect): tunnel error: proxy authorization required";
        let away = "client error (Connect): tunnel error: failed to create underlying connection: tcp connect error: Connection refused";
        let said = [
            of(bare, asks),
            of(known, asks),
            of(known, "client error (Connect): tunnel error: unsuccessful"),
            of(known, away),
            of(known, "client error (Connect): operation timed out"),
        ];
        insta::assert_snapshot!(said.join("\n"), @r"
        the proxy proxy:3128 asks for credentials (407): put them into its variable, as in http://USER:PASSWORD@HOST:PORT
        the proxy proxy:3128 does not accept the credentials in its variable (407)
        the proxy proxy:3128 refuses to connect to github.corp
        the proxy proxy:3128 cannot be reached: tcp connect error: Connection refused
        client error (Connect): operation timed out (on the way through the proxy proxy:3128)
        ");
        assert_eq!(of("", "client error (Connect): dns error"), "");
    }
}
