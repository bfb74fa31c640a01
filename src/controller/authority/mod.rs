//! Who may decide: the facts about a pull request that the gate, prunes,
//! commands and receipts all judge by one rule ([`approvals`](crate::domain::approvals)).
//!
//! - `contributors`: everybody who contributed to it, whose approvals do not count
//! - `people`: the permissions of people
//! - `reviews`: the last review of each reviewer
//! - `stages`: the stages that it touches, and what a merge commit changed
//! - `policies`: what those stages require, and who is among their approvers

mod contributors;
mod people;
mod policies;
mod reviews;
mod stages;

pub use contributors::contributors;
pub use people::{Permissions, permission};
pub use policies::{People, policies};
pub use reviews::reviews;
pub use stages::{merged_changes, touched_stages};

use std::sync::Arc;

use super::{Reader, Result, promotion};
use crate::cluster::store::Application;
use crate::domain::approvals::Case;
use crate::domain::catalog::Target;
use crate::domain::gate::Earlier;
use crate::domain::{PullRequestKey, StageKey};
use crate::github::PullSnapshot;

/// Who approved a merged pull request for one stage, by the rule of the gate.
pub async fn approved_by(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
    target: Option<&Target>,
) -> Result<Vec<String>> {
    if !snapshot
        .reviews
        .iter()
        .any(|review| review.state == "APPROVED")
    {
        return Ok(Vec::new());
    }
    let (reviews, contributors) = (
        reviews(ctx, key, snapshot).await?,
        contributors(ctx, key, snapshot).await?,
    );
    let logins: Vec<_> = reviews.iter().map(|review| review.user.clone()).collect();
    let targets: Vec<_> = target.into_iter().cloned().collect();
    let policies = policies(
        ctx,
        key,
        &targets,
        &merged_changes(ctx, key, snapshot.pull.merged_as()).await?,
        People {
            deciding: &logins,
            ..People::default()
        },
    )
    .await?;
    let case = Case {
        head: &snapshot.pull.head.sha,
        previewed_at: snapshot.check.as_ref().and_then(|check| check.completed_at),
        contributors: &contributors,
        approvers: policies
            .first()
            .and_then(|policy| policy.approvers.as_ref()),
    };
    Ok(case
        .approved_by(&reviews)
        .into_iter()
        .map(str::to_string)
        .collect())
}

/// The earlier stages in which the images of one of our pull requests have to be healthy.
pub async fn earlier(ctx: &Arc<Reader>, key: &StageKey, target: &Target) -> Result<Vec<Earlier>> {
    let Some(object) = ctx.store.promotion(key).await? else {
        return Ok(Vec::new());
    };
    let stages = promotion::earlier(ctx, key, target).await?;
    let wanted = promotion::wanted(&object);
    let applications = ctx.applications_of(key).await?;
    let skip = applications.iter().find_map(Application::skip);
    let earlier = stages.iter().map(|stage| {
        let skipped = skip.iter().find(|skip| skip.covers(&stage.stage, &wanted));
        Earlier {
            stage: stage.stage.to_string(),
            lacks: stage.lacks(&wanted).filter(|_| skipped.is_none()),
            since: stage.since,
            skipped: skipped.map(|skip| (skip.by.clone(), skip.reason.clone())),
        }
    });
    Ok(earlier.collect())
}
