//! Carries out the commands of a text, and answers them in one reply.
//!
//! A command is a row of [`crate::domain::command::COMMANDS`] and a file here.
//! A command that changes a stage needs what the stage's policy requires: see
//! [`policy`]. Commands that delete are only accepted on merged pull requests.

mod accept_unseen;
mod adopt;
mod apply;
mod confirm_prune;
mod freeze;
mod history;
mod hold;
mod merge;
mod override_gate;
mod policy;
mod preview;
mod promote;
mod reject;
mod request;
mod resume;
mod rollback;
mod status;
mod sync;
mod take;
mod unanswered;
mod why;
mod writings;

pub use sync::{gives_sync, is_sync};
pub use unanswered::unanswered;

use std::collections::BTreeSet;

use super::Observation;
use super::act::put_comment;
use crate::controller::{Error, Event, Result, Writer};
use crate::domain::activity::What;
use crate::domain::command::{Answer, Arguments, Command, NotTaken, Power, Row, Sought};
use crate::domain::pull_request::{CommandComment, Source};
use crate::domain::{PullRequestKey, TargetKey};
use crate::{github, view};

/// A command to carry out: on which pull request, and from which comment.
struct Invocation<'a> {
    ctx: &'a Writer,
    key: &'a PullRequestKey,
    observation: &'a Observation,
    comment: &'a CommandComment,
    command: Command,
    arguments: &'a Arguments,
}

/// Answers a text. A failed answer stops nothing else: it is tried again later.
pub async fn answer(
    ctx: &Writer,
    key: &PullRequestKey,
    observation: &Observation,
    source: Source,
) -> Result<()> {
    let Some(command_comment) = observation
        .facts
        .commands
        .iter()
        .find(|asked| asked.source == source)
    else {
        return Ok(());
    };
    match reply(ctx, key, observation, command_comment).await {
        Err(Error::GitHub(github::Error::Refused { message, .. })) => {
            tracing::warn!(pr = %key, %source, message, "a command could not be answered");
            Ok(())
        }
        other => other,
    }
}

/// Carries out the commands of one text, then answers all of them in one new comment.
async fn reply(
    ctx: &Writer,
    key: &PullRequestKey,
    observation: &Observation,
    comment: &CommandComment,
) -> Result<()> {
    let mut answers = Vec::new();
    for line in &comment.lines {
        let text = match &line.command {
            Err(wrong) => view::parse_error(wrong),
            Ok(given) => {
                let invocation = Invocation {
                    ctx,
                    key,
                    observation,
                    comment,
                    command: given.command,
                    arguments: &given.arguments,
                };
                match invocation.not_taken() {
                    Some(why) => view::commands::not_taken(why).into(),
                    None => view::commands::answer(&invocation.carry_out().await?),
                }
            }
        };
        answers.push((line.clone(), text));
    }
    let body = view::reply(comment.source, &answers);
    put_comment(ctx, key, &body, None).await?;
    let answered = &ctx.cache.pulls.answered;
    let by_whom = (comment.author.clone(), ctx.now());
    answered.insert((key.clone(), comment.source), by_whom);
    for (line, _) in &answers {
        let (line, author) = (line.text.clone(), comment.author.clone());
        ctx.record_pull(key, What::Command { line, author });
    }
    Ok(())
}

/// One target for each stage, in the place of one for each of its clusters: the first that the pull
/// request touches.
fn leads(mut applications: Vec<TargetKey>) -> Vec<TargetKey> {
    let mut stages = BTreeSet::new();
    applications.retain(|key| stages.insert(key.of_stage()));
    applications
}

