//! Who may give a command: where the stage needs approvals, one who may approve there and had no hand in the pull request;
//! where it needs more than one, so many people. Who has given it so far is kept with the application.

use std::collections::BTreeSet;

use super::request::{Request, annotated};
use super::{Given, Observation};
use crate::cluster::store::Application;
use crate::controller::{Result, application, authority};
use crate::domain::ApplicationKey;
use crate::domain::approvals::{Case, Writers};
use crate::domain::catalog::{Stage, Target};
use crate::domain::command::{NotDone, Permission};

impl Given<'_> {
    /// Whether enough people who may decide about the application's stage have given the command about the same thing.
    pub async fn has_quorum(
        &self,
        request: &Request<'_>,
    ) -> Result<std::result::Result<(), NotDone>> {
        let Some(stage) = stage_of(self.look, request.application) else {
            return Ok(Err(NotDone::NoConfiguration));
        };
        if stage.approvals == 0 && stage.approvers.is_empty() {
            return Ok(Ok(()));
        }
        let known = self.ctx.store.application(request.application).await?;
        let target = self.target_of(request.application, &stage, known.as_ref());
        if let Err(why) = self.may_decide(&stage, target).await? {
            return Ok(Err(why));
        }
        let needed = stage.approvals.max(1) as usize;
        if needed == 1 {
            return Ok(Ok(()));
        }
        self.counted(request, needed).await
    }

    /// The target that the policy is read of. One that Git has no more is judged by its stage.
    fn target_of(
        &self,
        application: &ApplicationKey,
        stage: &Stage,
        known: Option<&Application>,
    ) -> Option<Target> {
        let touched = &self.look.changes.touched;
        let declared = self.look.base.target(application).or_else(|| {
            touched
                .iter()
                .find(|target| target.key(&self.key.repo) == *application)
        });
        match (declared, known) {
            (Some(target), _) => Some(target.clone()),
            (None, Some(object)) => Some(Target {
                stage: stage.clone(),
                ..application::target_of(object)
            }),
            (None, None) => None,
        }
    }

    /// Whether whoever gives the command may decide about the stage.
    async fn may_decide(
        &self,
        stage: &Stage,
        target: Option<Target>,
    ) -> Result<std::result::Result<(), NotDone>> {
        let author = &self.ask.author;
        let policies = authority::policies(
            self.ctx,
            self.key,
            target.as_slice(),
            &self.look.changes,
            std::slice::from_ref(author),
        )
        .await?;
        let writers = match stage.approvals {
            0 => Writers::known([]),
            _ => authority::writers(self.ctx, self.key, &self.look.snapshot).await?,
        };
        let case = Case {
            head: &self.look.snapshot.pull.head.sha,
            previewed_at: None,
            writers: &writers,
            approvers: policies
                .first()
                .and_then(|policy| policy.approvers.as_ref()),
        };
        let may_write = self.ask.permission >= Permission::Write;
        Ok(case
            .may_approve(author, may_write)
            .map_err(|why| NotDone::MayNot {
                author: author.clone(),
                why: why.to_string(),
            }))
    }

    /// Counts whoever gives the command, and keeps who has.
    async fn counted(
        &self,
        request: &Request<'_>,
        needed: usize,
    ) -> Result<std::result::Result<(), NotDone>> {
        let about = format!("{} {}", self.command.word(), request.subject);
        // As it is now: others may have given the command meanwhile.
        let object = self.ctx.store.application(request.application).await?;
        let Some(object) = object else {
            return Ok(Err(NotDone::NothingKept { needed }));
        };
        let annotation = self.given_by();
        let known = annotated(Some(&object), &annotation);
        let given = known.strip_prefix(&format!("{about} ")).unwrap_or_default();
        let mut people: BTreeSet<String> = given.split_whitespace().map(str::to_string).collect();
        people.insert(self.ask.author.to_ascii_lowercase());
        // Kept until the command is carried out: cut off before that, it is carried out the next time.
        if people.len() >= needed {
            return Ok(Ok(()));
        }
        let names: Vec<_> = people.iter().map(String::as_str).collect();
        let value = format!("{about} {}", names.join(" "));
        self.ctx
            .to_store()
            .annotate(request.application, &annotation, Some(&value))
            .await?;
        Ok(Err(NotDone::TooFew {
            given: people.len(),
            needed,
        }))
    }
}

/// The policy of an application's stage. One that the base has no more is judged by the strictest that it has.
fn stage_of(look: &Observation, application: &ApplicationKey) -> Option<Stage> {
    if let Some(target) = look.base.target(application) {
        return Some(target.stage.clone());
    }
    let catalog = &look.base.configured()?.catalog;
    catalog
        .stage(&application.stage)
        .or_else(|| catalog.stages.iter().max_by_key(|stage| stage.approvals))
        .cloned()
}
