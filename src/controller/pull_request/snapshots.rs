//! What GitHub has of a pull request, read once for as long as nothing says that it changed.
//!
//! A webhook, the list of pull requests and a failed write say so. What we write
//! is put into the kept snapshot. Only decisions that cannot do harm are made
//! from a kept snapshot: see [`Known::is_recent`]. Reads lag behind webhooks: until a
//! read shows what a webhook told of, it counts as outdated.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::controller::cache::{Kept, Recent, locked};
use crate::controller::{Reader, Result};
use crate::domain::pull_request::Source;
use crate::domain::{CommitSha, PullFact, PullRequestKey, RepoName};
use crate::github::{Pull, PullSnapshot};

/// How long a read is waited for that shows what a webhook told of. Webhooks may come in another
/// order, so that it never comes.
const LONGEST_LAG: Duration = Duration::from_secs(30);
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Snapshots {
    kept: Kept<PullRequestKey, PullSnapshot>,
    /// What webhooks told of and reads did not show yet, with the time of the webhook.
    awaited: Mutex<HashMap<PullRequestKey, Vec<(PullFact, Instant)>>>,
    /// The time of the last change of each pull request that a list showed, and when it did first.
    listed: Recent<PullRequestKey, (Timestamp, Instant)>,
    /// Texts whose `/preview` had its preview made for a head.
    previewed: Recent<(PullRequestKey, Source, CommitSha), ()>,
}

impl Snapshots {
    /// A pull request changed: what was read before does not count any more.
    pub fn touch(&self, key: &PullRequestKey) {
        self.kept.touch(key);
    }

    /// Whether nothing told since the last read that it changed.
    pub fn is_kept(&self, key: &PullRequestKey) -> bool {
        self.kept.get(key).is_some()
    }

    /// A webhook told of something that the next read has to show.
    pub fn expect(&self, key: &PullRequestKey, fact: PullFact) {
        let mut awaited = locked(&self.awaited);
        let facts = awaited.entry(key.clone()).or_default();
        // A head moves on, and what was closed is opened again: only the last of a kind is to be
        // seen.
        let is_replaced = |known: &PullFact| {
            matches!(
                (known, &fact),
                (PullFact::Head(_), PullFact::Head(_)) | (PullFact::Open(_), PullFact::Open(_))
            )
        };
        facts.retain(|(known, _)| !is_replaced(known));
        facts.push((fact, Instant::now()));
    }

    /// How long to wait until the next read, since this one does not show everything that webhooks
    /// told of.
    fn lag(&self, key: &PullRequestKey, snapshot: &PullSnapshot) -> Option<Duration> {
        let mut awaited = locked(&self.awaited);
        let facts = awaited.get_mut(key)?;
        facts.retain(|(fact, at)| !snapshot.shows(fact) && at.elapsed() < LONGEST_LAG);
        let oldest = facts.iter().map(|(_, at)| at.elapsed()).max();
        if oldest.is_none() {
            awaited.remove(key);
        }
        oldest.map(|lag| lag.max(SHORTEST_PAUSE))
    }

    /// The list of pull requests shows one otherwise than the kept snapshot does.
    pub fn compare(&self, key: &PullRequestKey, listed: &Pull) {
        let kept = self.kept.get(key);
        if kept.is_some_and(|kept| !kept.value.pull.is_as_listed(listed)) {
            self.touch(key);
        }
    }

    /// The same where no webhook tells of changes: GitHub's times are whole seconds, and the second
    /// of the last change may have had another one after the read.
    pub fn compare_polled(&self, key: &PullRequestKey, listed: &Pull) {
        self.compare(key, listed);
        let known = self.listed.get(key);
        let first = match known.filter(|(at, _)| *at == listed.updated_at) {
            Some((_, first)) => first,
            None => Instant::now(),
        };
        self.listed.insert(key.clone(), (listed.updated_at, first));
        let kept = self.kept.get(key);
        if kept.is_some_and(|kept| kept.value.read < first + SECOND) {
            self.touch(key);
        }
    }

