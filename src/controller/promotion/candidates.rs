//! The candidates of a stage: the images announced for it, and the images that earlier stages run.

use std::sync::Arc;

use super::git::is_configured;
use crate::cluster::store::{Application, ApplicationStatus, Promotion};
use crate::controller::{Base, Reader, Result};
use crate::domain::catalog::Target;
use crate::domain::image::{Candidate, same_image};
use crate::domain::promotion::{self, Decision, EarlierStage, How};
use crate::domain::{Name, StageKey, pull_request};

/// The images that earlier stages run healthily and that the object does not name yet. What somebody
/// proposed, and passed over a stage for, is not replaced by what that stage runs.
pub fn promoted(
    object: Option<&Promotion>,
    targets: &[Target],
    earlier: &[EarlierStage],
    applications: &[Application],
) -> Vec<Candidate> {
    let named = object.map_or(&[][..], |object| &object.spec.candidates);
    // An image that somebody refused here does not become a candidate again because it runs
    // elsewhere.
    let was_refused = |candidate: &Candidate| {
        object.is_some_and(|object| {
            !named
                .iter()
                .any(|known| same_image(&known.image, &candidate.image))
                && promotion::is_refused(&decisions(object), candidate)
        })
    };
    let skips: Vec<_> = applications.iter().filter_map(Application::skip).collect();
    let decided = object.map(decisions).unwrap_or_default();
    let is_chosen = |known: &Candidate| {
        promotion::is_asked_for(&decided, known)
            || skips.iter().any(|skip| skip.digest == known.digest)
    };
    let chosen: Vec<_> = object.map(wanted).unwrap_or_default();
    let chosen: Vec<_> = chosen.into_iter().filter(is_chosen).collect();
    let has_chosen = |candidate: &Candidate| {
        let mut chosen = chosen.iter();
        chosen.any(|known| same_image(&known.image, &candidate.image))
    };
    let mut promoted = promotion::promoted(earlier);
    promoted.retain(|candidate| {
        is_configured(targets, candidate)
            && !named.contains(candidate)
            && !was_refused(candidate)
            && !has_chosen(candidate)
    });
    promoted
}

/// The decisions about the candidates. An older windlass kept one state for all of them together.
pub fn decisions(object: &Promotion) -> Vec<Decision> {
    let status = object.status.clone().unwrap_or_default();
    let how = match status.state.as_deref() {
        Some("Proposed") => How::Proposed,
        Some("Rejected") => How::Rejected,
        _ => return status.decided,
    };
    if !status.decided.is_empty() || status.digests != digests_of(&object.spec.candidates) {
        return status.decided;
    }
    let number = status
        .pull_request
        .and_then(|number| u64::try_from(number).ok());
    object
        .spec
        .candidates
        .iter()
        .map(|candidate| Decision {
            number,
            ..Decision::of(candidate, how)
        })
        .collect()
}

pub fn digests_of(candidates: &[Candidate]) -> Vec<String> {
    candidates
        .iter()
        .map(|candidate| candidate.digest.to_string())
        .collect()
}

/// Whether a pull request is a rejected one of ours: if it is open, somebody reopened it.
pub async fn is_rejected(ctx: &Reader, key: &StageKey, number: u64) -> bool {
    let object = ctx.store.promotion(key).await.ok().flatten();
    object.is_some_and(|object| {
        decisions(&object)
            .iter()
            .any(|decision| decision.how == How::Rejected && decision.number == Some(number))
    })
}

/// The candidates that the stage's pull request contains, or will.
pub fn wanted(object: &Promotion) -> Vec<Candidate> {
    promotion::wanted(&object.spec.candidates, &decisions(object))
}

/// Every known candidate of an application, those of earlier stages first. The first occurrence of
/// each gives the order in which they were announced.
pub async fn announced(ctx: &Arc<Reader>, base: &Base, key: &StageKey) -> Result<Vec<Candidate>> {
    let mut all = Vec::new();
    let stages = base
        .configured()
        .into_iter()
        .flat_map(|configured| &configured.targets);
    let mut stages: Vec<_> = stages
        .filter(|target| target.application == key.application)
        .map(|target| target.key(&key.repo).of_stage())
        .collect();
    stages.dedup();
    for stage in stages {
        if let Some(object) = ctx.store.promotion(&stage).await? {
            all.extend(
                object
                    .spec
                    .earlier
                    .into_iter()
                    .chain(object.spec.candidates),
            );
        }
    }
    Ok(all)
}

/// The state of the earlier stages.
pub async fn earlier(
    ctx: &Arc<Reader>,
    key: &StageKey,
    target: &Target,
) -> Result<Vec<EarlierStage>> {
    let base = ctx.known_base(&key.repo).await?;
    let mut stages = Vec::new();
    for stage in &target.stage.after {
        let earlier = StageKey {
            stage: stage.clone(),
            ..key.clone()
        };
        let mut clusters = Vec::new();
        for target in base.targets_of(&earlier) {
            let object = ctx.store.application(&target.key(&key.repo)).await?;
            let status = object.and_then(|object| object.status).unwrap_or_default();
            clusters.push((target, status));
        }
        let object = ctx.store.promotion(&earlier).await?;
        let candidates = object.map(|object| object.spec.candidates);
        stages.push(in_all(stage, &clusters, candidates.unwrap_or_default()));
    }
    Ok(stages)
}

/// The state of a stage: it is healthy if all of its clusters are, and runs an image if all do that
/// use it. `clusters`: the status in each of them.
fn in_all(
    stage: &Name,
    clusters: &[(&Target, ApplicationStatus)],
    candidates: Vec<Candidate>,
) -> EarlierStage {
    let statuses = || clusters.iter().map(|(_, status)| status);
    let unready = statuses().find(|status| !status.is_ready());
    let message = unready.or(statuses().next());
    let message = message.and_then(|status| status.message.as_deref());
    let since: Option<Vec<_>> = statuses().map(ApplicationStatus::ready_since).collect();
    let pinned = |status: &ApplicationStatus| -> Vec<_> {
        let images = status.images.iter();
        let pinned = images.filter_map(|image| Some((image.name.clone(), image.digest.clone()?)));
        pinned.collect()
    };
    let mut running: Vec<_> = Vec::new();
    for image in statuses().flat_map(pinned) {
        let lacks = |(target, status): &(&Target, ApplicationStatus)| {
            target.image(&image.0).is_some() && !pinned(status).contains(&image)
        };
        if !running.contains(&image) && !clusters.iter().any(lacks) {
            running.push(image);
        }
    }
    EarlierStage {
        stage: stage.clone(),
        why: pull_request::shortened(&message.unwrap_or_default().replace('\n', " "), 200),
        healthy: unready.is_none() && !clusters.is_empty(),
        since: since.and_then(|all| all.into_iter().max()),
        running,
        candidates,
    }
}
