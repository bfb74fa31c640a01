//! Comments on lines of a pull request's diff, and reactions to them
//! (docs.github.com/rest/pulls/comments).

use serde::Deserialize;
use serde_json::{Value, json};

use super::comments::too_long;
use super::{Answer, Asked, body, not_found};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::auth::Access;
use crate::sandbox::forge::git::settled;
use crate::sandbox::forge::json::merge;
use crate::sandbox::forge::state::{
    Comment, Kind, LineComment, Place, Pull, Repository, Review, Role, State,
};
use crate::sandbox::forge::webhooks::find;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLineComment {
    body: String,
    commit_id: Option<String>,
    path: Option<String>,
    line: Option<u64>,
    side: Option<String>,
    subject_type: Option<String>,
    in_reply_to: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditLineComment {
    body: String,
}

impl Asked<'_> {
    pub(super) fn line_comment_endpoints(&self, method: &str, rest: &[&str]) -> Answer {
        let Some((id, rest)) = rest.split_first() else {
            return Err(not_found());
        };
        match (method, rest) {
            ("GET", []) => {
                let read = self.read("pull_requests", |shapes, repo| {
                    let comment = line_comment(repo, id)?;
                    Ok(Reply::json(200, shapes.line_comment(repo, comment)))
                });
                self.lagging(Kind::LineComment, read)
            }
            ("PATCH", []) => self.edit_line_comment(id),
            ("GET", ["reactions"]) => self.read("pull_requests", |shapes, repo| {
                let reactions = line_comment(repo, id)?.comment.reactions.iter();
                self.list(
                    reactions
                        .map(|reaction| shapes.reaction(reaction))
                        .collect(),
                )
            }),
            ("POST", ["reactions"]) => self.react_to(|repo| {
                let mut comments = repo.line_comments.iter_mut();
                let found = comments.find(|comment| comment.comment.id.to_string() == *id)?;
                Some(&mut found.comment)
            }),
            _ => Err(not_found()),
        }
    }

    pub(super) fn line_comments(&self, number: u64) -> Answer {
        self.with_pull("pull_requests", number, |shapes, repo, _| {
            let comments = repo.line_comments.iter();
            let comments = comments.filter(|comment| comment.comment.issue == number);
            self.list(
                comments
                    .map(|comment| shapes.line_comment(repo, comment))
                    .collect(),
            )
        })
    }

    /// A comment by itself makes a review that holds nothing else.
    pub(super) fn comment_on_line(&self, number: u64) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: NewLineComment = body(self.call)?;
        too_long(&request.body)?;
        let mut state = self.inner.state();
        let at = state.now();
        let (id, review) = (state.new_id(), state.new_id());
        let (repo, pull) = find(&state, self.repo, number).ok_or_else(not_found)?;
        let place = match request.in_reply_to {
            Some(answered) => line_comment(repo, &answered.to_string())?.place.clone(),
            None => self.place(pull, &request)?,
        };
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let mut pulls = repo.pulls.iter_mut();
        if let Some(pull) = pulls.find(|pull| pull.number == number) {
            pull.updated_at = at;
            pull.reviews.push(Review {
                id: review,
                user: self.login.clone(),
                state: "COMMENTED".into(),
                body: String::new(),
                commit: place.commit.clone(),
                submitted_at: at,
                edited_at: None,
            });
        }
        repo.line_comments.push(LineComment {
            comment: Comment {
                id,
                issue: number,
                user: self.login.clone(),
                by_app: self.by_app(),
                body: request.body,
                created_at: at,
                updated_at: at,
                reactions: vec![],
            },
            review,
            in_reply_to: request.in_reply_to,
            place,
        });
        state.written(Kind::Review, review, None);
        state.written(Kind::LineComment, id, None);
        self.answer_line_comment(&mut state, id, 201, "created", json!({}))
    }

    fn edit_line_comment(&self, id: &str) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: EditLineComment = body(self.call)?;
        too_long(&request.body)?;
        let mut state = self.inner.state();
        let at = state.now();
        let stale = self.stale_line_comment(&state, id);
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let role = repo.role(&self.login);
        let mut comments = repo.line_comments.iter_mut();
        let found = comments.find(|comment| comment.comment.id.to_string() == id);
        let comment = &mut found.ok_or_else(not_found)?.comment;
        if comment.user != self.login && role < Role::Write {
            return Err(Reply::error(403, "Must have admin rights to Repository."));
        }
        let before = std::mem::replace(&mut comment.body, request.body);
        comment.updated_at = at;
        let (id, more) = (comment.id, json!({"changes": {"body": {"from": before}}}));
        state.written(Kind::LineComment, id, stale);
        self.answer_line_comment(&mut state, id, 200, "edited", more)
    }

    /// A comment as it is, where it will not be seen to change at once.
    fn stale_line_comment(&self, state: &State, id: &str) -> Option<Value> {
        let repo = state.by_id(self.repo)?;
        let comment = line_comment(repo, id).ok()?;
        let shapes = self.inner.shapes(state);
        state
            .lags(Kind::LineComment)
            .then(|| shapes.line_comment(repo, comment))
    }

    fn answer_line_comment(
        &self,
        state: &mut State,
        id: u64,
        status: u16,
        action: &str,
        more: Value,
    ) -> Answer {
        let repo = state.by_id(self.repo).ok_or_else(not_found)?;
        let comment = line_comment(repo, &id.to_string())?;
        let (_, pull) = find(state, self.repo, comment.comment.issue).ok_or_else(not_found)?;
        let shapes = self.inner.shapes(state);
        let value = shapes.line_comment(repo, comment);
        let pull = shapes.pull_simple(repo, pull);
        let mut payload = json!({"comment": value, "pull_request": pull});
        merge(&mut payload, more);
        let event = "pull_request_review_comment";
        self.inner
            .announce(state, self.repo, event, Some(action), &self.login, payload);
        Ok(Reply::json(status, value))
    }

    /// Where in the diff a comment is to stand.
    fn place(&self, pull: &Pull, request: &NewLineComment) -> Result<Place, Reply> {
        let (Some(commit), Some(path)) = (&request.commit_id, &request.path) else {
            return Err(Reply::error(
                422,
                "Invalid request.\n\n\"commit_id\", \"path\" weren't supplied.",
            ));
        };
        if *commit != pull.head.sha {
            return Err(unprocessable("commit_id is not part of the pull request"));
        }
        let range = format!("{}...{}", pull.base.sha, pull.head.sha);
        let diff = settled(&self.path(), &["diff", &range, "--", path]).unwrap_or_default();
        if diff.is_empty() {
            return Err(unprocessable("path is invalid"));
        }
        let is_right = request.side.as_deref() != Some("LEFT");
        let place = |line, position, hunk| Place {
            commit: commit.clone(),
            path: path.clone(),
            line,
            position,
            is_right,
            hunk,
        };
        if request.subject_type.as_deref() == Some("file") {
            return Ok(place(None, 1, String::new()));
        }
        let found = request
            .line
            .and_then(|line| Some((line, hunk_of(&diff, line, is_right)?)));
        let (line, (position, hunk)) =
            found.ok_or_else(|| unprocessable("line must be part of the diff"))?;
        Ok(place(Some(line), position, hunk))
    }
}

