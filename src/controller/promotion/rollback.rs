//! A rollback: proposed in the place of images, and begun without a person where a stage wants that.

use jiff::Timestamp;

use crate::cluster::store::{Application, Promotion};
use crate::domain::ApplicationKey;
use crate::domain::catalog::Target;
use crate::domain::health::Health;
use crate::domain::promotion::{Outcome, Snapshot};
use crate::domain::rollback::{self, Rollback};
use crate::view;

/// Whether the promotion was about a rollback last, whose branch may be left.
pub fn was_last(object: &Promotion) -> bool {
    let status = object.status.as_ref();
    status.and_then(|status| status.state.as_deref()) == Some(Outcome::ROLLING_BACK)
}

/// The rollback that a failing application gets by itself, unless somebody holds it.
pub fn automatic(application: &Application, target: &Target, now: Timestamp) -> Option<Rollback> {
    let window = target.stage.rollback?;
    if application.hold(now).is_some() {
        return None;
    }
    let status = application.status.as_ref()?;
    let revision = status.revision.as_ref()?;
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
    key: &ApplicationKey,
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
        ..facts
    }
}
