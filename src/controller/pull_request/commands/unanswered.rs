//! The command comments that have no answer of ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::controller::authority::permission;
use crate::controller::{Reader, Result};
use crate::domain::PullRequestKey;
use crate::domain::command::{self, Permission};
use crate::domain::pull_request::CommandComment;
use crate::github::{Comment, PullSnapshot};
use crate::view;

/// The most commands of one person, and of all, that are answered on a pull request within an hour;
/// the rest has to wait.
const MOST_ANSWERS: usize = 20;
const MOST_ANSWERS_IN_ALL: usize = 60;
const BUDGET_WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// A command that was acknowledged this long ago and has no answer is no longer carried out.
const INTERRUPTED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Comments with commands that have no answer of ours, by people with write permission. Others get
/// neither an answer nor a reaction: anybody could otherwise make us write.
pub async fn unanswered(
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
    let mut commands = Vec::new();
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
        let permission = permission(ctx, &key.repo, &author.login, snapshot.read).await?;
        if permission < Permission::Write || !budget.take(&author.login) {
            tracing::debug!(pr = %key, author = author.login, "a command is ignored");
            continue;
        }
        let acknowledged = comment
            .reactions
            .as_ref()
            .is_some_and(|reactions| reactions.eyes > 0);
        commands.push(CommandComment {
            comment: comment.id,
            author: author.login.clone(),
            permission,
            lines,
            acknowledged,
            edited: comment.updated_at > comment.created_at,
            interrupted: acknowledged && replies.is_interrupted(comment, now),
        });
    }
    Ok(commands)
}

/// Our replies. We never edit one: an edited reply is no longer ours, and may name another comment
/// than it answered.
struct Replies {
    /// The comments that have a reply, with the time of the reply.
    answered: BTreeMap<u64, Timestamp>,
    /// The times of the replies that somebody edited.
    edited: Vec<Timestamp>,
}

impl Replies {
    fn of<'a>(ours: impl Iterator<Item = &'a Comment>) -> Self {
        let (mut answered, mut edited) = (BTreeMap::new(), Vec::new());
        for comment in ours {
            let Some(comment_id) = view::reply_of(comment.text()) else {
                continue;
            };
            if comment.updated_at > comment.created_at {
                edited.push(comment.created_at);
            } else {
                answered.insert(comment_id, comment.created_at);
            }
        }
        Self { answered, edited }
    }

    /// Whether a command was acknowledged but its outcome is unknown: somebody edited or deleted
    /// the answer, or windlass was down for long. If windlass carried it out again, it could do at
    /// another time what was meant then.
    fn is_interrupted(&self, comment: &Comment, now: Timestamp) -> bool {
        let lost = self.edited.iter().any(|at| *at >= comment.created_at);
        lost || now.duration_since(comment.created_at) > INTERRUPTED_AFTER
    }
}

/// How many commands were answered lately, by author.
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
        for (comment_id, at) in &replies.answered {
            if now.duration_since(*at) < BUDGET_WINDOW {
                let author = author_of.get(comment_id).copied().unwrap_or_default();
                *answers.entry(author).or_default() += 1;
            }
        }
        Self { answers }
    }

    /// Whether one more command of the author is answered.
    fn take(&mut self, author: &'a str) -> bool {
        let total: usize = self.answers.values().sum();
        let own = self.answers.entry(author).or_default();
        let is_within = *own < MOST_ANSWERS && total < MOST_ANSWERS_IN_ALL;
        *own += usize::from(is_within);
        is_within
    }
}
