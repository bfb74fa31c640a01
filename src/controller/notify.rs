//! Notifies people of what happens in the stages that they subscribed, in `windlass.yaml` of the
//! base branch, to a channel of the server's settings.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;

use super::Writer;
use crate::domain::TargetKey;
use crate::domain::activity::{Activity, Subject, What};
use crate::domain::notification::{Moment, Subscription, Told};
use crate::notifications::{NotSent, Notification, Notifier};
use crate::view;

pub async fn notify(ctx: Arc<Writer>, notifier: Notifier) {
    let mut activities = ctx.activities.listen();
    let (mut known, mut refused) = (HashMap::<TargetKey, Told>::new(), HashSet::new());
    loop {
        let activity = match activities.recv().await {
            Ok(activity) => activity,
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "more happened than notifications can follow");
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let Subject::Application(key) = &activity.subject else {
            continue;
        };
        let moment = known
            .entry(key.clone())
            .or_default()
            .moment(&activity.what, activity.at);
        if matches!(activity.what, What::Retired) {
            known.remove(key);
        }
        let Some(moment) = moment else { continue };
        for subscription in subscriptions(&ctx, key) {
            if !subscription.on.contains(&moment) {
                continue;
            }
            let notification = notification(&ctx, key, &activity, moment);
            let sent = notifier.send(&key.repo, &subscription.channel, notification);
            // What the settings refuse stays so; what is lost is told each time.
            let mut is_known = |why: &NotSent| {
                matches!(why, NotSent::NoChannel(_)) && !refused.insert(why.to_string())
            };
            if let Err(why) = sent
                && !is_known(&why)
            {
                tracing::warn!(windlass.repository = %key.repo, windlass.application = %key.application, windlass.stage = %key.stage, "{why}");
            }
        }
    }
}

fn subscriptions(ctx: &Writer, key: &TargetKey) -> Vec<Subscription> {
    let bases = ctx.bases();
    let target = bases.iter().find_map(|base| base.target(key));
    target.map_or_else(Vec::new, |target| target.stage.notify.clone())
}

fn notification(
    ctx: &Writer,
    key: &TargetKey,
    activity: &Activity,
    moment: Moment,
) -> Notification {
    let state = match &activity.what {
        What::State(state) => Some(state),
        _ => None,
    };
    let commit = state.and_then(|state| state.revision.clone());
    let repository = ctx.github.repository(&key.repo).ok();
    let url = repository.zip(commit.as_ref());
    let message = state.and_then(|state| state.message.clone());
    Notification {
        text: view::notification(&activity.subject, &activity.what),
        moment,
        repository: key.repo.to_string(),
        application: key.application.to_string(),
        stage: key.place(),
        reason: activity.what.reason().into(),
        message: message.unwrap_or_default(),
        url: url.map_or_else(String::new, |(repo, commit)| {
            format!("{}/commit/{commit}", repo.html_url)
        }),
        commit: commit.map(|commit| commit.to_string()).unwrap_or_default(),
    }
}
