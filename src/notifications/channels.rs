//! The channels of the server's settings: where notifications go, and whose they may be.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use reqwest::header::HeaderName;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::Notification;
use crate::domain::{RepoName, wildcard};

/// All channels; none by default.
#[derive(Debug, Clone, Default)]
pub struct Channels(pub(super) Vec<Channel>);

/// Where notifications go.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    pub(super) name: String,
    /// Patterns of `owner/name`.
    repositories: Vec<String>,
    /// Whoever knows it may post there.
    pub(super) url: SecretString,
    pub(super) headers: Vec<(HeaderName, SecretString)>,
    pub(super) body: Body,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Slack,
    /// A minijinja template over [`Notification`].
    Template(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    channels: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Repositories whose `windlass.yaml` may name it; `*` stands for any text.
    repositories: Vec<String>,
    slack: Option<SecretString>,
    url: Option<SecretString>,
    #[serde(default)]
    headers: BTreeMap<String, SecretString>,
    body: Option<String>,
}

impl Channel {
    pub(super) fn is_for(&self, repo: &RepoName) -> bool {
        let name = repo.to_string();
        self.repositories
            .iter()
            .any(|pattern| wildcard(pattern, &name))
    }
}

impl Channels {
    /// The file of `--notifications`.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let file: File = crate::domain::yaml::parse(text).map_err(|why| anyhow::anyhow!(why))?;
        let channels = file.channels.into_iter();
        let channels = channels.map(|(name, entry)| {
            let channel = entry.channel(name.clone());
            channel.with_context(|| format!("the channel `{name}`"))
        });
        Ok(Self(channels.collect::<anyhow::Result<_>>()?))
    }
}

impl Entry {
    fn channel(self, name: String) -> anyhow::Result<Channel> {
        let (url, body) = match (self.slack, self.url, self.body) {
            (Some(url), None, None) => (url, Body::Slack),
            (None, Some(url), Some(body)) => (url, Body::Template(body)),
            (None, Some(_), None) => bail!("`url` needs a `body`: the template of what is posted"),
            _ => bail!("give either `slack`, or `url` and `body`"),
        };
        let address: reqwest::Url = url
            .expose_secret()
            .parse()
            .map_err(|_| anyhow::anyhow!("its address is not a URL"))?;
        let is_local = address
            .host_str()
            .is_some_and(|host| host == "127.0.0.1" || host == "localhost");
        if address.scheme() != "https" && !is_local {
            bail!("its address does not begin with https://");
        }
        if self.repositories.is_empty() {
            bail!("`repositories` is empty: name those that may use it, such as acme/config");
        }
        let headers = self.headers.into_iter().map(|(name, value)| {
            let name = HeaderName::try_from(name.to_ascii_lowercase());
            Ok((name.context("a header's name is not legal")?, value))
        });
        let channel = Channel {
            name,
            repositories: self.repositories,
            url,
            headers: headers.collect::<anyhow::Result<_>>()?,
            body,
        };
        if let Body::Template(template) = &channel.body {
            render(template, &example()).map_err(|why| anyhow::anyhow!(why))?;
        }
        Ok(channel)
    }
}

/// What a template is tried with.
fn example() -> Notification {
    Notification {
        text: "shop/staging is synced and healthy".into(),
        moment: crate::domain::notification::Moment::Healthy,
        repository: "acme/config".into(),
        application: "shop".into(),
        stage: "staging".into(),
        reason: "Healthy".into(),
        message: String::new(),
        commit: String::new(),
        url: String::new(),
    }
}

/// The body that a template makes.
pub(super) fn render(template: &str, notification: &Notification) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(100_000));
    let told = |error: minijinja::Error| format!("its template: {error}");
    environment
        .template_from_str(template)
        .and_then(|template| template.render(Serde(notification)))
        .map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_with_the_channel_and_without_its_address() {
        for (text, why) in [
            (
                "channels: {a: {repositories: [a/b], slack: 'https://hooks.example/SECRET', url: 'https://x.example'}}",
                "give either `slack`, or `url` and `body`",
            ),
            (
                "channels: {a: {repositories: [a/b], url: 'https://x.example/SECRET'}}",
                "`url` needs a `body`",
            ),
            (
                "channels: {a: {repositories: [a/b], slack: 'http://hooks.example/SECRET'}}",
                "does not begin with https://",
            ),
            (
                "channels: {a: {repositories: [], slack: 'https://hooks.example/SECRET'}}",
                "`repositories` is empty",
            ),
            (
                "channels: {a: {repositories: [a/b], url: 'https://x.example/SECRET', body: '{{ nope }}'}}",
                "its template: undefined value",
            ),
            (
                "channels: {a: {repositories: [a/b], url: 'https://x.example/SECRET', body: '{% if %}'}}",
                "its template: ",
            ),
        ] {
            let error = format!("{:#}", Channels::parse(text).unwrap_err());
            assert!(
                error.contains("the channel `a`") && error.contains(why),
                "{error}"
            );
            assert!(!error.contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn a_channel_is_for_the_repositories_that_it_names() {
        let text = "channels: {a: {repositories: ['acme/*'], url: 'https://x.example', body: '{\"a\": {{ text|tojson }}}'}}";
        let channel = Channels::parse(text).unwrap().0.remove(0);
        assert!(channel.is_for(&"acme/config".parse().unwrap()));
        assert!(!channel.is_for(&"other/config".parse().unwrap()));
        let Body::Template(template) = &channel.body else {
            panic!("{channel:?}")
        };
        let body = render(template, &example()).unwrap();
        assert_eq!(body, "{\"a\": \"shop/staging is synced and healthy\"}");
    }
}
