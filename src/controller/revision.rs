//! The inputs that an application is rendered from at a commit, and which
//! commit changed them last.

use std::sync::Arc;

use serde_json::Value;

use super::cache::locked;
use super::resource_owners::RenderInputs;
use super::{Base, Event, Reader, Result};
use crate::cluster::store::ApplicationStatus;
use crate::domain::catalog::{RenderSource, Target};
use crate::domain::{CommitSha, TargetKey};
use crate::git::Mirror;
use crate::render::{self, Source};

/// How many commits are searched for the one that changed an application.
const HISTORY: usize = 50;

pub fn hash_of(inputs: &RenderInputs) -> String {
    match inputs {
        Ok(Some(inputs)) => inputs.hash.clone(),
        Ok(None) => "absent".into(),
        Err(unreadable) => unreadable.hash.clone(),
    }
}

pub fn inputs_at(
    mirror: &Mirror,
    commit: &CommitSha,
    place: &RenderSource,
) -> anyhow::Result<RenderInputs> {
    let source = Source::open(mirror, mirror.tree(commit)?)?;
    Ok(render::inputs(&source, place))
}

/// The inputs of an application at the tip of the base.
pub struct CurrentInputs {
    pub base: CommitSha,
    pub inputs: RenderInputs,
    pub hash: String,
    /// The newest commit that changed it.
    pub revision: CommitSha,
    /// How many commits changed it since the one that was synced last.
    pub behind: u32,
    /// The objects of Argo CD or Flux that declared it since that one, the newest first.
    pub declared_before: Vec<Value>,
}

pub async fn change(
    ctx: &Arc<Reader>,
    key: &TargetKey,
    base: &Base,
    target: &Target,
    status: &ApplicationStatus,
) -> Result<Arc<CurrentInputs>> {
    let known = locked(&ctx.cache.repositories.changes).get(key).cloned();
    if let Some(known) = known.filter(|known| known.base == base.commit) {
        return Ok(known);
    }
    let (tip, place) = (base.commit.clone(), target.render_source());
    let previous = status.revision.clone().zip(status.inputs.clone());
    let synced = status.synced_revision.clone();
    let (inputs, revision, behind, declared_before) = ctx
        .mirror(&key.repo, move |mirror| {
            let (inputs, revision) = change_of(mirror, &tip, &place, previous)?;
            let (behind, before) = match synced.filter(|synced| *synced != revision) {
                Some(synced) => behind(mirror, (&tip, &inputs), &place, &synced)?,
                None => (0, Vec::new()),
            };
            Ok((inputs, revision, behind, before))
        })
        .await?;
    let change = Arc::new(CurrentInputs {
        base: base.commit.clone(),
        hash: hash_of(&inputs),
        inputs,
        revision,
        behind,
        declared_before,
    });
    locked(&ctx.cache.repositories.changes).insert(key.clone(), change.clone());
    // If a later commit reverted a commit, no other event updates that commit's rollout.
    ctx.emit(&Event::Rollouts(key.repo.clone()));
    Ok(change)
}

/// The object of Argo CD or Flux that declares an application.
pub fn declared(inputs: &RenderInputs) -> Option<Value> {
    inputs.as_ref().ok()?.as_ref()?.declaring_object().cloned()
}

/// The inputs at the tip, and the newest commit that changed them. `previous`: the last reconciled
/// revision, and the hash of its inputs.
pub fn change_of(
    mirror: &Mirror,
    tip: &CommitSha,
    place: &RenderSource,
    previous: Option<(CommitSha, String)>,
) -> anyhow::Result<(RenderInputs, CommitSha)> {
    let inputs = inputs_at(mirror, tip, place)?;
    let hash = hash_of(&inputs);
    if let Some((revision, hash_before)) = previous
        && hash_before == hash
        && mirror.has_in(&revision, tip)?
    {
        return Ok((inputs, revision));
    }
    let mut at = tip.clone();
    for _ in 0..HISTORY {
        let Some(parent) = mirror.parent(&at)? else {
            break;
        };
        if hash_of(&inputs_at(mirror, &parent, place)?) != hash {
            break;
        }
        at = parent;
    }
    Ok((inputs, at))
}

/// How many commits of the base, merges counted once, changed the inputs since one that was synced,
/// and the objects that declared them before each change; at most [`HISTORY`] commits are searched.
fn behind(
    mirror: &Mirror,
    (tip, inputs): (&CommitSha, &RenderInputs),
    place: &RenderSource,
    synced: &CommitSha,
) -> anyhow::Result<(u32, Vec<Value>)> {
    let (mut at, mut hash, mut count) = (tip.clone(), hash_of(inputs), 0);
    let mut declared_before = Vec::new();
    for _ in 0..HISTORY {
        if at == *synced {
            break;
        }
        let Some(parent) = mirror.parent(&at)? else {
            break;
        };
        let inputs = inputs_at(mirror, &parent, place)?;
        let before = hash_of(&inputs);
        if before != hash {
            count += 1;
            declared_before.extend(declared(&inputs));
        }
        (at, hash) = (parent, before);
    }
    Ok((count, declared_before))
}

/// The inputs of an application at a base.
pub async fn inputs_of(ctx: &Arc<Reader>, base: &Base, target: &Target) -> Result<RenderInputs> {
    let key = target.key(&base.repo.name);
    let status = ctx
        .store
        .application(&key)
        .await?
        .and_then(|object| object.status)
        .unwrap_or_default();
    Ok(change(ctx, &key, base, target, &status)
        .await?
        .inputs
        .clone())
}
