//! The last review of each reviewer of a pull request.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::controller::authority::permission;
use crate::controller::{Reader, Result};
use crate::domain::PullRequestKey;
use crate::domain::approvals::Review;
use crate::domain::command::Permission;
use crate::github::{self, PullSnapshot};

/// The last review of each reviewer, with whether the reviewer has write permission.
pub async fn reviews(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
) -> Result<Vec<Review>> {
    let mut last: HashMap<&str, &github::Review> = HashMap::new();
    for review in &snapshot.reviews {
        if let Some(user) = &review.user
            && matches!(
                review.state.as_str(),
                "APPROVED" | "CHANGES_REQUESTED" | "DISMISSED"
            )
        {
            last.insert(&user.login, review);
        }
    }
    let mut reviews = Vec::new();
    for (user, review) in last
        .into_iter()
        .filter(|(_, review)| review.state != "DISMISSED")
    {
        reviews.push(Review {
            user: user.into(),
            approves: review.state == "APPROVED",
            commit: review.commit_id.clone(),
            submitted_at: review.submitted_at.unwrap_or(Timestamp::MIN),
            may_write: permission(ctx, &key.repo, user, snapshot.read).await? >= Permission::Write,
        });
    }
    reviews.sort_by(|a, b| a.user.cmp(&b.user));
    Ok(reviews)
}
