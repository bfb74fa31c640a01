//! `/promote`: proposes an image that was announced before for a stage.

use super::Invocation;
use super::request::{Needs, Outcome, Request};
use crate::cluster::store::{self, Promotion};
use crate::controller::promotion::{announced, decisions, earlier};
use crate::controller::{Event, Result, Writer};
use crate::domain::command::{Answer, Done, NotDone};
use crate::domain::image::{self, Candidate};
use crate::domain::promotion::{Decision, How, SkippedStage};
use crate::domain::{Name, StageKey, TargetKey};

/// Carries it out in the applications of the pull request that go to the stage.
pub async fn to_stage(invocation: &Invocation<'_>) -> Result<Answer> {
    let observation = invocation.observation;
    let Some(stage) = &invocation.arguments.stage else {
        return Ok(Answer::Help);
    };
    let touched = observation.changes.touched.iter();
    let mut keys: Vec<_> = touched
        .filter_map(|target| {
            let key = StageKey {
                stage: stage.clone(),
                ..target.key(&invocation.key.repo).of_stage()
            };
            let lead = observation.base.lead(&key)?;
            Some(lead.key(&key.repo))
        })
        .collect();
    keys.sort();
    keys.dedup();
    match keys.is_empty() {
        true => Ok(Answer::NotAStage(stage.clone())),
        false => invocation.each(keys).await,
    }
}

pub async fn run(invocation: &Invocation<'_>, application: &TargetKey) -> Result<Outcome> {
    let (ctx, arguments) = (invocation.ctx, invocation.arguments);
    let named = arguments.subject.as_deref().unwrap_or_default();
    let base = &invocation.observation.base;
    let stage = application.of_stage();
    let known = announced(ctx, base, &stage).await?;
    let is_named = |known: &&Candidate| image::names(named, Some(&known.tag), Some(&known.digest));
    let Some(candidate) = known.iter().rev().find(is_named).cloned() else {
        return Ok(Err(NotDone::NotAnnounced(named.into())));
    };
    let is_handled = invocation.is_handled(application).await?;
    if !is_handled
        && arguments.skip.is_none()
        && let Some(stage) = lacking(invocation, &stage, &candidate).await?
    {
        let image = candidate.into();
        return Ok(Err(NotDone::NotInStage { image, stage }));
    }
    let skip = arguments.skip.as_ref().map(|stage| {
        let (by, reason) = (&invocation.comment.author, &arguments.reason);
        SkippedStage::new(stage, &candidate.digest, by, reason).to_text()
    });
    let request = Request {
        application,
        subject: named,
        annotations: &[(store::SKIP, skip.as_deref())],
        needs: Needs::Decider,
    };
    // It goes to all clusters of the stage: each has a say.
    for target in base.targets_of(&stage) {
        let key = target.key(&stage.repo);
        let request = Request {
            application: &key,
            ..request
        };
        if let Err(why) = invocation.has_quorum(&request).await? {
            return Ok(Err(why));
        }
    }
    // Written before the command counts as carried out: after an interruption it is done again.
    if !is_handled {
        propose(invocation, &stage, &candidate).await?;
    }
    let outcome = invocation
        .carried(&request, Done::Proposes(candidate))
        .await?;
    ctx.emit(&Event::Candidate(stage));
    Ok(outcome)
}

/// The earlier stage that does not have the image and never will, unless it is passed over.
async fn lacking(
    invocation: &Invocation<'_>,
    stage: &StageKey,
    candidate: &Candidate,
) -> Result<Option<Name>> {
    let (ctx, base) = (invocation.ctx, &invocation.observation.base);
    let Some(target) = base.lead(stage) else {
        return Ok(None);
    };
    let mut earlier = earlier(ctx, stage, target).await?.into_iter();
    let lacking = earlier.find(|one| one.passed_by(candidate));
    Ok(lacking.map(|one| one.stage))
}

/// Makes an image the newest one of a stage, whatever became of it there before.
async fn propose(
    invocation: &Invocation<'_>,
    stage: &StageKey,
    candidate: &Candidate,
) -> Result<()> {
    let ctx = invocation.ctx;
    // It is decided before it is named: what an earlier stage runs does not replace it then.
    if let Some(object) = ctx.store.promotion(stage).await? {
        decide(ctx, &object, candidate).await?;
    }
    let candidates = std::slice::from_ref(candidate);
    let object = ctx.to_store().propose(stage, candidates).await?;
    decide(ctx, &object, candidate).await
}

/// Records that somebody wants the image.
async fn decide(ctx: &Writer, object: &Promotion, candidate: &Candidate) -> Result<()> {
    let mut status = object.status.clone().unwrap_or_default();
    status.decided = decisions(object);
    status
        .decided
        .retain(|decision| !decision.is_about(candidate));
    // Without a number: somebody asked for it, whatever became of it before.
    status.decided.push(Decision::of(candidate, How::Proposed));
    ctx.to_store().report_promotion(object, status).await?;
    Ok(())
}
