//! The texts with commands that have no answer of ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::writings::{Edits, Writing, writings};
use crate::controller::authority::permission;
use crate::controller::{Reader, Result};
use crate::domain::PullRequestKey;
use crate::domain::command::{self, Permission};
use crate::domain::pull_request::{CommandComment, Source};
use crate::github::{Comment, PullSnapshot};
use crate::{github, view};

/// The most commands of one person, and of all, that are answered on a pull request within an hour;
/// the rest has to wait.
const MOST_ANSWERS: usize = 20;
const MOST_ANSWERS_IN_ALL: usize = 60;
const BUDGET_WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// A command that was acknowledged this long ago and has no answer is no longer carried out.
const INTERRUPTED_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// A command outside of the thread that was written this long ago is not carried out: where there
/// is no reaction nobody knows whether it was seen before, and older windlasses read the thread
/// alone.
const LATE_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Texts with commands that have no answer of ours, by people with write permission. Others get
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
    let writings = writings(snapshot);
    let open: Vec<_> = writings
        .iter()
        .filter(|writing| !replies.answered.contains_key(&writing.source))
        .map(|writing| (writing, command::parse(writing.text)))
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let mut budget = Budget::of(&replies, &writings, now);
    for (name, (author, at)) in ctx.cache.pulls.answered.iter() {
        let is_lost = name.0 == *key && !replies.answered.contains_key(&name.1);
        if is_lost && now.duration_since(at) < BUDGET_WINDOW {
            budget.note(&author);
        }
    }
    let mut commands = Vec::new();
    for (writing, lines) in open {
        let author = writing.author.login.as_str();
        let permission = permission(ctx, &key.repo, author, snapshot.read).await?;
        if permission < Permission::Write || !budget.take(author) {
            tracing::debug!(pr = %key, author, "a command is ignored");
            continue;
        }
        let acknowledged = writing.acknowledged;
        let is_outside = !matches!(writing.source, Source::Comment(_));
        commands.push(CommandComment {
            source: writing.source,
            author: author.into(),
            permission,
            lines,
            acknowledged,
            edited: is_edited(ctx, key, writing).await?,
            interrupted: acknowledged && replies.is_interrupted(writing, now),
            late: is_outside && now.duration_since(writing.created_at) > LATE_AFTER,
        });
    }
    Ok(commands)
}

/// Whether the text was edited since it was posted. It is asked after the text was read, so the text
/// is the first one if the answer is no. If GitHub refuses to say, it counts as edited.
async fn is_edited(ctx: &Reader, key: &PullRequestKey, writing: &Writing<'_>) -> Result<bool> {
    match writing.edits {
        Edits::Known(edited) => Ok(edited),
        Edits::Ask { node_id } => match ctx.github.last_edited(&key.repo, node_id).await {
            Ok(at) => Ok(at.is_some()),
            Err(error @ (github::Error::Refused { .. } | github::Error::Unexpected { .. })) => {
                tracing::warn!(pr = %key, source = %writing.source, %error, "a command is taken for edited");
                Ok(true)
            }
            Err(error) => Err(error.into()),
        },
    }
}

/// Our replies. We never edit one: an edited reply is no longer ours, and may name another text
/// than it answered.
struct Replies {
    /// The texts that have a reply, with the time of the reply.
    answered: BTreeMap<Source, Timestamp>,
    /// The times of the replies that somebody edited.
    edited: Vec<Timestamp>,
}

impl Replies {
    fn of<'a>(ours: impl Iterator<Item = &'a Comment>) -> Self {
        let (mut answered, mut edited) = (BTreeMap::new(), Vec::new());
        for comment in ours {
            let Some(source) = view::reply_of(comment.text()) else {
                continue;
            };
            if comment.updated_at > comment.created_at {
                edited.push(comment.created_at);
            } else {
                answered.insert(source, comment.created_at);
            }
        }
        Self { answered, edited }
    }

    /// Whether a command was acknowledged but its outcome is unknown: somebody edited or deleted
    /// the answer, or windlass was down for long. If windlass carried it out again, it could do at
    /// another time what was meant then.
    fn is_interrupted(&self, writing: &Writing<'_>, now: Timestamp) -> bool {
        let lost = self.edited.iter().any(|at| *at >= writing.created_at);
        lost || now.duration_since(writing.created_at) > INTERRUPTED_AFTER
    }
}

/// How many commands were answered lately, by author.
struct Budget {
    answers: BTreeMap<String, usize>,
}

impl Budget {
    fn of(replies: &Replies, writings: &[Writing<'_>], now: Timestamp) -> Self {
        let authors = writings
            .iter()
            .map(|writing| (writing.source, writing.author.login.as_str()));
        let author_of: BTreeMap<Source, &str> = authors.collect();
        let mut budget = Self {
            answers: BTreeMap::new(),
        };
        for (source, at) in &replies.answered {
            if now.duration_since(*at) < BUDGET_WINDOW {
                let author = author_of.get(source).copied().unwrap_or_default();
                budget.note(author);
            }
        }
        budget
    }

    /// One more answer to the author. Somebody may have deleted it since.
    fn note(&mut self, author: &str) {
        *self.answers.entry(author.into()).or_default() += 1;
    }

    /// Whether one more command of the author is answered.
    fn take(&mut self, author: &str) -> bool {
        let total: usize = self.answers.values().sum();
        let own = self.answers.entry(author.into()).or_default();
        let is_within = *own < MOST_ANSWERS && total < MOST_ANSWERS_IN_ALL;
        *own += usize::from(is_within);
        is_within
    }
}
