//! Push → reconcile: keeps one application in one stage synced.
//!
//! observe: the tracked branch, what it renders to, what is live of it, and,
//! for the objects that are not as they were left, what the server would make
//! of them. decide: [`sync::decide`]. act: the inventory is grown before the
//! first write and shrunk after an object is seen gone, so a crash leaves
//! nothing untracked; definitions come first, and what they make possible is
//! planned on the next look.
//!
//! An application of which nothing moved costs no request: manifests are
//! remembered by what they were rendered from, live objects by the index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::claims::{self, Read};
use super::guards::{self, fights, judge, leavers, pause, quarantine, taken, waits_for};
use super::live::{self, Asking, Predicted};
use super::revision::{change, inputs_at};
use super::{
    Base, Ctx, Error, Kind, Requeue, Result, drift, external, hooks, locked, proof, retire,
};
use crate::cluster::home::{
    self, Application, ApplicationSpec, ApplicationStatus, HookRun, InventoryEntry, LastSync,
    Pause, Served,
};
use crate::cluster::{self, Applied, Cluster, How, Known};
use crate::domain::catalog::{Target, images_of};
use crate::domain::health::{self, Health, SyncState};
use crate::domain::hook;
use crate::domain::image::ImageRef;
use crate::domain::manifest::{ApplyStage, Manifest, ResourceKey, apply_stage};
use crate::domain::plan::{self, Action, Comparison, Plan, Side};
use crate::domain::pull_request::note_failure;
use crate::domain::sync::{self, Step};
use crate::domain::{ApplicationKey, CommitKey, CommitSha, Invalid, OWNER_LABEL, ownership};
use futures::{FutureExt as _, StreamExt as _};
use kube::ResourceExt as _;
use serde_json::Value;
use tokio::time::Instant;

/// Superseded revisions that are remembered, so that each is told so.
const SUPERSEDED: usize = 5;
/// A cluster that cannot be reached for so long makes what is known of it stale.
const STALE_AFTER: Duration = Duration::from_secs(10);
/// Objects of a sync that are listed in its record.
const MOST_OUTCOMES: usize = 300;

pub async fn reconcile(ctx: Arc<Ctx>, key: ApplicationKey) -> Result<Requeue> {
    let outcome = look(&ctx, &key).await;
    if let Err(error) = &outcome
        && error.kind() != Kind::Stale
    {
        // Where kubectl shows it; when that fails too, the log has it.
        let _ = tell_error(&ctx, &key, error).await;
    }
    outcome
}

async fn tell_error(ctx: &Arc<Ctx>, key: &ApplicationKey, error: &Error) -> Result<()> {
    let Some(object) = ctx.home.application(key).await? else {
        return Ok(());
    };
    let mut status = ApplicationStatus {
        message: Some(error.to_string()),
        ..object.status.clone().unwrap_or_default()
    };
    if matches!(error, Error::Cluster(cluster::Error::Unavailable { .. })) {
        let since = *locked(&ctx.memory.unreachable)
            .entry(key.clone())
            .or_insert_with(Instant::now);
        // What nobody could look at for a while is neither synced nor not: it is not known.
        if since.elapsed() >= STALE_AFTER {
            status.sync = SyncState::Unknown;
        }
    }
    let before = object.status.clone();
    let object = ctx
        .home
        .report_application(&object, status, ctx.now())
        .await?;
    tell(ctx, key, &object);
    // A commit that nobody could look at yet is told so too.
    let base = ctx.known_base(&key.repo).await?;
    if stood(before.as_ref()) != stood(object.status.as_ref()) {
        ctx.wake_later_stages(&base, key);
    }
    ctx.commits.put(CommitKey {
        repo: key.repo.clone(),
        commit: base.commit.clone(),
    });
    Ok(())
}

async fn look(ctx: &Arc<Ctx>, key: &ApplicationKey) -> Result<Requeue> {
    let Some(seen) = observe(ctx, key).await? else {
        return Ok(Requeue::Idle);
    };
    locked(&ctx.memory.unreachable).remove(key);
    let seen = match seen {
        Looked::At(seen) => *seen,
        Looked::Elsewhere(requeue) => return Ok(requeue),
    };
    let step = sync::decide(&seen.facts);
    act(ctx, key, seen, step).await
}

/// What a look came to.
enum Looked {
    At(Box<Seen>),
    /// It is not ours to sync, or not any more: all is told.
    Elsewhere(Requeue),
}

/// One look at one application.
struct Seen {
    base: Arc<Base>,
    target: Target,
    object: Application,
    revision: CommitSha,
    inputs: String,
    images: Vec<ImageRef>,
    /// Every object that Git has.
    manifests: Vec<Manifest>,
    /// Those that were not as they were left, and what the server would make of them.
    asked: BTreeMap<ResourceKey, Predicted>,
    /// How each object that is there was left, as far as that is known.
    left: BTreeMap<ResourceKey, Left>,
    /// Live objects that we own and Git has no more, with their inventory entries.
    leftover: BTreeMap<ResourceKey, (InventoryEntry, Value)>,
    asked_for: Option<String>,
    confirm: Option<String>,
    to_confirm: Vec<String>,
    pause: Option<Pause>,
    cluster_uid: String,
    hooks: hooks::Hooks,
    hooks_done: Vec<HookRun>,
    proof: proof::Proof,
    /// Some of what Git has no more could not be looked at.
    unknown: bool,
    fight: Option<home::Fight>,
    served: Option<Served>,
    /// A hook that failed is to run once more, since somebody asked for a sync.
    runs_again: bool,
    /// Deletions that somebody confirmed and that are not all done.
    confirmed: Vec<String>,
    adopted: bool,
    facts: sync::Seen,
}

/// How an object was left when it was last as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    uid: String,
    /// [`live::fingerprint`] of the manifest, and [`ownership::signal`] of the object; None until it is as it should be.
    as_it_should: Option<(String, String)>,
}

