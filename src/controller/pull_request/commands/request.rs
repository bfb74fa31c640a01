//! A request to an application: an annotation that its loop carries out.

use kube::ResourceExt as _;

use super::Given;
use crate::cluster::store;
use crate::controller::{Event, Result};
use crate::domain::ApplicationKey;
use crate::domain::command::NotDone;

/// What an application is to do.
pub struct Request<'a> {
    pub application: &'a ApplicationKey,
    /// What exactly it is about: people who give the command about something else do not count for this.
    pub subject: &'a str,
    pub annotation: (&'a str, &'a str),
}

/// Commands that were carried out that an application remembers.
const MOST_HANDLED: usize = 50;

impl Given<'_> {
    /// Leaves the request with the application, once enough people have given the command. False: nothing is known of the
    /// application yet, so there was nothing to annotate.
    pub async fn request(
        &self,
        request: &Request<'_>,
    ) -> Result<std::result::Result<bool, NotDone>> {
        let object = self.ctx.store.application(request.application).await?;
        let handled: Vec<_> = annotated(object.as_ref(), store::HANDLED)
            .split_whitespace()
            .collect();
        let id = format!("{}-{}", self.ask.comment, self.command.word());
        if handled.contains(&id.as_str()) {
            // What this command has brought about it does not bring about again. Where windlass was stopped before it
            // could say so, it says so now.
            let answered = &self.ctx.cache.pulls.answered;
            return Ok(match answered.contains_key(&self.ask.comment) {
                true => Err(NotDone::Before),
                false => Ok(true),
            });
        }
        if let Err(why) = self.has_quorum(request).await? {
            return Ok(Err(why));
        }
        let handled: Vec<_> = handled.into_iter().chain([id.as_str()]).collect();
        let handled = handled[handled.len().saturating_sub(MOST_HANDLED)..].join(" ");
        let (annotation, value) = request.annotation;
        // All or nothing: stopped in between, it would be done twice, or count who has given it for the next one.
        let annotations = [
            (annotation, Some(value)),
            (store::HANDLED, Some(handled.as_str())),
            (&self.given_by(), None),
        ];
        let writer = self.ctx.to_store();
        let known = writer
            .annotate_all(request.application, &annotations)
            .await?;
        self.ctx.emit(&Event::Request(request.application.clone()));
        Ok(Ok(known))
    }

    /// The annotation that keeps who has given the command.
    pub fn given_by(&self) -> String {
        format!("{}-{}", store::SAID, self.command.word())
    }
}

/// What an annotation of an application says; empty: there is none.
pub fn annotated<'a>(object: Option<&'a store::Application>, annotation: &str) -> &'a str {
    object
        .and_then(|object| object.annotations().get(annotation))
        .map_or("", String::as_str)
}
