//! A pull request: preview, commands, verdict, merge, and after it the progress.

mod act;
mod cache;
mod closed;
mod commands;
mod shown;
mod verdict;

pub use cache::Cache;

pub use shown::{Shown, anew};

use std::sync::Arc;

use tokio::time::Instant;

use crate::controller::preview::Changes;
use crate::controller::{
    Base, DEBOUNCE, Error, Event, Reader, Requeue, Result, Writer, key_of_branch,
};
use crate::domain::PullRequestKey;
use crate::domain::command::{Command, Permission};
use crate::domain::gate::{self, Facts, PreviewFact};
use crate::domain::pull_request::{self, Ask, Seen, Sticky};
use crate::git::HeadTooLarge;
use crate::github::PullSnapshot;
use crate::view;
use act::act;
use closed::closed;
use shown::{previewed, same_effect};
use verdict::{gate_of, verdict};

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
pub struct Look {
    pub seen: Seen,
    pub base: Arc<Base>,
    pub snapshot: PullSnapshot,
    /// None: it is not open.
    pub shown: Option<Arc<Shown>>,
    /// What the pull request changes, or changed when it was merged.
    pub changes: Arc<Changes>,
    /// What the verdict was made from.
    facts: Option<Facts>,
}

impl Look {
    /// Why somebody's word that takes in what the preview does not show does not count; None: it does.
    pub fn unseen_refusal(&self, user: &str) -> Option<String> {
        let writer = self
            .seen
            .asks
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
    asks: Vec<Ask>,
) -> Result<Option<Look>> {
    let pull = &snapshot.pull;
    // A merge moves branches, which is told by pushes; that a person closed it, or opened it again, only this tells.
    if let Some(promotion) =
        key_of_branch(&key.repo, &pull.head.branch).filter(|_| pull.merged_at.is_none())
        && (!pull.is_open()
            || crate::controller::promotion::is_rejected(ctx, &promotion, key.number).await)
    {
        ctx.emit(&Event::Candidate(promotion));
    }
    let base = ctx.known_base(&key.repo).await?;
    if base.catalog.is_none() || pull.base.branch != base.repo.default_branch {
        return Ok(None);
    }
    let head = pull.head.sha.clone();
    // Nothing of a fork is fetched: anybody may have one, of any size.
    if pull.is_open()
        && !pull.is_fork(base.repo.id)
        && !ctx
            .mirror(&key.repo, move |mirror| Ok(mirror.has(&head)))
            .await?
    {
        let name = (key.clone(), pull.head.sha.clone());
        let asked = asks.iter().any(|ask| {
            ask.lines
                .iter()
                .any(|line| line.meaning == Ok(Command::Preview))
        });
        if asked || !ctx.cache.pulls.too_large.contains_key(&name) {
            match ctx.fetch(&key.repo, Some(key.number), Instant::now()).await {
                Err(Error::Git(error)) if error.is::<HeadTooLarge>() => {
                    ctx.cache.pulls.too_large.insert(name, error.to_string())
                }
                other => {
                    other?;
                    ctx.cache.pulls.too_large.invalidate(&name);
                }
            }
        }
    }
    let app = ctx.github.identity().await?;
    let place = place_of(&base, key);
    let own: Vec<_> = snapshot
        .comments
        .iter()
        .filter(|comment| comment.is_ours(app))
        .collect();
    let found = own.iter().find_map(|comment| {
        Some((
            *comment,
            view::sticky_of(comment.text(), &ctx.seal, &place)?,
        ))
    });
    let said: Vec<_> = own
        .iter()
        .filter_map(|comment| view::tampered_of(comment.text()))
        .collect();
    let tampered = found.as_ref().is_some_and(|(comment, found)| {
        // One that has no seal yet is an older windlass's.
        found.sealed
            && !found.intact
            && said.len() < MOST_NOTICES
            && !said.contains(&(comment.id, comment.updated_at))
    });
    let told = found.as_ref().is_some_and(|(_, found)| found.last);
    let sticky = found.map(|(comment, found)| Sticky {
        id: comment.id,
        fingerprint: found.fingerprint,
        intact: found.intact,
    });
    if !pull.is_open() {
        return closed(ctx, key, base, snapshot, asks, (sticky, told, tampered))
            .await
            .map(Some);
    }
    // Only when it is new: what was seen and has no answer yet may be what windlass died of.
    let wants = |ask: &Ask| !ask.edited && !ask.interrupted && !ask.acknowledged;
    let again = asks.iter().any(|ask| {
        wants(ask)
            && ask
                .lines
                .iter()
                .any(|line| line.meaning == Ok(Command::Preview))
    });
    let shown = previewed(ctx, key, &base, &snapshot, again).await?;
    let Shown {
        preview,
        text,
        id,
        changes,
        ..
    } = &*shown;
    let published = snapshot
        .check
        .as_ref()
        .and_then(|check| check.external_id.clone())
        .filter(|id| !id.is_empty());
    let current = snapshot.check.as_ref().filter(|_| {
        published
            .as_deref()
            .is_some_and(|published| same_effect(published, id))
    });
    let fact = current.and_then(|check| {
        Some(PreviewFact {
            completed_at: check.completed_at?,
            ok: preview.ok(),
            unseen: text.unseen,
            unseen_accepted: false,
        })
    });
    let (facts, verdict, permit) = verdict(ctx, key, &base, &snapshot, &shown, fact).await?;
    // No comment when nothing managed changes and none was there.
    let silent = preview.applications.is_empty() && preview.failure.is_none() && sticky.is_none();
    let gate = snapshot.gate.as_ref().map(gate_of);
    let seen = Seen {
        retire: false,
        asks,
        tampered,
        wanted: (!silent).then(|| text.comment.clone()),
        sticky,
        preview: Some(id.clone()),
        published: published.map(|published| {
            if same_effect(&published, id) {
                id.clone()
            } else {
                published
            }
        }),
        verdict: Some(verdict),
        permit,
        gate,
    };
    Ok(Some(Look {
        seen,
        base,
        changes: changes.clone(),
        snapshot,
        facts: Some(facts),
        shown: Some(shown),
    }))
}

/// Where a sealed comment stands; names of repositories change.
pub fn place_of(base: &Base, key: &PullRequestKey) -> String {
    format!("{}#{}", base.repo.id, key.number)
}

/// The thread says so often that our comment was edited.
const MOST_NOTICES: usize = 5;
