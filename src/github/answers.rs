//! What GitHub's answers mean, if they are not what was asked for: errors are sorted into ours.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

use super::{Error, Result};
use crate::outgoing::{advice, causes};

pub(super) fn unexpected(what: &str, message: String) -> Error {
    Error::Unexpected {
        what: what.into(),
        message,
    }
}

pub(super) fn found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sorts a transport error. Messages never contain the request, and so no token.
pub(super) fn classified(error: octocrab::Error, what: &str, url: &str) -> Error {
    let octocrab::Error::GitHub { source, .. } = error else {
        return without_answer(&error, what.to_string(), url);
    };
    let what = what.to_string();
    let (status, message) = (source.status_code.as_u16(), message_of(&source));
    match status {
        // A repository was renamed or transferred.
        301 | 302 | 307 | 308 => Error::Moved {
            what,
            to: header(&source, "location"),
        },
        404 => Error::NotFound { what },
        401 => Error::Unauthorized { what, message },
        500..=599 => Error::Unavailable {
            what,
            message: format!("{status}: {message}"),
        },
        _ => Error::Refused {
            what,
            status,
            // GitHub names them in other refusals too, where they are not what lacks.
            accepted: header(&source, "x-accepted-github-permissions")
                .filter(|_| status == 403 && message.contains("not accessible")),
            message,
        },
    }
}

fn message_of(source: &octocrab::GitHubError) -> String {
    let mut message = source.message.clone();
    for detail in source.errors.iter().flatten() {
        let detail = detail["message"]
            .as_str()
            .map_or_else(|| detail.to_string(), str::to_string);
        message = format!("{message}: {detail}");
    }
    message
}

fn header(source: &octocrab::GitHubError, name: &str) -> Option<String> {
    let value = source.headers.as_ref()?.get(name)?;
    Some(value.to_str().ok()?.to_string())
}

/// An error without an answer of GitHub, or with one that cannot be read.
pub(super) fn without_answer(error: &octocrab::Error, what: String, url: &str) -> Error {
    let message = match error {
        octocrab::Error::Serde { source, .. } => return unexpected(&what, source.to_string()),
        octocrab::Error::Json { source, .. } => return unexpected(&what, source.to_string()),
        octocrab::Error::Service { source, .. } => causes(source.as_ref()),
        octocrab::Error::Hyper { source, .. } => causes(source),
        octocrab::Error::Reqwest { source, .. } => causes(source),
        _ => "the request could not be made".into(),
    };
    let message = advice(url, &message).unwrap_or(message);
    Error::Unavailable { what, message }
}

/// Whether an answer says that the installation is limited; and for how long, if it says so.
pub(super) fn limited(error: &octocrab::Error) -> Option<Option<Duration>> {
    let octocrab::Error::GitHub { source, .. } = error else {
        return None;
    };
    let number = |name: &str| header(source, name)?.parse::<i64>().ok();
    let (after, remaining, reset) = (
        number("retry-after"),
        number("x-ratelimit-remaining"),
        number("x-ratelimit-reset"),
    );
    let is_limited = match source.status_code.as_u16() {
        429 => true,
        403 => {
            after.is_some()
                || remaining == Some(0)
                || source.message.contains("secondary rate limit")
        }
        _ => false,
    };
    let seconds = match (after, remaining, reset) {
        (Some(after), _, _) => Some(after),
        (None, Some(0), Some(reset)) => Some(reset - Timestamp::now().as_second()),
        _ => None,
    };
    let wait = seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(1)));
    is_limited.then_some(wait)
}

/// GitHub allows a JWT a minute; this leaves room for the way.
const MOST_SKEW: i64 = 30;

/// By how many seconds this machine's clock is ahead of GitHub's.
pub(super) fn clock_skew(headers: &HeaderMap) -> Option<i64> {
    let date = headers.get(http::header::DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(Timestamp::now().as_second() - theirs.as_second())
}

/// The skew, if it is worth telling.
pub(super) fn is_notable(skew: i64) -> bool {
    skew.abs() > MOST_SKEW
}

/// Names the clock, if it may be the reason: GitHub allows a JWT a minute.
pub(super) fn with_clock(message: String, skew: Option<i64>) -> String {
    match skew {
        Some(skew) if is_notable(skew) => {
            let direction = if skew > 0 { "ahead of" } else { "behind" };
            format!(
                "{message}; this machine's clock is {} s {direction} GitHub's",
                skew.abs()
            )
        }
        _ => message,
    }
}