/// None: there is nothing to look at.
async fn observe(ctx: &Arc<Ctx>, key: &ApplicationKey) -> Result<Option<Looked>> {
    let base = ctx.known_base(&key.repo).await?;
    let known = ctx.home.application(key).await?;
    let Some(mut target) = base.target(key).cloned() else {
        return Ok(retire::retired(ctx, key, &base, known)
            .await?
            .map(Looked::Elsewhere));
    };
    target.fields.take.extend(taken(known.as_ref()));
    let status = known
        .as_ref()
        .and_then(|object| object.status.clone())
        .unwrap_or_default();
    let change = change(ctx, key, &base, &target, &status).await?;
    let spec = ApplicationSpec {
        repository: key.repo.clone(),
        repository_id: i64::try_from(base.repo.id).unwrap_or_default(),
        application: key.application.clone(),
        stage: key.stage.clone(),
        path: target.path.clone(),
        cluster: target.destination.cluster.clone(),
        namespace: target.destination.namespace.clone(),
    };
    let object = ctx.home.declare_application(key, spec, known).await?;
    let cluster = ctx.cluster(&target.destination.cluster)?;
    let owner = key.owner_label(base.repo.id);
    let adopted = object.annotations().contains_key(home::ADOPT);
    let wish = |annotation: &str| object.annotations().get(annotation).cloned();
    // Somebody asked for a sync: then nothing is believed to be as it was left.
    let asked_for = wish(home::SYNC_REQUEST);
    let everything = asked_for.is_some() && asked_for != status.sync_request;
    let served = match &change.inputs {
        Ok(Some(inputs)) => {
            ctx.observer
                .served(
                    &target,
                    inputs,
                    status.served.as_ref().filter(|_| !everything),
                )
                .await?
        }
        _ => None,
    };
    let asking = Asking {
        adopts: adopted,
        ..ctx.observer.asking(key, &target, &owner)?
    };
    let rendered = match asking.fence.destination() {
        Ok(()) => rendered(ctx, &target, &change.inputs, served.as_ref()).await?,
        Err(why) => Err(why.to_string()),
    };
    // It may have gone to another cluster, or be another's to apply by now.
    ctx.observer
        .waits_nowhere(&owner, asking.applies().then_some(cluster.name.as_str()));
    if !asking.applies() {
        let requeue = external::look(
            ctx,
            &asking,
            &base,
            &object,
            &change,
            rendered.as_ref().map(|all| all.as_slice()),
        )
        .await?;
        return Ok(Some(Looked::Elsewhere(requeue)));
    }
    let settled = live::settle(
        &asking,
        rendered.as_deref().map_or(&[][..], |manifests| manifests),
    )
    .await?;
    let refusals = live::refusals(&settled.outside);
    let outside: BTreeSet<_> = refusals.iter().map(|refusal| refusal.key.clone()).collect();
    let (all_hooks, mut manifests) = hook::split(settled.manifests);
    let hooks = hooks::Hooks::new(all_hooks, &status, &change.hash);
    manifests.extend(hooks.due());
    let inventory = remembered(ctx, key, &status.inventory);
    let (mut moved, mut left, mut assessments) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut stubs = BTreeMap::new();
    for manifest in &manifests {
        let seen = cluster
            .look(&manifest.key, &manifest.version)
            .await?
            .unwrap_or(Known::Unknown);
        let (entry, fingerprint) = (inventory.get(&manifest.key), live::fingerprint(manifest));
        match seen {
            Known::Seen(mut seen)
                if !everything && live::is_as_left(entry, &fingerprint, &seen) =>
            {
                seen.health =
                    unless_silent(ctx, cluster, manifest, seen.health, seen.silent_since).await?;
                left.insert(
                    manifest.key.clone(),
                    Left {
                        uid: seen.uid,
                        as_it_should: Some((fingerprint, seen.signal)),
                    },
                );
                assessments.push((manifest, seen.health, seen.workload));
            }
            // A hook's last run, and whose a Secret's data is, are in the whole object.
            Known::Seen(seen)
                if !everything
                    && target.fields.ignore.is_empty()
                    && hook::run(&manifest.value).is_none()
                    && live::is_untouched(entry, &seen) =>
            {
                // Only Git moved: of the live object no more is needed than the index knows.
                stubs.insert(
                    manifest.key.clone(),
                    (live::stub(manifest, &seen), seen.health, seen.workload),
                );
                moved.push(manifest.clone());
            }
            _ => moved.push(manifest.clone()),
        }
    }
    let names = moved
        .iter()
        .filter(|manifest| !stubs.contains_key(&manifest.key));
    let names: Vec<_> = names
        .map(|manifest| (manifest.key.clone(), manifest.version.clone()))
        .collect();
    let mut found = live::read(&asking, &names).await?;
    found.extend(
        stubs
            .iter()
            .map(|(key, (stub, ..))| (key.clone(), stub.clone())),
    );
    // A Job that ran for just this manifest and took itself away is done: created anew, it would run again.
    let is_over = |manifest: &Manifest| {
        !everything
            && hook::takes_itself_away(&manifest.value)
            && !found.contains_key(&manifest.key)
            && inventory
                .get(&manifest.key)
                .is_some_and(|entry| entry.applied.as_deref() == Some(&live::fingerprint(manifest)))
    };
    let (over, moved): (Vec<_>, Vec<_>) = moved.into_iter().partition(is_over);
    let applied = applied(ctx, &asking, &moved, &inventory, &status).await?;
    let wanted = moved
        .into_iter()
        .map(|manifest| {
            let live = found.remove(&manifest.key);
            (manifest, live)
        })
        .collect();
    let mut asked = live::predict_all(&asking, wanted, &manifests, &applied, everything).await?;
    let contested = asked.iter().any(|predicted| is_anothers(predicted, &owner))
        || inventory.len() > manifests.len();
    let claims = if contested {
        claims::of_base(ctx, &base).await?
    } else {
        Arc::default()
    };
    for predicted in asked
        .iter_mut()
        .filter(|predicted| is_anothers(predicted, &owner))
    {
        if let Some(other) = claims.other(&target.destination, &predicted.manifest.key, key) {
            let why = format!(
                "{} is an object of {} too: one of them has to leave it out",
                predicted.manifest.key,
                other.title()
            );
            predicted.after = Side::Refused(why);
        }
    }
    for predicted in &mut asked {
        claims::locate(
            &mut predicted.after,
            &predicted.manifest.key,
            &change.inputs,
        );
    }
    assessments.extend(
        manifests
            .iter()
            .filter(|manifest| over.contains(manifest))
            .map(|manifest| (manifest, (Health::Healthy, String::new()), None)),
    );
    let complete = rendered
        .as_ref()
        .is_ok_and(|manifests| !manifests.is_empty());
    let wanted: BTreeSet<_> = manifests.iter().map(|manifest| &manifest.key).collect();
    let gone = inventory.values().filter(|entry| {
        !wanted.contains(&entry.key) && !outside.contains(&entry.key) && !hooks.keeps(&entry.key)
    });
    let gone: Vec<_> = gone.cloned().collect();
    let mut leavers = if complete {
        leavers(&asking, gone).await?
    } else {
        Default::default()
    };
    let handed: Vec<_> = leavers
        .prune
        .keys()
        .filter_map(|object| {
            Some((
                object.clone(),
                claims.other(&target.destination, object, key)?,
            ))
        })
        .collect();
    for (object, other) in handed {
        leavers.prune.remove(&object);
        leavers
            .protected
            .push((object, format!("it moves to {}", other.title())));
    }
    let (mut late, used) = guards::late(&asking, &leavers, &manifests).await?;
    for (object, _) in &used {
        leavers.prune.remove(object);
    }
    leavers.protected.extend(used);
    let confirmed = wish(home::CONFIRM_PRUNE);
    let words = sync::Confirmed {
        digest: confirmed.as_deref(),
        lines: &status.confirmed,
    };
    let uncommitted = status.synced_revision.as_ref() == Some(&change.revision);
    let judgement = judge(
        ctx,
        &asking,
        &base,
        &change.revision,
        &leavers,
        inventory.len(),
        (words, uncommitted),
    )
    .await?;
    let to_confirm = judgement.to_confirm();
    let leftover: BTreeMap<_, _> = leavers
        .prune
        .into_iter()
        .filter(|(key, _)| judgement.prune.contains(key))
        .collect();
    // What waits for a word waits for nothing else.
    late.retain(|key, _| leftover.contains_key(key));
    let withheld: Vec<_> = leavers
        .protected
        .into_iter()
        .chain(judgement.withheld)
        .collect();
    let (ending, unknown) = (leavers.ending, leavers.unknown);
    let drifted: BTreeSet<_> = asked
        .iter()
        .filter(|predicted| {
            let entry = inventory.get(&predicted.manifest.key);
            entry.is_some_and(|entry| {
                entry.applied.as_deref() == Some(&live::fingerprint(&predicted.manifest))
            })
        })
        .map(|predicted| predicted.manifest.key.clone())
        .collect();
    let mut comparisons = refusals;
    for predicted in &asked {
        let manifest = &predicted.manifest;
        let mut comparison = Comparison::new(
            manifest.key.clone(),
            live::side(predicted.live.clone()),
            predicted.after.clone(),
        );
        comparison.notes = predicted.notes.clone();
        comparisons.push(comparison);
        if let Some(live) = &predicted.live {
            let uid = live["metadata"]["uid"]
                .as_str()
                .unwrap_or_default()
                .to_string();
            left.insert(
                manifest.key.clone(),
                Left {
                    uid,
                    as_it_should: None,
                },
            );
        }
    }
    comparisons.extend(leftover.iter().map(|(key, (_, live))| {
        Comparison::new(key.clone(), live::side(Some(live.clone())), Side::Absent)
    }));
    let plan = Plan::new(&ctx.observer.mask, comparisons);
    let pending = pending(&plan);
    for predicted in &asked {
        let manifest = &predicted.manifest;
        match &predicted.live {
            Some(live) => {
                let (health, workload) = match stubs.get(&manifest.key) {
                    Some((_, health, workload)) => (health.clone(), workload.clone()),
                    None => {
                        let (health, silent) =
                            (cluster.index.assess(live), health::silent_since(live));
                        (
                            unless_silent(ctx, cluster, manifest, health, silent).await?,
                            health::Workload::of(live).map(Arc::new),
                        )
                    }
                };
                assessments.push((manifest, health, workload));
                let as_it_should =
                    !stubs.contains_key(&manifest.key) && !pending.contains(&manifest.key);
                if as_it_should && let Some(known) = left.get_mut(&manifest.key) {
                    known.as_it_should =
                        Some((live::fingerprint(manifest), ownership::signal(live)));
                }
            }
            None => assessments.push((
                manifest,
                (Health::Missing, format!("{} is missing", manifest.key)),
                None,
            )),
        }
    }
    let assessed = with_pods(cluster, &owner, assessments, ctx.now());
    let hooks_done = hooks.done_by(&assessed, &pending);
    // What is yet to be applied is not healthy as it shall be, whatever it is now: later waves wait for it.
    let stands = |manifest: &Manifest, (health, why): health::Assessment| match health {
        Health::Healthy | Health::Suspended if pending.contains(&manifest.key) => (
            Health::Progressing,
            format!("{} is yet to be applied", manifest.key),
        ),
        _ => (health, why),
    };
    let waves = assessed.iter().map(|(manifest, health)| {
        (
            &manifest.key,
            &manifest.value,
            stands(manifest, health.clone()),
        )
    });
    let waves = sync::Waves::new(waves);
    let health = health::aggregate(assessed.into_iter().map(|(_, health)| health));
    let references: Vec<_> = manifests.iter().flat_map(Manifest::images).collect();
    let pause = pause(wish(home::PAUSE), status.pause.clone(), ctx.now())?;
    let cluster_uid = cluster.uid().await?;
    let quarantine = quarantine(&status, &plan, &cluster_uid, adopted, key);
    let known = status.fight.clone().filter(|_| !everything);
    if everything {
        locked(&ctx.memory.heals).retain(|(of, _), _| of != key);
    }
    let (fights, fight) = fights(ctx, key, &plan, &drifted, known, &change.revision);
    let runs_again = everything
        && asked.iter().any(|predicted| {
            predicted.write.recreate && hook::run(&predicted.manifest.value).is_some()
        });
    let images = images_of(&target, &references);
    let settled = plan.is_empty() && health.0 == Health::Healthy;
    let proof = if settled {
        proof::check(ctx, key, cluster, &manifests, &images, &status, everything).await?
    } else {
        proof::known(&status, &images)
    };
    let only_drift =
        !plan.is_empty() && plan.effective().all(|change| drifted.contains(&change.key));
    let proposal = match target.drift {
        sync::DriftMode::Propose if only_drift => drift::observe(ctx, key, &base, &plan).await?,
        _ => sync::Proposal::None,
    };
    Ok(Some(Looked::At(Box::new(Seen {
        images,
        facts: sync::Seen {
            rendered: rendered.map(|manifests| manifests.len()),
            plan,
            health,
            withheld,
            paused: pause
                .as_ref()
                .map(|pause| pause.until)
                .filter(|until| *until > ctx.now()),
            waits_for: waits_for(ctx, key, &base, &target).await?,
            drifted,
            drift: target.drift,
            proposal,
            fights,
            waves,
            quarantine,
            late,
            ending,
        },
        unknown,
        fight,
        served,
        asked_for,
        confirm: judgement.confirm,
        to_confirm,
        pause,
        cluster_uid,
        inputs: change.hash.clone(),
        revision: change.revision.clone(),
        asked: asked
            .into_iter()
            .map(|predicted| (predicted.manifest.key.clone(), predicted))
            .collect(),
        manifests,
        left,
        leftover,
        runs_again,
        confirmed: judgement.confirmed,
        adopted,
        hooks,
        hooks_done,
        proof,
        base,
        target,
        object,
    }))))
}

