//! A rollback: proposed in the place of images, and begun without a person where a stage wants that.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::edits::{Place, inputs_of_all, places, restored};
use crate::cluster::store::{self, Application, ApplicationStatus, Promotion};
use crate::controller::revision::{hash_of, inputs_at};
use crate::controller::{Base, Reader, Result};
use crate::domain::catalog::{RenderSource, Target};
use crate::domain::health::Health;
use crate::domain::promotion::{Outcome, PromotionFacts};
use crate::domain::rollback::{self, Rollback};
use crate::domain::{CommitSha, Invalid, StageKey};
use crate::git::Mirror;
use crate::view;

/// The pull request that the promotion was last about, if that was a rollback, whose branch may be
/// left.
pub fn was_last(object: &Promotion) -> Option<u64> {
    let status = object.status.as_ref()?;
    let is_last = status.state.as_deref() == Some(Outcome::ROLLING_BACK);
    let number = status.pull_request.filter(|_| is_last)?;
    u64::try_from(number).ok()
}

/// The rollback that a failing application gets by itself, with its object: unless somebody holds it,
/// or declined it, or the base has something else by now, or it cannot be made.
pub async fn automatic(
    ctx: &Arc<Reader>,
    base: &Base,
    objects: &[Application],
    targets: &[Target],
) -> Result<Option<(Application, Rollback)>> {
    let repo = &base.repo.name;
    if objects
        .iter()
        .any(|object| object.hold(ctx.now()).is_some())
    {
        return Ok(None);
    }
    for target in targets {
        let key = target.key(repo);
        let object = objects.iter().find(|object| object.key() == key);
        let wanted = object.and_then(|object| Some((object, wanted(object, target, ctx.now())?)));
        let Some((object, mut rollback)) = wanted else {
            continue;
        };
        let status = object.status.clone().unwrap_or_default();
        let (place, commit) = (target.render_source(), base.commit.clone());
        let (failing, places) = (rollback.away_from.clone(), places(targets));
        let to = rollback.to.clone();
        let job = move |mirror: &Mirror| {
            if failing != Some(hash_of(&inputs_at(mirror, &commit, &place)?)) {
                return Ok(None);
            }
            let to = undoing(mirror, &status, &place, &places, to)?;
            let possible = possible(mirror, &commit, &places, &to)?;
            Ok(possible.ok().map(|away_from| (to, away_from)))
        };
        if let Some((to, away_from)) = ctx.mirror(repo, job).await? {
            (rollback.to, rollback.away_from) = (to, Some(away_from));
            return Ok(Some((object.clone(), rollback)));
        }
    }
    Ok(None)
}

/// What a stage gets away from by going back to a commit. An error: it cannot go back.
pub fn possible(
    mirror: &Mirror,
    base: &CommitSha,
    places: &[Place],
    to: &CommitSha,
) -> anyhow::Result<std::result::Result<String, Invalid>> {
    let away_from = inputs_of_all(mirror, base, places)?;
    let edits = restored(mirror, mirror.tree(base)?, places, to)?;
    Ok(edits.map(|_| away_from))
}

/// The commit that a stage goes back to, so that one of its clusters has what a healthy commit of its
/// own had. Where clusters have places of their own, the newest such commit: what others got before
/// stays.
pub fn undoing(
    mirror: &Mirror,
    status: &ApplicationStatus,
    place: &RenderSource,
    places: &[Place],
    healthy: CommitSha,
) -> anyhow::Result<CommitSha> {
    let history = status.history.iter();
    let good = history.rev().find(|known| known.revision == healthy);
    let (Some(good), Some(revision)) = (good, &status.revision) else {
        return Ok(healthy);
    };
    if places.len() < 2 {
        return Ok(healthy);
    }
    let before = mirror.parent(revision)?;
    Ok(match before {
        Some(before) if hash_of(&inputs_at(mirror, &before, place)?) == good.inputs => before,
        _ => healthy,
    })
}

fn wanted(application: &Application, target: &Target, now: Timestamp) -> Option<Rollback> {
    let window = target.stage.rollback?;
    let status = application.status.as_ref()?;
    let revision = status.revision.as_ref()?;
    let declined = application.annotations().get(store::ROLLBACK_DECLINED);
    if declined.is_some_and(|it| it == revision.as_str()) {
        return None;
    }
    let sync = status.last_sync.as_ref();
    let facts = rollback::Facts {
        revision,
        inputs: status.inputs.as_deref()?,
        is_applied: sync.is_some_and(|sync| sync.revision == *revision),
        is_degraded: status.health == Health::Degraded,
        message: status.message.as_deref().unwrap_or_default(),
        history: &status.history,
        failures: &status.failures,
    };
    rollback::automatic(&facts, window, now)
}

/// The facts of a rollback. `facts`: those of its promotion.
pub fn facts(
    key: &StageKey,
    object: &Promotion,
    application: Option<Application>,
    rollback: Rollback,
    facts: PromotionFacts,
) -> PromotionFacts {
    let status = application.and_then(|object| object.status);
    let history = status.map(|status| status.history).unwrap_or_default();
    PromotionFacts {
        title: rollback.title(key),
        body: view::rollback(key, &rollback, &history),
        message: rollback.commit_message(key),
        rollback: Some(rollback),
        rolled_back_by: was_last(object),
        ..facts
    }
}
