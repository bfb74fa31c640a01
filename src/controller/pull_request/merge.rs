//! Merges the head that a permit names; and what GitHub refused lately.
//!
//! A refused merge is tried again when something changed that GitHub could have
//! refused it for, otherwise after a pause that doubles up to an hour. GitHub's
//! refusal is no verdict of windlass's: it changes no check run.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Observation;
use crate::controller::{Reader, Requeue, Result, Writer, branch_rules};
use crate::domain::activity::What;
use crate::domain::gate::{Facts, MergePermit, MergeWay};
use crate::domain::{CommitSha, PullRequestKey};
use crate::github;

const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// After a refusal the verdict is looked at again, so that it says so.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Two attempts are at least this far apart, whatever happens.
const SHORTEST_PAUSE: Duration = Duration::from_secs(20);

/// A merge that GitHub refused.
#[derive(Clone)]
pub struct Refusal {
    head: CommitSha,
    message: String,
    at: Instant,
    pause: Duration,
    /// What was known of the pull request then. None: nothing that could change it.
    facts: Option<String>,
    /// Something was heard since that GitHub may have waited for.
    heard: bool,
}

impl Refusal {
    /// One more refusal, after the one before.
    fn next(
        before: Option<Self>,
        head: &CommitSha,
        message: String,
        facts: Option<String>,
    ) -> Self {
        let before = before.filter(|known| known.head == *head);
        Self {
            head: head.clone(),
            message: message.split_whitespace().collect::<Vec<_>>().join(" "),
            at: Instant::now(),
            pause: before.map_or(FIRST_PAUSE, |known| (known.pause * 2).min(LONGEST_PAUSE)),
            facts,
            heard: false,
        }
    }

    /// Whether the merge of a head is not to be tried again yet.
    fn holds(&self, head: &CommitSha, facts: &str) -> bool {
        let changed = self.facts.as_deref().is_some_and(|known| known != facts);
        let pause = match changed {
            true => SHORTEST_PAUSE,
            false => self.pause(),
        };
        self.head == *head && self.at.elapsed() < pause
    }

    fn pause(&self) -> Duration {
        match self.heard {
            true => SHORTEST_PAUSE,
            false => self.pause,
        }
    }
}

/// When the merge of a head that GitHub refused is to be tried again.
pub fn retry_after(ctx: &Reader, key: &PullRequestKey, head: &CommitSha) -> Option<Duration> {
    let refusal = ctx.cache.pulls.refusals.get(key)?;
    let left = refusal.pause().checked_sub(refusal.at.elapsed())?;
    (refusal.head == *head && !left.is_zero()).then_some(left)
}

/// Why GitHub refused to merge a head, while that counts. `facts`: what is known of it now.
pub fn refused(
    ctx: &Reader,
    key: &PullRequestKey,
    head: &CommitSha,
    facts: &str,
) -> Option<String> {
    let refusal = ctx.cache.pulls.refusals.get(key)?;
    refusal.holds(head, facts).then_some(refusal.message)
}

/// Whether a head is in the merge queue, as far as we know: the webhook that it left it may be lost.
pub fn is_queued(ctx: &Reader, key: &PullRequestKey, head: &CommitSha) -> bool {
    let queued = ctx.cache.pulls.queued.get(key);
    queued.is_some_and(|(known, at)| known == *head && at.elapsed() < LONGEST_PAUSE)
}

/// Something happened that GitHub may have waited for, if it refused the merge.
pub fn heard(ctx: &Reader, key: &PullRequestKey) {
    if let Some(refusal) = ctx.cache.pulls.refusals.get(key) {
        let refusal = Refusal {
            heard: true,
            ..refusal
        };
        ctx.cache.pulls.refusals.insert(key.clone(), refusal);
    }
}

/// Takes a head out of the merge queue that windlass put in, since a gate does not pass any more.
pub async fn dequeue(ctx: &Writer, key: &PullRequestKey, observation: &Observation) -> Result<()> {
    let pull = &observation.snapshot.pull;
    ctx.to_github().dequeue(key, pull).await?;
    ctx.cache.pulls.queued.invalidate(key);
    Ok(())
}

/// The merge queue took it out: it is put in again after a pause, unless it was merged.
pub fn dequeued(ctx: &Reader, key: &PullRequestKey) {
    let pulls = &ctx.cache.pulls;
    let Some((head, _)) = pulls.queued.remove(key) else {
        return;
    };
    let refusal = Refusal::next(
        pulls.refusals.get(key),
        &head,
        "the merge queue took it out: its checks on the group say why".into(),
        None,
    );
    pulls.refusals.insert(key.clone(), refusal);
}

