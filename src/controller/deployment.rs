//! Where a commit stands, told where others look for it: GitHub's Deployments,
//! one for each stage, and the commits of the sources that its images were
//! built from.
//!
//! Neither is anything that windlass decides by. Where it may not write them
//! (no permission, not installed on the source) that is logged once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Base, Ctx, Error, Result, locked};
use crate::domain::pull_request::{Progress, ProgressState, shortened};
use crate::domain::{CommitKey, CommitSha, Name, RepoName};
use crate::github;

/// What was told last: of a commit, in a place.
pub type Told = (CommitKey, String);

/// The state of a deployment, in GitHub's words.
fn state_of(progress: &[&Progress]) -> (&'static str, String) {
    let any = |state| progress.iter().find(|one| one.state == state);
    let (state, text) = if let Some(failed) = any(ProgressState::Failed) {
        ("failure", format!("{}: {}", failed.key.title(), failed.message.replace('\n', " ")))
    } else if progress.iter().all(|one| one.state == ProgressState::Superseded) {
        ("inactive", "superseded by a newer commit".into())
    } else if progress.iter().all(|one| one.state.is_final()) {
        ("success", "synced and healthy".into())
    } else if let Some(stale) = any(ProgressState::Stale) {
        ("error", format!("{}: {}", stale.key.title(), stale.message))
    } else {
        ("in_progress", "being synced".into())
    };
    (state, shortened(&text, 140))
}

/// One deployment for each stage that a commit changes.
pub async fn deployments(ctx: &Arc<Ctx>, key: &CommitKey, progress: &[Progress]) -> Result<()> {
    let mut stages: BTreeMap<&Name, Vec<&Progress>> = BTreeMap::new();
    for one in progress {
        stages.entry(&one.key.stage).or_default().push(one);
    }
    for (stage, progress) in stages {
        let (state, text) = state_of(&progress);
        let place = format!("deployment {stage}");
        let told = locked(&ctx.memory.elsewhere).get(&(key.clone(), place.clone())).cloned();
        // What came to its good end is only made inactive, which GitHub does by itself.
        if told.as_deref() == Some(state) || told.as_deref() == Some("success") {
            continue;
        }
        let outcome = async {
            let (deployment, posted) = match ctx.github.deployment(&key.repo, &key.commit, stage.as_str()).await? {
                Some(found) => found,
                // What a newer commit has replaced was never deployed.
                None if state == "inactive" => return Ok(()),
                None => (ctx.github.create_deployment(&key.repo, &key.commit, stage.as_str()).await?, None),
            };
            if posted.as_deref() != Some(state) && posted.as_deref() != Some("success") {
                ctx.github.set_deployment(&key.repo, &deployment, state, &text).await?;
            }
            Ok::<_, github::Error>(())
        };
        tolerated(outcome.await, "GitHub's Deployments are not kept")?;
        locked(&ctx.memory.elsewhere).insert((key.clone(), place), state.into());
    }
    Ok(())
}

/// A status for each stage on the commits that the images were built from.
pub async fn sources(ctx: &Arc<Ctx>, key: &CommitKey, base: &Base, progress: &[Progress]) -> Result<()> {
    let mut found: BTreeMap<(RepoName, CommitSha, Name), Vec<&Progress>> = BTreeMap::new();
    for one in progress.iter().filter(|one| base.target(&one.key).is_some()) {
        let running = ctx.home.application(&one.key).await?.and_then(|object| object.status).unwrap_or_default().images;
        let candidates = ctx.home.promotion(&one.key).await?.map(|object| object.spec.candidates).unwrap_or_default();
        for candidate in candidates {
            if running.iter().any(|image| image.digest.as_ref() == Some(&candidate.digest)) {
                found.entry((candidate.source, candidate.commit, one.key.stage.clone())).or_default().push(one);
            }
        }
    }
    for ((source, commit, stage), progress) in found {
        if ctx.github.repository(&source).is_err() {
            continue;
        }
        let context = format!("windlass/{stage}");
        let (state, text) = state_of(&progress);
        let state = match state {
            "in_progress" => "pending",
            // A newer commit of the configuration says the same of it.
            "inactive" => continue,
            other => other,
        };
        let text = shortened(&format!("{text} ({}@{})", key.repo, key.commit.short()), 140);
        let name = (CommitKey { repo: source.clone(), commit: commit.clone() }, context.clone());
        let said = format!("{state} {text}");
        if locked(&ctx.memory.elsewhere).get(&name) == Some(&said) {
            continue;
        }
        let outcome = async {
            let posted = ctx.github.statuses(&source, &commit).await?;
            let known = posted.iter().any(|status| {
                status.context == context && status.state == state && status.description.as_deref() == Some(text.as_str())
            });
            if !known {
                ctx.github.set_status(&source, &commit, &context, state, &text).await?;
            }
            Ok::<_, github::Error>(())
        };
        tolerated(outcome.await, "a source commit is not told where it stands")?;
        locked(&ctx.memory.elsewhere).insert(name, said);
    }
    Ok(())
}

/// What GitHub will not have is no reason to stop: it is nobody's truth.
fn tolerated(outcome: std::result::Result<(), github::Error>, what: &str) -> Result<()> {
    match outcome {
        Err(error @ (github::Error::Refused { .. } | github::Error::NotFound { .. } | github::Error::NotInstalled { .. })) => {
            tracing::warn!(%error, "{what}");
            Ok(())
        }
        Err(error) => Err(Error::GitHub(error)),
        Ok(()) => Ok(()),
    }
}