/// The position of a line in a file's diff, counted from its first `@@`, and its hunk up to it.
fn hunk_of(diff: &str, wanted: u64, is_right: bool) -> Option<(u64, String)> {
    let (mut old, mut new, mut hunk) = (0, 0, String::new());
    let lines = diff.lines().skip_while(|line| !line.starts_with("@@"));
    for (position, line) in lines.enumerate() {
        if let Some(head) = line.strip_prefix("@@ -") {
            let start = |text: &str| text.split([',', ' ']).next()?.parse::<u64>().ok();
            old = start(head)?;
            new = start(head.split_once('+')?.1)?;
            hunk = line.into();
            continue;
        }
        hunk = format!("{hunk}\n{line}");
        let (on_left, on_right) = (!line.starts_with('+'), !line.starts_with('-'));
        let is_it = match is_right {
            true => on_right && new == wanted,
            false => on_left && old == wanted,
        };
        if is_it {
            return Some((position as u64, hunk));
        }
        old += u64::from(on_left);
        new += u64::from(on_right);
    }
    None
}

fn line_comment<'a>(repo: &'a Repository, id: &str) -> Result<&'a LineComment, Reply> {
    let mut comments = repo.line_comments.iter();
    let found = comments.find(|comment| comment.comment.id.to_string() == id);
    found.ok_or_else(not_found)
}

fn unprocessable(why: &str) -> Reply {
    Reply::json(
        422,
        json!({"message": "Validation Failed", "errors": [{"resource": "PullRequestReviewComment", "code": "custom", "field": "pull_request_review_thread", "message": format!("pull_request_review_thread.{why}")}],
            "documentation_url": "https://docs.github.com/rest/pulls/comments#create-a-review-comment-for-a-pull-request", "status": "422"}),
    )
}
