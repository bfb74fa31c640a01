//! The objects of an application, and the live state of each. If an object is as it was applied,
//! nothing is asked about it. If only its manifest changed, the index knows enough of the live
//! object. Otherwise the live object is read. Of all that changed, the server dry-runs the sync.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::declare::Declared;
use super::desired::{Desired, Inventory, rendered};
use crate::cluster::store::InventoryEntry;
use crate::cluster::{self, Lookup};
use crate::controller::dry_run::{self, AppScope, Prediction};
use crate::controller::resource_owners::{self, ResourceOwners};
use crate::controller::revision::inputs_at;
use crate::controller::{Reader, Result};
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::plan::{Comparison, Confidence, Side};
use crate::domain::{Live, OWNER_LABEL, hook, ownership};

/// Every object that Git has, by key, and the other owned objects.
pub struct Objects {
    pub all: BTreeMap<ResourceKey, Object>,
    /// Owned objects that Git does not have.
    pub unwanted: Inventory,
}

pub struct Object {
    /// [`dry_run::manifest_hash`] of its manifest.
    pub manifest_hash: String,
    pub owned: Option<InventoryEntry>,
    pub live: LiveState,
    /// What a sync would make of it; None where nothing changed.
    pub predicted: Option<Prediction>,
}

pub enum LiveState {
    /// Unchanged since exactly this manifest was applied.
    AsApplied(cluster::IndexEntry),
    /// The manifest in Git changed, the live object did not.
    OnlyGitChanged(cluster::IndexEntry),
    Changed,
    /// A Job that ran for exactly this manifest and was deleted by its TTL: if it were created
    /// again, it would run again.
    RanAndGone,
}

/// An object as it was when it was last in sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastApplied {
    pub uid: String,
    /// [`dry_run::manifest_hash`] of the manifest, and [`ownership::ownership_hash`] of the object;
    /// None until it is in sync.
    pub hashes: Option<(String, String)>,
}

/// Finds the objects that changed, by the index.
pub async fn classify(
    declared: &Declared,
    scope: &AppScope<'_>,
    desired: &Desired,
    mut inventory: Inventory,
) -> Result<Objects> {
    let hard_refresh = declared.requests.hard_refresh;
    let mut all = BTreeMap::new();
    for manifest in &desired.manifests {
        let lookup = scope
            .cluster
            .lookup(&manifest.key, &manifest.version)
            .await?;
        let owned = inventory.remove(&manifest.key);
        let manifest_hash = dry_run::manifest_hash(manifest);
        // The run of a hook, and the owners of ignored fields, are only in the whole object.
        let may_be_a_stub =
            declared.target.fields.ignore.is_empty() && hook::run(&manifest.value).is_none();
        let live = match lookup {
            Some(Lookup::Found(entry))
                if !hard_refresh
                    && dry_run::is_as_applied(owned.as_ref(), &manifest_hash, &entry) =>
            {
                LiveState::AsApplied(entry)
            }
            Some(Lookup::Found(entry))
                if !hard_refresh
                    && may_be_a_stub
                    && dry_run::is_live_unchanged(owned.as_ref(), &entry) =>
            {
                LiveState::OnlyGitChanged(entry)
            }
            _ => LiveState::Changed,
        };
        let object = Object {
            manifest_hash,
            owned,
            live,
            predicted: None,
        };
        all.insert(manifest.key.clone(), object);
    }
    Ok(Objects {
        all,
        unwanted: inventory,
    })
}

