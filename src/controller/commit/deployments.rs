//! The progress of a commit as GitHub Deployments, one for each stage.
//!
//! windlass never decides by them. If it may not write them (no permission),
//! it logs a warning and goes on.

use std::collections::BTreeMap;

use crate::controller::{Error, Result, Writer};
use crate::domain::pull_request::{Rollout, shortened};
use crate::domain::rollout::{self, Outcome};
use crate::domain::{CommitKey, Name};
use crate::{github, view};

/// A commit, and the name of the deployment or status that reports it.
pub type ReportKey = (CommitKey, String);

/// The state of a deployment, in GitHub's words.
pub fn state_of(progress: &[&Rollout]) -> (&'static str, String) {
    let summary = rollout::summary(progress.iter().copied());
    let state = match summary.outcome {
        Outcome::Failed => "failure",
        Outcome::Stale => "error",
        Outcome::Pending => "in_progress",
        Outcome::Superseded => "inactive",
        Outcome::Healthy | Outcome::Nothing => "success",
    };
    (state, shortened(&view::rollout(&summary), 140))
}

/// One deployment for each stage that a commit changes.
pub async fn deployments(ctx: &Writer, key: &CommitKey, progress: &[Rollout]) -> Result<()> {
    let mut stages: BTreeMap<&Name, Vec<&Rollout>> = BTreeMap::new();
    for rollout in progress {
        stages.entry(&rollout.key.stage).or_default().push(rollout);
    }
    for (stage, progress) in stages {
        let (state, text) = state_of(&progress);
        let name = format!("deployment {stage}");
        let reported = ctx.cache.commits.reported.get(&(key.clone(), name.clone()));
        // After a success a deployment only becomes inactive, which GitHub does by itself.
        if reported.as_deref() == Some(state) || reported.as_deref() == Some("success") {
            continue;
        }
        let outcome = async {
            let known = ctx
                .cache
                .commits
                .deployments
                .get(&(key.clone(), name.clone()));
            let found = match known {
                Some(id) => Some((github::deployments::Deployment { id }, reported.clone())),
                None => {
                    ctx.github
                        .deployment(&key.repo, &key.commit, stage.as_str())
                        .await?
                }
            };
            let (deployment, posted) = match found {
                Some(found) => found,
                // A newer commit replaced this one before it was deployed.
                None if state == "inactive" => return Ok(()),
                None => (
                    ctx.to_github()
                        .create_deployment(&key.repo, &key.commit, stage.as_str())
                        .await?,
                    None,
                ),
            };
            let known = &ctx.cache.commits.deployments;
            known.insert((key.clone(), name.clone()), deployment.id);
            if posted.as_deref() != Some(state) && posted.as_deref() != Some("success") {
                ctx.to_github()
                    .set_deployment(&key.repo, &deployment, state, &text)
                    .await?;
            }
            Ok::<_, github::Error>(())
        };
        tolerated(outcome.await, "a GitHub Deployment cannot be written")?;
        ctx.cache
            .commits
            .reported
            .insert((key.clone(), name), state.into());
    }
    Ok(())
}

/// If GitHub refuses such a report, a warning is logged: windlass does not depend on it.
pub fn tolerated(outcome: std::result::Result<(), github::Error>, what: &str) -> Result<()> {
    match outcome {
        Err(
            error @ (github::Error::Refused { .. }
            | github::Error::NotFound { .. }
            | github::Error::NotInstalled { .. }),
        ) => {
            tracing::warn!(%error, "{what}");
            Ok(())
        }
        Err(error) => Err(Error::GitHub(error)),
        Ok(()) => Ok(()),
    }
}
