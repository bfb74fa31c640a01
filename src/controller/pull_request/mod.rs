//! A pull request: preview, commands, verdict, merge, and after it the progress.

mod act;
mod cache;
mod closed;
mod commands;
mod open;
mod origin;
mod score;
mod shown;
mod thread;
mod verdict;

pub use cache::Cache;

pub use shown::{ShownPreview, anew};

use std::sync::Arc;

use crate::controller::preview::Changes;
use crate::controller::{
    Base, DEBOUNCE, Event, Reader, Requeue, Result, Writer, key_of_branch, promotion,
};
use crate::domain::PullRequestKey;
use crate::domain::command::Permission;
use crate::domain::gate::{self, Facts};
use crate::domain::pull_request::{self, CommandComment, Snapshot};
use crate::github::PullSnapshot;
use act::act;
use thread::Thread;

pub async fn reconcile(ctx: Arc<Writer>, key: PullRequestKey) -> Result<Requeue> {
    let snapshot = ctx.github.snapshot(&key).await?;
    let asks = commands::given(&ctx, &key, &snapshot).await?;
    // The comments were read after the pull request: what a command is answered by is no older than the command.
    if !asks.is_empty() && !ctx.github.pull(&key).await?.is_as(&snapshot.pull) {
        return Ok(Requeue::After(DEBOUNCE));
    }
    // Seen before anything slow: nobody should wonder whether a command was noticed. It is a courtesy: that GitHub does
    // not take it stops nothing.
    for ask in asks.iter().filter(|ask| !ask.acknowledged) {
        if let Err(error) = ctx.to_github().acknowledge(&key.repo, ask.comment).await {
            tracing::warn!(pr = %key, %error, "a command could not be acknowledged");
        }
    }
    let Some(look) = observe(&ctx, &key, snapshot, asks).await? else {
        return Ok(Requeue::Idle);
    };
    let steps = pull_request::decide(&look.seen);
    act(&ctx, &key, &look, steps).await
}

/// One look at a pull request.
pub struct Observation {
    pub seen: Snapshot,
    pub base: Arc<Base>,
    pub snapshot: PullSnapshot,
    /// None: it is not open.
    pub shown: Option<Arc<ShownPreview>>,
    /// What the pull request changes, or changed when it was merged.
    pub changes: Arc<Changes>,
    /// What the verdict was made from.
    facts: Option<Facts>,
}

impl Observation {
    /// Why somebody's word that takes in what the preview does not show does not count; None: it does.
    pub fn unseen_refusal(&self, user: &str) -> Option<String> {
        let writer = self
            .seen
            .commands
            .iter()
            .any(|ask| ask.author == user && ask.permission >= Permission::Write);
        self.facts
            .as_ref()
            .and_then(|facts| gate::unseen_refusal(facts, user, writer))
    }
}

/// None: not a pull request of ours to look after.
async fn observe(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: PullSnapshot,
    asks: Vec<CommandComment>,
) -> Result<Option<Observation>> {
    let pull = &snapshot.pull;
    // A merge moves branches, which is told by pushes; that a person closed it, or opened it again, only this tells.
    if let Some(promotion) =
        key_of_branch(&key.repo, &pull.head.branch).filter(|_| pull.merged_at.is_none())
        && (!pull.is_open() || promotion::is_rejected(ctx, &promotion, key.number).await)
    {
        ctx.emit(&Event::Candidate(promotion));
    }
    let base = ctx.known_base(&key.repo).await?;
    if base.catalog.is_none() || pull.base.branch != base.repo.default_branch {
        return Ok(None);
    }
    let thread = Thread::read(ctx, &place_of(&base, key), &snapshot).await?;
    Ok(Some(if pull.is_open() {
        open::observe(ctx, key, base, snapshot, asks, thread).await?
    } else {
        closed::observe(ctx, key, base, snapshot, asks, thread).await?
    }))
}

/// Where a sealed comment stands; names of repositories change.
pub fn place_of(base: &Base, key: &PullRequestKey) -> String {
    format!("{}#{}", base.repo.id, key.number)
}
