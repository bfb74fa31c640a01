//! What pull requests have as the issues that they are: comments and labels.

use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Asked, body, not_found};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::auth::Access;
use crate::sandbox::forge::state::Kind;
use crate::sandbox::forge::webhooks::find;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelsRequest {
    labels: Vec<String>,
}

impl Asked<'_> {
    pub(super) fn issue_endpoints(&self, method: &str, rest: &[&str]) -> Answer {
        match (method, rest) {
            ("GET", ["comments", id]) => {
                let told = self.with_comment(id, |shapes, repo, comment| {
                    Ok(Reply::json(200, shapes.comment(repo, comment)))
                });
                self.lagging(Kind::Comment, told)
            }
            ("PATCH", ["comments", id]) => self.edit_comment(id),
            ("DELETE", ["comments", id]) => self.delete_comment(id),
            ("GET", ["comments", id, "reactions"]) => {
                self.with_comment(id, |shapes, _, comment| {
                    self.list(
                        comment
                            .reactions
                            .iter()
                            .map(|reaction| shapes.reaction(reaction))
                            .collect(),
                    )
                })
            }
            ("POST", ["comments", id, "reactions"]) => self.react(id),
            ("GET", [number, "comments"]) => {
                let number = self.number(number)?;
                let told = self.with_pull("issues", number, |shapes, repo, _| {
                    self.list(
                        repo.comments
                            .iter()
                            .filter(|comment| comment.issue == number)
                            .map(|comment| shapes.comment(repo, comment))
                            .collect(),
                    )
                });
                self.lagging(Kind::Comment, told)
            }
            ("POST", [number, "comments"]) => self.comment(self.number(number)?),
            ("POST", [number, "labels"]) => self.label(self.number(number)?),
            _ => Err(not_found()),
        }
    }

    fn label(&self, number: u64) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: LabelsRequest = body(self.call)?;
        let mut state = self.inner.state();
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let pull = repo
            .pulls
            .iter_mut()
            .find(|pull| pull.number == number)
            .ok_or_else(not_found)?;
        for label in request.labels {
            if !pull.labels.contains(&label) {
                pull.labels.push(label);
            }
        }
        let (repo, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
        let shapes = self.inner.shapes(&state);
        Ok(Reply::json(
            200,
            Value::Array(
                pull.labels
                    .iter()
                    .map(|name| shapes.label(repo, name))
                    .collect(),
            ),
        ))
    }
}
