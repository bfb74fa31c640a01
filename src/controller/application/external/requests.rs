//! What is requested of Argo CD or Flux: that it fetches a commit that was merged, and what people
//! request by `/sync`. Without it they look every few minutes, or not at all where people sync by
//! hand.
//!
//! A request is a merge patch of their object, for the state that was read. Their object shows
//! whether a request was carried out, so that it is made once, whenever windlass stops. What a
//! process requested it also remembers: a request of somebody else may have taken its place.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::super::declare::Declared;
use super::{Found, includes};
use crate::cluster;
use crate::controller::cache::locked;
use crate::controller::dry_run::AppScope;
use crate::controller::{Reader, Result, Writer};
use crate::domain::CommitSha;
use crate::domain::catalog::Reconciler;
use crate::domain::external::{Refusal, Request, argocd, flux};
use crate::domain::manifest::ResourceKey;

/// How long a refusal counts: then the request of a commit is made again, since somebody may have
/// given the right, and that of a person is said no more where the application is synced.
const REFUSED_FOR: Duration = Duration::from_secs(300);
/// Refusals of one application that are kept.
const MOST_REFUSED: usize = 20;

/// What this process requested for an application. A request is named by the commit to fetch, or by
/// the text that has the `/sync`.
#[derive(Debug, Clone, Default)]
pub struct Requested {
    /// The last one of each object.
    made: HashMap<ResourceKey, String>,
    /// Those that were refused.
    refused: HashMap<String, Refused>,
}

/// Why a request was refused, when, and which commit was wanted then.
#[derive(Debug, Clone)]
struct Refused {
    why: Refusal,
    at: Instant,
    commit: String,
}

/// What there is to request for an application.
#[derive(Default)]
pub struct Requests {
    id: String,
    next: Next,
    /// A person's request that is done with.
    pub handled: Option<String>,
    /// Why the last one was not made, while the application is not synced; and whether a person
    /// waits for it.
    pub refused: Option<(Refusal, bool)>,
}

#[derive(Default)]
enum Next {
    #[default]
    Nothing,
    Write {
        object: ResourceKey,
        version: &'static str,
        patch: Value,
    },
    Refuse(Refusal),
}

