//! What Git has no more: which of it may be deleted, what stays, and what waits for a word.
//!
//! [`prunable`] is what is live of it, [`late`] what each deletion waits for.

mod late;
mod prunable;

use std::collections::BTreeMap;
use std::sync::Arc;

use late::late;
pub use prunable::{Prunable, prunable};
use serde_json::Value;
use tokio::time::Instant;

use super::approval::judge;
use super::declare::Declared;
use super::desired::Desired;
use super::objects::Objects;
use crate::cluster::store::InventoryEntry;
use crate::controller::dry_run::{self, AppScope};
use crate::controller::resource_owners::ResourceOwners;
use crate::controller::{Reader, Result};
use crate::domain::manifest::{ResourceKey, is_custom_group};
use crate::domain::plan::{Comparison, Side};
use crate::domain::sync::{self, Late};

/// What is to be deleted, and what of it waits.
pub struct Candidates {
    /// What may be deleted now or later, with its inventory entry.
    pub deleted: BTreeMap<ResourceKey, (InventoryEntry, Value)>,
    /// What stays, each with the reason.
    pub withheld: Vec<(ResourceKey, String)>,
    /// What is being deleted, each with what it waits for.
    pub ending: Vec<(ResourceKey, String)>,
    pub late: BTreeMap<ResourceKey, Late>,
    /// Some of it could not be looked at.
    pub unknown: bool,
    /// Names the deletions that wait for a confirmation, and lists them.
    pub confirm: Option<String>,
    pub to_confirm: Vec<String>,
    /// Those that were confirmed and are not all done.
    pub confirmed: Vec<String>,
    /// When GitHub is asked once more whether they were approved.
    pub ask_again: Option<Instant>,
}

pub async fn candidates(
    ctx: &Arc<Reader>,
    declared: &Declared,
    scope: &AppScope<'_>,
    desired: &Desired,
    objects: &Objects,
    claims: &ResourceOwners,
) -> Result<Candidates> {
    let prunable = match desired.is_complete() {
        true => prunable(scope, gone(desired, objects)).await?,
        false => Prunable::default(),
    };
    let moving = moving(declared, scope, &prunable, claims);
    let prunable = prunable.protecting(moving);
    let (late, used) = late(scope, &prunable, &desired.manifests).await?;
    let prunable = prunable.protecting(used);
    let confirmed = sync::Confirmed {
        digest: declared.requests.confirm.as_deref(),
        lines: &declared.status.confirmed,
    };
    let revision = &declared.change.revision;
    let uncommitted = declared.status.synced_revision.as_ref() == Some(revision);
    let (judgement, ask_again) = judge(
        ctx,
        scope,
        &declared.base,
        revision,
        &prunable,
        objects.owned(),
        (confirmed, uncommitted),
    )
    .await?;
    Ok(Candidates::new(prunable, late, judgement, ask_again))
}

/// What is owned, and Git has no more.
fn gone(desired: &Desired, objects: &Objects) -> Vec<InventoryEntry> {
    let outside = desired.outside();
    let unwanted = objects.unwanted.values();
    let gone =
        unwanted.filter(|entry| !outside.contains(&entry.key) && !desired.hooks.keeps(&entry.key));
    gone.cloned().collect()
}

/// What another application of the base has by now, each with where it goes.
fn moving(
    declared: &Declared,
    scope: &AppScope<'_>,
    prunable: &Prunable,
    claims: &ResourceOwners,
) -> Vec<(ResourceKey, String)> {
    let destination = &declared.target.destination;
    let other = |object: &ResourceKey| {
        let other = claims.other(destination, object, scope.key)?;
        Some((object.clone(), format!("it moves to {}", other.title())))
    };
    prunable.prune.keys().filter_map(other).collect()
}

impl Candidates {
    fn new(
        prunable: Prunable,
        mut late: BTreeMap<ResourceKey, Late>,
        judgement: sync::PruneDecision,
        ask_again: Option<Instant>,
    ) -> Self {
        let to_confirm = judgement.to_confirm();
        let deleted: BTreeMap<_, _> = prunable
            .prune
            .into_iter()
            .filter(|(key, _)| judgement.prune.contains(key))
            .collect();
        // What waits for a word waits for nothing else.
        late.retain(|key, _| deleted.contains_key(key));
        let protected = prunable.protected.into_iter();
        Self {
            deleted,
            withheld: protected.chain(judgement.withheld).collect(),
            ending: prunable.ending,
            late,
            unknown: prunable.unknown,
            confirm: judgement.confirm,
            to_confirm,
            confirmed: judgement.confirmed,
            ask_again,
        }
    }

    pub fn comparisons(&self) -> impl Iterator<Item = Comparison> + '_ {
        self.deleted.iter().map(|(key, (_, live))| {
            Comparison::new(key.clone(), dry_run::side(Some(live.clone())), Side::Absent)
        })
    }
}

/// Whether a controller has to see an object go.
pub fn is_custom(key: &ResourceKey) -> bool {
    is_custom_group(&key.group)
}
