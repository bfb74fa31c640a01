//! Image registries, by oci-client: the manifests that an index lists.
//!
//! Each answer is checked by its digest, so the registry need not be trusted.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use oci_client::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use serde_json::Value;
use sha2::Digest as _;

use crate::domain::image::{Digest, ImageRef};
use crate::outgoing::{Outgoing, advice};

const DEADLINE: Duration = Duration::from_secs(10);
/// The media types of OCI image indexes and of Docker's manifest lists.
const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Access to registries, with the configured credentials.
pub struct Registry {
    outgoing: Outgoing,
    credentials: BTreeMap<String, (String, String)>,
}

impl Registry {
    /// `file`: as `docker login` writes it (`~/.docker/config.json`). Credential helpers are not run.
    pub fn new(file: Option<&Path>, outgoing: Outgoing) -> anyhow::Result<Self> {
        let Some(file) = file else {
            return Ok(Self {
                outgoing,
                credentials: BTreeMap::new(),
            });
        };
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let config: Value = serde_json::from_str(&text)
            .map_err(|_| anyhow::anyhow!("{} is not JSON", file.display()))?;
        let mut credentials = BTreeMap::new();
        for (registry, entry) in config["auths"].as_object().into_iter().flatten() {
            let decoded = entry["auth"]
                .as_str()
                .and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
            let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            if let Some((user, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
                let name = registry
                    .trim_start_matches("https://")
                    .split('/')
                    .next()
                    .unwrap_or_default();
                credentials.insert(name.to_string(), (user.to_string(), password.to_string()));
            }
        }
        Ok(Self {
            outgoing,
            credentials,
        })
    }

    /// The digests of the manifests that an image's index lists; none if the image is a single
    /// manifest.
    pub async fn manifests_of(&self, image: &ImageRef) -> anyhow::Result<Vec<Digest>> {
        let digest = image.digest.as_ref().context("it has no digest")?;
        let reference: oci_client::Reference = format!("{}@{digest}", image.name).parse()?;
        let registry = reference.resolve_registry().to_string();
        let loopback =
            ["localhost", "127.0.0.1"].contains(&registry.split(':').next().unwrap_or_default());
        let protocol = if loopback {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        };
        let authority = |der: &[u8]| Certificate {
            encoding: CertificateEncoding::Der,
            data: der.to_vec(),
        };
        let client = Client::try_from(ClientConfig {
            protocol,
            connect_timeout: Some(DEADLINE),
            extra_root_certificates: self.outgoing.authorities().map(authority).collect(),
            ..ClientConfig::default()
        })?;
        let auth = self.auth(&registry);
        let pull = client.pull_manifest_raw(&reference, &auth, &INDEXES);
        let pulled = tokio::time::timeout(DEADLINE, pull)
            .await
            .context("the registry does not answer")?;
        let (bytes, _) = pulled.map_err(|error| {
            let error = anyhow::Error::new(error);
            let told = advice(&format!("https://{registry}"), &format!("{error:#}"));
            told.map_or(error, anyhow::Error::msg)
        })?;
        let found = format!("sha256:{}", hex::encode(sha2::Sha256::digest(&bytes)));
        anyhow::ensure!(
            found == digest.as_str(),
            "the registry gave {found} for {digest}"
        );
        let index: Value = serde_json::from_slice(&bytes)?;
        let listed = index["manifests"].as_array().into_iter().flatten();
        Ok(listed
            .filter_map(|manifest| manifest["digest"].as_str()?.parse().ok())
            .collect())
    }

    /// Credentials are only sent to the registry that they are configured for.
    fn auth(&self, registry: &str) -> RegistryAuth {
        match self.credentials.get(registry) {
            Some((user, password)) => RegistryAuth::Basic(user.clone(), password.clone()),
            None => RegistryAuth::Anonymous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_no_other_registry() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let pair = base64::engine::general_purpose::STANDARD.encode("me:secret");
        std::fs::write(
            file.path(),
            format!("{{\"auths\": {{\"https://a.example/v1/\": {{\"auth\": \"{pair}\"}}}}}}"),
        )
        .unwrap();
        let registry = Registry::new(Some(file.path()), Outgoing::default()).unwrap();
        assert_eq!(
            registry.auth("a.example"),
            RegistryAuth::Basic("me".into(), "secret".into())
        );
        for other in ["b.example", "a.example.evil", "a.example:5000", ""] {
            assert_eq!(registry.auth(other), RegistryAuth::Anonymous, "{other}");
        }
    }
}
