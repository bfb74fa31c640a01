//! A group of a merge queue: the preview of the combined tree, and the verdict on it.
//!
//! GitHub merges the group once every required check is green on its head, and
//! removes it after a while if one is not reported. The pull request's own verdict
//! has to be green still; what is judged here besides is the combination, which
//! nobody has seen.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::act::preview_check;
use super::shown_preview::{ShownPreview, make};
use crate::controller::{Reader, Requeue, Result, Writer, preview};
use crate::domain::catalog::FILE;
use crate::domain::gate::{self, GroupFacts, GroupRefusal};
use crate::domain::pull_request::GATE_CONTEXT;
use crate::domain::{MergeGroup, PullRequestKey};
use crate::github::NewCheck;
use crate::view;

/// After this time a group that cannot be read is given up.
const LONGEST: Duration = Duration::from_secs(600);
/// A rendering that failed and may pass is tried again.
const AGAIN: Duration = Duration::from_secs(5);

pub async fn reconcile_group(ctx: Arc<Writer>, group: MergeGroup) -> Result<Requeue> {
    let since = ctx.cache.pulls.groups.get_with(group.clone(), Instant::now);
    match look(&ctx, &group).await {
        // The queue may have dropped it: its ref is gone then.
        Err(error) if since.elapsed() > LONGEST => {
            tracing::warn!(%group, %error, "a merge group is given up");
            Ok(Requeue::Idle)
        }
        other => other,
    }
}

async fn look(ctx: &Writer, group: &MergeGroup) -> Result<Requeue> {
    let base = ctx.known_base(&group.repo).await?;
    if base.configuration.is_none() || group.branch != base.repo.default_branch {
        return Ok(Requeue::Idle);
    }
    fetch(ctx, group).await?;
    let own_verdict = own_verdict(ctx, group).await?;
    // Only a few at once: each holds the objects of its applications in memory.
    let _turn = ctx.previewing.acquire().await;
    let started = Instant::now();
    let (at, head) = (base.clone(), group.head.clone());
    let fleet = ctx.environment.fleet_of(&group.repo);
    let (diff, is_alone) = ctx
        .mirror(&group.repo, move |mirror| {
            let (repo, catalog) = (&at.repo.name, at.configuration.as_ref());
            let diff = preview::git_diff(mirror, (repo, &fleet), catalog, &at.commit, &head)?;
            let is_alone = mirror.parents(&head)?.first() == Some(&at.commit);
            Ok((diff, is_alone))
        })
        .await?;
    let (shown, passing) = make(ctx, &base, &group.head, diff, started).await?;
    if passing {
        return Ok(Requeue::After(AGAIN));
    }
    let facts = GroupFacts {
        ok: shown.preview.ok(),
        unseen: shown.text.unseen,
        own_verdict,
        mixed_configuration: !is_alone && shown.changes.files.iter().any(|file| file == FILE),
    };
    let github = ctx.to_github();
    github
        .publish_check(&group.repo, &preview_check(&shown), None)
        .await?;
    let verdict = verdict(group, &shown, gate::group_refusal(facts));
    github.publish_check(&group.repo, &verdict, None).await?;
    Ok(Requeue::Idle)
}

/// Whether the verdict on the group's pull request is green now. Its number is in the name of the
/// ref: `gh-readonly-queue/BRANCH/pr-NUMBER-SHA` (docs.github.com, "Managing a merge queue").
async fn own_verdict(ctx: &Writer, group: &MergeGroup) -> Result<bool> {
    let name = group.head_ref.rsplit('/').next().unwrap_or_default();
    let number = name
        .strip_prefix("pr-")
        .and_then(|rest| rest.split('-').next()?.parse().ok());
    let Some(number) = number else {
        return Ok(false);
    };
    let key = PullRequestKey {
        repo: group.repo.clone(),
        number,
    };
    let snapshot = ctx.github.snapshot(&key).await?;
    let gate = snapshot.gate.and_then(|gate| gate.conclusion);
    Ok(gate.as_deref() == Some("success"))
}

fn verdict(group: &MergeGroup, shown: &ShownPreview, refusal: Option<GroupRefusal>) -> NewCheck {
    NewCheck {
        name: GATE_CONTEXT.into(),
        head: group.head.clone(),
        external_id: shown.id.clone(),
        conclusion: Some(if refusal.is_none() {
            "success"
        } else {
            "failure"
        }),
        title: view::group_title(refusal),
        summary: shown.text.summary.clone(),
        text: None,
        annotations: vec![],
    }
}

/// Fetches the group's head, unless the mirror has it.
async fn fetch(ctx: &Arc<Reader>, group: &MergeGroup) -> Result<()> {
    let head = group.head.clone();
    let has = ctx
        .mirror(&group.repo, move |mirror| Ok(mirror.has(&head)))
        .await?;
    if has {
        return Ok(());
    }
    let wanted = group.clone();
    ctx.from_remote(&group.repo, move |mirrors, remote| {
        mirrors.fetch_group(remote, &wanted)
    })
    .await
}
