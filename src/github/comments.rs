//! Comments, and reactions to them.

use serde::de::IgnoredAny;
use serde_json::json;

use super::{Comment, Result, Writer};
use crate::domain::{PullRequestKey, RepoName};

impl Writer<'_> {
    pub async fn post_comment(&self, key: &PullRequestKey, body: &str) -> Result<Comment> {
        self.write(
            &key.repo,
            "POST",
            &format!("issues/{}/comments", key.number),
            &json!({"body": body}),
            "post a comment",
        )
        .await
    }

    pub async fn edit_comment(&self, repo: &RepoName, id: u64, body: &str) -> Result<Comment> {
        self.write(
            repo,
            "PATCH",
            &format!("issues/comments/{id}"),
            &json!({"body": body}),
            "edit a comment",
        )
        .await
    }

    /// Reacts to a comment with 👀.
    pub async fn acknowledge(&self, repo: &RepoName, comment: u64) -> Result<()> {
        self.write(
            repo,
            "POST",
            &format!("issues/comments/{comment}/reactions"),
            &json!({"content": "eyes"}),
            "react to a comment",
        )
        .await
        .map(|IgnoredAny| ())
    }
}
