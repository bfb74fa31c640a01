//! Where a commit stands, told where others look for it: GitHub's Deployments,
//! one for each stage, and the commits of the sources that its images were
//! built from.
//!
//! Neither is anything that windlass decides by. Where it may not write them
//! (no permission, not installed on the source) that is logged once.

use std::collections::BTreeMap;

use crate::controller::{Error, Result, Writer};
use crate::domain::pull_request::{Rollout, shortened};
use crate::domain::rollout::{self, Outcome};
use crate::domain::{CommitKey, Name};
use crate::{github, view};

/// What was told last: of a commit, in a place.
pub type Place = (CommitKey, String);

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
    for one in progress {
        stages.entry(&one.key.stage).or_default().push(one);
    }
    for (stage, progress) in stages {
        let (state, text) = state_of(&progress);
        let place = format!("deployment {stage}");
        let told = ctx
            .cache
            .commits
            .reported
            .get(&(key.clone(), place.clone()));
        // What came to its good end is only made inactive, which GitHub does by itself.
        if told.as_deref() == Some(state) || told.as_deref() == Some("success") {
            continue;
        }
        let outcome = async {
            let (deployment, posted) = match ctx
                .github
                .deployment(&key.repo, &key.commit, stage.as_str())
                .await?
            {
                Some(found) => found,
                // What a newer commit has replaced was never deployed.
                None if state == "inactive" => return Ok(()),
                None => (
                    ctx.to_github()
                        .create_deployment(&key.repo, &key.commit, stage.as_str())
                        .await?,
                    None,
                ),
            };
            if posted.as_deref() != Some(state) && posted.as_deref() != Some("success") {
                ctx.to_github()
                    .set_deployment(&key.repo, &deployment, state, &text)
                    .await?;
            }
            Ok::<_, github::Error>(())
        };
        tolerated(outcome.await, "GitHub's Deployments are not kept")?;
        ctx.cache
            .commits
            .reported
            .insert((key.clone(), place), state.into());
    }
    Ok(())
}

/// What GitHub will not have is no reason to stop: it is nobody's truth.
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
