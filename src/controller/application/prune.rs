//! What Git has no more: which of it may be deleted, what stays, and what waits for a word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use tokio::time::Instant;

use super::approval::judge;
use super::declare::Declared;
use super::desired::Desired;
use super::objects::Objects;
use crate::cluster::Found;
use crate::cluster::home::InventoryEntry;
use crate::controller::claims::Claims;
use crate::controller::dry_run::{self, Asking};
use crate::controller::{Reader, Result};
use crate::domain::manifest::{Manifest, ResourceKey, is_custom_group};
use crate::domain::plan::{Comparison, Side};
use crate::domain::sync::{self, Late};
use crate::domain::{OWNER_LABEL, uses};

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
    asking: &Asking<'_>,
    desired: &Desired,
    objects: &Objects,
    claims: &Claims,
) -> Result<Candidates> {
    let outside = desired.outside();
    let gone = objects
        .unwanted
        .values()
        .filter(|entry| !outside.contains(&entry.key) && !desired.hooks.keeps(&entry.key));
    let gone: Vec<_> = gone.cloned().collect();
    let mut leavers = match desired.is_complete() {
        true => leavers(asking, gone).await?,
        false => Leavers::default(),
    };
    let destination = &declared.target.destination;
    let other = |object: &ResourceKey| {
        let other = claims.other(destination, object, asking.key)?;
        Some((object.clone(), other.title()))
    };
    let handed: Vec<_> = leavers.prune.keys().filter_map(other).collect();
    for (object, title) in handed {
        leavers.prune.remove(&object);
        leavers
            .protected
            .push((object, format!("it moves to {title}")));
    }
    let (mut late, used) = late(asking, &leavers, &desired.manifests).await?;
    for (object, _) in &used {
        leavers.prune.remove(object);
    }
    leavers.protected.extend(used);
    let confirmed = sync::Confirmed {
        digest: declared.requests.confirm.as_deref(),
        lines: &declared.status.confirmed,
    };
    let revision = &declared.change.revision;
    let uncommitted = declared.status.synced_revision.as_ref() == Some(revision);
    let owned = objects.owned();
    let words = (confirmed, uncommitted);
    let (judgement, ask_again) = judge(
        ctx,
        asking,
        &declared.base,
        revision,
        &leavers,
        owned,
        words,
    )
    .await?;
    let to_confirm = judgement.to_confirm();
    let Leavers {
        prune,
        protected,
        ending,
        unknown,
    } = leavers;
    let deleted: BTreeMap<_, _> = prune
        .into_iter()
        .filter(|(key, _)| judgement.prune.contains(key))
        .collect();
    // What waits for a word waits for nothing else.
    late.retain(|key, _| deleted.contains_key(key));
    Ok(Candidates {
        deleted,
        withheld: protected.into_iter().chain(judgement.withheld).collect(),
        ending,
        late,
        unknown,
        confirm: judgement.confirm,
        to_confirm,
        confirmed: judgement.confirmed,
        ask_again,
    })
}

impl Candidates {
    pub fn comparisons(&self) -> impl Iterator<Item = Comparison> + '_ {
        self.deleted.iter().map(|(key, (_, live))| {
            Comparison::new(key.clone(), dry_run::side(Some(live.clone())), Side::Absent)
        })
    }
}

/// Live objects of ours that Git has no more.
#[derive(Default)]
pub struct Leavers {
    pub prune: BTreeMap<ResourceKey, (InventoryEntry, Value)>,
    /// Those that stay whatever anybody says, each with the reason.
    pub protected: Vec<(ResourceKey, String)>,
    /// Those that are being deleted, each with what it waits for.
    pub ending: Vec<(ResourceKey, String)>,
    /// Some of them could not be looked at.
    pub unknown: bool,
}

impl Leavers {
    /// `uncommitted`: no commit took out what is not known to have left by one.
    pub fn gone(
        &self,
        approved: impl Fn(&InventoryEntry) -> bool,
        uncommitted: bool,
    ) -> Vec<sync::Gone> {
        let one = |(key, (entry, live)): (&ResourceKey, &(InventoryEntry, Value))| sync::Gone {
            key: key.clone(),
            uid: live["metadata"]["uid"].as_str().unwrap_or_default().into(),
            approved: approved(entry),
            asks: uncommitted && entry.gone.is_none()
                || matches!(sync::mark(live), Some(sync::Mark::Confirm(_))),
            hook: entry.hook,
        };
        self.prune.iter().map(one).collect()
    }

    /// What of an application that Git has no more may be deleted: what was confirmed.
    pub fn judge_retired(&self, confirmed: sync::Confirmed<'_>, title: &str) -> sync::Judgement {
        sync::judge_retired(&self.gone(|_| false, false), confirmed, title)
    }
}

