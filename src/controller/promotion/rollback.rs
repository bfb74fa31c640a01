//! A rollback: proposed in the place of images, and begun without a person where a stage wants that.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::edits::{places, restored};
use crate::cluster::store::{self, Application, ApplicationStatus, Promotion};
use crate::controller::revision::{hash_of, inputs_at};
use crate::controller::{Base, Reader, Result};
use crate::domain::StageKey;
use crate::domain::catalog::Target;
use crate::domain::health::Health;
use crate::domain::promotion::{Outcome, Snapshot};
use crate::domain::rollback::{self, Rollback};
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

/// The rollback that a failing application gets by itself: unless somebody holds it, or declined
/// it, or the base has something else by now, or it cannot be made.
pub async fn automatic(
    ctx: &Arc<Reader>,
    base: &Base,
    lead: &Application,
    targets: &[Target],
) -> Result<Option<Rollback>> {
    let repo = &base.repo.name;
    for target in targets {
        let object = ctx.store.application(&target.key(repo)).await?;
        let status = object.and_then(|object| object.status).unwrap_or_default();
        let Some(mut rollback) = wanted(lead, &status, target, ctx.now()) else {
            continue;
        };
        let (place, commit) = (target.render_source(), base.commit.clone());
        let (to, away_from) = (rollback.to.clone(), rollback.away_from.clone());
        let places = places(targets);
        let job = move |mirror: &Mirror| {
            let current = hash_of(&inputs_at(mirror, &commit, &place)?);
            let edits = restored(mirror, mirror.tree(&commit)?, &places, &to)?;
            Ok(away_from == Some(current) && edits.is_ok())
        };
        if ctx.mirror(repo, job).await? {
            let of_lead = lead
                .status
                .as_ref()
                .and_then(|status| status.inputs.clone());
            rollback.away_from = of_lead;
            return Ok(Some(rollback));
        }
    }
    Ok(None)
}

/// `lead`: the object that keeps what was requested for the stage; `status`: that of one of its
/// clusters.
fn wanted(
    lead: &Application,
    status: &ApplicationStatus,
    target: &Target,
    now: Timestamp,
) -> Option<Rollback> {
    let window = target.stage.rollback?;
    let revision = status.revision.as_ref()?;
    let declined = lead.annotations().get(store::ROLLBACK_DECLINED);
    if lead.hold(now).is_some() || declined.is_some_and(|it| it == revision.as_str()) {
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
    facts: Snapshot,
) -> Snapshot {
    let status = application.and_then(|object| object.status);
    let history = status.map(|status| status.history).unwrap_or_default();
    Snapshot {
        title: rollback.title(key),
        body: view::rollback(key, &rollback, &history),
        message: rollback.commit_message(key),
        rollback: Some(rollback),
        rolled_back_by: was_last(object),
        ..facts
    }
}