/// Has the server dry-run the sync of the objects that changed; and finds the objects that other
/// applications claim.
pub async fn predict(
    ctx: &Arc<Reader>,
    declared: &Declared,
    scope: &AppScope<'_>,
    desired: &Desired,
    objects: Objects,
) -> Result<(Objects, Arc<ResourceOwners>)> {
    let hard_refresh = declared.requests.hard_refresh;
    let found = dry_run::read(scope, &objects.changed(desired)).await?;
    let (mut objects, mut found) = with_live(desired, objects, found, hard_refresh);
    let to_predict: Vec<_> = desired
        .manifests
        .iter()
        .filter(|manifest| {
            let live = objects.live(manifest);
            matches!(
                live,
                Some(LiveState::OnlyGitChanged(_) | LiveState::Changed)
            )
        })
        .collect();
    let applied = applied(ctx, declared, scope, &to_predict, &objects).await?;
    let wanted = to_predict
        .into_iter()
        .map(|manifest| (manifest.clone(), found.remove(&manifest.key)))
        .collect();
    let predictions =
        dry_run::predict_all(scope, wanted, &desired.manifests, &applied, hard_refresh).await?;
    let contested = objects.owned() > desired.manifests.len()
        || predictions
            .iter()
            .any(|predicted| has_other_owner(predicted, scope.owner));
    let claims = match contested {
        true => resource_owners::of_base(ctx, &declared.base).await?,
        false => Arc::default(),
    };
    for predicted in predictions {
        let predicted = refuse_if_claimed(declared, scope, &claims, predicted);
        if let Some(object) = objects.all.get_mut(&predicted.manifest.key) {
            object.predicted = Some(predicted);
        }
    }
    Ok((objects, claims))
}

/// The live objects, once those that changed were read. If only the manifest changed, a placeholder
/// from the index stands in for the object. Jobs that ran and were deleted by their TTL are not
/// predicted.
fn with_live(
    desired: &Desired,
    mut objects: Objects,
    mut found: BTreeMap<ResourceKey, Live>,
    hard_refresh: bool,
) -> (Objects, BTreeMap<ResourceKey, Live>) {
    for manifest in &desired.manifests {
        let Some(object) = objects.all.get_mut(&manifest.key) else {
            continue;
        };
        match &object.live {
            LiveState::OnlyGitChanged(entry) => {
                found.insert(manifest.key.clone(), dry_run::placeholder(manifest, entry));
            }
            LiveState::Changed
                if !hard_refresh
                    && hook::has_time_to_live(&manifest.value)
                    && !found.contains_key(&manifest.key)
                    && object.was_applied() =>
            {
                object.live = LiveState::RanAndGone;
            }
            _ => {}
        }
    }
    (objects, found)
}

/// Refuses an object that another application has too; a refusal names the file.
fn refuse_if_claimed(
    declared: &Declared,
    scope: &AppScope<'_>,
    claims: &ResourceOwners,
    mut predicted: Prediction,
) -> Prediction {
    let key = &predicted.manifest.key.clone();
    let destination = &declared.target.destination;
    if has_other_owner(&predicted, scope.owner)
        && let Some(other) = claims.other(destination, key, scope.key)
    {
        let title = other.title();
        predicted.after = Side::Refused(format!(
            "{key} also belongs to {title}: remove it from one of them"
        ));
    }
    if !matches!(predicted.after, Side::Refused(_)) {
        return predicted;
    }
    let live = predicted.live.clone();
    let before = live.map_or(Side::Absent, |live| Side::Object(live, Confidence::Server));
    let Prediction { after, notes, .. } = &mut predicted;
    resource_owners::locate((after, &before), key, notes, &declared.change.inputs);
    predicted
}

