//! `/sync`: syncs the applications that the pull request touches, or the selected ones of them, to the
//! current base branch. Where Argo CD or Flux reconciles, it is requested of them.

use super::Invocation;
use super::request::{Needs, Outcome, Request};
use super::writings::writings;
use crate::cluster::store;
use crate::controller::Result;
use crate::domain::TargetKey;
use crate::domain::catalog::Reconciler;
use crate::domain::command::{self, Command, Done};
use crate::domain::pull_request::Source;
use crate::github::PullSnapshot;

pub async fn run(invocation: &Invocation<'_>, application: &TargetKey) -> Result<Outcome> {
    let base = &invocation.observation.base;
    let (to, wanted) = (&base.commit, invocation.comment.source.to_string());
    let request = Request {
        application,
        subject: to.as_str(),
        annotations: &[(store::SYNC_REQUEST, Some(&wanted))],
        needs: Needs::Quorum,
    };
    let outcome = invocation.request(&request).await?;
    let target = base.target(application);
    Ok(
        outcome.map(|_| match target.map(|target| &target.stage.reconcile) {
            Some(by) if *by != Reconciler::Windlass => Done::RequestsSync { by: by.name() },
            _ => Done::SyncsTo(to.clone()),
        }),
    )
}

/// Whether one of the lines is a `/sync`.
pub fn is_sync(lines: &[command::Line]) -> bool {
    let mut given = lines.iter().filter_map(|line| line.command.as_ref().ok());
    given.any(|given| given.command == Command::Sync)
}

/// Those of these texts that have a `/sync`, with their authors.
pub fn gives_sync(snapshot: &PullSnapshot, of: impl Fn(Source) -> bool) -> Vec<(Source, String)> {
    let all = writings(snapshot).into_iter();
    all.filter(|writing| of(writing.source))
        .filter(|writing| is_sync(&command::parse(writing.text)))
        .map(|writing| (writing.source, writing.author.login.clone()))
        .collect()
}
