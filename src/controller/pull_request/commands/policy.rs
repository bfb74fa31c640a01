//! Who may give a command. If the stage needs approvals, its approvers who did not contribute to
//! the pull request. If it needs more than one approval, that many people have to give the command,
//! unless one is enough for it.
//! The application's object keeps who gave it.

use std::collections::BTreeSet;

use super::request::{Needs, Request, annotated};
use super::{Invocation, Observation};
use crate::cluster::store::Application;
use crate::controller::preview::Changes;
use crate::controller::{Result, application, authority};
use crate::domain::TargetKey;
use crate::domain::approvals::{Case, Contributors};
use crate::domain::catalog::{Stage, Target};
use crate::domain::command::{NotDone, Permission};

impl Invocation<'_> {
    /// Whether enough people who may decide about the application's stage have given the command
    /// with the same subject.
    pub async fn has_quorum(
        &self,
        request: &Request<'_>,
    ) -> Result<std::result::Result<(), NotDone>> {
        if request.needs == Needs::Writer {
            return Ok(Ok(()));
        }
        let Some(stage) = stage_of(self.observation, request.application) else {
            return Ok(Err(NotDone::NoConfiguration));
        };
        if stage.approvals == 0 && stage.approvers.is_empty() {
            return Ok(Ok(()));
        }
        let known = self.ctx.store.application(request.application).await?;
        let target = self.target_of(request.application, &stage, known.as_ref());
        let whole = request.needs == Needs::Decider;
        if let Err(why) = self.may_decide(&stage, target, whole).await? {
            return Ok(Err(why));
        }
        let needed = stage.approvals.max(1) as usize;
        if needed == 1 || request.needs == Needs::Decider {
            return Ok(Ok(()));
        }
        self.counted(request, needed).await
    }

    /// The target whose policy counts. If Git no longer has it, it is built from its object and
    /// stage.
    fn target_of(
        &self,
        application: &TargetKey,
        stage: &Stage,
        known: Option<&Application>,
    ) -> Option<Target> {
        let touched = &self.observation.changes.touched;
        let declared = self.observation.base.target(application).or_else(|| {
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

    /// Whether whoever gives the command may decide about the stage. `whole`: about all of the
    /// application, and not only what the pull request changes of it.
    async fn may_decide(
        &self,
        stage: &Stage,
        target: Option<Target>,
        whole: bool,
    ) -> Result<std::result::Result<(), NotDone>> {
        // Who owns the files that the pull request changes need not own the application.
        let owners = Changes {
            owners: self.observation.changes.owners.clone(),
            ..Changes::default()
        };
        let author = &self.comment.author;
        let policies = authority::policies(
            self.ctx,
            self.key,
            target.as_slice(),
            if whole {
                &owners
            } else {
                &self.observation.changes
            },
            authority::People {
                deciding: std::slice::from_ref(author),
                ..authority::People::default()
            },
        )
        .await?;
        let contributors = match stage.approvals {
            0 => Contributors::known([]),
            _ => authority::contributors(self.ctx, self.key, &self.observation.snapshot).await?,
        };
        let case = Case {
            head: &self.observation.snapshot.pull.head.sha,
            previewed_at: None,
            contributors: &contributors,
            approvers: policies
                .first()
                .and_then(|policy| policy.approvers.as_ref()),
        };
        let may_write = self.comment.permission >= Permission::Write;
        Ok(case
            .may_approve(author, may_write)
            .map_err(|why| NotDone::MayNot {
                author: author.clone(),
                why: why.to_string(),
                who: policies
                    .first()
                    .map(|policy| policy.approver_names.clone())
                    .unwrap_or_default(),
            }))
    }

    /// Counts whoever gives the command, and stores who has so far.
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
        let givers = known.strip_prefix(&format!("{about} ")).unwrap_or_default();
        let mut people: BTreeSet<String> = givers.split_whitespace().map(str::to_string).collect();
        people.insert(self.comment.author.to_ascii_lowercase());
        // The list stays until the command is carried out: after an interruption it is carried out
        // the next time.
        if people.len() >= needed {
            return Ok(Ok(()));
        }
        let names: Vec<_> = people.iter().map(String::as_str).collect();
        let value = format!("{about} {}", names.join(" "));
        self.ctx
            .to_store()
            .annotate(&object, &[(&annotation, Some(&value))])
            .await?;
        Ok(Err(NotDone::TooFew {
            given: people.len(),
            needed,
        }))
    }
}

/// The policy of an application's stage. If the base no longer has the stage, its strictest stage
/// counts.
fn stage_of(observation: &Observation, application: &TargetKey) -> Option<Stage> {
    if let Some(target) = observation.base.target(application) {
        return Some(target.stage.clone());
    }
    let catalog = &observation.base.configured()?.catalog;
    catalog
        .stage(&application.stage)
        .or_else(|| catalog.stages.iter().max_by_key(|stage| stage.approvals))
        .cloned()
}
