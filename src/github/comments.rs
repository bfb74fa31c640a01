//! Comments, and reactions to them.

use serde_json::json;

use super::{Result, Writer};
use crate::domain::{PullRequestKey, RepoName};

impl Writer<'_> {
    pub async fn post_comment(&self, key: &PullRequestKey, body: &str) -> Result<()> {
        self.write(
            &key.repo,
            "POST",
            &format!("issues/{}/comments", key.number),
            &json!({"body": body}),
            "post a comment",
        )
        .await
        .map(drop)
    }

    pub async fn edit_comment(&self, repo: &RepoName, id: u64, body: &str) -> Result<()> {
        self.write(
            repo,
            "PATCH",
            &format!("issues/comments/{id}"),
            &json!({"body": body}),
            "edit a comment",
        )
        .await
        .map(drop)
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
        .map(drop)
    }
}
