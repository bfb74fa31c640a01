//! Live objects of ours that Git no longer has: which may be deleted, which stay, and which are
//! being deleted.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};

use crate::cluster::Found;
use crate::cluster::store::InventoryEntry;
use crate::controller::Result;
use crate::controller::dry_run::{self, AppScope};
use crate::domain::Live;
use crate::domain::manifest::{self, ResourceKey};
use crate::domain::sync;

/// Live objects of ours that Git no longer has.
#[derive(Default)]
pub struct Prunable {
    pub prune: BTreeMap<ResourceKey, (InventoryEntry, Live)>,
    /// The objects that no confirmation deletes, each with the reason.
    pub protected: Vec<(ResourceKey, String)>,
    /// The objects that are being deleted, each with what it waits for.
    pub ending: Vec<(ResourceKey, String)>,
    /// Some objects could not be read.
    pub unknown: bool,
}

impl Prunable {
    /// Moves objects to the protected ones, each with the reason.
    pub(super) fn protecting(mut self, stays: Vec<(ResourceKey, String)>) -> Self {
        for (key, _) in &stays {
            self.prune.remove(key);
        }
        self.protected.extend(stays);
        self
    }

    /// The removed objects, for the decision. `uncommitted`: if an entry names no commit that
    /// removed it, none did.
    pub fn removed_from_git(
        &self,
        approved: impl Fn(&InventoryEntry) -> bool,
        uncommitted: bool,
    ) -> Vec<sync::PruneCandidate> {
        let removed =
            |(key, (entry, live)): (&ResourceKey, &(InventoryEntry, Live))| sync::PruneCandidate {
                key: key.clone(),
                uid: live.uid().unwrap_or_default().into(),
                approved: approved(entry),
                needs_confirmation: uncommitted && entry.removed_by.is_none()
                    || matches!(sync::mark(live), Some(sync::Mark::Confirm(_))),
                hook: entry.hook,
            };
        self.prune.iter().map(removed).collect()
    }

    /// Decides for an application that Git no longer has: only what was confirmed may be deleted.
    pub fn decide_retired(
        &self,
        confirmed: sync::Confirmed<'_>,
        title: &str,
    ) -> sync::PruneDecision {
        sync::decide_retired(&self.removed_from_git(|_| false, false), confirmed, title)
    }
}

pub async fn prunable(scope: &AppScope<'_>, removed: Vec<InventoryEntry>) -> Result<Prunable> {
    let find = async |mut entry: InventoryEntry| {
        let (version, found) = scope.cluster.find(&entry.key, &entry.version).await?;
        entry.version = version;
        Ok::<_, crate::cluster::Error>((entry, found))
    };
    let reads = removed.into_iter().map(find).collect::<Vec<_>>();
    let found: Vec<_> = futures::stream::iter(reads)
        .buffered(dry_run::AT_ONCE)
        .try_collect()
        .await?;
    let mut prunable = Prunable::default();
    for (entry, found) in found {
        let live = match found {
            Found::Live(live) => live,
            Found::Missing => continue,
            Found::Unknown(why) => {
                prunable.unknown = true;
                prunable.protected.push((
                    entry.key,
                    format!("windlass cannot tell whether it still exists: {why}"),
                ));
                continue;
            }
        };
        if !is_ours(&entry, &live, scope.owner) {
            continue;
        }
        // An object that the project does not allow is not deleted either.
        if let Err(why) = scope.fence.covers(&entry.key) {
            prunable.protected.push((entry.key, why.to_string()));
            continue;
        }
        // Being deleted already: it needs neither a confirmation nor another delete. The index
        // reports when it is gone.
        if let Some(waits) = ending(&live) {
            // This starts a watch of its kind, if there is none.
            scope.cluster.lookup(&entry.key, &entry.version).await?;
            prunable.ending.push((entry.key, waits));
            continue;
        }
        match sync::protected(&live) {
            Some(why) => prunable.protected.push((entry.key, why)),
            None => drop(prunable.prune.insert(entry.key.clone(), (entry, live))),
        }
    }
    Ok(prunable)
}

/// An object without our owner label, or with another UID since somebody recreated it, is no longer
/// ours.
fn is_ours(entry: &InventoryEntry, live: &Live, owner: &str) -> bool {
    let marked = live.is_owned_by(owner);
    let same = entry.uid.is_none() || entry.uid.as_deref() == live.uid();
    marked && same
}

/// What an object that is being deleted waits for; None: it is not being deleted.
fn ending(live: &Live) -> Option<String> {
    live["metadata"]["deletionTimestamp"].as_str()?;
    let finalizers = manifest::finalizers(live);
    Some(match finalizers.is_empty() {
        true => "it is being deleted".to_string(),
        false => format!(
            "it is being deleted, and waits for {}",
            finalizers.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::OWNER_LABEL;

    /// Also once the rest of its commit is synced: a deletion that waits is still that commit's.
    #[test]
    fn what_a_commit_took_out_stays_its_deletion() {
        let asks = |line: &str, uncommitted: bool| {
            let entry = InventoryEntry::try_from(line.to_string()).unwrap();
            let live = Live::new(serde_json::json!({"metadata": {"uid": "u"}}));
            let prunable = Prunable {
                prune: BTreeMap::from([(entry.key.clone(), (entry, live))]),
                ..Prunable::default()
            };
            prunable.removed_from_git(|_| true, uncommitted)[0].needs_confirmation
        };
        let (unknown, gone) = ("apps/v1 Deployment a/web uid=u", "a".repeat(40));
        assert!(asks(unknown, true), "no commit took it out");
        assert!(!asks(unknown, false));
        assert!(!asks(&format!("{unknown} gone={gone}"), true));
    }

    #[test]
    fn only_what_is_marked_and_the_same_is_ours() {
        let is_ours = |line: &str, live: Live| {
            let entry = InventoryEntry::try_from(line.to_string()).unwrap();
            is_ours(&entry, &live, "me")
        };
        let live = |owner: &str, uid: &str| serde_json::json!({"metadata": {"uid": uid, "labels": {OWNER_LABEL: owner}}});
        let entry = "apps/v1 Deployment a/web uid=u";
        assert!(is_ours(entry, Live::new(live("me", "u"))));
        assert!(is_ours(
            "apps/v1 Deployment a/web",
            Live::new(live("me", "u"))
        ));
        assert!(!is_ours(entry, Live::new(live("me", "made-anew"))));
        assert!(!is_ours(entry, Live::new(live("another", "u"))));
        assert!(!is_ours(
            entry,
            Live::new(serde_json::json!({"metadata": {"uid": "u"}}))
        ));
    }

    #[test]
    fn what_is_being_deleted_says_what_it_waits_for() {
        let ending =
            |metadata: Value| ending(&Live::new(serde_json::json!({"metadata": metadata})));
        let at = "2025-01-01T00:00:00Z";
        assert_eq!(ending(serde_json::json!({"finalizers": ["a"]})), None);
        assert_eq!(
            ending(serde_json::json!({"deletionTimestamp": at})).unwrap(),
            "it is being deleted"
        );
        assert_eq!(
            ending(serde_json::json!({"deletionTimestamp": at, "finalizers": ["a", "b"]})).unwrap(),
            "it is being deleted, and waits for a, b"
        );
    }
}
