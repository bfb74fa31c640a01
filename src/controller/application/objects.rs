//! The objects of an application, and what is live of each: of one that is as it was left nothing
//! is asked, of one of which only the manifest changed the index knows enough, of the others the
//! API server is asked what a sync would make of them.

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
use crate::domain::plan::{Comparison, Side};
use crate::domain::{OWNER_LABEL, hook, ownership};

/// Every object that Git has, by key, and what is owned beside.
pub struct Objects {
    pub all: BTreeMap<ResourceKey, Object>,
    /// Owned objects that Git does not have.
    pub unwanted: Inventory,
}

pub struct Object {
    /// [`dry_run::manifest_hash`] of its manifest.
    pub print: String,
    pub owned: Option<InventoryEntry>,
    pub live: Live,
    /// What a sync would make of it; None where that is not asked.
    pub predicted: Option<Prediction>,
}

pub enum Live {
    /// As it was left, by just this manifest.
    AsApplied(cluster::IndexEntry),
    /// Nobody changed it; Git did.
    OnlyGitChanged(cluster::IndexEntry),
    WatchEvent,
    /// A Job that ran for just this manifest and took itself away: created anew, it would run again.
    RanAndGone,
}

/// How an object was left when it was last as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastApplied {
    pub uid: String,
    /// [`dry_run::manifest_hash`] of the manifest, and [`ownership::ownership_hash`] of the object; None until it
    /// is as it should be.
    pub hashes: Option<(String, String)>,
}