/// The health of an object of which its controller has said nothing yet is not known for a while.
async fn unless_silent(
    ctx: &Ctx,
    cluster: &Cluster,
    manifest: &Manifest,
    health: health::Assessment,
    silent_since: Option<jiff::Timestamp>,
) -> Result<health::Assessment> {
    let key = &manifest.key;
    let waits = silent_since.is_some_and(|since| ctx.now().duration_since(since) < health::SILENCE);
    Ok(
        match waits
            && health.0 == Health::Healthy
            && cluster
                .has_status(&key.group, &manifest.version, &key.kind)
                .await?
        {
            true => (
                Health::Progressing,
                format!(
                    "{} {}: its controller has said nothing about it yet",
                    key.kind, key.name
                ),
            ),
            false => health,
        },
    )
}

/// The objects about which something is to be done.
fn pending(plan: &Plan) -> BTreeSet<ResourceKey> {
    plan.effective().map(|change| change.key.clone()).collect()
}

/// What an application renders to. `kept`: what was kept of what its chart is told.
pub async fn rendered(
    ctx: &Arc<Ctx>,
    target: &Target,
    inputs: &Read,
    kept: Option<&Served>,
) -> Result<std::result::Result<Arc<Vec<Manifest>>, String>> {
    Ok(match inputs {
        Ok(Some(inputs)) => ctx
            .observer
            .render(target, inputs, kept)
            .await?
            .map_err(|Invalid(why)| why),
        Ok(None) => Ok(Arc::default()),
        Err(unreadable) => Err(unreadable.why.0.clone()),
    })
}