    /// Notes that a text's `/preview` is carried out for a head, and whether that is the first time:
    /// once is enough.
    pub fn note_preview(&self, key: &PullRequestKey, source: Source, head: &CommitSha) -> bool {
        let name = (key.clone(), source, head.clone());
        let first = !self.previewed.contains_key(&name);
        self.previewed.insert(name, ());
        first
    }

    /// Puts what we wrote into the kept snapshot.
    pub fn wrote(&self, key: &PullRequestKey, change: impl FnOnce(&mut PullSnapshot)) {
        self.kept.update(key, change);
    }

    /// The open pull requests of a repository, as far as they are known.
    pub fn open(&self, repo: &RepoName) -> Vec<PullRequestKey> {
        let open = self.open_pulls(repo).into_iter();
        open.map(|(key, _)| key).collect()
    }

    /// The same, with what is known of each.
    pub fn open_pulls(&self, repo: &RepoName) -> Vec<(PullRequestKey, Arc<PullSnapshot>)> {
        let all = self.kept.iter();
        let open = all.filter(|(key, known)| key.repo == *repo && known.pull.is_open());
        open.map(|(key, known)| ((*key).clone(), known)).collect()
    }

    /// The open pull requests with this head, as far as they are known.
    pub fn with_head(&self, repo: &RepoName, head: &CommitSha) -> Vec<PullRequestKey> {
        let all = self.kept.iter().filter(|(key, known)| {
            key.repo == *repo && known.pull.is_open() && known.pull.head.sha == *head
        });
        all.map(|(key, _)| (*key).clone()).collect()
    }
}

/// A snapshot, and what may be decided from it.
pub struct Known {
    pub snapshot: Arc<PullSnapshot>,
    /// A merge, a green verdict or the answer to a command may be decided from it.
    pub is_recent: bool,
    /// When to read it again, since it does not show everything that webhooks told of.
    pub lag: Option<Duration>,
}

/// A pull request as GitHub has it, or had it when it last changed.
pub async fn snapshot(ctx: &Arc<Reader>, key: &PullRequestKey) -> Result<Known> {
    let snapshots = &ctx.cache.pulls.snapshots;
    if let Some(kept) = snapshots.kept.get(key) {
        return Ok(Known {
            is_recent: kept.is_fresh(),
            snapshot: kept.value,
            lag: None,
        });
    }
    let snapshot = Arc::new(ctx.github.snapshot(key).await?);
    let lag = snapshots.lag(key, &snapshot);
    if lag.is_none() {
        snapshots.kept.insert(key, snapshot.clone(), snapshot.read);
    }
    Ok(Known {
        snapshot,
        is_recent: lag.is_none(),
        lag,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PullRequestKey {
        PullRequestKey {
            repo: "acme/config".parse().unwrap(),
            number: 7,
        }
    }

    fn awaited(snapshots: &Snapshots) -> Vec<PullFact> {
        let all = locked(&snapshots.awaited);
        let facts = all.get(&key()).into_iter().flatten();
        facts.map(|(fact, _)| fact.clone()).collect()
    }

    #[test]
    fn a_head_that_moved_on_is_not_waited_for() {
        let head = |digit: &str| PullFact::Head(digit.repeat(40).parse().unwrap());
        let snapshots = Snapshots::default();
        for fact in [
            head("a"),
            PullFact::Comment(1),
            PullFact::Open(false),
            head("b"),
            PullFact::Comment(2),
            PullFact::Open(true),
        ] {
            snapshots.expect(&key(), fact);
        }
        assert_eq!(
            awaited(&snapshots),
            [
                PullFact::Comment(1),
                head("b"),
                PullFact::Comment(2),
                PullFact::Open(true)
            ]
        );
    }
}
