//! Carries out a step of a promotion; and the state of a settled one.

use super::candidates::digests_of;
use crate::cluster::store::{self, Application, Promotion, PromotionStatus};
use crate::controller::{Event, Reader, Result, Writer};
use crate::domain::activity::What;
use crate::domain::catalog::MergePolicy;
use crate::domain::hold::Hold;
use crate::domain::image::Candidate;
use crate::domain::promotion::{self, Decision, How, Outcome, PromotionFacts, Step};
use crate::domain::rollback::{Rollback, WINDLASS};
use crate::domain::{CommitSha, PullRequestKey, StageKey};
use crate::{github, view};

/// Takes one step; true when there is nothing more to do.
pub async fn act(
    ctx: &Writer,
    key: &StageKey,
    object: &Promotion,
    facts: &PromotionFacts,
    step: Step,
) -> Result<bool> {
    let (repo, branch, github) = (&key.repo, key.branch(), ctx.to_github());
    let full = format!("refs/heads/{branch}");
    let pull = |number| PullRequestKey {
        repo: repo.clone(),
        number,
    };
    let message = (facts.message.0.as_str(), facts.message.1.as_str());
    let proposed = |facts: &PromotionFacts| {
        let title = facts.title.clone();
        ctx.record_stage(key, What::Proposed { title });
    };
    let moves = step.moves_branch();
    match step {
        // GitHub refused it: the branch alone, since REST says which permission is missing.
        Step::Propose { at, .. } if ctx.cache.promotions.was_refused(key) => {
            github.create_branch(repo, &branch, &at).await?;
        }
        Step::Propose { at, edits } => {
            let base = ctx.github.repository(repo)?.default_branch;
            let words = (facts.title.as_str(), facts.body.as_str());
            let opened = github
                .propose(repo, &branch, (&base, &at), message, &edits, words)
                .await?;
            let opened = ctx.github.pull(&pull(opened)).await?;
            ctx.cache.promotions.show(key, opened);
            proposed(facts);
        }
        Step::ResetBranch { from, to } => {
            let moved = [(full, Some(from), Some(to))];
            github.move_refs(repo, &moved).await?
        }
        Step::DeleteBranch { head } => {
            let deleted = [(full, Some(head), None)];
            github.move_refs(repo, &deleted).await?
        }
        Step::Commit { parent, edits } => {
            github
                .commit(repo, &branch, &parent, message, &edits)
                .await?;
        }
        Step::Rebuild { from, base, edits } => {
            github
                .rebuild_branch(repo, &branch, (from, &base), message, &edits)
                .await?
        }
        Step::Open => {
            let base = ctx.github.repository(repo)?.default_branch;
            let opened = github
                .open_pull(repo, &branch, &base, &facts.title, &facts.body)
                .await?;
            ctx.cache.promotions.show(key, opened);
            proposed(facts);
        }
        Step::Retitle { number } => {
            let pull = pull(number);
            let titled = github
                .retitle_pull(&pull, &facts.title, &facts.body)
                .await?;
            ctx.cache.promotions.show(key, titled);
            // The body reports the earlier stages, which the gate checks by itself.
            ctx.emit(&Event::PullRequest(pull));
        }
        Step::Close { number } => {
            let closed = github.close_pull(&pull(number)).await?;
            ctx.cache.promotions.show(key, closed);
            ctx.record_stage(key, What::Closed { number });
        }
        Step::EndRollback {
            is_declined,
            branch,
        } => {
            end_rollback(ctx, key, facts, (is_declined, branch)).await?;
            return Ok(false);
        }
        Step::Settled(outcome) => {
            settle(ctx, key, object, facts, outcome).await?;
            return Ok(true);
        }
    }
    ctx.touch(repo);
    // Its head moved.
    if moves && facts.pull_request.is_some() {
        ctx.cache.promotions.touch(key);
    }
    Ok(false)
}