/// The state of each object of theirs that takes a request, in their order; or why none does.
type States = std::result::Result<Vec<(ResourceKey, &'static str, Request)>, Refusal>;

pub async fn observe(
    ctx: &Arc<Reader>,
    scope: &AppScope<'_>,
    declared: &Declared,
    found: &Found,
) -> Result<Requests> {
    let (person, commit) = (&declared.requests.sync, &declared.change.revision);
    let known = locked(&ctx.cache.applications.requested)
        .get(scope.key)
        .cloned()
        .unwrap_or_default();
    let of_commit = || Some((known.refusal(commit.as_str(), None)?, false));
    // A person waits for it until this commit is synced.
    let until = Some(commit).filter(|_| !found.is_synced());
    let of_person = person
        .as_ref()
        .and_then(|id| Some((known.refusal(id, until)?, true)));
    let refused = match found.is_synced() {
        true => of_person,
        false => of_person.or_else(of_commit),
    };
    let open = person.clone().filter(|_| declared.requests.hard_refresh);
    let id = match &open {
        Some(id) => id.clone(),
        None => commit.to_string(),
    };
    let is_refused = match &open {
        Some(id) => known.refused.contains_key(id),
        None => known.refusal(&id, None).is_some(),
    };
    if is_refused || open.is_none() && found.has_revision {
        return Ok(Requests {
            handled: open,
            refused,
            ..Requests::default()
        });
    }
    let states = match &scope.target.stage.reconcile {
        _ if is_shared(scope, declared) => Err(Refusal::Shared),
        Reconciler::ArgoCd(_) => of_argo_cd(scope, found, open.as_deref()),
        _ => of_flux(ctx, scope, commit, found, open.as_deref()).await?,
    };
    let ((next, is_done), refused) = match (states, &open) {
        (Ok(states), _) => (next(states, &known, &id), refused),
        (Err(why @ Refusal::Forbidden(_)), _) | (Err(why), Some(_)) => {
            ((Next::Refuse(why), false), refused)
        }
        // It may be resumed.
        (Err(why @ Refusal::Suspended), None) => ((Next::Nothing, false), Some((why, false))),
        (Err(_), None) => ((Next::Nothing, false), refused),
    };
    Ok(Requests {
        next,
        id,
        handled: open.filter(|_| is_done),
        refused,
    })
}

/// Whether another stage has the same object: what is requested in one would be carried out in the
/// other, whose people were not asked.
fn is_shared(scope: &AppScope<'_>, declared: &Declared) -> bool {
    let configured = declared.base.configured().into_iter();
    let mut others = configured.flat_map(|all| &all.targets);
    others.any(|other| {
        other.stage.name != scope.target.stage.name
            && other.reconciled_by() == scope.target.reconciled_by()
    })
}

/// The first request that is not carried out; and whether there is none. One that this process made
/// and that is there no more was carried out, or somebody else's took its place.
fn next(
    states: Vec<(ResourceKey, &'static str, Request)>,
    known: &Requested,
    id: &str,
) -> (Next, bool) {
    for (object, version, request) in states {
        let is_made = known.made.get(&object).is_some_and(|made| made == id);
        match request {
            Request::Done => {}
            Request::Patch(_) if is_made => {}
            Request::Pending => return (Next::Nothing, false),
            Request::Patch(patch) => {
                let next = Next::Write {
                    object,
                    version,
                    patch,
                };
                return (next, false);
            }
        }
    }
    (Next::Nothing, true)
}

/// `sync`: a person's request. None: it is to look for the newest commit.
fn of_argo_cd(scope: &AppScope<'_>, found: &Found, sync: Option<&str>) -> States {
    if !scope.is_of_argo_cd(&found.live) {
        return Err(Refusal::OtherSource);
    }
    let request = match sync {
        Some(id) => argocd::sync(&found.live, id),
        None => argocd::refresh(&found.live),
    };
    Ok(vec![(found.object.clone(), found.version, request)])
}

/// A Kustomization follows its source by itself. Its source is asked for the newest commit.
async fn of_flux(
    ctx: &Arc<Reader>,
    scope: &AppScope<'_>,
    commit: &CommitSha,
    found: &Found,
    sync: Option<&str>,
) -> Result<States> {
    let Some((object, version)) = flux::source(&found.live) else {
        return Ok(Err(Refusal::OtherSource));
    };
    let source = match scope.hub.live(&object, version).await {
        Ok(Some(source)) => source,
        Ok(None) => return Ok(Err(Refusal::Missing)),
        Err(cluster::Error::Forbidden { message, .. }) => {
            return Ok(Err(Refusal::Forbidden(message)));
        }
        Err(error) => return Err(error.into()),
    };
    if !flux::is_of(&source, (&scope.key.repo, scope.github_host)) {
        return Ok(Err(Refusal::OtherSource));
    }
    if flux::is_suspended(&source) || flux::is_suspended(&found.live) {
        return Ok(Err(Refusal::Suspended));
    }
    let Some(id) = sync else {
        let is_fetched = match flux::fetched(&source) {
            Some(fetched) => includes(ctx, &scope.key.repo, &fetched, commit).await?,
            None => false,
        };
        let request = match is_fetched {
            true => Request::Done,
            false => flux::request(&source, commit.as_str()),
        };
        return Ok(Ok(vec![(object, version, request)]));
    };
    let own = flux::request(&found.live, id);
    Ok(Ok(vec![
        (object, version, flux::request(&source, id)),
        (found.object.clone(), found.version, own),
    ]))
}

/// Writes what is to be requested. True: something was written or refused, so that it is to be
/// observed again soon.
pub async fn send(
    ctx: &Writer,
    scope: &AppScope<'_>,
    commit: &CommitSha,
    requests: Requests,
) -> Result<bool> {
    let Requests { id, next, .. } = requests;
    let (object, refused) = match next {
        Next::Nothing => return Ok(false),
        Next::Refuse(why) => (None, Some(why)),
        Next::Write {
            object,
            version,
            patch,
        } => {
            let writer = ctx.to_cluster(&scope.requesting);
            let refused = match writer.merge(&object, version, &patch).await {
                Ok(()) => None,
                Err(cluster::Error::Forbidden { message, .. }) => Some(Refusal::Forbidden(message)),
                Err(cluster::Error::Refused { message, .. }) => Some(Refusal::NotTaken(message)),
                Err(error) => return Err(error.into()),
            };
            (Some(object), refused)
        }
    };
    let mut all = locked(&ctx.cache.applications.requested);
    let requested = all.entry(scope.key.clone()).or_default();
    match (refused, object) {
        (Some(why), _) => {
            let (at, commit) = (Instant::now(), commit.to_string());
            requested.refuse(id, Refused { why, at, commit });
        }
        (None, Some(object)) => drop(requested.made.insert(object, id)),
        (None, None) => {}
    }
    Ok(true)
}

impl Requested {
    /// Why a request was refused: not long ago, or while this commit was wanted.
    fn refusal(&self, id: &str, commit: Option<&CommitSha>) -> Option<Refusal> {
        let refused = self.refused.get(id)?;
        let is_of = commit.is_some_and(|commit| commit.as_str() == refused.commit);
        (is_of || refused.at.elapsed() < REFUSED_FOR).then(|| refused.why.clone())
    }

    fn refuse(&mut self, id: String, refused: Refused) {
        let oldest = self.refused.iter().min_by_key(|(_, refused)| refused.at);
        let oldest = oldest.map(|(id, _)| id.clone());
        if let Some(oldest) = oldest.filter(|_| self.refused.len() >= MOST_REFUSED) {
            self.refused.remove(&oldest);
        }
        self.refused.insert(id, refused);
    }
}
