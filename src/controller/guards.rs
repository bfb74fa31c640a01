//! What keeps a plan from being carried out, or a part of it: the reading half
//! of [`sync::decide`]'s facts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::Value;

use super::application::rendered;
use super::live::{self, Asking};
use super::revision::{change, inputs_at};
use super::{Base, Ctx, Result, authority, locked};
use crate::cluster::Found;
use crate::cluster::home::{self, Application, ApplicationStatus, Fight, InventoryEntry, Pause};
use crate::domain::catalog::Target;
use crate::domain::health::{Health, SyncState};
use crate::domain::manifest::{Manifest, ResourceKey, is_custom_group};
use crate::domain::ownership::FieldRule;
use crate::domain::plan::Plan;
use crate::domain::sync::{self, Late};
use crate::domain::{ApplicationKey, CommitSha, Invalid, OWNER_LABEL, PullRequestKey, uses};

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
    fn gone(&self, approved: impl Fn(&InventoryEntry) -> bool, asks: bool) -> Vec<sync::Gone> {
        let one = |(key, (entry, live)): (&ResourceKey, &(InventoryEntry, Value))| sync::Gone {
            key: key.clone(),
            uid: live["metadata"]["uid"].as_str().unwrap_or_default().into(),
            approved: approved(entry),
            asks: !entry.hook && (asks || matches!(sync::mark(live), Some(sync::Mark::Confirm(_)))),
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
        .buffered(live::AT_ONCE)
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

/// What of it may be pruned. Whether a preview that somebody approved listed it is only asked when it matters.
/// `uncommitted`: what was synced of this very revision had these objects, so no commit took them out.
pub async fn judge(
    ctx: &Arc<Ctx>,
    asking: &Asking<'_>,
    base: &Base,
    revision: &CommitSha,
    leavers: &Leavers,
    owned: usize,
    (confirmed, uncommitted): (sync::Confirmed<'_>, bool),
) -> Result<sync::Judgement> {
    let title = asking.key.title();
    // A hook is run, not kept.
    let judgement = sync::judge(
        &leavers.gone(|entry| entry.hook, uncommitted),
        owned,
        confirmed,
        &title,
    );
    if judgement.withheld.is_empty() || uncommitted {
        return Ok(judgement);
    }
    let approved = removed_by_approved_change(ctx, asking, base, revision).await?;
    let gone = leavers.gone(|entry| entry.hook || approved.contains(&entry.key), false);
    Ok(sync::judge(&gone, owned, confirmed, &title))
}

/// The objects that the revision's pull request took out of Git, if the head that was merged was approved by the rule of
/// the gate.
pub async fn removed_by_approved_change(
    ctx: &Arc<Ctx>,
    asking: &Asking<'_>,
    base: &Base,
    revision: &CommitSha,
) -> Result<BTreeSet<ResourceKey>> {
    let repo = &asking.key.repo;
    let mut approved = false;
    let target = base.target(asking.key);
    // As many as the stage asks for, and one in any case: what is lost is lost by two people's word.
    let needed = target.map_or(1, |target| target.stage.approvals.max(1));
    for pull in ctx
        .github
        .pulls_with(repo, revision)
        .await?
        .into_iter()
        .filter(|pull| pull.merged_at.is_some())
    {
        let key = PullRequestKey {
            repo: repo.clone(),
            number: pull.number,
        };
        let snapshot = ctx.github.snapshot(&key).await?;
        approved |= authority::approved_by(ctx, &key, &snapshot, target)
            .await?
            .len()
            >= needed as usize;
    }
    if !approved || base.target(asking.key).is_none() {
        return Ok(BTreeSet::new());
    }
    let (at, place) = (revision.clone(), asking.target.place());
    let before = ctx.mirror(repo, move |mirror| match mirror.parent(&at)? {
        Some(parent) => inputs_at(mirror, &parent, &place),
        None => Ok(Ok(None)),
    });
    let before = rendered(ctx, asking.target, &before.await?, None)
        .await?
        .unwrap_or_default();
    Ok(live::settle(asking, &before)
        .await?
        .manifests
        .into_iter()
        .map(|manifest| manifest.key)
        .collect())
}

/// The fields that somebody had taken from others by `/take`.
pub fn taken(object: Option<&Application>) -> Vec<FieldRule> {
    let text = object.and_then(|object| object.annotations().get(home::TAKE));
    // What a person wrote there by hand and cannot be read decides nothing.
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// The pause that is asked for, with the time that it ends at: counted from when it was first seen.
pub fn pause(asked: Option<String>, known: Option<Pause>, now: Timestamp) -> Result<Option<Pause>> {
    let Some(asked) = asked else { return Ok(None) };
    if let Some(known) = known.filter(|known| known.asked == asked) {
        return Ok(Some(known));
    }
    let text = asked.split(',').next().unwrap_or_default();
    let Some(duration) = sync::duration(text) else {
        return Err(Invalid(format!(
            "the annotation {}: `{text}` is not a duration: write 30m, 2h or 1d",
            home::PAUSE
        ))
        .into());
    };
    let until = now
        .saturating_add(duration)
        .map_err(|error| Invalid(error.to_string()))?;
    Ok(Some(Pause {
        asked,
        until: Timestamp::from_second(until.as_second()).unwrap_or(until),
    }))
}

/// Why the plan may only be looked at: it would change what was there before windlass, or the cluster is another one.
pub fn quarantine(
    status: &ApplicationStatus,
    plan: &Plan,
    cluster_uid: &str,
    adopted: bool,
    key: &ApplicationKey,
) -> Option<String> {
    let title = key.title();
    if adopted {
        return None;
    }
    if status
        .cluster_uid
        .as_deref()
        .is_some_and(|known| known != cluster_uid)
    {
        return Some(format!(
            "the cluster behind this destination is not the one that it was: `windlass adopt {title}` goes on with this one"
        ));
    }
    let there: Vec<_> = plan
        .effective()
        .filter(|change| change.before.is_some())
        .map(|change| change.key.to_string())
        .collect();
    (status.inventory.is_empty() && !there.is_empty())
        .then(|| format!("the first sync would change what is there already ({}): `windlass adopt {title}` lets it", there.join(", ")))
}

/// What the application depends on and is not healthy.
pub async fn waits_for(
    ctx: &Arc<Ctx>,
    key: &ApplicationKey,
    base: &Base,
    target: &Target,
) -> Result<Vec<String>> {
    let mut waits = Vec::new();
    for application in &target.depends_on {
        let needed = ApplicationKey {
            application: application.clone(),
            ..key.clone()
        };
        let status = ctx
            .home
            .application(&needed)
            .await?
            .and_then(|object| object.status)
            .unwrap_or_default();
        // Healthy with what this base has of it, not with what it had before.
        let current = match base.target(&needed) {
            Some(target) => {
                status.inputs.as_deref()
                    == Some(&change(ctx, &needed, base, target, &status).await?.hash)
            }
            None => false,
        };
        if !current
            || status.unproven.is_some()
            || status.sync != SyncState::Synced
            || !matches!(status.health, Health::Healthy | Health::Suspended)
        {
            waits.push(needed.title());
        }
    }
    Ok(waits)
}

/// What of the drift is left alone, since others change it again each time, with who does; and what is to be remembered.
pub fn fights(
    ctx: &Ctx,
    key: &ApplicationKey,
    plan: &Plan,
    drifted: &BTreeSet<ResourceKey>,
    known: Option<Fight>,
    revision: &CommitSha,
) -> (Vec<(ResourceKey, String)>, Option<Fight>) {
    let who = |change: &crate::domain::plan::Change| {
        let names: Vec<_> = change
            .notes
            .reverted
            .iter()
            .map(|(manager, _)| manager.as_str())
            .collect();
        if names.is_empty() {
            "somebody".to_string()
        } else {
            names.join(", ")
        }
    };
    let told = |changes: Vec<&crate::domain::plan::Change>| {
        changes
            .into_iter()
            .map(|change| (change.key.clone(), who(change)))
            .collect()
    };
    let known = known.filter(|fight| fight.revision == *revision);
    let drift = || {
        plan.effective()
            .filter(|change| drifted.contains(&change.key))
    };
    if let Some(fight) = known.as_ref().filter(|fight| fight.until > ctx.now()) {
        return (told(drift().collect()), Some(fight.clone()));
    }
    // After it was given up once, one more time is enough to see that nothing has changed.
    let most = if known.is_some() { 1 } else { sync::MOST_HEALS };
    let memory = locked(&ctx.memory.heals);
    let often = |object: &ResourceKey| {
        let heals = memory.get(&(key.clone(), object.clone()));
        let lately = |heals: &std::collections::VecDeque<tokio::time::Instant>| {
            heals
                .iter()
                .filter(|at| at.elapsed().as_secs() < sync::FIGHT_WINDOW.as_secs() as u64)
                .count()
        };
        heals.is_some_and(|heals| lately(heals) >= most)
    };
    let fights: Vec<_> = drift().filter(|change| often(&change.key)).collect();
    if fights.is_empty() {
        return (Vec::new(), known);
    }
    let times = known.map_or(0, |fight| fight.times);
    let until = ctx
        .now()
        .saturating_add(sync::truce(times))
        .unwrap_or(ctx.now());
    let until = Timestamp::from_second(until.as_second()).unwrap_or(until);
    (
        told(fights),
        Some(Fight {
            revision: revision.clone(),
            until,
            times: times.saturating_add(1),
        }),
    )
}
