//! A pull request of a repository whose object ids windlass does not support: nothing of it can be
//! read but its thread, which is told once.

use crate::controller::{Requeue, Result, Writer};
use crate::domain::PullRequestKey;
use crate::view;

/// Says so, unless we said anything there before: there is nothing else to say.
pub(super) async fn tell(ctx: &Writer, key: &PullRequestKey) -> Result<Requeue> {
    let app = ctx.github.identity().await?;
    let comments = ctx.github.comments_of(key).await?;
    if !comments.iter().any(|comment| comment.is_ours(app)) {
        let github = ctx.to_github();
        github.post_comment(key, view::FOREIGN_IDS).await?;
        tracing::warn!(pr = %key, "the repository has SHA-256 object ids: windlass does nothing in it");
    }
    Ok(Requeue::Idle)
}
