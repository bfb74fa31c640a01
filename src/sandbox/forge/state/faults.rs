//! What goes wrong when a story asks for it.

use super::Lag;
use crate::sandbox::forge::exchange::{Call, Reply, ReplyBody};

/// What goes wrong with deliveries, and with answers.
#[derive(Clone, Default)]
pub struct Faults {
    /// Every delivery whose count is divisible by this is lost (1: all).
    pub lose_every: Option<u64>,
    pub duplicate: bool,
    /// Deliveries wait until this many are together and go out in reverse.
    pub reorder: Option<usize>,
    pub count: u64,
    /// Answers to the App that come instead of what was asked.
    pub failures: Vec<Failure>,
    /// So many requests by tokens that are younger than [`SETTLED`] seconds are answered 401
    /// (octokit/auth-app.js#168).
    pub fresh_token_401: u32,
    /// So many requests by each token that is minted from now on are answered 401: who throws it
    /// away for another gains nothing.
    pub token_unsettled: u32,
    /// Lost deliveries are logged with `timed out` and status code 0, instead of 500.
    pub lost_without_code: bool,
    /// What readers do not see yet.
    pub lag: Lag,
}

/// Seconds after which a token is known everywhere.
pub const SETTLED: i64 = 6;

/// GitHub fails: so many requests are answered so, and not done.
#[derive(Clone)]
pub struct Failure {
    pub method: &'static str,
    /// What the path ends with, its numbers and ids left out: `/pulls/*/merge`.
    pub path: &'static str,
    /// 502: a page of HTML, as GitHub's load balancers give it. 403: the secondary rate limit
    /// (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api). Others below 500: a
    /// refusal.
    pub status: u16,
    /// The refusal's message, where another one matters.
    pub words: Option<&'static str>,
    pub times: u32,
}

impl Faults {
    /// The failure that this request meets.
    pub fn fail(&mut self, call: &Call) -> Option<Reply> {
        let meets = |failure: &&mut Failure| {
            failure.times > 0
                && call.method == failure.method
                && ends_like(&call.path, failure.path)
        };
        let failure = self.failures.iter_mut().find(meets)?;
        failure.times -= 1;
        if let Some(words) = failure.words {
            let reply = Reply::error(failure.status, words);
            return Some(reply.with("x-accepted-github-permissions", "contents=write"));
        }
        Some(match failure.status {
            403 => Reply::error(
                403,
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            )
            .with("retry-after", "1"),
            404 => Reply::error(404, "Not Found"),
            status @ 400..=499 => Reply::error(status, "Validation Failed"),
            status => Reply {
                status,
                body: ReplyBody::Text(
                    "text/html",
                    "<html><head><title>502 Bad Gateway</title></head></html>".into(),
                ),
                headers: Vec::new(),
            },
        })
    }
}

/// Whether a path ends as a pattern says, in which `*` stands for one segment.
fn ends_like(path: &str, pattern: &str) -> bool {
    let (path, pattern) = (
        path.rsplit('/'),
        pattern.trim_start_matches('/').rsplit('/'),
    );
    let mut segments = path.map(Some).chain(std::iter::repeat(None));
    pattern.into_iter().all(|wanted| {
        segments
            .next()
            .flatten()
            .is_some_and(|segment| wanted == "*" || wanted == segment)
    })
}