/// Ends the rollback that the step was decided from, and deletes the branch of a closed one.
async fn end_rollback(
    ctx: &Writer,
    key: &StageKey,
    facts: &PromotionFacts,
    (is_declined, branch): (bool, Option<CommitSha>),
) -> Result<()> {
    let mut objects = ctx.applications_of(key).await?;
    let is_over = |object: &Application| object.rollback() == facts.rollback;
    // Another one began meanwhile.
    if !objects.iter().any(is_over) {
        objects.clear();
    }
    for object in &objects {
        let status = object.status.as_ref();
        let revision = status.and_then(|status| status.revision.as_ref());
        let declined = revision.filter(|_| is_declined).map(CommitSha::as_str);
        // Declined in each cluster: each may have failed by a commit of its own.
        let mut ended = vec![(store::ROLLBACK_DECLINED, declined)];
        if is_over(object) {
            ended.push((store::ROLLBACK, None));
        }
        ctx.to_store().annotate(object, &ended).await?;
    }
    if let Some(head) = branch {
        let deleted = [(format!("refs/heads/{}", key.branch()), Some(head), None)];
        ctx.to_github().move_refs(&key.repo, &deleted).await?;
        ctx.touch(&key.repo);
    }
    Ok(())
}

/// An earlier stage was passed over for what is merged by now, and for nothing that comes.
async fn end_skip(ctx: &Writer, key: &StageKey) -> Result<()> {
    let objects = ctx.applications_of(key).await?;
    for object in objects.iter().filter(|object| object.skip().is_some()) {
        let ended = [(store::SKIP, None)];
        ctx.to_store().annotate(object, &ended).await?;
    }
    Ok(())
}

/// Starts a rollback that nobody asked for, and holds the stage.
pub async fn start_rollback(ctx: &Writer, object: &Application, rollback: &Rollback) -> Result<()> {
    let (hold, text) = (rollback.hold(None, ctx.now()), rollback.to_text());
    let started = [
        (store::ROLLBACK, Some(text.as_str())),
        (store::HOLD, Some(&hold.to_text())),
    ];
    annotate(ctx, object, &started).await
}

async fn settle(
    ctx: &Writer,
    key: &StageKey,
    object: &Promotion,
    facts: &PromotionFacts,
    outcome: Outcome,
) -> Result<()> {
    let (number, decided) = decisions(facts, &outcome);
    let reopens = number.filter(|_| matches!(outcome, Outcome::Rejected { .. }));
    let status = PromotionStatus {
        state: Some(outcome.word().into()),
        message: view::not_proposed(&promotion::summary(&facts.candidates, &decided), reopens),
        pull_request: number.and_then(|number| i64::try_from(number).ok()),
        url: number.map(|number| pull_url(&ctx.github, key, number)),
        digests: digests_of(&facts.candidates),
        decided,
    };
    let before = object.status.clone().unwrap_or_default();
    let changed = (&before.state, &before.digests, &before.decided)
        != (&status.state, &status.digests, &status.decided);
    if changed && let Outcome::Open { number } | Outcome::RollsBack { number } = outcome {
        // A webhook that failed before we were ready comes again only by the delivery log.
        let repo = key.repo.clone();
        ctx.emit(&Event::PullRequest(PullRequestKey { repo, number }));
    }
    if matches!(outcome, Outcome::Done { .. }) {
        end_skip(ctx, key).await?;
    }
    if changed && matches!(outcome, Outcome::Done { .. }) {
        // If the stage is healthy with it already, no other event wakes the later stages.
        ctx.emit(&Event::Promoted(key.clone()));
    }
    // Before the decisions are written: after an interruption it is held all the same.
    let known = &before.decided;
    if let Some(why) = view::taken_back(status.decided.iter().filter(|new| !known.contains(new))) {
        hold(ctx, key, &why).await?;
    }
    // The decisions are written before their candidates are dropped.
    let object = ctx.to_store().report_promotion(object, status).await?;
    if changed
        && let Outcome::Rejected {
            number: Some(number),
        } = outcome
    {
        // Its comment says that it is not proposed again.
        let repo = key.repo.clone();
        ctx.emit(&Event::PullRequest(PullRequestKey { repo, number }));
    }
    if !facts.dropped.is_empty() {
        ctx.to_store()
            .drop_candidates(&object, &facts.dropped)
            .await?;
    }
    Ok(())
}

