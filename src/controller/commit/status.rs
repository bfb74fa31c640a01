//! The status of a commit: one for all of its applications.

use std::sync::Arc;

use super::deployments::tolerated;
use crate::controller::{Reader, Result, Writer};
use crate::domain::CommitKey;
use crate::domain::pull_request::{Rollout, RolloutState, SYNC_CONTEXT, shortened};
use crate::domain::rollout::{self, Outcome};
use crate::view;

/// The most statuses that a commit gets: GitHub takes 1,000 of a context on one commit, and refuses
/// more (docs.github.com/rest/commits/statuses).
const MOST_STATUSES: u32 = 800;

/// After this many statuses, only a change of the state is posted.
const MOST_WORDS: u32 = 200;

pub async fn post(
    ctx: &Writer,
    key: &CommitKey,
    state: &'static str,
    description: String,
) -> Result<()> {
    let next = (state.to_string(), description);
    let known = ctx.cache.commits.statuses.get(key);
    let (last, count) = known.map_or((None, 0), |(last, count)| (Some(last), count));
    if last.as_ref() == Some(&next) || !is_worth_posting(last.as_ref(), &next, count) {
        return Ok(());
    }
    let github = ctx.to_github();
    let posted = github
        .set_status(&key.repo, &key.commit, SYNC_CONTEXT, state, &next.1)
        .await;
    tolerated(posted, "the status of a commit cannot be set")?;
    ctx.cache
        .commits
        .statuses
        .insert(key.clone(), (next, count + 1));
    Ok(())
}

/// Whether one more status is worth posting on a commit that has `count` already.
fn is_worth_posting(last: Option<&(String, String)>, next: &(String, String), count: u32) -> bool {
    let same_state = last.is_some_and(|(state, _)| *state == next.0);
    count < MOST_WORDS || !same_state && count < MOST_STATUSES
}

/// The status to post; None: it is posted already.
pub async fn observe(
    ctx: &Arc<Reader>,
    key: &CommitKey,
    progress: &[Rollout],
) -> Result<Option<(&'static str, String)>> {
    let posted = match ctx.cache.commits.statuses.get(key) {
        Some(known) => Some(known),
        None => {
            let statuses = ctx.github.statuses(&key.repo, &key.commit).await?;
            let mut ours = statuses
                .into_iter()
                .filter(|status| status.context == SYNC_CONTEXT);
            let newest = ours.next();
            let more = u32::try_from(ours.count()).unwrap_or(u32::MAX);
            newest.map(|status| {
                let posted = (status.state, status.description.unwrap_or_default());
                (posted, more.saturating_add(1))
            })
        }
    };
    if let Some(posted) = &posted {
        ctx.cache
            .commits
            .statuses
            .insert(key.clone(), posted.clone());
    }
    let posted = posted.map(|(status, _)| status);
    let (state, description) = aggregated(progress);
    // A commit that was a success stays one: later commits report what happened later.
    let superseded = progress.iter().any(|rollout| {
        matches!(
            rollout.state,
            RolloutState::Superseded | RolloutState::FailedBefore
        )
    });
    // Nor does it become pending again while drift is being reverted.
    if (superseded || matches!(state, "pending" | "error"))
        && posted.as_ref().is_some_and(|(state, _)| state == "success")
    {
        return Ok(None);
    }
    Ok((posted != Some((state.to_string(), description.clone()))).then_some((state, description)))
}

/// One status for a commit, over all its applications: GitHub's word and a description.
fn aggregated(progress: &[Rollout]) -> (&'static str, String) {
    let summary = rollout::summary(progress);
    let state = match summary.outcome {
        Outcome::Failed => "failure",
        Outcome::Stale => "error",
        Outcome::Pending => "pending",
        Outcome::Superseded | Outcome::Healthy | Outcome::Nothing => "success",
    };
    (state, shortened(&view::rollout(&summary), 140))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_a_commit_are_bounded() {
        let status = |state: &str, words: &str| (state.to_string(), words.to_string());
        let (one, other) = (status("pending", "1 of 2"), status("pending", "2 of 2"));
        let failed = status("failure", "no");
        assert!(
            is_worth_posting(None, &one, 0) && is_worth_posting(Some(&one), &other, MOST_WORDS - 1)
        );
        assert!(!is_worth_posting(Some(&one), &other, MOST_WORDS));
        assert!(is_worth_posting(Some(&one), &failed, MOST_WORDS));
        assert!(!is_worth_posting(Some(&one), &failed, MOST_STATUSES));
    }
}
