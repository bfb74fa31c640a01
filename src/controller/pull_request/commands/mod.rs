//! Carries out the commands of a comment, and answers them in one reply.
//!
//! A command is a row of [`crate::domain::command::COMMANDS`] and a file here.
//! One that changes a stage asks what the stage's policy asks: see
//! [`policy`]. What deletes is only taken on a pull request that is merged.

mod accept_unseen;
mod adopt;
mod confirm_prune;
mod given;
mod policy;
mod preview;
mod request;
mod sync;
mod take;
mod why;

pub use given::given;

use super::Observation;
use crate::controller::{Error, Result, Writer};
use crate::domain::PullRequestKey;
use crate::domain::command::{Answer, Command, NotTaken, Power};
use crate::domain::pull_request::CommandComment;
use crate::{github, view};

/// A command that is carried out: on which pull request, and for whom.
struct Given<'a> {
    ctx: &'a Writer,
    key: &'a PullRequestKey,
    look: &'a Observation,
    ask: &'a CommandComment,
    command: Command,
}

/// Answers a comment. A failed answer stops nothing else: it is tried again later.
pub async fn answer(
    ctx: &Writer,
    key: &PullRequestKey,
    look: &Observation,
    comment: u64,
) -> Result<()> {
    let Some(ask) = look.seen.commands.iter().find(|ask| ask.comment == comment) else {
        return Ok(());
    };
    match reply(ctx, key, look, ask).await {
        Err(Error::GitHub(github::Error::Refused { message, .. })) => {
            tracing::warn!(pr = %key, comment, message, "a command could not be answered");
            Ok(())
        }
        other => other,
    }
}

/// Carries out the commands of one comment, then answers it in one new comment.
async fn reply(
    ctx: &Writer,
    key: &PullRequestKey,
    look: &Observation,
    ask: &CommandComment,
) -> Result<()> {
    let mut answers = Vec::new();
    for line in &ask.lines {
        let text = match &line.command {
            Err(wrong) => view::parse_error(wrong),
            Ok(command) => {
                let given = Given {
                    ctx,
                    key,
                    look,
                    ask,
                    command: *command,
                };
                match given.not_taken() {
                    Some(why) => view::commands::not_taken(why).into(),
                    None => view::commands::answer(&given.carry_out().await?),
                }
            }
        };
        answers.push((line.clone(), text));
    }
    ctx.to_github()
        .post_comment(key, &view::reply(ask.comment, &answers))
        .await?;
    ctx.cache.pulls.answered.insert(ask.comment, ());
    Ok(())
}

impl Given<'_> {
    /// Why it is not taken on this pull request at all.
    fn not_taken(&self) -> Option<NotTaken> {
        let pull = &self.look.snapshot.pull;
        match self.command.power() {
            _ if self.ask.edited => Some(NotTaken::Edited),
            _ if self.ask.interrupted => Some(NotTaken::Interrupted),
            Power::Delete if pull.merged_at.is_none() => Some(NotTaken::OnlyMerged),
            Power::Stage | Power::Delete if pull.draft && pull.is_open() => Some(NotTaken::Draft),
            _ => None,
        }
    }

    async fn carry_out(&self) -> Result<Answer> {
        match self.command {
            Command::Help => Ok(Answer::Help),
            Command::Why => Ok(why::run(self)),
            Command::Preview => Ok(preview::run(self)),
            Command::AcceptUnseen => Ok(accept_unseen::run(self)),
            Command::Adopt => adopt::run(self).await,
            Command::Take => take::run(self).await,
            Command::ConfirmPrune => confirm_prune::run(self).await,
            Command::Sync => sync::run(self).await,
        }
    }
}
