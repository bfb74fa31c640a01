//! Comments, and reactions to them.

use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::answers::unexpected;
use super::{Comment, GitHub, Result, Writer};
use crate::domain::pull_request::Source;
use crate::domain::{PullRequestKey, RepoName};

/// Everything in which a person writes is a `Comment` there: descriptions and reviews too.
const LAST_EDITED: &str = "query($id: ID!) { node(id: $id) { ... on Comment { lastEditedAt } } }";

impl GitHub {
    /// When a text was last edited, by its node id; None: never. REST does not tell this of reviews
    /// and descriptions.
    pub async fn last_edited(&self, repo: &RepoName, node_id: &str) -> Result<Option<Timestamp>> {
        let what = "read when a text was edited";
        let variables = json!({"id": node_id});
        let data = self.query(repo, LAST_EDITED, variables, what).await?;
        let unexpected = || unexpected(what, "the answer does not say".into());
        match &data["node"]["lastEditedAt"] {
            Value::Null if data["node"].is_object() => Ok(None),
            Value::String(at) => at.parse().map(Some).map_err(|_| unexpected()),
            _ => Err(unexpected()),
        }
    }
}

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

    pub async fn delete_comment(&self, repo: &RepoName, id: u64) -> Result<()> {
        let (route, what) = (format!("issues/comments/{id}"), "delete a comment");
        self.write(repo, "DELETE", &route, &Value::Null, what)
            .await
            .map(|IgnoredAny| ())
    }

    /// Reacts with 👀 to what takes reactions.
    pub async fn acknowledge(&self, repo: &RepoName, source: Source) -> Result<()> {
        let route = match source {
            Source::Comment(id) => format!("issues/comments/{id}/reactions"),
            Source::LineComment(id) => format!("pulls/comments/{id}/reactions"),
            Source::Review(_) | Source::Description(_) => return Ok(()),
        };
        self.write(
            repo,
            "POST",
            &route,
            &json!({"content": "eyes"}),
            "react to a comment",
        )
        .await
        .map(|IgnoredAny| ())
    }
}
