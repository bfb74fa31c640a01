//! Registers the App from its manifest
//! (docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest): a person
//! posts the manifest to GitHub from a page, GitHub sends them back with a code, and the code buys
//! the credentials, once.

use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::outgoing::{Outgoing, causes};

/// The manifests that the App is registered from.
pub(super) const MANIFEST: &str = include_str!("../../deploy/github-app.json");
pub(super) const PREVIEW_ONLY: &str = include_str!("../../deploy/github-app-preview-only.json");
const PATIENCE: Duration = Duration::from_secs(30);

/// What GitHub answers once the App is registered.
#[derive(Debug, Clone, Deserialize)]
pub struct NewApp {
    pub id: u64,
    pub slug: String,
    /// The App's page.
    pub html_url: String,
    pub pem: SecretString,
    /// None: the App has no webhook.
    pub webhook_secret: Option<SecretString>,
}

/// The manifest of an App with this name. `address`: where windlass will be reached; None: it has no
/// webhook. `back`: where GitHub sends the person afterwards.
pub fn manifest(name: &str, address: Option<&str>, preview_only: bool, back: &str) -> Value {
    let text = match preview_only {
        true => PREVIEW_ONLY,
        false => MANIFEST,
    };
    let mut manifest: Value = serde_json::from_str(text).expect("the manifests are tested");
    manifest["name"] = name.into();
    manifest["redirect_url"] = back.into();
    match address {
        Some(address) => {
            let url = format!("{}/webhook", address.trim_end_matches('/'));
            manifest["hook_attributes"] = json!({"url": url, "active": true});
        }
        // Without an address there are no events; GitHub refuses a manifest that names some.
        None => {
            let map = manifest.as_object_mut().expect("a manifest is a mapping");
            map.remove("hook_attributes");
            map.remove("default_events");
        }
    }
    manifest
}

/// Buys the credentials of the App that a code stands for.
pub async fn register(api_url: &str, code: &str, outgoing: &Outgoing) -> anyhow::Result<NewApp> {
    let is_code = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if code.is_empty() || code.len() > 200 || !code.chars().all(is_code) {
        bail!("GitHub sent no code that looks like one");
    }
    let client = outgoing.client()?.timeout(PATIENCE).build()?;
    let url = format!("{api_url}/app-manifests/{code}/conversions");
    let request = client
        .post(&url)
        .header("accept", "application/vnd.github+json")
        .header(
            "user-agent",
            concat!("windlass/", env!("CARGO_PKG_VERSION")),
        );
    // The address has the code in it: it is in no message.
    let answer = request
        .send()
        .await
        .map_err(|error| anyhow::anyhow!("{api_url}: {}", causes(&error.without_url())))?;
    if !answer.status().is_success() {
        bail!(
            "GitHub answers {} to the code: it is good for an hour, and once",
            answer.status()
        );
    }
    answer
        .json()
        .await
        .map_err(|error| error.without_url())
        .context("GitHub's answer has no credentials")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_the_shipped_one_with_the_answers() {
        let full = manifest(
            "a",
            Some("https://w.example/"),
            false,
            "http://127.0.0.1:1/created",
        );
        assert_eq!(full["hook_attributes"]["url"], "https://w.example/webhook");
        assert_eq!(full["redirect_url"], "http://127.0.0.1:1/created");
        assert_eq!(full["default_permissions"]["contents"], "write");
        let without = manifest("a", None, true, "http://127.0.0.1:1/created");
        assert!(
            without.get("hook_attributes").is_none() && without.get("default_events").is_none()
        );
        assert_eq!(without["default_permissions"]["contents"], "read");
    }
}
