//! `/hold`: windlass merges nothing into a stage by itself. Anybody who may write can stop it.

use super::Invocation;
use super::request::{Needs, Outcome, Request};
use crate::cluster::store;
use crate::controller::Result;
use crate::domain::command::{Done, NotDone};
use crate::domain::hold::Hold;
use crate::domain::{TargetKey, sync};

pub async fn run(invocation: &Invocation<'_>, application: &TargetKey) -> Result<Outcome> {
    let (arguments, comment) = (invocation.arguments, invocation.comment);
    let now = invocation.ctx.now();
    let time = arguments.time.as_deref().and_then(sync::duration);
    let until = time.and_then(|time| now.checked_add(time).ok());
    let hold = Hold {
        pull_request: Some(invocation.key.number),
        ..Hold::new(&comment.author, &arguments.reason, now, until)
    };
    let object = invocation.ctx.store.application(application).await?;
    let present = object.and_then(|object| object.hold(now));
    let present = present.filter(|present| *present != hold);
    // Who holds a stage for longer has a say in when that ends.
    if let Some(present) = present.as_ref().filter(|present| present.outlasts(&hold)) {
        let by = present.by.clone();
        return Ok(Err(NotDone::HeldLonger { by }));
    }
    let names = [&application.application, &application.stage];
    if names.iter().any(|name| name.as_str() == hold.reason) {
        return Ok(Err(NotDone::NoReason));
    }
    let request = Request {
        application,
        subject: &arguments.reason,
        annotations: &[(store::HOLD, Some(&hold.to_text()))],
        needs: Needs::Writer,
    };
    let done = Done::Holds {
        until,
        instead_of: present,
    };
    invocation.carried(&request, done).await
}