pub async fn leavers(asking: &Asking<'_>, gone: Vec<InventoryEntry>) -> Result<Leavers> {
    let look = async |mut entry: InventoryEntry| {
        let (version, found) = asking.cluster.find(&entry.key, &entry.version).await?;
        entry.version = version;
        Ok::<_, crate::cluster::Error>((entry, found))
    };
    let looks = gone.into_iter().map(look).collect::<Vec<_>>();
    let found: Vec<_> = futures::stream::iter(looks)
        .buffered(dry_run::AT_ONCE)
        .try_collect()
        .await?;
    let mut leavers = Leavers::default();
    for (entry, found) in found {
        let live = match found {
            Found::Live(live) => live,
            Found::Gone => continue,
            Found::Unknown(why) => {
                leavers.unknown = true;
                leavers.protected.push((
                    entry.key,
                    format!("whether it is still there cannot be told: {why}"),
                ));
                continue;
            }
        };
        let marked = live["metadata"]["labels"][OWNER_LABEL] == asking.owner;
        let same = entry.uid.is_none() || entry.uid.as_deref() == live["metadata"]["uid"].as_str();
        // What is not marked as ours, or was made anew by somebody, is not ours any more.
        if !marked || !same {
            continue;
        }
        // What is not the application's to have is not its to delete either.
        if let Err(why) = asking.fence.covers(&entry.key) {
            leavers.protected.push((entry.key, why.to_string()));
            continue;
        }
        // On its way already: waited for, neither asked about nor deleted once more. The index tells of its end.
        if live["metadata"]["deletionTimestamp"].is_string() {
            // It is watched from now on, if it was not.
            asking.cluster.look(&entry.key, &entry.version).await?;
            let finalizers: Vec<_> = live["metadata"]["finalizers"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let waits = match finalizers.is_empty() {
                true => "it is being deleted".to_string(),
                false => format!(
                    "it is being deleted, and waits for {}",
                    finalizers.join(", ")
                ),
            };
            leavers.ending.push((entry.key, waits));
            continue;
        }
        match sync::protected(&live) {
            Some(why) => leavers.protected.push((entry.key, why)),
            None => drop(leavers.prune.insert(entry.key.clone(), (entry, live))),
        }
    }
    Ok(leavers)
}

/// What each deletion waits for. `wanted`: what Git has. Hooks are run, not kept: theirs wait for nothing.
/// The second: what Git itself still names, which is left.
pub async fn late(
    asking: &Asking<'_>,
    leavers: &Leavers,
    wanted: &[Manifest],
) -> Result<(BTreeMap<ResourceKey, Late>, Vec<(ResourceKey, String)>)> {
    let (mut late, mut left) = (BTreeMap::new(), Vec::new());
    let customs: BTreeSet<_> = leavers
        .prune
        .keys()
        .chain(leavers.ending.iter().map(|(key, _)| key))
        .filter(|key| is_custom(key))
        .collect();
    let mut users: BTreeMap<Option<String>, Vec<Value>> = BTreeMap::new();
    for (key, (entry, _)) in &leavers.prune {
        if entry.hook {
            continue;
        }
        late.insert(key.clone(), Late::Healthy);
        if let Some(first) = customs.first().filter(|_| !is_custom(key)) {
            late.insert(
                key.clone(),
                Late::After {
                    what: first.to_string(),
                },
            );
        }
        if !key.group.is_empty() || !uses::USED.contains(&key.kind.as_str()) {
            continue;
        }
        let needs = |object: &Value| {
            uses::pod_spec(object).is_some_and(|spec| {
                uses::used(spec)
                    .iter()
                    .any(|(kind, name)| *kind == key.kind && *name == key.name)
            })
        };
        let inside = |manifest: &&Manifest| {
            manifest.key.namespace == key.namespace && needs(&manifest.value)
        };
        if let Some(user) = wanted.iter().find(inside) {
            left.push((key.clone(), format!("{} of Git still uses it", user.key)));
            continue;
        }
        if !users.contains_key(&key.namespace) {
            users.insert(
                key.namespace.clone(),
                running(asking, key.namespace.as_deref()).await?,
            );
        }
        // One that is itself to be deleted counts too: it goes first.
        if let Some(user) = users[&key.namespace]
            .iter()
            .find(|object| uses::runs(object) && needs(object))
        {
            let name = |value: &Value| value.as_str().unwrap_or_default().to_string();
            late.insert(
                key.clone(),
                Late::Used {
                    by: format!(
                        "{} {}",
                        name(&user["kind"]),
                        name(&user["metadata"]["name"])
                    ),
                },
            );
        }
    }
    for (key, _) in &left {
        late.remove(key);
    }
    Ok((late, left))
}

/// What runs pods in a namespace, and the pods.
async fn running(asking: &Asking<'_>, namespace: Option<&str>) -> Result<Vec<Value>> {
    let kinds = [
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("apps", "ReplicaSet"),
        ("batch", "CronJob"),
        ("batch", "Job"),
        ("", "Pod"),
    ];
    let mut found = Vec::new();
    for (group, kind) in kinds {
        match asking.cluster.all(group, "v1", kind, namespace).await {
            // What may not be read is passed over: its pods may be.
            Err(crate::cluster::Error::Forbidden { .. }) => {}
            other => found.extend(other?),
        }
    }
    Ok(found)
}

/// Whether a controller has to see an object go.
pub fn is_custom(key: &ResourceKey) -> bool {
    is_custom_group(&key.group)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also once the rest of its commit is synced: a deletion that waits is still that commit's.
    #[test]
    fn what_a_commit_took_out_stays_its_deletion() {
        let asks = |line: &str, uncommitted: bool| {
            let entry = InventoryEntry::try_from(line.to_string()).unwrap();
            let live = serde_json::json!({"metadata": {"uid": "u"}});
            let leavers = Leavers {
                prune: BTreeMap::from([(entry.key.clone(), (entry, live))]),
                ..Leavers::default()
            };
            leavers.gone(|_| true, uncommitted)[0].asks
        };
        let (unknown, gone) = ("apps/v1 Deployment a/web uid=u", "a".repeat(40));
        assert!(asks(unknown, true), "no commit took it out");
        assert!(!asks(unknown, false));
        assert!(!asks(&format!("{unknown} gone={gone}"), true));
    }
}
