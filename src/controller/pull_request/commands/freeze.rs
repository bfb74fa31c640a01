//! `/freeze` and `/unfreeze`: nothing is merged into a stage until a time. A `Freeze` object keeps it,
//! so that it also covers applications that are added later.

use jiff::Timestamp;

use super::Invocation;
use super::request::{Needs, Request};
use crate::cluster::store::FreezeSpec;
use crate::controller::{Event, Result};
use crate::domain::catalog::Target;
use crate::domain::command::{self, Answer, FreezeAnswer};
use crate::domain::hold::bounded;
use crate::domain::{Name, TargetKey};

pub async fn run(invocation: &Invocation<'_>) -> Result<Answer> {
    let (arguments, comment) = (invocation.arguments, invocation.comment);
    let stage = match stage(invocation).await? {
        Ok(stage) => stage,
        Err(refused) => return Ok(Answer::Freeze(refused)),
    };
    let repo = &invocation.observation.base.repo;
    let id = i64::try_from(repo.id).unwrap_or_default();
    let source = format!("{} {}", invocation.key, comment.source);
    let now = invocation.ctx.now();
    let time = arguments.time.clone().unwrap_or_default();
    let until = command::freeze_end(&time, now).filter(|until| *until > now);
    let until = until.and_then(|until| Timestamp::from_second(until.as_second()).ok());
    let Some(until) = until else {
        return Ok(Answer::Freeze(FreezeAnswer::TimeIsOver { time }));
    };
    let known = invocation.ctx.store.freezes(&repo.name, repo.id).await?;
    // It was carried out before windlass stopped: it ends when it said then.
    let own = (stage.as_str(), source.as_str());
    let known = known
        .iter()
        .find(|known| (known.spec.stage.as_str(), known.spec.source.as_str()) == own);
    let until = known.map_or(until, |known| known.of_calendar().until);
    let spec = FreezeSpec {
        repository: repo.name.to_string(),
        repository_id: id,
        stage: stage.to_string(),
        until: until.to_string(),
        by: comment.author.clone(),
        reason: bounded(&arguments.reason),
        source,
    };
    let ctx = invocation.ctx;
    ctx.to_store().freeze(&stage, spec).await?;
    ctx.emit(&Event::Freezes(repo.name.clone()));
    Ok(Answer::Freeze(FreezeAnswer::Frozen {
        stage: stage.to_string(),
        until,
    }))
}

pub async fn unfreeze(invocation: &Invocation<'_>) -> Result<Answer> {
    let stage = match stage(invocation).await? {
        Ok(stage) => stage,
        Err(refused) => return Ok(Answer::Freeze(refused)),
    };
    let (ctx, repo) = (invocation.ctx, &invocation.observation.base.repo);
    let mut freezes = ctx.store.freezes(&repo.name, repo.id).await?;
    freezes.retain(|freeze| freeze.spec.stage == stage.as_str());
    for freeze in &freezes {
        ctx.to_store().unfreeze(freeze).await?;
    }
    ctx.emit(&Event::Freezes(repo.name.clone()));
    Ok(Answer::Freeze(FreezeAnswer::Unfrozen {
        stage: stage.to_string(),
    }))
}

/// The stage that the command names. Err: the pull request touches no application of it, or the
/// author may not decide about one of them.
async fn stage(invocation: &Invocation<'_>) -> Result<std::result::Result<Name, FreezeAnswer>> {
    let word = invocation.arguments.subject.clone().unwrap_or_default();
    let of_stage = |target: &&Target| target.stage.name.as_str() == word;
    let mut touched = invocation.observation.changes.touched.iter();
    let Some(first) = touched.find(of_stage) else {
        return Ok(Err(FreezeAnswer::NotTouched { stage: word }));
    };
    let stage = first.stage.name.clone();
    // It is about all applications of the stage.
    let configured = invocation.observation.base.configured();
    let targets = configured.map(|configured| configured.targets.as_slice());
    let targets = targets.unwrap_or_default().iter().filter(of_stage);
    let keys = targets.map(|target| target.key(&invocation.key.repo));
    let applications: Vec<TargetKey> = keys.collect();
    for application in applications {
        let request = Request {
            application: &application,
            subject: invocation.command.word(),
            // Nothing is asked of the application: its policy says who may decide.
            annotations: &[],
            needs: Needs::Decider,
        };
        if let Err(why) = invocation.has_quorum(&request).await? {
            return Ok(Err(FreezeAnswer::NotDone { application, why }));
        }
    }
    Ok(Ok(stage))
}