/// Tells by the index which objects moved.
pub async fn classify(
    declared: &Declared,
    scope: &AppScope<'_>,
    desired: &Desired,
    mut inventory: Inventory,
) -> Result<Objects> {
    let hard_refresh = declared.requests.hard_refresh;
    let mut all = BTreeMap::new();
    for manifest in &desired.manifests {
        let seen = scope
            .cluster
            .lookup(&manifest.key, &manifest.version)
            .await?;
        let owned = inventory.remove(&manifest.key);
        let print = dry_run::manifest_hash(manifest);
        // A hook's last run, and whose a Secret's data is, are in the whole object.
        let may_be_a_stub =
            declared.target.fields.ignore.is_empty() && hook::run(&manifest.value).is_none();
        let live = match seen {
            Some(Lookup::Found(seen))
                if !hard_refresh && dry_run::is_as_left(owned.as_ref(), &print, &seen) =>
            {
                Live::AsApplied(seen)
            }
            Some(Lookup::Found(seen))
                if !hard_refresh
                    && may_be_a_stub
                    && dry_run::is_untouched(owned.as_ref(), &seen) =>
            {
                Live::OnlyGitChanged(seen)
            }
            _ => Live::WatchEvent,
        };
        let object = Object {
            print,
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

/// Asks the server what a sync would make of the objects that moved; and whose objects are others'.
pub async fn predict(
    ctx: &Arc<Reader>,
    declared: &Declared,
    scope: &AppScope<'_>,
    desired: &Desired,
    objects: Objects,
) -> Result<(Objects, Arc<ResourceOwners>)> {
    let hard_refresh = declared.requests.hard_refresh;
    let found = dry_run::read(scope, &objects.moved(desired)).await?;
    let (mut objects, mut found) = with_live(desired, objects, found, hard_refresh);
    let asked: Vec<_> = desired
        .manifests
        .iter()
        .filter(|manifest| {
            let live = objects.live(manifest);
            matches!(live, Some(Live::OnlyGitChanged(_) | Live::WatchEvent))
        })
        .collect();
    let applied = applied(ctx, declared, scope, &asked, &objects).await?;
    let wanted = asked
        .into_iter()
        .map(|manifest| (manifest.clone(), found.remove(&manifest.key)))
        .collect();
    let asked =
        dry_run::predict_all(scope, wanted, &desired.manifests, &applied, hard_refresh).await?;
    let contested = objects.owned() > desired.manifests.len()
        || asked
            .iter()
            .any(|predicted| is_anothers(predicted, scope.owner));
    let claims = match contested {
        true => resource_owners::of_base(ctx, &declared.base).await?,
        false => Arc::default(),
    };
    for predicted in asked {
        let predicted = unless_claimed(declared, scope, &claims, predicted);
        if let Some(object) = objects.all.get_mut(&predicted.manifest.key) {
            object.predicted = Some(predicted);
        }
    }
    Ok((objects, claims))
}

/// What is known of the live objects, once those that moved were read: the index's words for those of which only the
/// manifest changed; and Jobs that ran and are gone are no more asked about.
fn with_live(
    desired: &Desired,
    mut objects: Objects,
    mut found: BTreeMap<ResourceKey, Value>,
    hard_refresh: bool,
) -> (Objects, BTreeMap<ResourceKey, Value>) {
    for manifest in &desired.manifests {
        let Some(object) = objects.all.get_mut(&manifest.key) else {
            continue;
        };
        match &object.live {
            Live::OnlyGitChanged(seen) => {
                found.insert(manifest.key.clone(), dry_run::placeholder(manifest, seen));
            }
            Live::WatchEvent
                if !hard_refresh
                    && hook::has_time_to_live(&manifest.value)
                    && !found.contains_key(&manifest.key)
                    && object.was_applied() =>
            {
                object.live = Live::RanAndGone;
            }
            _ => {}
        }
    }
    (objects, found)
}

/// An object that another application has too is refused; a refusal names the file.
fn unless_claimed(
    declared: &Declared,
    scope: &AppScope<'_>,
    claims: &ResourceOwners,
    mut predicted: Prediction,
) -> Prediction {
    let key = &predicted.manifest.key;
    let destination = &declared.target.destination;
    if is_anothers(&predicted, scope.owner)
        && let Some(other) = claims.other(destination, key, scope.key)
    {
        let title = other.title();
        predicted.after = Side::Refused(format!(
            "{key} is an object of {title} too: one of them has to leave it out"
        ));
    }
    resource_owners::locate(&mut predicted.after, key, &declared.change.inputs);
    predicted
}

/// Each object as it was applied last: what was in it is ours. Of one whose manifest changed since,
/// that is what the last synced revision rendered to.
async fn applied(
    ctx: &Arc<Reader>,
    declared: &Declared,
    scope: &AppScope<'_>,
    asked: &[&Manifest],
    objects: &Objects,
) -> Result<BTreeMap<ResourceKey, Value>> {
    let mut applied = BTreeMap::new();
    let mut older = false;
    for manifest in asked {
        match objects.all.get(&manifest.key) {
            Some(object) if object.was_applied() => {
                applied.insert(manifest.key.clone(), manifest.value.clone());
            }
            Some(object) => older |= object.owned.is_some(),
            None => {}
        }
    }
    let status = &declared.status;
    let Some(synced) = status.synced_revision.clone().filter(|_| older) else {
        return Ok(applied);
    };
    let place = scope.target.render_source();
    let read = ctx.mirror(&scope.key.repo, move |mirror| match mirror.has(&synced) {
        true => inputs_at(mirror, &synced, &place),
        false => Ok(Ok(None)),
    });
    let read = read.await?;
    if let Ok(manifests) = rendered(ctx, scope.target, &read, status.served.as_ref()).await? {
        for manifest in dry_run::normalize(scope, &manifests).await?.manifests {
            applied.entry(manifest.key).or_insert(manifest.value);
        }
    }
    Ok(applied)
}

/// Whether an object carries the mark of another application.
fn is_anothers(predicted: &Prediction, owner: &str) -> bool {
    predicted.live.as_ref().is_some_and(|live| {
        live["metadata"]["labels"][OWNER_LABEL]
            .as_str()
            .is_some_and(|label| label != owner)
    })
}

impl Object {
    /// Whether just this manifest was applied last.
    pub fn was_applied(&self) -> bool {
        let applied = self
            .owned
            .as_ref()
            .and_then(|entry| entry.manifest_hash.as_ref());
        applied == Some(&self.print)
    }

    /// How it is left by now. `pending`: something is to be done about it.
    pub fn last_applied(&self, pending: bool) -> Option<LastApplied> {
        if let Live::AsApplied(seen) = &self.live {
            return Some(LastApplied {
                uid: seen.uid.clone(),
                hashes: Some((self.print.clone(), seen.ownership_hash.clone())),
            });
        }
        let live = self.predicted.as_ref()?.live.as_ref()?;
        // What the index knows of it says nothing of who owns what.
        let whole = !matches!(self.live, Live::OnlyGitChanged(_));
        let hashes =
            (whole && !pending).then(|| (self.print.clone(), ownership::ownership_hash(live)));
        Some(LastApplied {
            uid: live["metadata"]["uid"].as_str().unwrap_or_default().into(),
            hashes,
        })
    }
}

impl Objects {
    fn live(&self, manifest: &Manifest) -> Option<&Live> {
        self.all.get(&manifest.key).map(|object| &object.live)
    }

    /// The objects that have to be read, each with its version.
    fn moved(&self, desired: &Desired) -> Vec<(ResourceKey, String)> {
        let all = desired.manifests.iter();
        let moved = all.filter(|manifest| matches!(self.live(manifest), Some(Live::WatchEvent)));
        moved
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

    /// Objects that were asked about though their manifest is what was applied last: others changed
    /// them.
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
