//! Reviews of pull requests.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Asked, body, not_found};
use crate::sandbox::forge::Reply;
use crate::sandbox::forge::auth::Access;
use crate::sandbox::forge::state::{Kind, Review, Role, State};
use crate::sandbox::forge::webhooks::find;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dismissal {
    #[serde(rename = "message")]
    _message: String,
    #[serde(rename = "event")]
    _event: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReviewRequest {
    commit_id: Option<String>,
    body: Option<String>,
    event: Option<String>,
    /// Line comments: taken, and not kept.
    #[serde(rename = "comments")]
    _comments: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditReview {
    body: String,
}

impl Asked<'_> {
    pub(super) fn reviews(&self, number: u64) -> Answer {
        self.with_pull("pull_requests", number, |shapes, repo, pull| {
            let reviews = pull.reviews.iter();
            self.list(
                reviews
                    .map(|review| shapes.review(repo, pull, review))
                    .collect(),
            )
        })
    }

    pub(super) fn review(&self, number: u64) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: ReviewRequest = body(self.call)?;
        let mut state = self.inner.state();
        let at = state.now();
        let id = state.new_id();
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let pull = repo
            .pulls
            .iter_mut()
            .find(|pull| pull.number == number)
            .ok_or_else(not_found)?;
        let review_state = review_state(request.event.as_deref())?;
        if pull.author == self.login {
            refuse_self_review(review_state)?;
        }
        pull.reviews.push(Review {
            id,
            user: self.login.clone(),
            state: review_state.into(),
            body: request.body.unwrap_or_default(),
            commit: request.commit_id.unwrap_or_else(|| pull.head.sha.clone()),
            submitted_at: at,
            edited_at: None,
        });
        pull.updated_at = at;
        state.written(Kind::Review, id, None);
        self.answer_review(&mut state, number, id, "submitted", json!({}))
    }

    /// Edits the text of a review.
    pub(super) fn edit_review(&self, number: u64, id: u64) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let request: EditReview = body(self.call)?;
        let mut state = self.inner.state();
        let at = state.now();
        let stale = self.stale_review(&state, number, id);
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        let role = repo.role(&self.login);
        let mut pulls = repo.pulls.iter_mut();
        let pull = pulls.find(|pull| pull.number == number);
        let mut reviews = pull.ok_or_else(not_found)?.reviews.iter_mut();
        let review = reviews.find(|review| review.id == id);
        let review = review.ok_or_else(not_found)?;
        if review.user != self.login && role < Role::Write {
            return Err(not_found());
        }
        let before = std::mem::replace(&mut review.body, request.body);
        review.edited_at = Some(at);
        let more = json!({"changes": {"body": {"from": before}}});
        state.written(Kind::Review, id, stale);
        self.answer_review(&mut state, number, id, "edited", more)
    }

    /// An opinion is taken back, by somebody with write access.
    pub(super) fn dismiss(&self, number: u64, id: u64) -> Answer {
        self.allow("pull_requests", Access::Write)?;
        let _: Dismissal = body(self.call)?;
        let mut state = self.inner.state();
        let stale = self.stale_review(&state, number, id);
        let repo = state.repository_mut(self.repo).ok_or_else(not_found)?;
        if !self.by_app() && repo.role(&self.login) < Role::Write {
            return Err(Reply::error(403, "Must have push access to repository"));
        }
        let mut pulls = repo.pulls.iter_mut();
        let review = pulls
            .find(|pull| pull.number == number)
            .and_then(|pull| pull.reviews.iter_mut().find(|review| review.id == id))
            .ok_or_else(not_found)?;
        if !["APPROVED", "CHANGES_REQUESTED"].contains(&review.state.as_str()) {
            let kind = review.state.to_lowercase();
            return Err(Reply::json(
                422,
                json!({"message": "Unprocessable Entity", "errors": [format!("Can not dismiss a {kind} pull request review")],
                    "documentation_url": "https://docs.github.com/rest/pulls/reviews", "status": "422"}),
            ));
        }
        review.state = "DISMISSED".into();
        state.written(Kind::Review, id, stale);
        self.answer_review(&mut state, number, id, "dismissed", json!({}))
    }

    /// A review as it is, where it will not be seen to change at once.
    fn stale_review(&self, state: &State, number: u64, id: u64) -> Option<Value> {
        let (repo, pull) = find(state, self.repo, number)?;
        let review = pull.reviews.iter().find(|review| review.id == id)?;
        let shapes = self.inner.shapes(state);
        state
            .lags(Kind::Review)
            .then(|| shapes.review(repo, pull, review))
    }

    /// Announces a review, and answers with it.
    fn answer_review(
        &self,
        state: &mut State,
        number: u64,
        id: u64,
        action: &str,
        more: Value,
    ) -> Answer {
        let by = (action, self.login.as_str());
        self.inner
            .announce_review(state, self.repo, number, id, by, more);
        let (repo, pull) = find(state, self.repo, number).ok_or_else(not_found)?;
        let mut reviews = pull.reviews.iter();
        let review = reviews
            .find(|review| review.id == id)
            .ok_or_else(not_found)?;
        let told = self.inner.shapes(state).review(repo, pull, review);
        Ok(Reply::json(200, told))
    }
}

fn review_state(event: Option<&str>) -> Result<&'static str, Reply> {
    Ok(match event {
        Some("APPROVE") => "APPROVED",
        Some("REQUEST_CHANGES") => "CHANGES_REQUESTED",
        Some("COMMENT") => "COMMENTED",
        None => "PENDING",
        Some(_) => {
            return Err(Reply::json(
                422,
                json!({"message": "Unprocessable Entity", "errors": ["Variable $event is invalid"]}),
            ));
        }
    })
}

/// An author comments on what is theirs, and no more.
fn refuse_self_review(review_state: &str) -> Result<(), Reply> {
    let verb = match review_state {
        "APPROVED" => "approve",
        "CHANGES_REQUESTED" => "request changes on",
        _ => return Ok(()),
    };
    Err(Reply::json(
        422,
        json!({"message": "Unprocessable Entity", "errors": [format!("Can not {verb} your own pull request")], "documentation_url": "https://docs.github.com/rest/pulls/reviews", "status": "422"}),
    ))
}
