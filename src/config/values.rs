//! Single values of settings, checked: an address, secrets, a cluster, a program.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use secrecy::SecretString;

use crate::cluster::Access;
use crate::domain::catalog::Fleet;
use crate::github;
use crate::outgoing::secure_url;

/// https, except on loopback; and at the path that GitHub has it at.
pub(super) fn api_url(text: &str) -> anyhow::Result<String> {
    let url = secure_url("--github-api-url", text, "the App's tokens")?;
    let host = url.host_str().unwrap_or_default();
    let meant = if host == "github.com" || host == "www.github.com" {
        "https://api.github.com".to_string()
    } else if host.ends_with(".ghe.com") && !host.starts_with("api.") {
        format!("https://api.{host}")
    } else if host != "api.github.com"
        && !host.ends_with(".ghe.com")
        && !url.path().trim_end_matches('/').ends_with("/api/v3")
    {
        format!("https://{host}/api/v3")
    } else {
        return Ok(text.trim_end_matches('/').into());
    };
    bail!("--github-api-url: `{text}` is not where GitHub has its API: use {meant}")
}

/// One secret a line; none may be empty.
pub(super) fn secrets(file: &PathBuf) -> anyhow::Result<Vec<SecretString>> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let secrets: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(SecretString::from)
        .collect();
    if secrets.is_empty() {
        bail!(
            "{} is empty: an empty secret would let anybody in",
            file.display()
        );
    }
    Ok(secrets)
}

pub(super) fn cluster(text: &str) -> anyhow::Result<(String, Access)> {
    let (name, place) = text
        .split_once('=')
        .with_context(|| format!("--cluster: `{text}` is not NAME=KUBECONFIG"))?;
    let (file, context) = match place.split_once('#') {
        Some((file, context)) => (file, Some(context.to_string())),
        None => (place, None),
    };
    Ok((name.into(), Access::File(file.into(), context)))
}

/// The clusters that labels are given for: `NAME:KEY=VALUE`.
pub fn fleet(labels: &[String]) -> anyhow::Result<Fleet> {
    let mut fleet = Fleet::default();
    for text in labels.iter().filter(|text| !text.is_empty()) {
        let (name, key, value) = text
            .split_once(':')
            .and_then(|(name, label)| Some((name, label.split_once('=')?)))
            .map(|(name, (key, value))| (name, key, value))
            .with_context(|| format!("--cluster-label: `{text}` is not NAME:KEY=VALUE"))?;
        let labels = fleet.0.entry(name.into()).or_default();
        if labels.insert(key.into(), value.into()).is_some() {
            bail!("--cluster-label: `{name}` has two values for `{key}`");
        }
    }
    Ok(fleet)
}

/// The kustomize program. On people's machines it may be a part of kubectl only.
pub fn kustomize(name: &PathBuf) -> anyhow::Result<PathBuf> {
    let found = program("kustomize", name);
    if found.is_ok() || name.as_os_str() != "kustomize" {
        return found;
    }
    program("kustomize", &PathBuf::from("kubectl")).map_err(|_| {
        anyhow::anyhow!("neither `kustomize` nor `kubectl` is on the PATH: install one of them, or name one with --kustomize")
    })
}

/// A program that need not be given.
pub fn optional(option: &str, name: Option<&PathBuf>) -> anyhow::Result<Option<PathBuf>> {
    name.map(|name| program(option, name)).transpose()
}

/// A program by path or name; found now rather than at the first pull request.
pub fn program(option: &str, name: &PathBuf) -> anyhow::Result<PathBuf> {
    if name.components().count() > 1 {
        return if name.is_file() {
            Ok(name.clone())
        } else {
            bail!("--{option}: {} does not exist", name.display())
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.with_context(|| {
        format!(
            "`{}` is not on the PATH: install it, or name it with --{option}",
            name.display()
        )
    })
}

/// The host of repositories, by the address of GitHub's API.
pub fn web_host(api_url: &str) -> String {
    let web = github::web_of(api_url);
    let (_, rest) = web.split_once("://").unwrap_or(("", &web));
    rest.split(['/', ':']).next().unwrap_or(rest).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_do_not_travel_in_the_clear() {
        for good in [
            "https://api.github.com",
            "https://api.acme.ghe.com",
            "https://git.corp/api/v3/",
            "http://127.0.0.1:8000/api/v3",
        ] {
            assert!(api_url(good).is_ok(), "{good}");
        }
        for bad in ["http://git.corp/api/v3", "git.corp", ""] {
            assert!(api_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_api_is_where_github_has_it() {
        for (text, meant) in [
            ("https://github.com", "use https://api.github.com"),
            ("https://acme.ghe.com/", "use https://api.acme.ghe.com"),
            ("https://git.corp", "use https://git.corp/api/v3"),
            (
                "https://git.corp/api/graphql",
                "use https://git.corp/api/v3",
            ),
        ] {
            let error = api_url(text).unwrap_err().to_string();
            assert!(error.ends_with(meant), "{error}");
        }
    }

    #[test]
    fn an_empty_secret_lets_nobody_in() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "\n", "  \n\n"] {
            std::fs::write(file.path(), text).unwrap();
            let error = secrets(&file.path().to_path_buf()).unwrap_err();
            assert!(
                error.to_string().contains("would let anybody in"),
                "{error}"
            );
        }
    }

    #[test]
    fn clusters_are_named() {
        let (name, access) = cluster("eu=/k#prod").unwrap();
        assert_eq!(name, "eu");
        let Access::File(path, context) = access else {
            panic!("it is a file");
        };
        assert_eq!((path, context), ("/k".into(), Some("prod".into())));
        assert!(cluster("eu").is_err());
    }
}
