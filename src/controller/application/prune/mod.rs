//! Objects that Git no longer has: which may be deleted, which stay, and which wait for a
//! confirmation.
//!
//! [`prunable`] finds the live ones, [`late`] what each deletion waits for.

mod late;
mod prunable;

use std::collections::BTreeMap;
use std::sync::Arc;

use late::late;
pub use prunable::{Prunable, prunable};
use tokio::time::Instant;

use super::approval::judge;
use super::declare::Declared;
use super::desired::Desired;
use super::objects::Objects;
use crate::cluster::store::InventoryEntry;
use crate::controller::dry_run::{self, AppScope};
use crate::controller::resource_owners::ResourceOwners;
use crate::controller::{Reader, Result};
use crate::domain::Live;
use crate::domain::manifest::{ResourceKey, is_custom_group};
use crate::domain::plan::{Comparison, Side};
use crate::domain::sync::{self, Late};

/// What is to be deleted, and which deletions wait.
pub struct Deletions {
    /// The objects that may be deleted now or later, with their inventory entries.
    pub deleted: BTreeMap<ResourceKey, (InventoryEntry, Live)>,
    /// The objects that are not deleted, each with the reason.
    pub withheld: Vec<(ResourceKey, String)>,
    /// The objects that are being deleted, each with what it waits for.
    pub ending: Vec<(ResourceKey, String)>,
    pub late: BTreeMap<ResourceKey, Late>,
    /// Some objects could not be read.
    pub unknown: bool,
    /// The digest of the deletions that wait for a confirmation, and their list.
    pub confirm: Option<String>,
    pub to_confirm: Vec<String>,
    /// The confirmed deletions that are not all done.
    pub confirmed: Vec<String>,
    /// When to check again at GitHub whether the deletions were approved.
    pub next_check: Option<Instant>,
}

pub async fn candidates(
    ctx: &Arc<Reader>,
    declared: &Declared,
    scope: &AppScope<'_>,
    desired: &Desired,
    objects: &Objects,
    claims: &ResourceOwners,
) -> Result<Deletions> {
    let prunable = match desired.is_complete() {
        true => prunable(scope, removed_from_git(desired, objects)).await?,
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
    let (decision, next_check) = judge(
        ctx,
        scope,
        &declared.base,
        revision,
        &prunable,
        objects.owned(),
        (confirmed, uncommitted),
    )
    .await?;
    Ok(Deletions::new(prunable, late, decision, next_check))
}

/// The owned objects that Git no longer has.
fn removed_from_git(desired: &Desired, objects: &Objects) -> Vec<InventoryEntry> {
    let outside = desired.outside();
    let unwanted = objects.unwanted.values();
    let removed =
        unwanted.filter(|entry| !outside.contains(&entry.key) && !desired.hooks.keeps(&entry.key));
    removed.cloned().collect()
}

/// The objects that another application of the base has by now, each with its new owner.
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

impl Deletions {
    fn new(
        prunable: Prunable,
        mut late: BTreeMap<ResourceKey, Late>,
        decision: sync::PruneDecision,
        next_check: Option<Instant>,
    ) -> Self {
        let to_confirm = decision.to_confirm();
        let deleted: BTreeMap<_, _> = prunable
            .prune
            .into_iter()
            .filter(|(key, _)| decision.prune.contains(key))
            .collect();
        // A deletion that waits for a confirmation shows nothing else that it waits for.
        late.retain(|key, _| deleted.contains_key(key));
        let protected = prunable.protected.into_iter();
        Self {
            deleted,
            withheld: protected.chain(decision.withheld).collect(),
            ending: prunable.ending,
            late,
            unknown: prunable.unknown,
            confirm: decision.confirm,
            to_confirm,
            confirmed: decision.confirmed,
            next_check,
        }
    }

    pub fn comparisons(&self) -> impl Iterator<Item = Comparison> + '_ {
        self.deleted.iter().map(|(key, (_, live))| {
            Comparison::new(key.clone(), dry_run::side(Some(live.clone())), Side::Absent)
        })
    }
}

/// Whether an object is a custom resource, whose controller may have to clean up.
pub fn is_custom(key: &ResourceKey) -> bool {
    is_custom_group(&key.group)
}
