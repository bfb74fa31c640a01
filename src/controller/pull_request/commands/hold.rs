//! `/hold`: windlass merges nothing into a stage by itself. Anybody who may write can stop it.

use super::Invocation;
use super::request::{Needs, Request};
use crate::cluster::store;
use crate::controller::{Event, Result};
use crate::domain::command::{Answer, Done, NotDone, Row, Sought};
use crate::domain::hold::Hold;
use crate::domain::{ApplicationKey, sync};

pub async fn run(invocation: &Invocation<'_>, applications: Vec<ApplicationKey>) -> Result<Answer> {
    let (arguments, comment) = (invocation.arguments, invocation.comment);
    let now = invocation.ctx.now();
    let time = arguments.time.as_deref().and_then(sync::duration);
    let until = time.and_then(|time| now.checked_add(time).ok());
    let hold = Hold {
        pull_request: Some(invocation.key.number),
        ..Hold::new(&comment.author, &arguments.reason, now, until)
    };
    let text = hold.to_text();
    let mut rows = Vec::new();
    for application in applications {
        let object = invocation.ctx.store.application(&application).await?;
        let present = object.and_then(|object| object.hold(now));
        // Who holds a stage for longer has a say in when that ends.
        if let Some(present) = present.filter(|present| present.outlasts(&hold)) {
            let outcome = Err(NotDone::HeldLonger { by: present.by });
            rows.push(Row {
                application,
                outcome,
            });
            continue;
        }
        let request = Request {
            application: &application,
            subject: &arguments.reason,
            annotations: &[(store::HOLD, Some(&text))],
            needs: Needs::Writer,
        };
        let outcome = match invocation.request(&request).await? {
            Ok(true) => Ok(Done::Holds { until: hold.until }),
            Ok(false) => Err(NotDone::NoObject),
            Err(why) => Err(why),
        };
        rows.push(Row {
            application,
            outcome,
        });
    }
    invocation
        .ctx
        .emit(&Event::Holds(invocation.key.repo.clone()));
    Ok(Answer::Applications {
        rows,
        none: Sought::Application,
    })
}
