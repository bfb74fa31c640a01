//! A request to an application: an annotation that its loop carries out.

use kube::ResourceExt as _;

use super::Invocation;
use crate::cluster::store::{self, ApplicationStatus};
use crate::controller::{Event, Result};
use crate::domain::TargetKey;
use crate::domain::command::{Answer, Done, NotDone, Row, Sought};

/// A request to an application.
pub struct Request<'a> {
    pub application: &'a TargetKey,
    /// What exactly is requested: people who give the command with another subject do not count.
    pub subject: &'a str,
    /// Annotations and their values; None: it is removed.
    pub annotations: &'a [(&'a str, Option<&'a str>)],
    pub needs: Needs,
}

/// What becomes of a command in one application.
pub type Outcome = std::result::Result<Done, NotDone>;

/// Who has to give a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Anybody with write permission.
    Writer,
    /// One person who may decide about the stage.
    Decider,
    /// As many of them as the stage needs approvals.
    Quorum,
}

/// The most handled commands that an application's object lists.
const MOST_HANDLED: usize = 50;

/// What waits in an application until enough people decide it.
pub struct Decision {
    /// [`Request::subject`].
    pub subject: String,
    /// The annotation that decides it, with its value.
    pub annotation: (&'static str, String),
    pub done: Done,
}

impl Invocation<'_> {
    /// Requests what waits for a decision in each application, once enough people have given the
    /// command. `none`: what is said if nothing waits.
    pub async fn decide(
        &self,
        applications: Vec<TargetKey>,
        none: Sought,
        waiting: impl Fn(ApplicationStatus) -> Option<Decision>,
    ) -> Result<Answer> {
        let mut rows = Vec::new();
        for application in applications {
            let object = self.ctx.store.application(&application).await?;
            let status = object.and_then(|object| object.status);
            let Some(decision) = waiting(status.unwrap_or_default()) else {
                continue;
            };
            let (annotation, value) = decision.annotation;
            let request = Request {
                application: &application,
                subject: &decision.subject,
                annotations: &[(annotation, Some(&value))],
                needs: Needs::Quorum,
            };
            let outcome = self.request(&request).await?.map(|_| decision.done);
            rows.push(Row {
                application,
                outcome,
            });
        }
        Ok(Answer::Applications { rows, none })
    }

    /// Names this command of this text.
    fn id(&self) -> String {
        format!("{}-{}", self.comment.source, self.command.word())
    }

    /// Whether the application has carried the command out before.
    pub async fn is_handled(&self, application: &TargetKey) -> Result<bool> {
        let object = self.ctx.store.application(application).await?;
        Ok(handled(object.as_ref()).contains(&self.id().as_str()))
    }

    /// Requests it. The outcome is `done`, if the application has an object.
    pub async fn carried(&self, request: &Request<'_>, done: Done) -> Result<Outcome> {
        let is_requested = self.request(request).await?;
        Ok(is_requested.and_then(|has_object| match has_object {
            true => Ok(done),
            false => Err(NotDone::NoObject),
        }))
    }

    /// Annotates the application with the request, once enough people have given the command.
    /// False: the application has no object yet.
    pub async fn request(
        &self,
        request: &Request<'_>,
    ) -> Result<std::result::Result<bool, NotDone>> {
        let id = self.id();
        let store = &self.ctx.store;
        let object = store.application(request.application).await?;
        if handled(object.as_ref()).contains(&id.as_str()) {
            // The command was carried out already, and is not again. If windlass stopped before it
            // answered, it answers now.
            let answered = &self.ctx.cache.pulls.answered;
            return Ok(
                match answered.contains_key(&(self.key.clone(), self.comment.source)) {
                    true => Err(NotDone::Before),
                    false => Ok(true),
                },
            );
        }
        if let Err(why) = self.has_quorum(request).await? {
            return Ok(Err(why));
        }
        // As it is now: the write is refused if somebody changed it since.
        let Some(object) = store.application(request.application).await? else {
            return Ok(Ok(false));
        };
        let mut done = handled(Some(&object));
        done.push(&id);
        let done = done[done.len().saturating_sub(MOST_HANDLED)..].join(" ");
        // In one write: after an interruption in between, the command would be carried out twice,
        // or its givers would count for the next command.
        let given_by = self.given_by();
        let mut annotations = request.annotations.to_vec();
        annotations.push((store::HANDLED, Some(done.as_str())));
        annotations.push((&given_by, None));
        self.ctx.to_store().annotate(&object, &annotations).await?;
        self.ctx.emit(&Event::Request(request.application.clone()));
        Ok(Ok(true))
    }

    /// The annotation that keeps who has given the command.
    pub fn given_by(&self) -> String {
        format!("{}-{}", store::SAID, self.command.word())
    }
}

/// The value of an annotation of an application; empty if there is none.
pub fn annotated<'a>(object: Option<&'a store::Application>, annotation: &str) -> &'a str {
    object
        .and_then(|object| object.annotations().get(annotation))
        .map_or("", String::as_str)
}

/// The commands that an application has carried out.
fn handled(object: Option<&store::Application>) -> Vec<&str> {
    annotated(object, store::HANDLED)
        .split_whitespace()
        .collect()
}
