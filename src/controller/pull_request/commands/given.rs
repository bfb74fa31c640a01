//! The comments that give commands and have no answer of ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::controller::{Reader, Result};
use crate::domain::PullRequestKey;
use crate::domain::command::{self, Permission};
use crate::domain::pull_request::CommandComment;
use crate::github::{Comment, PullSnapshot};
use crate::view;

/// So many commands of one person, and of all, are answered on a pull request within an hour; the rest has to wait.
const MOST_ANSWERS: usize = 20;
const MOST_ANSWERS_IN_ALL: usize = 60;
const BUDGET_WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// A command that was seen so long ago and has no answer is not carried out any more.
const INTERRUPTED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Comments with command lines that have no answer of ours, of people who may write. Readers get neither an answer nor a
/// reaction: each would be a write of ours that anybody can cause.
pub async fn given(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
) -> Result<Vec<CommandComment>> {
    let app = ctx.github.identity().await?;
    let now = Timestamp::from_second(ctx.now().as_second()).unwrap_or_else(|_| ctx.now());
    let ours = snapshot
        .comments
        .iter()
        .filter(|comment| comment.is_ours(app));
    let replies = Replies::of(ours);
    let mut budget = Budget::of(&replies, &snapshot.comments, now);
    let mut permissions: BTreeMap<&str, Permission> = BTreeMap::new();
    let mut asks = Vec::new();
    for comment in &snapshot.comments {
        let Some(author) = comment.user.as_ref().filter(|user| user.kind == "User") else {
            continue;
        };
        if replies.answered.contains_key(&comment.id) || comment.performed_via_github_app.is_some()
        {
            continue;
        }
        let lines = command::parse(comment.text());
        if lines.is_empty() {
            continue;
        }
        let permission = match permissions.get(author.login.as_str()) {
            Some(known) => *known,
            None => {
                let permission = ctx.github.permission(&key.repo, &author.login).await?;
                permissions.insert(&author.login, permission);
                permission
            }
        };
        if permission < Permission::Write || !budget.take(&author.login) {
            tracing::debug!(pr = %key, author = author.login, "a command is passed over");
            continue;
        }
        let acknowledged = comment
            .reactions
            .as_ref()
            .is_some_and(|reactions| reactions.eyes > 0);
        asks.push(CommandComment {
            comment: comment.id,
            author: author.login.clone(),
            permission,
            lines,
            acknowledged,
            edited: comment.updated_at > comment.created_at,
            interrupted: acknowledged && replies.is_interrupted(comment, now),
        });
    }
    Ok(asks)
}

/// Our replies. We never edit one: a reply that was edited is not our word any more, and may name a comment that it was not
/// about.
struct Replies {
    /// The comments that have a reply, with when that was posted.
    answered: BTreeMap<u64, Timestamp>,
    /// When each reply was posted that somebody edited.
    edited: Vec<Timestamp>,
}

impl Replies {
    fn of<'a>(ours: impl Iterator<Item = &'a Comment>) -> Self {
        let (mut answered, mut edited) = (BTreeMap::new(), Vec::new());
        for comment in ours {
            let Some(asked) = view::reply_of(comment.text()) else {
                continue;
            };
            if comment.updated_at > comment.created_at {
                edited.push(comment.created_at);
            } else {
                answered.insert(asked, comment.created_at);
            }
        }
        Self { answered, edited }
    }

    /// Seen, and then? The answer was edited or deleted, or windlass was away for long. Carrying the command out again could
    /// do at another time what was meant then.
    fn is_interrupted(&self, comment: &Comment, now: Timestamp) -> bool {
        let lost = self.edited.iter().any(|at| *at >= comment.created_at);
        lost || now.duration_since(comment.created_at) > INTERRUPTED_AFTER
    }
}

/// How many commands are answered.
struct Budget<'a> {
    answers: BTreeMap<&'a str, usize>,
}

impl<'a> Budget<'a> {
    fn of(replies: &Replies, comments: &'a [Comment], now: Timestamp) -> Self {
        let authors = comments.iter().filter_map(|comment| {
            let author = comment.user.as_ref()?.login.as_str();
            Some((comment.id, author))
        });
        let author_of: BTreeMap<u64, &str> = authors.collect();
        let mut answers: BTreeMap<&str, usize> = BTreeMap::new();
        for (asked, at) in &replies.answered {
            if now.duration_since(*at) < BUDGET_WINDOW {
                let author = author_of.get(asked).copied().unwrap_or_default();
                *answers.entry(author).or_default() += 1;
            }
        }
        Self { answers }
    }

    /// Whether one more of somebody's commands is answered.
    fn take(&mut self, author: &'a str) -> bool {
        let total: usize = self.answers.values().sum();
        let own = self.answers.entry(author).or_default();
        let left = *own < MOST_ANSWERS && total < MOST_ANSWERS_IN_ALL;
        *own += usize::from(left);
        left
    }
}
