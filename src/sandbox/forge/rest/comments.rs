//! Comments of pull requests, and reactions to them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Asked, body, invalid, not_found};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::auth::Access;
use crate::sandbox::forge::json::{REACTIONS, Shapes, merge};
use crate::sandbox::forge::state::{Comment, Kind, Reaction, Repository, Role, State};
use crate::sandbox::forge::webhooks::find;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommentRequest {
    body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReactionRequest {
    content: String,
}

impl Asked<'_> {
    pub(super) fn comment(&self, number: u64) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: CommentRequest = body(self.call)?;
        too_long(&request.body)?;
        let mut state = self.inner.state();
        let at = state.now();
        let id = state.new_id();
        find(&state, self.repo, number).ok_or_else(not_found)?;
        let (by_app, at) = (self.by_app(), at);
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        if repo
            .comments
            .iter()
            .filter(|comment| comment.issue == number)
            .count()
            >= 2500
        {
            return Err(Reply::error(
                403,
                "Commenting is disabled on issues with more than 2500 comments",
            ));
        }
        if let Some(pull) = repo.pulls.iter_mut().find(|pull| pull.number == number) {
            pull.updated_at = at;
        }
        repo.comments.push(Comment {
            id,
            issue: number,
            user: self.login.clone(),
            by_app,
            body: request.body,
            created_at: at,
            updated_at: at,
            reactions: vec![],
        });
        state.written(Kind::Comment, id, None);
        self.answer_comment(&mut state, id, 201, "created", json!({}))
    }

    pub(super) fn edit_comment(&self, id: &str) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: CommentRequest = body(self.call)?;
        too_long(&request.body)?;
        let mut state = self.inner.state();
        let at = state.now();
        let stale = self.stale_comment(&state, id);
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let role = repo.role(&self.login);
        let comment = repo
            .comments
            .iter_mut()
            .find(|comment| comment.id.to_string() == id)
            .ok_or_else(not_found)?;
        if comment.user != self.login && role < Role::Write {
            return Err(Reply::error(403, "Must have admin rights to Repository."));
        }
        let before = std::mem::replace(&mut comment.body, request.body);
        comment.updated_at = at;
        let id = comment.id;
        state.written(Kind::Comment, id, stale);
        self.answer_comment(
            &mut state,
            id,
            200,
            "edited",
            json!({"changes": {"body": {"from": before}}}),
        )
    }

    /// A comment as it is, where it will not be seen to change at once.
    fn stale_comment(&self, state: &State, id: &str) -> Option<Value> {
        let repo = state.by_id(self.repo)?;
        let comment = repo.comments.iter().find(|one| one.id.to_string() == id)?;
        let shapes = self.inner.shapes(state);
        state
            .lags(Kind::Comment)
            .then(|| shapes.comment(repo, comment))
    }

    fn answer_comment(
        &self,
        state: &mut State,
        id: u64,
        status: u16,
        action: &str,
        more: Value,
    ) -> Answer {
        let repo = state.by_id(self.repo).ok_or_else(not_found)?;
        let comment = repo
            .comments
            .iter()
            .find(|comment| comment.id == id)
            .ok_or_else(not_found)?;
        let (_, pull) = find(state, self.repo, comment.issue).ok_or_else(not_found)?;
        let shapes = self.inner.shapes(state);
        let value = shapes.comment(repo, comment);
        let mut payload = json!({"issue": shapes.issue(repo, pull), "comment": value});
        merge(&mut payload, more);
        self.inner.announce(
            state,
            self.repo,
            "issue_comment",
            Some(action),
            &self.login,
            payload,
        );
        Ok(Reply::json(status, value))
    }

    pub(super) fn with_comment(
        &self,
        id: &str,
        answer: impl FnOnce(&Shapes<'_>, &Repository, &Comment) -> Answer,
    ) -> Answer {
        self.read("pull_requests", |shapes, repo| {
            let comment = repo
                .comments
                .iter()
                .find(|comment| comment.id.to_string() == id)
                .ok_or_else(not_found)?;
            answer(shapes, repo, comment)
        })
    }

    pub(super) fn delete_comment(&self, id: &str) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let mut state = self.inner.state();
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let at = repo
            .comments
            .iter()
            .position(|comment| comment.id.to_string() == id)
            .ok_or_else(not_found)?;
        repo.comments.remove(at);
        Ok(Reply::empty(204))
    }

    pub(super) fn react(&self, id: &str) -> Answer {
        self.react_to(|repo| {
            let mut comments = repo.comments.iter_mut();
            comments.find(|comment| comment.id.to_string() == id)
        })
    }

    pub(super) fn react_to(
        &self,
        find: impl FnOnce(&mut Repository) -> Option<&mut Comment>,
    ) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: ReactionRequest = body(self.call)?;
        if !REACTIONS.contains(&request.content.as_str()) {
            return Err(invalid(
                "reactions",
                json!([{"resource": "Reaction", "field": "content", "code": "invalid"}]),
            ));
        }
        let mut state = self.inner.state();
        let at = state.now();
        let new_id = state.new_id();
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let comment = find(repo).ok_or_else(not_found)?;
        let known = comment.reactions.iter().position(|reaction| {
            reaction.user == self.login && reaction.content == request.content
        });
        let (status, index) = match known {
            Some(index) => (200, index),
            None => {
                comment.reactions.push(Reaction {
                    id: new_id,
                    user: self.login.clone(),
                    content: request.content,
                    created_at: at,
                });
                (201, comment.reactions.len() - 1)
            }
        };
        let reaction = comment.reactions[index].clone();
        let shapes = self.inner.shapes(&state);
        Ok(Reply::json(status, shapes.reaction(&reaction)))
    }
}

pub(super) fn too_long(text: &str) -> Result<(), Reply> {
    if text.chars().count() > 65_536 {
        return Err(invalid(
            "issues/comments",
            json!([{"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": "Body is too long (maximum is 65536 characters)"}]),
        ));
    }
    if text.trim().is_empty() {
        return Err(invalid(
            "issues/comments",
            json!([{"resource": "IssueComment", "code": "missing_field", "field": "body", "message": "body can't be blank"}]),
        ));
    }
    Ok(())
}