/// Holds a stage into which windlass merges without a review, since a person took something back
/// there.
async fn hold(ctx: &Writer, key: &StageKey, why: &str) -> Result<()> {
    let base = ctx.known_base(&key.repo).await?;
    let is_auto = base
        .lead(key)
        .is_some_and(|target| target.stage.merge == MergePolicy::Auto);
    let objects = ctx.applications_of(key).await?;
    let is_held = objects
        .iter()
        .any(|object| object.hold(ctx.now()).is_some());
    let Some(object) = objects.into_iter().next().filter(|_| is_auto && !is_held) else {
        return Ok(());
    };
    let hold = Hold::new(WINDLASS, why, ctx.now(), None).to_text();
    annotate(ctx, &object, &[(store::HOLD, Some(&hold))]).await
}

/// Annotates an application with a hold, and wakes whom that concerns.
async fn annotate(
    ctx: &Writer,
    object: &Application,
    annotations: &[(&str, Option<&str>)],
) -> Result<()> {
    ctx.to_store().annotate(object, annotations).await?;
    let key = object.key();
    ctx.emit(&Event::Holds(key.repo.clone()));
    ctx.emit(&Event::Request(key));
    Ok(())
}

/// The pull request that an outcome is about, and the decision about each candidate.
fn decisions(facts: &PromotionFacts, outcome: &Outcome) -> (Option<u64>, Vec<Decision>) {
    let mut decided = facts.decided.clone();
    let (number, how) = match outcome {
        Outcome::Done { number } => (*number, None),
        Outcome::Open { number } => (Some(*number), Some(How::Proposed)),
        Outcome::RollsBack { number } => (Some(*number), None),
        Outcome::Rejected { number } => (*number, Some(How::Rejected)),
        Outcome::Reverted { .. } | Outcome::Failed | Outcome::Dropped => (None, None),
    };
    for (offer, how) in facts.offers.iter().filter_map(|offer| Some((offer, how?))) {
        promotion::record(
            &mut decided,
            Decision {
                number,
                ..Decision::of(&offer.candidate, how)
            },
        );
    }
    // A proposal that a newer candidate replaced in the pull request is dropped.
    decided.retain(|decision| {
        decision.how != How::Proposed
            || facts
                .candidates
                .iter()
                .any(|candidate| decision.is_about(candidate))
    });
    (number, decided)
}

fn pull_url(github: &github::GitHub, key: &StageKey, number: u64) -> String {
    let repository = github
        .repository(&key.repo)
        .map(|repo| repo.html_url)
        .unwrap_or_default();
    format!("{repository}/pull/{number}")
}

/// The state of a settled promotion, or of one image of it.
pub struct Settled {
    pub state: String,
    pub message: Option<String>,
    pub url: Option<String>,
}

/// None while the status is about other candidates.
pub async fn settled(ctx: &Reader, key: &StageKey, image: Option<&Candidate>) -> Option<Settled> {
    let object = ctx.store.promotion(key).await.ok()??;
    let status = object.status?;
    let whole = Settled {
        state: status.state?,
        message: status.message,
        url: status.url,
    };
    // Nothing could be observed: the decisions are outdated.
    if whole.state == "Failed"
        && !status
            .decided
            .iter()
            .any(|decision| decision.how == How::Failed)
    {
        return Some(whole);
    }
    // The status is about earlier candidates.
    if status.digests != digests_of(&object.spec.candidates) {
        return None;
    }
    let Some((decision, candidate)) = image.and_then(|candidate| {
        Some((
            promotion::decision_for(&status.decided, candidate)?,
            candidate,
        ))
    }) else {
        return Some(whole);
    };
    let reopens = decision.number.filter(|number| {
        status.pull_request == i64::try_from(*number).ok() && whole.state == "Rejected"
    });
    Some(Settled {
        state: format!("{:?}", decision.how),
        message: view::not_proposed(&[(decision, &candidate.tag)], reopens),
        url: decision
            .number
            .map(|number| pull_url(&ctx.github, key, number)),
    })
}