/// The inventory with what this process knows better of it.
fn remembered(
    ctx: &Ctx,
    key: &ApplicationKey,
    inventory: &[InventoryEntry],
) -> BTreeMap<ResourceKey, InventoryEntry> {
    let memory = locked(&ctx.memory.left);
    let mut entries: BTreeMap<_, _> = inventory
        .iter()
        .map(|entry| (entry.key.clone(), entry.clone()))
        .collect();
    for (key, left) in memory.get(key).into_iter().flatten() {
        if let Some(entry) = entries.get_mut(key) {
            let (applied, signal) = left.as_it_should.clone().unzip();
            *entry = InventoryEntry {
                uid: Some(left.uid.clone()),
                applied,
                left: signal,
                ..entry.clone()
            };
        }
    }
    entries
}

/// Each object as it was applied last: what was in it is ours. Of one whose manifest changed since, that is what the
/// last synced revision rendered to.
async fn applied(
    ctx: &Arc<Ctx>,
    asking: &Asking<'_>,
    moved: &[Manifest],
    inventory: &BTreeMap<ResourceKey, InventoryEntry>,
    status: &ApplicationStatus,
) -> Result<BTreeMap<ResourceKey, Value>> {
    let mut applied = BTreeMap::new();
    let mut older = false;
    for manifest in moved {
        match inventory
            .get(&manifest.key)
            .map(|entry| entry.applied.as_deref())
        {
            Some(Some(fingerprint)) if fingerprint == live::fingerprint(manifest) => {
                applied.insert(manifest.key.clone(), manifest.value.clone());
            }
            Some(_) => older = true,
            None => {}
        }
    }
    let Some(synced) = status.synced_revision.clone().filter(|_| older) else {
        return Ok(applied);
    };
    let place = asking.target.place();
    let read = ctx.mirror(&asking.key.repo, move |mirror| {
        if mirror.has(&synced) {
            inputs_at(mirror, &synced, &place)
        } else {
            Ok(Ok(None))
        }
    });
    if let Ok(manifests) =
        rendered(ctx, asking.target, &read.await?, status.served.as_ref()).await?
    {
        for manifest in live::settle(asking, &manifests).await?.manifests {
            applied.entry(manifest.key).or_insert(manifest.value);
        }
    }
    Ok(applied)
}

