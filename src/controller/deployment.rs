//! Where a commit stands, told where others look for it: GitHub's Deployments,
//! one for each stage, and the commits of the sources that its images were
//! built from.
//!
//! Neither is anything that windlass decides by. Where it may not write them
//! (no permission, not installed on the source) that is logged once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Base, Error, Reader, Result, Writer};
use crate::domain::pull_request::{self, Position, Progress, shortened};
use crate::domain::rollout::{self, Outcome};
use crate::domain::{ApplicationKey, CommitKey, CommitSha, Name, RepoName};
use crate::github;
use crate::view;

/// What was told last: of a commit, in a place.
pub type Told = (CommitKey, String);

/// The state of a deployment, in GitHub's words.
fn state_of(progress: &[&Progress]) -> (&'static str, String) {
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
pub async fn deployments(ctx: &Writer, key: &CommitKey, progress: &[Progress]) -> Result<()> {
    let mut stages: BTreeMap<&Name, Vec<&Progress>> = BTreeMap::new();
    for one in progress {
        stages.entry(&one.key.stage).or_default().push(one);
    }
    for (stage, progress) in stages {
        let (state, text) = state_of(&progress);
        let place = format!("deployment {stage}");
        let told = ctx.memory.elsewhere.get(&(key.clone(), place.clone()));
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
        ctx.memory
            .elsewhere
            .insert((key.clone(), place), state.into());
    }
    Ok(())
}

/// A status for each stage on the commits that the images were built from, over all the applications of the stage that run
/// them. What came to its good end stays told so.
pub async fn sources(ctx: &Writer, base: &Base, progress: &[Progress]) -> Result<()> {
    let repo = &base.repo.name;
    let mut moved: BTreeSet<(RepoName, CommitSha, Name)> = BTreeSet::new();
    for one in progress {
        moved.extend(
            built_from(ctx, &one.key)
                .await?
                .into_iter()
                .map(|(source, commit)| (source, commit, one.key.stage.clone())),
        );
    }
    for (source, commit, stage) in moved {
        if ctx.github.repository(&source).is_err() {
            continue;
        }
        let mut stands = Vec::new();
        for target in base
            .configured()
            .into_iter()
            .flat_map(|configured| &configured.targets)
            .filter(|one| one.stage.name == stage)
        {
            let key = target.key(repo);
            if built_from(ctx, &key)
                .await?
                .contains(&(source.clone(), commit.clone()))
            {
                let status = ctx.home.stand(&key).await?;
                let state = pull_request::progress(Position::At, &status);
                let message = status.message.unwrap_or_default();
                stands.push(Progress {
                    key,
                    state,
                    message,
                    detail: String::new(),
                });
            }
        }
        let (state, text) = state_of(&stands.iter().collect::<Vec<_>>());
        let state = if state == "in_progress" {
            "pending"
        } else {
            state
        };
        let context = format!("windlass/{stage}");
        let name = (
            CommitKey {
                repo: source.clone(),
                commit: commit.clone(),
            },
            context.clone(),
        );
        let told = ctx.memory.elsewhere.get(&name);
        if told
            .as_deref()
            .is_some_and(|told| told == "success" || told == state)
        {
            continue;
        }
        let outcome = async {
            let posted = ctx.github.statuses(&source, &commit).await?;
            let posted = posted
                .iter()
                .find(|status| status.context == context)
                .map(|status| status.state.clone());
            if posted.as_deref() == Some("success") {
                return Ok("success".to_string());
            }
            if posted.as_deref() != Some(state) {
                ctx.to_github()
                    .set_status(&source, &commit, &context, state, &text)
                    .await?;
            }
            Ok::<_, github::Error>(state.to_string())
        };
        let said = outcome.await;
        let known = said.as_ref().cloned().unwrap_or_else(|_| state.to_string());
        tolerated(
            said.map(drop),
            "a source commit is not told where it stands",
        )?;
        ctx.memory.elsewhere.insert(name, known);
    }
    Ok(())
}

/// The source commits of the images that an application runs.
async fn built_from(
    ctx: &Arc<Reader>,
    key: &ApplicationKey,
) -> Result<BTreeSet<(RepoName, CommitSha)>> {
    let running = ctx.home.stand(key).await?.images;
    let candidates = ctx
        .home
        .promotion(key)
        .await?
        .map(|object| object.spec.candidates)
        .unwrap_or_default();
    let runs = candidates.into_iter().filter(|candidate| {
        running
            .iter()
            .any(|image| image.digest.as_ref() == Some(&candidate.digest))
    });
    Ok(runs
        .map(|candidate| (candidate.source, candidate.commit))
        .collect())
}

/// What GitHub will not have is no reason to stop: it is nobody's truth.
fn tolerated(outcome: std::result::Result<(), github::Error>, what: &str) -> Result<()> {
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
