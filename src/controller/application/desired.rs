//! The desired state of an application from Git: its manifests, and its hooks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::declare::Declared;
use super::hooks::Hooks;
use crate::cluster::store::{InventoryEntry, Served};
use crate::controller::cache::locked;
use crate::controller::dry_run::{self, AppScope};
use crate::controller::resource_owners::RenderInputs;
use crate::controller::{Reader, Result};
use crate::domain::catalog::{Target, images_of};
use crate::domain::image::ImageRef;
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::plan::Comparison;
use crate::domain::{Invalid, TargetKey, hook};

/// The rendered manifests, or the error.
pub struct Rendering {
    pub manifests: std::result::Result<Arc<Vec<Manifest>>, String>,
    /// The cluster's capabilities that the chart was rendered with.
    pub served: Option<Served>,
}

pub struct Desired {
    /// How many manifests Git has, or why it cannot be rendered.
    pub rendered: std::result::Result<usize, String>,
    pub served: Option<Served>,
    /// The desired objects, with the hooks that are due.
    pub manifests: Vec<Manifest>,
    /// Objects that the application's project does not allow.
    pub refusals: Vec<Comparison>,
    pub hooks: Hooks,
    /// Of the images that it runs, those that image events may update.
    pub images: Vec<ImageRef>,
}

pub type Inventory = BTreeMap<ResourceKey, InventoryEntry>;

pub async fn render(
    ctx: &Arc<Reader>,
    declared: &Declared,
    scope: &AppScope<'_>,
) -> Result<Rendering> {
    let (target, inputs) = (&declared.target, &declared.change.inputs);
    let known = declared
        .status
        .served
        .as_ref()
        .filter(|_| !declared.requests.hard_refresh);
    let served = match inputs {
        Ok(Some(inputs)) => ctx.environment.served(target, inputs, known).await?,
        _ => None,
    };
    let manifests = match scope.fence.destination() {
        Ok(()) => rendered(ctx, target, inputs, served.as_ref()).await?,
        Err(why) => Err(why.to_string()),
    };
    // Its destination may be another cluster by now.
    ctx.environment
        .stop_pod_watches_except(&declared.owner, Some(&scope.cluster.name));
    Ok(Rendering { manifests, served })
}

/// Normalizes the rendered manifests; and the inventory, with what this process remembers.
pub async fn normalized(
    ctx: &Arc<Reader>,
    declared: &Declared,
    scope: &AppScope<'_>,
    rendering: Rendering,
) -> Result<(Desired, Inventory)> {
    let Rendering { manifests, served } = rendering;
    let rendered = manifests.as_deref().map_or(&[][..], |manifests| manifests);
    let settled = dry_run::normalize(scope, rendered).await?;
    let refusals = dry_run::refusals(&settled.outside);
    let (all_hooks, mut manifests_wanted) = hook::split(settled.manifests);
    let hooks = Hooks::new(all_hooks, &declared.status, &declared.change.hash);
    manifests_wanted.extend(hooks.due());
    let references: Vec<_> = manifests_wanted.iter().flat_map(Manifest::images).collect();
    let desired = Desired {
        rendered: manifests.map(|manifests| manifests.len()),
        served,
        images: images_of(&declared.target, &references),
        manifests: manifests_wanted,
        refusals,
        hooks,
    };
    let inventory = with_last_applied(ctx, scope.key, &declared.status.inventory);
    Ok((desired, inventory))
}

impl Desired {
    /// Whether everything was rendered: only then an object that is missing here was removed from
    /// Git.
    pub fn is_complete(&self) -> bool {
        self.rendered.as_ref().is_ok_and(|count| *count > 0)
    }

    pub fn outside(&self) -> BTreeSet<&ResourceKey> {
        self.refusals.iter().map(|refusal| &refusal.key).collect()
    }
}

/// What an application renders to. `known`: the cluster's capabilities that its chart was rendered
/// with before.
pub async fn rendered(
    ctx: &Arc<Reader>,
    target: &Target,
    inputs: &RenderInputs,
    known: Option<&Served>,
) -> Result<std::result::Result<Arc<Vec<Manifest>>, String>> {
    Ok(match inputs {
        Ok(Some(inputs)) => {
            let rendered = ctx.environment.render(target, inputs, known).await?;
            rendered.map_err(|Invalid(why)| why)
        }
        Ok(None) => Ok(Arc::default()),
        Err(unreadable) => Err(unreadable.why.0.clone()),
    })
}

/// The inventory, updated by what this process applied last.
fn with_last_applied(ctx: &Reader, key: &TargetKey, inventory: &[InventoryEntry]) -> Inventory {
    let memory = locked(&ctx.cache.applications.last_applied);
    let mut entries: Inventory = inventory
        .iter()
        .map(|entry| (entry.key.clone(), entry.clone()))
        .collect();
    for (key, applied) in memory.get(key).into_iter().flatten() {
        if let Some(entry) = entries.get_mut(key) {
            let (manifest_hash, ownership_hash) = applied.hashes.clone().unzip();
            *entry = InventoryEntry {
                uid: Some(applied.uid.clone()),
                manifest_hash,
                ownership_hash,
                ..entry.clone()
            };
        }
    }
    entries
}
