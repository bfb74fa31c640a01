//! `windlass hold` and `windlass rollback`: what `/hold` and `/rollback` do, also while GitHub is down.

use anyhow::{Context as _, bail};
use serde_json::json;

use super::{ApplicationArgs, annotate, annotate_all, each, read};
use crate::cluster::store::{HOLD, ROLLBACK};
use crate::domain::history::last_before;
use crate::domain::hold::Hold;
use crate::domain::rollback::Rollback;
use crate::domain::{CommitSha, sync};

/// Who holds and rolls back by these commands: the cluster knows who runs them.
const OPERATOR: &str = "an operator";

pub async fn hold(
    args: &ApplicationArgs,
    reason: &str,
    duration: Option<&str>,
) -> anyhow::Result<String> {
    let now = jiff::Timestamp::now();
    let until = match duration {
        Some(text) => {
            let time = sync::duration(text)
                .with_context(|| format!("`{text}` is not a duration: write 30m, 2h or 1d"))?;
            Some(now.checked_add(time)?)
        }
        None => None,
    };
    let hold = Hold::new(OPERATOR, reason, now, until).to_text();
    annotate(args, HOLD, Some(&hold)).await?;
    Ok(format!(
        "windlass merges nothing into {0} by itself: `windlass resume {0}` ends it\n",
        args.application
    ))
}

pub async fn rollback(args: &ApplicationArgs, to: Option<CommitSha>) -> anyhow::Result<String> {
    let clusters = each(args).await?;
    let [first, others @ ..] = &clusters[..] else {
        bail!("there is no {}", args.application);
    };
    // What one of several clusters goes back to may be far back for the others.
    if to.is_none() && (!others.is_empty() || first.application.matches('/').count() > 1) {
        bail!(
            "the stage has several clusters: name the commit that all of them go back to with --to (`windlass history {}` lists those that were healthy), or give `/rollback` in a pull request's thread",
            first.application
        );
    }
    let args = first;
    let object = read(args).await?;
    let now = jiff::Timestamp::now();
    let present = object.hold(now);
    let status = object.status.unwrap_or_default();
    let inputs = status.inputs.clone().unwrap_or_default();
    let good = last_before(&status.history, &inputs).map(|good| good.revision.clone());
    let chosen = to.is_some();
    let to = to.or(good).with_context(|| {
        let application = &args.application;
        format!("no commit before the present one is known with which {application} was healthy: name one with --to (`windlass history {application}` lists them)")
    })?;
    let rollback = Rollback {
        to,
        by: OPERATOR.into(),
        reason: String::new(),
        pull_request: None,
        chosen,
        away_from: status.inputs.filter(|_| !chosen),
    };
    let hold = rollback.hold(present, now).to_text();
    annotate_all(args, json!({ROLLBACK: rollback.to_text(), HOLD: hold})).await?;
    Ok(format!(
        "a pull request takes {0} back to {1}; `windlass resume {0}` ends the hold\n",
        args.application,
        rollback.to.short()
    ))
}