/// Whether an object carries the mark of another application.
fn is_anothers(predicted: &Predicted, owner: &str) -> bool {
    predicted.live.as_ref().is_some_and(|live| {
        live["metadata"]["labels"][OWNER_LABEL]
            .as_str()
            .is_some_and(|label| label != owner)
    })
}

/// A pod that cannot run is the reason to tell, whatever its controller still hopes for.
fn with_pods<'a>(
    cluster: &Cluster,
    owner: &str,
    assessments: Vec<(
        &'a Manifest,
        health::Assessment,
        Option<Arc<health::Workload>>,
    )>,
    now: jiff::Timestamp,
) -> Vec<(&'a Manifest, health::Assessment)> {
    let waits = |(_, (health, _), _): &&(_, health::Assessment, _)| *health == Health::Progressing;
    let workloads = assessments
        .iter()
        .filter(waits)
        .filter_map(|(_, _, workload)| workload.clone())
        .collect();
    let mut failures = cluster.pods.wait(owner, workloads, now).into_iter();
    let told = |(manifest, health, workload): (&'a Manifest, health::Assessment, Option<_>)| {
        let failure = if health.0 == Health::Progressing && workload.is_some() {
            failures.next().flatten()
        } else {
            None
        };
        let told = failure.map(|why| {
            (
                Health::Degraded,
                format!("{} {}: {why}", manifest.key.kind, manifest.key.name),
            )
        });
        (manifest, told.unwrap_or(health))
    };
    assessments.into_iter().map(told).collect()
}

async fn act(ctx: &Arc<Ctx>, key: &ApplicationKey, seen: Seen, step: Step) -> Result<Requeue> {
    let before = seen.object.status.clone().unwrap_or_default();
    let (hooks_before, before_blocked, before_waiting) =
        (before.hooks.clone(), before.blocked, before.waiting.clone());
    let mut superseded = before.superseded.clone();
    supersede(&mut superseded, before.revision.as_ref(), &seen.revision);
    let mut status = ApplicationStatus {
        revision: Some(seen.revision.clone()),
        superseded,
        inputs: Some(seen.inputs.clone()),
        images: seen.images.clone(),
        sync: sync::state(&seen.facts.plan),
        health: seen.facts.health.0,
        blocked: false,
        message: None,
        // A hook that failed is still to be deleted for it: not followed yet.
        sync_request: if seen.runs_again {
            before.sync_request.clone()
        } else {
            seen.asked_for.clone()
        },
        confirm: seen.confirm.clone(),
        to_confirm: seen.to_confirm.clone(),
        confirmed: seen.confirmed.clone(),
        pause: seen.pause.clone(),
        // An older identity stays until the new one is adopted.
        hooks: seen.hooks_done.clone(),
        first_run: seen.hooks.first_run(),
        fight: seen.fight.clone(),
        served: seen.served.clone(),
        unruled: ctx
            .cluster(&seen.target.destination.cluster)?
            .index
            .unruled(&key.repo, seen.manifests.iter().map(|one| &one.value)),
        adoption: to_adopt(&seen),
        proven: seen.proof.proven.clone(),
        unproven: seen.proof.unproven.clone(),
        last_sync: last_sync(&before, &seen, &step, ctx.now()),
        cluster_uid: before
            .cluster_uid
            .clone()
            .filter(|_| seen.facts.quarantine.is_some())
            .or_else(|| Some(seen.cluster_uid.clone())),
        inventory: inventory(&before.inventory, &seen),
        ..before
    };
    if before_blocked && !matches!(step, Step::Blocked { .. }) {
        // A right may have been granted, also to watch.
        ctx.cluster(&seen.target.destination.cluster)?
            .index
            .retry_refused();
    }
    // What was healthy once and fails later is no failure of the revision.
    let finished = status
        .last_sync
        .as_ref()
        .is_some_and(|sync| sync.revision == seen.revision && sync.finished.is_some());
    status.waiting = waiting(&seen, &step, before_waiting, ctx.now());
    let waited = matches!(step, Step::Wait { .. });
    let step = overdue(&seen, step, status.waiting.as_ref(), ctx.now());
    if waited && matches!(step, Step::Blocked { .. }) && status.health == Health::Progressing {
        status.health = Health::Degraded;
    }
    let (object, requeue) = match step {
        Step::Blocked { reason } => {
            status.sync = SyncState::OutOfSync;
            status.blocked = true;
            // What waits for a person's word has not failed.
            if seen.facts.quarantine.is_none() {
                note_failure(
                    &mut status.failures,
                    &seen.revision,
                    (!finished).then_some(reason.as_str()),
                );
            }
            status.message = Some(reason);
            let object = ctx
                .home
                .report_application(&seen.object, status, ctx.now())
                .await?;
            // What stands in the way may be in the cluster, where no event tells of its end.
            (object, Requeue::After(Duration::from_secs(60)))
        }
        Step::Wait { reason, until } => {
            status.message = Some(reason);
            let object = ctx
                .home
                .report_application(&seen.object, status, ctx.now())
                .await?;
            let pause =
                until.and_then(|until| Duration::try_from(until.duration_since(ctx.now())).ok());
            // That the last pod which uses something is gone no event tells.
            let otherwise = Duration::from_secs(if seen.facts.late.is_empty() { 30 } else { 2 });
            (object, Requeue::After(pause.unwrap_or(otherwise)))
        }
        Step::Propose { message } => {
            let number =
                drift::propose(ctx, key, &seen.base, &seen.target, &seen.facts.plan).await?;
            status.message = Some(match number {
                Some(number) => format!(
                    "drift is reported, not set back: {message} (#{number} asks whether to keep it)"
                ),
                None => format!("drift is reported, not set back: {message}"),
            });
            (
                ctx.home
                    .report_application(&seen.object, status, ctx.now())
                    .await?,
                Requeue::After(Duration::from_secs(60)),
            )
        }
        Step::Report { message } => {
            status.message = Some(format!("drift is reported, not set back: {message}"));
            // That a pull request about it is closed, no event of the cluster tells.
            let asks = matches!(seen.facts.proposal, sync::Proposal::Open { .. });
            let requeue = if asks {
                Requeue::After(Duration::from_secs(60))
            } else {
                Requeue::Idle
            };
            (
                ctx.home
                    .report_application(&seen.object, status, ctx.now())
                    .await?,
                requeue,
            )
        }
        Step::Apply => {
            status.message = Some(format!(
                "applying {} of {} objects",
                sync::writes(&seen.facts.plan),
                seen.manifests.len()
            ));
            // Grown before the first write; whoever wrote in between wins.
            let object = ctx
                .home
                .report_application(&seen.object, status, ctx.now())
                .await?;
            tell(ctx, key, &object);
            if stood(seen.object.status.as_ref()) {
                ctx.wake_later_stages(&seen.base, key);
            }
            return apply(ctx, key, &seen, object).await;
        }
        Step::InSync { health, message } => {
            status.health = health;
            let failing = (health == Health::Degraded && !finished).then_some(message.as_str());
            note_failure(&mut status.failures, &seen.revision, failing);
            status.message = (!message.is_empty()).then_some(message);
            status.synced_revision = Some(seen.revision.clone());
            let object = ctx
                .home
                .report_application(&seen.object, status, ctx.now())
                .await?;
            locked(&ctx.memory.left).insert(key.clone(), seen.left.clone().into_iter().collect());
            if seen.adopted {
                // It was said of this cluster and what was in it: of another one it has to be said again.
                ctx.home.annotate(key, home::ADOPT, None).await?;
            }
            let requeue = match health {
                // That it can be looked at again no event tells.
                Health::Healthy | Health::Suspended if seen.unknown => {
                    Requeue::After(Duration::from_secs(60))
                }
                Health::Healthy | Health::Suspended => match seen.proof.again {
                    Some(again) => Requeue::After(again.saturating_duration_since(Instant::now())),
                    None => Requeue::Idle,
                },
                // Events tell of what comes on; this is for what they miss.
                _ => Requeue::After(Duration::from_secs(10)),
            };
            (object, requeue)
        }
    };
    // What of a hook is to go once it came out well goes on the next look.
    let requeue = if seen.hooks_done != hooks_before {
        Requeue::After(Duration::from_millis(100))
    } else {
        requeue
    };
    let told = object.metadata.resource_version.clone();
    let news = locked(&ctx.memory.told).insert(key.clone(), told.clone()) != Some(told);
    if news {
        tell(ctx, key, &object);
        ctx.wake_dependents(key);
        // Also what is healthy no more: what was proposed later waits for it.
        if stood(object.status.as_ref()) || stood(seen.object.status.as_ref()) {
            ctx.wake_later_stages(&seen.base, key);
        }
    }
    Ok(requeue)
}

