//! Charts in OCI registries: a manifest with one layer, which is the archive
//! (helm.sh/docs/topics/registries, github.com/opencontainers/distribution-spec).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::super::run::Trouble;
use super::ChartVersion;
use super::repository::MOST_ARCHIVE;
use super::sources::{Credentials, is_loopback};
use super::web::{Answer, Ask, Trust, Web, refused};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const MOST_MANIFEST: u64 = 4 << 20;

/// The archive of a chart.
pub(super) async fn chart(web: &Web, of: &ChartVersion) -> Result<Vec<u8>, Trouble> {
    let place = of.repository.trim_end_matches('/');
    let (host, path) = registry(place.trim_start_matches("oci://"));
    let scheme = match is_loopback(host.split(':').next().unwrap_or_default()) {
        true => "http",
        false => "https",
    };
    let path = format!("{path}/{}", of.name);
    let mut registry = Registry {
        web,
        source: format!("oci://{host}{path}"),
        base: format!("{scheme}://{host}/v2{path}"),
        authorization: None,
    };
    // Tags have no `+`: Helm writes `_`.
    let tag = of.version.replace('+', "_");
    let none = || Trouble::Author(format!("{place} has no version {} of it", of.version));
    let tag = format!("manifests/{tag}");
    let manifest = registry.get(&tag, MANIFEST, MOST_MANIFEST, Trust::Source);
    let manifest = manifest.await?.ok_or_else(none)?;
    let manifest: Value = serde_json::from_slice(&manifest)
        .map_err(|_| Trouble::Passing("the registry gives no manifest".into()))?;
    let layers = manifest["layers"].as_array().into_iter().flatten();
    let mut charts = layers.filter(|layer| layer["mediaType"] == CHART);
    let digest = charts.next().and_then(|layer| layer["digest"].as_str());
    let digest = digest.and_then(|digest| digest.strip_prefix("sha256:"));
    let digest = digest.filter(|digest| digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let digest = digest.ok_or_else(|| Trouble::Author("what is there is no Helm chart".into()))?;
    let blob = format!("blobs/sha256:{digest}");
    let archive = registry
        .get(&blob, "*/*", MOST_ARCHIVE, Trust::Digest)
        .await?;
    let archive = archive.ok_or_else(|| Trouble::Author("its archive is gone".into()))?;
    match hex::encode(Sha256::digest(&archive)) == digest {
        true => Ok(archive),
        false => Err(Trouble::Passing(
            "the registry gives another archive than its manifest names".into(),
        )),
    }
}

/// Host and path. Docker Hub's registry has another name than Docker Hub.
fn registry(place: &str) -> (String, String) {
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let host = if host == "docker.io" {
        "registry-1.docker.io"
    } else {
        host
    };
    let path = if path.is_empty() {
        String::new()
    } else {
        format!("/{path}")
    };
    (host.into(), path)
}

/// A repository of a registry, with the authorization that it asked for.
struct Registry<'a> {
    web: &'a Web,
    /// `oci://HOST/PATH`, whose credentials it gets.
    source: String,
    base: String,
    authorization: Option<SecretString>,
}

impl Registry<'_> {
    async fn get(
        &mut self,
        what: &str,
        accept: &str,
        most: u64,
        trust: Trust,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        let url = Url::parse(&format!("{}/{what}", self.base));
        let url = url.map_err(|error| Trouble::Author(format!("`{}`: {error}", self.source)))?;
        for _ in 0..2 {
            let ask = Ask {
                url: url.clone(),
                accept,
                most,
                trust,
                authorization: self.authorization.as_ref(),
            };
            match self.web.get(ask).await? {
                Answer::Content(content) => return Ok(Some(content)),
                Answer::Missing => return Ok(None),
                Answer::Unauthorized(asks) if self.authorization.is_none() => {
                    self.authorization = Some(self.authorize(&url, &asks).await?);
                }
                Answer::Unauthorized(_) => break,
            }
        }
        Err(refused(&url))
    }

    /// What the registry asks for: a token of its authority, or the credentials themselves.
    async fn authorize(&self, url: &Url, asks: &str) -> Result<SecretString, Trouble> {
        let credentials = self.web.credentials(&self.source)?;
        let Some(parameters) = asks.strip_prefix("Bearer ") else {
            let Credentials { user, secret } = credentials.ok_or_else(|| refused(url))?;
            let user = user.unwrap_or_else(|| "x-access-token".into());
            let pair = BASE64.encode(format!("{user}:{}", secret.expose_secret()));
            return Ok(format!("Basic {pair}").into());
        };
        let realm = parameter(parameters, "realm").and_then(|realm| Url::parse(realm).ok());
        let mut realm = realm.ok_or_else(|| refused(url))?;
        for name in ["service", "scope"] {
            if let Some(value) = parameter(parameters, name) {
                realm.query_pairs_mut().append_pair(name, value);
            }
        }
        let answer = self.web.token(realm, credentials).await?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        let token = answer["token"].as_str().or(answer["access_token"].as_str());
        let value = token.map(|token| format!("Bearer {token}").into());
        value.ok_or_else(|| refused(url))
    }
}

/// A parameter of `WWW-Authenticate`: `realm="https://auth.example/token",service="x"`.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_registries() {
        for (place, host, path) in [
            ("ghcr.io/acme/charts", "ghcr.io", "/acme/charts"),
            ("docker.io/acme", "registry-1.docker.io", "/acme"),
            ("127.0.0.1:5000", "127.0.0.1:5000", ""),
        ] {
            assert_eq!(registry(place), (host.into(), path.into()));
        }
        let asks = r#"realm="https://a.example/t",service="r",scope="repository:x:pull,push""#;
        assert_eq!(parameter(asks, "scope"), Some("repository:x:pull,push"));
        assert_eq!(parameter(asks, "error"), None);
    }
}
