//! Commands that stand in the thread: nothing keeps them but their comments, and the gates read them
//! at each reconcile. Only comments that nobody edited count, and none that an App wrote for
//! somebody.

use jiff::Timestamp;

use crate::controller::authority::permission;
use crate::controller::{Reader, Result};
use crate::domain::PullRequestKey;
use crate::domain::command::{self, Command, Given, Permission};
use crate::domain::gate::{Override, PreviewFact};
use crate::domain::hold::bounded;
use crate::github::{self, Comment, PullSnapshot};

/// A command in the thread.
pub struct Standing<'a> {
    /// The comment's id.
    pub id: u64,
    pub author: &'a str,
    pub at: Timestamp,
    pub given: Given,
}

impl Standing<'_> {
    pub fn is(&self, command: Command) -> bool {
        self.given.command == command
    }
}

/// The commands in the thread, oldest first.
pub fn standing(snapshot: &PullSnapshot) -> Vec<Standing<'_>> {
    let mut found = Vec::new();
    for comment in snapshot.comments.iter().filter(|comment| counts(comment)) {
        let Some(user) = comment.user.as_ref().filter(|user| user.kind == "User") else {
            continue;
        };
        let lines = command::parse(comment.text());
        let given = lines.into_iter().filter_map(|line| line.command.ok());
        found.extend(given.map(|given| Standing {
            id: comment.id,
            author: &user.login,
            at: comment.created_at,
            given,
        }));
    }
    found
}

fn counts(comment: &Comment) -> bool {
    comment.updated_at == comment.created_at && comment.performed_via_github_app.is_none()
}

/// Whether the head may be rendered and sent to a cluster: it is in this repository, or somebody who
/// may write named just this commit behind `/preview`.
pub async fn may_preview(
    ctx: &Reader,
    key: &PullRequestKey,
    repository: u64,
    snapshot: &PullSnapshot,
) -> Result<bool> {
    if !snapshot.pull.is_fork(repository) {
        return Ok(true);
    }
    let head = snapshot.pull.head.sha.as_str();
    for command in standing(snapshot) {
        let named = command.given.arguments.subject.as_deref();
        if command.is(Command::Preview)
            && named == Some(head)
            && may_write(ctx, key, snapshot, &command).await?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn may_write(
    ctx: &Reader,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
    command: &Standing<'_>,
) -> Result<bool> {
    let permission = permission(ctx, &key.repo, command.author, snapshot.read).await?;
    Ok(permission >= Permission::Write)
}

/// Since when people could see the head with its preview: a head may come back that was there before
/// others. None: it is not known, so that no command counts that does not name the head. `repository`:
/// the number of the config repository.
pub async fn seen_since(
    ctx: &Reader,
    key: &PullRequestKey,
    repository: u64,
    snapshot: &PullSnapshot,
    fact: Option<&PreviewFact>,
    commands: &[Standing<'_>],
) -> Result<Option<Timestamp>> {
    let Some(previewed) = fact.map(|fact| fact.completed_at) else {
        return Ok(None);
    };
    let counts = |command: &Standing<'_>| {
        let counted = [Command::AcceptUnseen, Command::Merge, Command::Override];
        counted.contains(&command.given.command) && command.at >= previewed
    };
    if !commands.iter().any(counts) {
        return Ok(Some(previewed));
    }
    let (pull, head) = (&snapshot.pull, snapshot.pull.head.sha.as_str());
    if pull.is_fork(repository) {
        return Ok(None);
    }
    let pushes = match ctx.github.pushes(&key.repo, &pull.head.branch).await {
        Ok(pushes) => pushes,
        Err(github::Error::NotFound { .. } | github::Error::Refused { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let pushed = pushes.iter().find(|push| push.after == head);
    Ok(pushed.map(|push| push.timestamp.max(previewed)))
}

/// Who asked last to merge the head, if nobody took it back since. `/merge` is about the head that
/// it names, or else about the one whose preview its writer could see.
pub async fn merge_requested_by(
    ctx: &Reader,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
    seen_since: Option<Timestamp>,
    commands: &[Standing<'_>],
) -> Result<Option<String>> {
    let head = snapshot.pull.head.sha.as_str();
    for command in commands.iter().rev() {
        let asks = command.is(Command::Merge);
        let is_about_head = match &command.given.arguments.subject {
            Some(named) => head == named,
            // Of the same second nobody knows which was first.
            None => seen_since.is_some_and(|since| command.at > since),
        };
        let counts = asks && is_about_head || command.is(Command::Cancel);
        if counts && may_write(ctx, key, snapshot, command).await? {
            return Ok(asks.then(|| command.author.to_string()));
        }
    }
    Ok(None)
}

/// Who that may write gave `/override`, also for earlier heads.
pub async fn overrides(
    ctx: &Reader,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
    commands: &[Standing<'_>],
) -> Result<Vec<Override>> {
    let mut found = Vec::new();
    for command in commands.iter().filter(|it| it.is(Command::Override)) {
        if may_write(ctx, key, snapshot, command).await? {
            let arguments = &command.given.arguments;
            found.push(Override {
                gate: arguments.subject.clone().unwrap_or_default(),
                by: command.author.into(),
                reason: bounded(&arguments.reason),
                at: command.at,
            });
        }
    }
    Ok(found)
}