/// Each object as it was applied last: the fields in it are ours. If its manifest changed since,
/// that is what the last synced revision rendered to.
async fn applied(
    ctx: &Arc<Reader>,
    declared: &Declared,
    scope: &AppScope<'_>,
    manifests: &[&Manifest],
    objects: &Objects,
) -> Result<BTreeMap<ResourceKey, Value>> {
    let mut applied = BTreeMap::new();
    let mut needs_synced = false;
    for manifest in manifests {
        match objects.all.get(&manifest.key) {
            Some(object) if object.was_applied() => {
                applied.insert(manifest.key.clone(), manifest.value.clone());
            }
            Some(object) => needs_synced |= object.owned.is_some(),
            None => {}
        }
    }
    let status = &declared.status;
    let Some(synced) = status.synced_revision.clone().filter(|_| needs_synced) else {
        return Ok(applied);
    };
    let place = scope.target.render_source();
    let read = ctx.mirror(&scope.key.repo, move |mirror| {
        match mirror.knows(&synced)? {
            true => inputs_at(mirror, &synced, &place),
            false => Ok(Ok(None)),
        }
    });
    let read = read.await?;
    if let Ok(manifests) = rendered(ctx, scope.target, &read, status.served.as_ref()).await? {
        for manifest in dry_run::normalize(scope, &manifests).await?.manifests {
            applied.entry(manifest.key).or_insert(manifest.value);
        }
    }
    Ok(applied)
}

/// Whether an object has the owner label of another application.
fn has_other_owner(predicted: &Prediction, owner: &str) -> bool {
    predicted.live.as_ref().is_some_and(|live| {
        live["metadata"]["labels"][OWNER_LABEL]
            .as_str()
            .is_some_and(|label| label != owner)
    })
}

impl Object {
    /// Whether exactly this manifest was applied last.
    pub fn was_applied(&self) -> bool {
        let applied = self
            .owned
            .as_ref()
            .and_then(|entry| entry.manifest_hash.as_ref());
        applied == Some(&self.manifest_hash)
    }

    /// The object as it is applied by now. `pending`: the plan still changes it.
    pub fn last_applied(&self, pending: bool) -> Option<LastApplied> {
        if let LiveState::AsApplied(entry) = &self.live {
            return Some(LastApplied {
                uid: entry.uid.clone(),
                hashes: Some((self.manifest_hash.clone(), entry.ownership_hash.clone())),
            });
        }
        let live = self.predicted.as_ref()?.live.as_ref()?;
        // A placeholder from the index has no managed fields.
        let whole = !matches!(self.live, LiveState::OnlyGitChanged(_));
        let hashes = (whole && !pending)
            .then(|| (self.manifest_hash.clone(), ownership::ownership_hash(live)));
        Some(LastApplied {
            uid: live.uid().unwrap_or_default().into(),
            hashes,
        })
    }
}

impl Objects {
    fn live(&self, manifest: &Manifest) -> Option<&LiveState> {
        self.all.get(&manifest.key).map(|object| &object.live)
    }

    /// The objects to read from the API server, each with its version.
    fn changed(&self, desired: &Desired) -> Vec<(ResourceKey, String)> {
        let all = desired.manifests.iter();
        let changed =
            all.filter(|manifest| matches!(self.live(manifest), Some(LiveState::Changed)));
        changed
            .map(|manifest| (manifest.key.clone(), manifest.version.clone()))
            .collect()
    }

    /// How many objects are owned.
    pub fn owned(&self) -> usize {
        let here = self.all.values().filter(|object| object.owned.is_some());
        here.count() + self.unwanted.len()
    }

    pub fn predicted(&self) -> impl Iterator<Item = &Prediction> {
        self.all
            .values()
            .filter_map(|object| object.predicted.as_ref())
    }

    /// Objects that changed though their manifest is the one that was applied last: somebody else
    /// changed them.
    pub fn drifted(&self) -> BTreeSet<ResourceKey> {
        let drifted = |(_, object): &(&ResourceKey, &Object)| {
            object.predicted.is_some() && object.was_applied()
        };
        let all = self.all.iter().filter(drifted);
        all.map(|(key, _)| key.clone()).collect()
    }

    pub fn comparisons(&self) -> impl Iterator<Item = Comparison> + '_ {
        self.predicted().map(|predicted| Comparison {
            key: predicted.manifest.key.clone(),
            before: dry_run::side(predicted.live.clone()),
            after: predicted.after.clone(),
            notes: predicted.notes.clone(),
        })
    }
}