/// Since when the revision waits for something of the cluster.
fn waiting(
    seen: &Seen,
    step: &Step,
    known: Option<home::Waiting>,
    now: jiff::Timestamp,
) -> Option<home::Waiting> {
    let waits = match step {
        Step::Wait { until: None, .. } => seen.facts.waits_for.is_empty(),
        Step::InSync { health, .. } => *health == Health::Progressing,
        Step::Apply => true,
        _ => false,
    };
    let since = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    let new = || home::Waiting {
        revision: seen.revision.clone(),
        since,
    };
    waits.then(|| {
        known
            .filter(|known| known.revision == seen.revision)
            .unwrap_or_else(new)
    })
}

/// What waits for longer than the application allows has failed.
fn overdue(seen: &Seen, step: Step, waiting: Option<&home::Waiting>, now: jiff::Timestamp) -> Step {
    let limit = seen.target.health_timeout;
    let late = waiting.is_some_and(|waiting| {
        Duration::try_from(now.duration_since(waiting.since)).is_ok_and(|waited| waited > limit)
    });
    let words = |what: &str| {
        format!(
            "not healthy {} after it was applied: {what}",
            sync::duration_words(limit)
        )
    };
    match step {
        Step::Wait {
            reason,
            until: None,
        } if late && seen.facts.waits_for.is_empty() => Step::Blocked {
            reason: words(&reason),
        },
        Step::InSync {
            health: Health::Progressing,
            ..
        } if late => {
            let ending = seen
                .facts
                .ending
                .iter()
                .map(|(key, why)| format!("{key}: {why}"));
            let why: Vec<_> = Some(seen.facts.health.1.clone())
                .filter(|why| !why.is_empty())
                .into_iter()
                .chain(ending)
                .collect();
            Step::InSync {
                health: Health::Degraded,
                message: words(&why.join("; ")),
            }
        }
        other => other,
    }
}

/// What waits until somebody adopts it.
fn to_adopt(seen: &Seen) -> Vec<String> {
    let waits = |change: &&plan::Change| {
        change.notes.to_adopt || seen.facts.quarantine.is_some() && change.before.is_some()
    };
    let names = seen
        .facts
        .plan
        .effective()
        .filter(waits)
        .map(|change| change.key.to_string());
    names.take(MOST_OUTCOMES).collect()
}

/// Whether an application is what later stages wait for.
fn stood(status: Option<&ApplicationStatus>) -> bool {
    status.is_some_and(ApplicationStatus::stands)
}

