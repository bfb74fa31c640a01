//! A group of a merge queue: the preview of the combined tree, and the verdict on it.
//!
//! GitHub merges the group once every required check is green on its head, and
//! removes it after a while if one is not reported. Each pull request of it had
//! its own verdict before it came into the queue; what is judged here is the
//! combination, which nobody has seen.

use std::sync::Arc;

use super::act::preview_check;
use super::shown_preview::{ShownPreview, applications};
use crate::controller::{Reader, Requeue, Result, Writer, preview};
use crate::domain::MergeGroup;
use crate::domain::pull_request::{GATE_CONTEXT, Preview};
use crate::git::Remote;
use crate::github::NewCheck;
use crate::view;

pub async fn reconcile_group(ctx: Arc<Writer>, group: MergeGroup) -> Result<Requeue> {
    let base = ctx.known_base(&group.repo).await?;
    if base.configuration.is_none() || group.branch != base.repo.default_branch {
        return Ok(Requeue::Idle);
    }
    fetch(&ctx, &group).await?;
    let started = tokio::time::Instant::now();
    let (at, head) = (base.clone(), group.head.clone());
    let diff = ctx
        .mirror(&group.repo, move |mirror| {
            preview::git_diff(mirror, at.configuration.as_ref(), &at.commit, &head)
        })
        .await?;
    let changes = Arc::new(diff.changes.clone());
    let (total, failure) = (diff.total, diff.failure.clone());
    let (applications, _) = applications(&ctx, &group.repo, &base, diff).await?;
    let preview = Preview {
        head: group.head.clone(),
        base: base.commit.clone(),
        applications,
        total,
        failure,
        duration: started.elapsed(),
    };
    let text = tokio::task::block_in_place(|| view::preview(&preview));
    let shown = ShownPreview {
        id: preview.id(),
        retry: None,
        preview,
        text,
        changes,
    };
    let github = ctx.to_github();
    github
        .publish_check(&group.repo, &preview_check(&shown), None)
        .await?;
    let verdict = verdict(&group, &shown);
    github.publish_check(&group.repo, &verdict, None).await?;
    Ok(Requeue::Idle)
}

/// The verdict on the group: its pull requests passed the gates before, and together they can be
/// applied.
fn verdict(group: &MergeGroup, shown: &ShownPreview) -> NewCheck {
    let ok = shown.preview.ok();
    NewCheck {
        name: GATE_CONTEXT.into(),
        head: group.head.clone(),
        external_id: shown.id.clone(),
        conclusion: Some(if ok { "success" } else { "failure" }),
        title: view::group_title(ok),
        summary: shown.text.summary.clone(),
        text: None,
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
    let url = ctx.github.repository(&group.repo)?.clone_url;
    let session = ctx.github.session_to_fetch(&group.repo).await?;
    let (reader, group) = (ctx.clone(), group.clone());
    let run = move || {
        let remote = Remote {
            url: &url,
            token: session.token(),
        };
        reader.mirrors.fetch_group(&remote, &group)
    };
    tokio::task::spawn_blocking(run)
        .await
        .map_err(|error| crate::controller::Error::Git(error.into()))?
        .map_err(crate::controller::Error::Git)
}
