//! Statuses on the commits that images were built from: where each runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::deployments::{ReportKey, state_of, tolerated};
use crate::controller::{Base, Reader, Result, Writer};
use crate::domain::pull_request::{self, RevisionOrder, Rollout, RolloutState};
use crate::domain::{CommitKey, Name, TargetKey};
use crate::github;

/// A status for each stage on the commits that the images were built from, over all the
/// applications of the stage that run them. A success stays.
pub async fn sources(ctx: &Writer, base: &Base, progress: &[Rollout]) -> Result<()> {
    let mut reports: BTreeMap<(CommitKey, Name), bool> = BTreeMap::new();
    // What a newer commit changed, that one tells: two would tell it at the same time.
    let superseded = [RolloutState::Superseded, RolloutState::FailedBefore];
    for rollout in progress
        .iter()
        .filter(|rollout| !superseded.contains(&rollout.state))
    {
        for source in built_from(ctx, &rollout.key).await? {
            let is_under_way = reports.entry((source, rollout.key.stage.clone()));
            *is_under_way.or_default() |= !rollout.state.is_final();
        }
    }
    for ((source, stage), is_under_way) in reports {
        if ctx.github.repository(&source.repo).is_err() {
            continue;
        }
        // Two commits of the config repository may report the same one at the same time.
        let key = (source.clone(), format!("windlass/{stage}"));
        let turn = (ctx.cache.commits.reporting).get_with(key.clone(), Arc::default);
        let _turn = turn.lock().await;
        let running = running(ctx, base, &source, &stage).await?;
        // What is under way with another commit, that one tells.
        let is_pending = running.iter().any(|one| !one.state.is_final());
        if is_under_way || !is_pending {
            report(ctx, key, &running).await?;
        }
    }
    Ok(())
}

/// The progress of each application of a stage that runs an image that was built from a source
/// commit.
async fn running(
    ctx: &Arc<Reader>,
    base: &Base,
    source: &CommitKey,
    stage: &Name,
) -> Result<Vec<Rollout>> {
    let mut running = Vec::new();
    for target in base
        .configured()
        .into_iter()
        .flat_map(|configured| &configured.targets)
        .filter(|target| target.stage.name == *stage)
    {
        let key = target.key(&base.repo.name);
        if built_from(ctx, &key).await?.contains(source) {
            let status = ctx.store.summary(&key).await?;
            let state = pull_request::progress(RevisionOrder::At, &status);
            let message = status.message.unwrap_or_default();
            running.push(Rollout {
                key,
                state,
                message,
                failed: false,
                detail: String::new(),
            });
        }
    }
    Ok(running)
}

/// Sets the status of a stage on a source commit, unless it is set already.
async fn report(ctx: &Writer, report: ReportKey, running: &[Rollout]) -> Result<()> {
    let (state, text) = state_of(&running.iter().collect::<Vec<_>>());
    let state = if state == "in_progress" {
        "pending"
    } else {
        state
    };
    let (source, context) = &report;
    let reported = ctx.cache.commits.reported.get(&report);
    if reported
        .as_deref()
        .is_some_and(|reported| reported == "success" || reported == state)
    {
        return Ok(());
    }
    let outcome = async {
        let posted = ctx.github.statuses(&source.repo, &source.commit).await?;
        let posted = posted
            .iter()
            .find(|status| status.context == *context)
            .map(|status| status.state.clone());
        if posted.as_deref() == Some("success") {
            return Ok("success".to_string());
        }
        if posted.as_deref() != Some(state) {
            ctx.to_github()
                .set_status(&source.repo, &source.commit, context, state, &text)
                .await?;
        }
        Ok::<_, github::Error>(state.to_string())
    };
    let outcome = outcome.await;
    let known = outcome
        .as_ref()
        .cloned()
        .unwrap_or_else(|_| state.to_string());
    tolerated(
        outcome.map(drop),
        "the status of a source commit cannot be set",
    )?;
    ctx.cache.commits.reported.insert(report, known);
    Ok(())
}

/// The source commits of the images that an application runs.
async fn built_from(ctx: &Arc<Reader>, key: &TargetKey) -> Result<BTreeSet<CommitKey>> {
    let running = ctx.store.summary(key).await?.images;
    let candidates = ctx
        .store
        .promotion(&key.of_stage())
        .await?
        .map(|object| object.spec.candidates)
        .unwrap_or_default();
    let runs = candidates.into_iter().filter(|candidate| {
        running
            .iter()
            .any(|image| image.digest.as_ref() == Some(&candidate.digest))
    });
    Ok(runs
        .map(|candidate| CommitKey {
            repo: candidate.source,
            commit: candidate.commit,
        })
        .collect())
}