/// Puts the revision before this one to those that it supersedes.
pub fn supersede(superseded: &mut Vec<CommitSha>, was: Option<&CommitSha>, revision: &CommitSha) {
    if let Some(was) = was.filter(|was| *was != revision) {
        superseded.retain(|other| other != was && other != revision);
        superseded.push(was.clone());
        superseded.drain(..superseded.len().saturating_sub(SUPERSEDED));
    }
}

/// The record of what the sync of a revision does and did.
fn last_sync(
    before: &ApplicationStatus,
    seen: &Seen,
    step: &Step,
    now: jiff::Timestamp,
) -> Option<LastSync> {
    let now = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    let known = before
        .last_sync
        .clone()
        .filter(|sync| sync.revision == seen.revision);
    match step {
        // What is set back later is no part of it.
        Step::Apply if before.synced_revision.as_ref() != Some(&seen.revision) => {
            let mut sync = known.unwrap_or_else(|| LastSync {
                revision: seen.revision.clone(),
                plan: plan::digest([(seen.target.destination.cluster.as_str(), &seen.facts.plan)]),
                started: now,
                finished: None,
                objects: Vec::new(),
            });
            for change in seen.facts.plan.effective().take(MOST_OUTCOMES) {
                let (action, object) = (change.action.word(), change.key.to_string());
                let told = sync.objects.iter().any(|known| {
                    known
                        .split_once(' ')
                        .is_some_and(|(_, known)| known == object)
                });
                if sync.objects.len() < MOST_OUTCOMES && !told {
                    sync.objects.push(format!("{action} {object}"));
                }
            }
            sync.objects.sort();
            Some(sync)
        }
        Step::InSync {
            health: Health::Healthy,
            ..
        } => known.map(|sync| LastSync {
            finished: sync.finished.or(Some(now)),
            ..sync
        }),
        _ => known.or_else(|| before.last_sync.clone()),
    }
}

/// Has the commits that an application is at, or was at, told where they stand.
pub fn tell(ctx: &Ctx, key: &ApplicationKey, object: &Application) {
    let status = object.status.as_ref();
    for commit in status
        .into_iter()
        .flat_map(|status| status.superseded.iter().chain(&status.revision))
    {
        ctx.commits.put(CommitKey {
            repo: key.repo.clone(),
            commit: commit.clone(),
        });
    }
    ctx.tell_commits(&key.repo);
}

/// What is owned: the objects that Git has, with what is known of them, and those it has no more until they are gone.
fn inventory(before: &[InventoryEntry], seen: &Seen) -> Vec<InventoryEntry> {
    // What is only looked at is not owned yet; while Git cannot be read nothing is known to be gone.
    if seen.facts.quarantine.is_some() && !seen.facts.plan.is_empty()
        || seen
            .facts
            .rendered
            .as_ref()
            .map_or(true, |count| *count == 0)
    {
        return before.to_vec();
    }
    let entry = |manifest: &Manifest| {
        let left = seen.left.get(&manifest.key);
        let (applied, signal) = left.and_then(|left| left.as_it_should.clone()).unzip();
        let known = before.iter().find(|entry| entry.key == manifest.key);
        InventoryEntry {
            key: manifest.key.clone(),
            version: manifest.version.clone(),
            uid: left.map(|left| left.uid.clone()),
            // Until it is as it should be, what was applied last is what was known before.
            applied: applied.or_else(|| known?.applied.clone()),
            left: signal.or_else(|| known?.left.clone()),
            hook: seen.hooks.has(&manifest.key),
        }
    };
    let mut entries: Vec<_> = seen.manifests.iter().map(entry).collect();
    entries.extend(seen.leftover.values().map(|(entry, _)| entry.clone()));
    // Hooks that ran are kept track of until they are gone from Git.
    let ran = before.iter().filter(|entry| {
        seen.hooks.keeps(&entry.key) && !seen.manifests.iter().any(|m| m.key == entry.key)
    });
    entries.extend(ran.cloned().collect::<Vec<_>>());
    let stays = seen.facts.withheld.iter().chain(&seen.facts.ending);
    let stays: BTreeSet<_> = stays.map(|(key, _)| key).collect();
    entries.extend(
        before
            .iter()
            .filter(|entry| stays.contains(&entry.key))
            .cloned(),
    );
    // What is not the application's to have stays known: an administrator may grant it yet.
    let has_problem =
        |key: &ResourceKey| seen.facts.plan.problems().any(|change| change.key == *key);
    let refused = before.iter().filter(|entry| {
        has_problem(&entry.key) && !seen.manifests.iter().any(|m| m.key == entry.key)
    });
    entries.extend(refused.cloned().collect::<Vec<_>>());
    entries.sort();
    entries.dedup_by(|a, b| a.key == b.key);
    entries
}