impl Invocation<'_> {
    /// Carries a command out in each application.
    async fn each(&self, applications: Vec<TargetKey>) -> Result<Answer> {
        let applications = match self.command {
            Command::Promote | Command::Reject | Command::Rollback => leads(applications),
            Command::Hold | Command::Resume => self.whole_stages(applications),
            _ => applications,
        };
        let mut rows = Vec::new();
        for application in applications {
            let outcome = match self.command {
                Command::Hold => hold::run(self, &application).await?,
                Command::Promote => promote::run(self, &application).await?,
                Command::Reject => reject::run(self, &application).await?,
                Command::Resume => resume::run(self, &application).await?,
                Command::Rollback => rollback::run(self, &application).await?,
                _ => sync::run(self, &application).await?,
            };
            rows.push(Row {
                application,
                outcome,
            });
        }
        if matches!(
            self.command,
            Command::Hold | Command::Resume | Command::Rollback
        ) {
            self.ctx.emit(&Event::Holds(self.key.repo.clone()));
        }
        Ok(Answer::Applications {
            rows,
            none: Sought::Application,
        })
    }

    /// All clusters of the stages, also those that the pull request does not touch.
    fn whole_stages(&self, applications: Vec<TargetKey>) -> Vec<TargetKey> {
        let mut all = Vec::new();
        for key in applications {
            let targets = self.observation.base.targets_of(&key.of_stage());
            let of_stage = targets.iter().map(|target| target.key(&self.key.repo));
            for key in of_stage.chain([key]) {
                if !all.contains(&key) {
                    all.push(key);
                }
            }
        }
        all
    }

    /// The answer to what only an open pull request has.
    fn not_open(&self) -> Answer {
        match self.observation.snapshot.pull.merged_at {
            Some(_) => Answer::Merged,
            None => Answer::Closed,
        }
    }

    fn is_freeze(&self) -> bool {
        matches!(self.command, Command::Freeze | Command::Unfreeze)
    }

    fn is_answered(&self) -> bool {
        let answered = &self.ctx.cache.pulls.answered;
        answered.contains_key(&(self.key.clone(), self.comment.source))
    }

    /// Why the command is not accepted on this pull request at all.
    fn not_taken(&self) -> Option<NotTaken> {
        let pull = &self.observation.snapshot.pull;
        match self.command.power() {
            _ if self.ctx.preview_only
                && !matches!(self.command, Command::Help | Command::Preview) =>
            {
                Some(NotTaken::PreviewOnly)
            }
            _ if self.comment.edited => Some(NotTaken::Edited),
            _ if self.comment.interrupted => Some(NotTaken::Interrupted),
            _ if self.comment.late => Some(NotTaken::Late),
            // Somebody deleted the answer. Others note on an object that they were carried out.
            Power::Stage if self.is_freeze() && self.is_answered() => Some(NotTaken::Interrupted),
            // The gate reads it there, at each look.
            _ if self.command.stands_in_thread()
                && !matches!(self.comment.source, Source::Comment(_)) =>
            {
                Some(NotTaken::OnlyInThread)
            }
            Power::Live if pull.merged_at.is_none() => Some(NotTaken::OnlyMerged),
            Power::Stage | Power::Live if pull.draft && pull.is_open() => Some(NotTaken::Draft),
            _ => None,
        }
    }

    async fn carry_out(&self) -> Result<Answer> {
        let selected = match self.command.takes().is_about_applications() {
            false => Vec::new(),
            true => match self.selected().await? {
                Ok(selected) => selected,
                Err(answer) => return Ok(answer),
            },
        };
        match self.command {
            Command::Help => Ok(Answer::Help),
            Command::Why => Ok(why::run(self, selected)),
            Command::Preview => Ok(preview::run(self)),
            Command::AcceptUnseen => Ok(accept_unseen::run(self)),
            Command::Adopt => adopt::run(self, selected).await,
            Command::Apply => apply::run(self, selected).await,
            Command::Take => take::run(self, &selected).await,
            Command::ConfirmPrune => confirm_prune::run(self, selected).await,
            Command::Status => status::run(self, selected).await,
            Command::History => history::run(self, selected).await,
            Command::Freeze => freeze::run(self).await,
            Command::Unfreeze => freeze::unfreeze(self).await,
            Command::Override => Ok(override_gate::run(self)),
            Command::Promote => promote::to_stage(self).await,
            Command::Hold
            | Command::Reject
            | Command::Resume
            | Command::Rollback
            | Command::Sync => self.each(selected).await,
            Command::Merge => Ok(merge::run(self)),
            Command::Cancel => Ok(merge::cancel(self)),
        }
    }

    /// The applications that the command is about; Err: it names others. Half of a command is never
    /// carried out.
    async fn selected(&self) -> Result<std::result::Result<Vec<TargetKey>, Answer>> {
        let touched = self.observation.changes.touched.iter();
        let mut touched: Vec<_> = touched.map(|target| target.key(&self.key.repo)).collect();
        if self.command == Command::ConfirmPrune {
            touched.extend(confirm_prune::retired_by(self).await?);
        }
        let selectors = self.arguments.unmatched(&touched);
        if !selectors.is_empty() {
            return Ok(Err(Answer::NotTouched { selectors, touched }));
        }
        touched.retain(|application| self.arguments.select(application));
        Ok(Ok(touched))
    }
}
