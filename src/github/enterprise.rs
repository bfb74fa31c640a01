//! GitHub Enterprise Server: where its GraphQL is, and which version it has.

use std::sync::OnceLock;

use http::HeaderMap;

/// In every answer of an Enterprise Server, and in none of github.com's
/// (docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api).
pub(super) const VERSION: &str = "x-github-enterprise-version";

/// The oldest version that windlass is held against (`tests/it/github/enterprise/`).
const OLDEST: (u32, u32) = (3, 17);

/// REST of an Enterprise Server is at /api/v3 and GraphQL at /api/graphql; elsewhere GraphQL is beside
/// REST.
pub(super) fn graphql_base(api_url: &str) -> &str {
    api_url.strip_suffix("/v3").unwrap_or(api_url)
}

/// Tells the log once which version it is, and whether that is too old.
pub(super) fn heed(told: &OnceLock<()>, headers: &HeaderMap) {
    let version = headers.get(VERSION).and_then(|value| value.to_str().ok());
    let Some(version) = version else {
        return;
    };
    if told.set(()).is_err() {
        return;
    }
    if is_too_old(version) {
        let (major, minor) = OLDEST;
        tracing::warn!(
            "GitHub Enterprise Server {version} is too old: windlass needs {major}.{minor} or newer. What the older one lacks fails, in GitHub's words"
        );
    } else {
        tracing::info!("GitHub Enterprise Server {version}");
    }
}

/// `3.17.2`. What is not such a number is not judged.
fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphql_is_beside_rest() {
        for (rest, graphql) in [
            ("https://api.github.com", "https://api.github.com"),
            ("https://api.acme.ghe.com", "https://api.acme.ghe.com"),
            ("https://github.corp/api/v3", "https://github.corp/api"),
            ("http://127.0.0.1:80/api/v3", "http://127.0.0.1:80/api"),
        ] {
            assert_eq!(graphql_base(rest), graphql);
        }
    }

    #[test]
    fn versions_are_compared_by_numbers() {
        for (version, old) in [
            ("3.16.9", true),
            ("3.9.0", true),
            ("2.22.1", true),
            ("3.17.0", false),
            ("3.100.0", false),
            ("4.0.0", false),
            ("unknown", false),
        ] {
            assert_eq!(is_too_old(version), old, "{version}");
        }
    }
}