/// Carries the plan out: stage by stage, then the prunes.
async fn apply(
    ctx: &Arc<Ctx>,
    key: &ApplicationKey,
    seen: &Seen,
    object: Application,
) -> Result<Requeue> {
    let fence = ctx.observer.fence(&key.repo, &seen.target.destination);
    let cluster = &ctx
        .cluster(&seen.target.destination.cluster)?
        .writing_as(fence.service_account());
    let now = || {
        seen.facts
            .plan
            .effective()
            .filter(|change| seen.facts.allows(&change.key))
    };
    let changed: BTreeSet<_> = now().map(|change| &change.key).collect();
    let mut stages: BTreeMap<ApplyStage, Vec<&Predicted>> = BTreeMap::new();
    for predicted in seen
        .asked
        .values()
        .filter(|predicted| changed.contains(&predicted.manifest.key))
    {
        stages
            .entry(apply_stage(&predicted.manifest.key))
            .or_default()
            .push(predicted);
    }
    let definitions_first = sync::waits_for_definitions(&seen.facts.plan)
        && stages.contains_key(&ApplyStage::Definitions);
    for (stage, all) in stages {
        let definitions = stage == ApplyStage::Definitions;
        if !definitions && definitions_first {
            // What the server could not be asked about is planned again once its namespace or kind is there.
            cluster.forget_kinds();
            return Ok(Requeue::After(Duration::from_millis(300)));
        }
        let drifted = |predicted: &Predicted| seen.facts.drifted.contains(&predicted.manifest.key);
        let comes = |of: &ResourceKey| {
            seen.manifests
                .iter()
                .any(|other| live::makes_possible(other, of))
        };
        let writes = all.into_iter().map(async |predicted| {
            let drifted = drifted(predicted);
            match write(ctx, key, cluster, predicted, drifted).boxed().await? {
                Written::NotYet if !comes(&predicted.manifest.key) => Ok(Written::Refused(
                    format!("{}: its namespace or kind is gone", predicted.manifest.key),
                )),
                other => Ok(other),
            }
        });
        let answers: Vec<_> = futures::stream::iter(writes.collect::<Vec<_>>())
            .buffered(32)
            .collect()
            .await;
        ctx.metrics.applied(answers.len());
        let written = answers.into_iter().collect::<Result<Vec<_>>>()?;
        // What an API server has not heard of yet it has heard of soon: each learns of a definition by itself.
        if written.iter().any(|one| matches!(one, Written::NotYet)) {
            cluster.forget_kinds();
            return Ok(Requeue::After(Duration::from_secs(1)));
        }
        let refused = |one| {
            if let Written::Refused(why) = one {
                Some(why)
            } else {
                None
            }
        };
        let failed: Vec<_> = written.into_iter().filter_map(refused).collect();
        if !failed.is_empty() {
            // Later stages do not go on what this one left out.
            let mut status = object.status.clone().unwrap_or_default();
            status.blocked = true;
            status.message = Some(failed.join("\n"));
            let object = ctx
                .home
                .report_application(&object, status, ctx.now())
                .await?;
            tell(ctx, key, &object);
            return Ok(Requeue::After(Duration::from_secs(10)));
        }
    }
    prune(
        cluster,
        now()
            .filter(|change| change.action == Action::Prune)
            .filter_map(|change| seen.leftover.get(&change.key))
            .collect(),
    )
    .await?;
    Ok(Requeue::After(Duration::ZERO))
}

/// Deletes objects in the reverse order of applying, each only if it is the one that was looked at. Custom resources go
/// alone, while what sees to their end is there; the rest goes once they are gone.
pub async fn prune(cluster: &Cluster, mut leavers: Vec<&(InventoryEntry, Value)>) -> Result<()> {
    if leavers
        .iter()
        .any(|(entry, _)| guards::is_custom(&entry.key))
    {
        leavers.retain(|(entry, _)| guards::is_custom(&entry.key));
    }
    leavers.sort_by_key(|(entry, _)| std::cmp::Reverse(apply_stage(&entry.key)));
    for (entry, live) in leavers {
        cluster
            .delete(
                &entry.key,
                &entry.version,
                live["metadata"]["uid"].as_str().unwrap_or_default(),
            )
            .await?;
    }
    Ok(())
}

/// What came of a write.
enum Written {
    Done,
    /// Its namespace or kind is not there.
    NotYet,
    /// Why the server refused.
    Refused(String),
}

/// Writes one object as it was planned (`drifted`: it is set back).
async fn write(
    ctx: &Arc<Ctx>,
    key: &ApplicationKey,
    cluster: &Cluster,
    predicted: &Predicted,
    drifted: bool,
) -> Result<Written> {
    let (manifest, write) = (&predicted.manifest, &predicted.write);
    let version = |live: &Value| {
        live["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .to_string()
    };
    if write.recreate {
        let uid = predicted
            .live
            .as_ref()
            .and_then(|live| live["metadata"]["uid"].as_str())
            .unwrap_or_default();
        match write.alone {
            true => {
                cluster
                    .delete_alone(&manifest.key, &manifest.version, uid)
                    .await?
            }
            false => {
                cluster
                    .delete(&manifest.key, &manifest.version, uid)
                    .await?
            }
        };
        // It is created by the next look, once it is gone.
        return Ok(Written::Done);
    }
    let mut payload = write.payload.clone();
    if let (Some(fields), Some(live)) = (&write.managed_fields, &predicted.live) {
        let now = cluster
            .set_managed_fields(&manifest.key, &manifest.version, &version(live), fields)
            .await?;
        if write.force {
            payload["metadata"]["resourceVersion"] = now.into();
        }
    }
    let how = How {
        dry_run: false,
        force: write.force,
    };
    let stale = || crate::cluster::Error::Stale {
        what: format!("apply {}", manifest.key),
    };
    Ok(
        match cluster
            .apply(
                &manifest.key,
                &manifest.version,
                &payload,
                &key.field_manager(),
                how,
            )
            .await?
        {
            Applied::Object(object) => {
                let left = Left {
                    uid: object["metadata"]["uid"]
                        .as_str()
                        .unwrap_or_default()
                        .into(),
                    as_it_should: Some((live::fingerprint(manifest), ownership::signal(&object))),
                };
                locked(&ctx.memory.left)
                    .entry(key.clone())
                    .or_default()
                    .insert(manifest.key.clone(), left);
                if drifted {
                    let mut heals = locked(&ctx.memory.heals);
                    let times = heals
                        .entry((key.clone(), manifest.key.clone()))
                        .or_default();
                    times.push_back(Instant::now());
                    while times.len() > sync::MOST_HEALS {
                        times.pop_front();
                    }
                }
                Written::Done
            }
            // Somebody took a field since it was looked at.
            Applied::Conflicts(_) => return Err(stale().into()),
            Applied::Refused(refusal) => Written::Refused(format!(
                "{}: {}",
                manifest.key,
                crate::domain::mask::Mask::scrub(&refusal.message, &manifest.value)
            )),
            Applied::NamespaceMissing | Applied::KindMissing => Written::NotYet,
        },
    )
}