pub async fn merge(
    ctx: &Writer,
    key: &PullRequestKey,
    observation: &Observation,
    permit: &MergePermit,
) -> Result<Requeue> {
    let method = match permit.way() {
        MergeWay::Now(method) => method,
        MergeWay::Queue => return enqueue(ctx, key, observation, permit).await,
    };
    match ctx.to_github().merge(key, permit, method).await {
        Ok(sha) => {
            let snapshots = &ctx.cache.pulls.snapshots;
            snapshots.wrote(key, |snapshot| snapshot.pull.merged(&sha, ctx.now()));
            ctx.record_pull(key, What::Merged { commit: sha });
            ctx.touch(&key.repo);
            Ok(Requeue::After(Duration::ZERO))
        }
        Err(github::Error::Refused { message, .. }) if is_about_method(&message) => {
            tracing::info!(pr = %key, message, "another method of merging is tried");
            branch_rules::refuse(ctx, &key.repo, method);
            branch_rules::forget(ctx, &key.repo);
            Ok(Requeue::After(Duration::ZERO))
        }
        Err(github::Error::Refused {
            message, accepted, ..
        }) => {
            // One line has to say it.
            let lacks = |accepted| format!("the App lacks the permission {accepted}");
            let message = accepted.map_or(message.clone(), lacks);
            Ok(note_refusal(ctx, key, observation, permit, message))
        }
        Err(error) => Err(error.into()),
    }
}

async fn enqueue(
    ctx: &Writer,
    key: &PullRequestKey,
    observation: &Observation,
    permit: &MergePermit,
) -> Result<Requeue> {
    let pull = &observation.snapshot.pull;
    match ctx.to_github().enqueue(key, pull, permit).await {
        Ok(()) => {
            let queued = &ctx.cache.pulls.queued;
            queued.insert(key.clone(), (permit.head().clone(), Instant::now()));
            Ok(Requeue::Idle)
        }
        Err(github::Error::Refused { message, .. }) => {
            Ok(note_refusal(ctx, key, observation, permit, message))
        }
        Err(error) => Err(error.into()),
    }
}

fn note_refusal(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    observation: &Observation,
    permit: &MergePermit,
    message: String,
) -> Requeue {
    tracing::warn!(pr = %key, message, "GitHub refused the merge");
    let refusals = &ctx.cache.pulls.refusals;
    // It may be for a rule that we do not know of yet.
    branch_rules::forget(ctx, &key.repo);
    let facts = observation.gate_facts.as_ref().map(Facts::as_text);
    let refusal = Refusal::next(refusals.get(key), permit.head(), message, facts);
    refusals.insert(key.clone(), refusal);
    // What was decided from may be outdated. The verdict says so at once.
    ctx.cache.pulls.snapshots.touch(key);
    Requeue::After(AT_ONCE)
}

/// Whether a refusal is about the method of merging alone. The words are GitHub's:
/// runatlantis/atlantis#1176, airbytehq/airbyte#38754.
fn is_about_method(message: &str) -> bool {
    ["Merge commits", "Squash merges", "Rebase merges"]
        .iter()
        .any(|method| message.contains(&format!("{method} are not allowed on this repository")))
        || message.contains("must not contain merge commits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_the_method_are_told_from_other_refusals() {
        for methods in ["Merge commits", "Squash merges", "Rebase merges"] {
            let words = format!("{methods} are not allowed on this repository.");
            assert!(is_about_method(&words), "{words}");
        }
        assert!(is_about_method(
            "Repository rule violations found\n\nThis branch must not contain merge commits."
        ));
        assert!(!is_about_method("Pull Request is not mergeable"));
        assert!(!is_about_method("At least 1 approving review is required"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_holds_until_something_changed_or_its_pause_is_over() {
        let head: CommitSha = "a".repeat(40).parse().unwrap();
        let other: CommitSha = "b".repeat(40).parse().unwrap();
        let refusal = Refusal {
            head: head.clone(),
            message: String::new(),
            at: Instant::now(),
            pause: FIRST_PAUSE,
            facts: Some("one review".into()),
            heard: false,
        };
        assert!(refusal.holds(&head, "two reviews"), "attempts are apart");
        assert!(!refusal.holds(&other, "one review"));
        tokio::time::advance(SHORTEST_PAUSE).await;
        assert!(refusal.holds(&head, "one review"));
        assert!(!refusal.holds(&head, "two reviews"));
        let heard = Refusal {
            heard: true,
            ..refusal.clone()
        };
        assert!(!heard.holds(&head, "one review"));
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(!refusal.holds(&head, "one review"));
    }
}
