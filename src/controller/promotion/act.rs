//! A step of a promotion, carried out; and where it rests.

use super::candidates::digests_of;
use crate::cluster::store::{Promotion, PromotionStatus};
use crate::controller::{Event, Reader, Result, Writer};
use crate::domain::image::Candidate;
use crate::domain::promotion::{self, Decision, How, Outcome, Snapshot, Step};
use crate::domain::{ApplicationKey, PullRequestKey};
use crate::{github, view};

/// Takes one step; true when there is nothing more to do.
pub async fn act(
    ctx: &Writer,
    key: &ApplicationKey,
    object: &Promotion,
    seen: &Snapshot,
    step: Step,
) -> Result<bool> {
    let (repo, branch, github) = (&key.repo, key.branch(), ctx.to_github());
    let full = format!("refs/heads/{branch}");
    let pull = |number| PullRequestKey {
        repo: repo.clone(),
        number,
    };
    let (headline, trailers) = promotion::commit_message(key, &seen.offers);
    let message = (headline.as_str(), trailers.as_str());
    tracing::debug!(?step, "promotion");
    match step {
        Step::CreateBranch { at } => github.create_branch(repo, &branch, &at).await?,
        Step::ResetBranch { from, to } => {
            let moved = [(full, Some(from), Some(to))];
            github.move_refs(repo, &moved).await?
        }
        Step::DeleteBranch { head } => {
            let deleted = [(full, Some(head), None)];
            github.move_refs(repo, &deleted).await?
        }
        Step::Commit { parent, edits } => drop(
            github
                .commit(repo, &branch, &parent, message, &edits)
                .await?,
        ),
        Step::Rebuild { from, base, edits } => {
            github
                .rebuild_branch(repo, &branch, (from, &base), message, &edits)
                .await?
        }
        Step::Open => {
            let base = ctx.github.repository(repo)?.default_branch;
            github
                .open_pull(repo, &branch, &base, &seen.title, &seen.body)
                .await?;
        }
        Step::Retitle { number } => {
            let pull = pull(number);
            github.retitle_pull(&pull, &seen.title, &seen.body).await?;
            // What it says of the stages before is a gate of its own.
            ctx.emit(&Event::PullRequest(pull));
        }
        Step::Close { number } => github.close_pull(&pull(number)).await?,
        Step::Settled(outcome) => {
            settle(ctx, key, object, seen, outcome).await?;
            return Ok(true);
        }
    }
    ctx.touch(repo);
    Ok(false)
}

async fn settle(
    ctx: &Writer,
    key: &ApplicationKey,
    object: &Promotion,
    seen: &Snapshot,
    outcome: Outcome,
) -> Result<()> {
    let (number, decided) = decisions(seen, &outcome);
    let reopens = number.filter(|_| matches!(outcome, Outcome::Rejected { .. }));
    let status = PromotionStatus {
        state: Some(outcome.word().into()),
        message: view::not_proposed(&promotion::summary(&seen.candidates, &decided), reopens),
        pull_request: number.and_then(|number| i64::try_from(number).ok()),
        url: number.map(|number| pull_url(&ctx.github, key, number)),
        digests: digests_of(&seen.candidates),
        decided,
    };
    let before = object.status.clone().unwrap_or_default();
    let news = (&before.state, &before.digests, &before.decided)
        != (&status.state, &status.digests, &status.decided);
    if news && let Outcome::Open { number } = outcome {
        // A webhook that came before we were ready is told again only by the delivery log.
        let repo = key.repo.clone();
        ctx.emit(&Event::PullRequest(PullRequestKey { repo, number }));
    }
    if news && matches!(outcome, Outcome::Done { .. }) {
        // The stage may run it already, healthily: then nothing else would tell.
        ctx.emit(&Event::Promoted(key.clone()));
    }
    // What is decided is kept before what it was about is dropped.
    let object = ctx.to_store().report_promotion(object, status).await?;
    if !seen.dropped.is_empty() {
        ctx.to_store()
            .drop_candidates(&object, &seen.dropped)
            .await?;
    }
    Ok(())
}

/// The pull request that an outcome is about, and what is decided of each candidate by then.
fn decisions(seen: &Snapshot, outcome: &Outcome) -> (Option<u64>, Vec<Decision>) {
    let mut decided = seen.decided.clone();
    let (number, how) = match outcome {
        Outcome::Done { number } => (*number, None),
        Outcome::Open { number } => (Some(*number), Some(How::Proposed)),
        Outcome::Rejected { number } => (Some(*number), Some(How::Rejected)),
        Outcome::Reverted { .. } | Outcome::Failed | Outcome::Dropped => (None, None),
    };
    for (offer, how) in seen.offers.iter().filter_map(|offer| Some((offer, how?))) {
        promotion::record(
            &mut decided,
            Decision {
                number,
                ..Decision::of(&offer.candidate, how)
            },
        );
    }
    // A newer one has the place of others in the pull request.
    decided.retain(|one| {
        one.how != How::Proposed
            || seen
                .candidates
                .iter()
                .any(|candidate| one.is_about(candidate))
    });
    (number, decided)
}

fn pull_url(github: &github::GitHub, key: &ApplicationKey, number: u64) -> String {
    let repository = github
        .repository(&key.repo)
        .map(|repo| repo.html_url)
        .unwrap_or_default();
    format!("{repository}/pull/{number}")
}

/// Where a promotion rests, or one image of it.
pub struct Rest {
    pub state: String,
    pub message: Option<String>,
    pub url: Option<String>,
}

/// None while what is known is about other candidates.
pub async fn rest(ctx: &Reader, key: &ApplicationKey, image: Option<&Candidate>) -> Option<Rest> {
    let object = ctx.store.promotion(key).await.ok()??;
    let status = object.status?;
    let whole = Rest {
        state: status.state?,
        message: status.message,
        url: status.url,
    };
    // Nothing could be looked at: what is known besides is old.
    if whole.state == "Failed" && !status.decided.iter().any(|one| one.how == How::Failed) {
        return Some(whole);
    }
    // It is about the candidates of before.
    if status.digests != digests_of(&object.spec.candidates) {
        return None;
    }
    let Some((one, candidate)) = image.and_then(|candidate| {
        Some((
            promotion::decision_for(&status.decided, candidate)?,
            candidate,
        ))
    }) else {
        return Some(whole);
    };
    let reopens = one.number.filter(|number| {
        status.pull_request == i64::try_from(*number).ok() && whole.state == "Rejected"
    });
    Some(Rest {
        state: format!("{:?}", one.how),
        message: view::not_proposed(&[(one, &candidate.tag)], reopens),
        url: one.number.map(|number| pull_url(&ctx.github, key, number)),
    })
}
