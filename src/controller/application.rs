//! Push → reconcile → status: keeps one application in one stage synced.
//!
//! observe: the tracked branch, what it renders to, what the server would make
//! of it, what is live. decide: [`sync::decide`]. act: the inventory is grown
//! before the first write and shrunk after an object is seen gone, so a crash
//! leaves nothing untracked; definitions come first, and what they make
//! possible is planned on the next look.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::live::{self, Desired};
use super::{Base, Ctx, Error, Kind, Requeue, Result, locked};
use crate::cluster::home::{Application, ApplicationSpec, ApplicationStatus, InventoryEntry};
use crate::cluster::watch::signal_of;
use crate::cluster::{Applied, Cluster};
use crate::domain::catalog::{Target, images_of};
use crate::domain::health::{self, Health, SyncState};
use crate::domain::image::ImageRef;
use crate::domain::manifest::{ApplyStage, Manifest, ResourceKey, apply_stage};
use crate::domain::plan::{Action, Comparison, Plan, Side};
use crate::domain::pull_request::{self, Position, Progress, ProgressState, SYNC_CONTEXT, shortened};
use crate::domain::sync::{self, Step};
use crate::domain::{ApplicationKey, CommitSha, Invalid, OWNER_LABEL, PullRequestKey, RepoName};
use crate::git::Mirror;
use crate::render::{self, Inputs, Source};
use futures::StreamExt as _;
use serde_json::Value;

/// How far back the commit that changed an application is looked for.
const HISTORY: usize = 50;

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
    if let Some(object) = ctx.home.application(key).await? {
        let status = ApplicationStatus { message: Some(error.to_string()), ..object.status.clone().unwrap_or_default() };
        ctx.home.report_application(&object, status, ctx.now()).await?;
    }
    Ok(())
}

async fn look(ctx: &Arc<Ctx>, key: &ApplicationKey) -> Result<Requeue> {
    let Some(seen) = observe(ctx, key).await? else { return Ok(Requeue::Idle) };
    let step = sync::decide(&seen.facts);
    act(ctx, key, seen, step).await
}

/// One look at one application.
struct Seen {
    base: Arc<Base>,
    target: Target,
    object: Application,
    revision: CommitSha,
    inputs: String,
    images: Vec<ImageRef>,
    desired: Vec<Desired>,
    /// Live objects that we own and Git has no more, with their inventory entries.
    leftover: BTreeMap<ResourceKey, (InventoryEntry, Value)>,
    live: Vec<Value>,
    facts: sync::Seen,
}

/// None: there is nothing to look at.
async fn observe(ctx: &Arc<Ctx>, key: &ApplicationKey) -> Result<Option<Seen>> {
    let base = ctx.known_base(&key.repo).await?;
    let known = ctx.home.application(key).await?;
    let Some(target) = base.target(key).cloned() else {
        return retired(ctx, key, &base, known).await.map(|()| None);
    };
    let known_status = known.as_ref().and_then(|object| object.status.clone()).unwrap_or_default();
    let (tip, directory) = (base.commit.clone(), target.path.clone());
    let (was, was_inputs) = (known_status.revision.clone(), known_status.inputs.clone());
    let (inputs, revision) = ctx.mirror(&key.repo, move |mirror| change_of(mirror, &tip, &directory, was, was_inputs)).await?;
    let hash = hash_of(&inputs);
    let in_stage =
        known.as_ref().is_some_and(|object| object.status.as_ref().is_some_and(|status| status.inputs.as_deref() == Some(&hash)));
    if in_stage && locked(&ctx.memory.settled).get(key) == Some(&hash) {
        return Ok(None);
    }
    let spec = ApplicationSpec {
        repository: key.repo.clone(),
        application: key.application.clone(),
        stage: key.stage.clone(),
        path: target.path.clone(),
        cluster: target.destination.cluster.clone(),
        namespace: target.destination.namespace.clone(),
    };
    let object = ctx.home.declare_application(key, spec, known).await?;
    let cluster = ctx.cluster(&target.destination.cluster)?;
    let rendered = match inputs {
        Ok(Some(inputs)) => ctx.renderer.render(&inputs).await.map_err(|Invalid(why)| why),
        Ok(None) => Ok(Arc::default()),
        Err(Invalid(why)) => Err(why),
    };
    let owner = key.owner_label(base.repo.id);
    let manifests = rendered.as_ref().map(|manifests| manifests.to_vec()).unwrap_or_default();
    let desired = live::predict(cluster, key, &target, &owner, &manifests).await?;
    let keys: Vec<_> = desired.iter().map(|desired| (desired.manifest.key.clone(), desired.manifest.version.clone())).collect();
    let live = live::read(cluster, &keys).await?;
    let wanted: BTreeSet<_> = keys.iter().map(|(key, _)| key).collect();
    let gone: Vec<_> = known_status.inventory.iter().filter(|entry| !wanted.contains(&entry.key)).cloned().collect();
    let complete = rendered.as_ref().is_ok_and(|manifests| !manifests.is_empty());
    let (leftover, withheld) = if complete { leftovers(cluster, &owner, gone).await? } else { Default::default() };
    let mut comparisons: Vec<_> = desired
        .iter()
        .zip(&live)
        .map(|(desired, live)| Comparison {
            key: desired.manifest.key.clone(),
            before: live::side(live.clone()),
            after: desired.predicted.clone(),
        })
        .collect();
    comparisons.extend(leftover.iter().map(|(key, (_, live))| Comparison {
        key: key.clone(),
        before: live::side(Some(live.clone())),
        after: Side::Absent,
    }));
    let health = assess(cluster, &desired, &live).await?;
    let references: Vec<_> = manifests.iter().flat_map(Manifest::images).collect();
    Ok(Some(Seen {
        images: images_of(&target, &references),
        facts: sync::Seen { rendered: rendered.map(|manifests| manifests.len()), plan: Plan::new(comparisons), health, withheld },
        live: live.into_iter().flatten().collect(),
        inputs: hash,
        base,
        target,
        object,
        revision,
        desired,
        leftover,
    }))
}

fn hash_of(inputs: &std::result::Result<Option<Inputs>, Invalid>) -> String {
    match inputs {
        Ok(Some(inputs)) => inputs.hash.clone(),
        Ok(None) => "absent".into(),
        Err(Invalid(why)) => format!("unreadable: {why}"),
    }
}

type Read = std::result::Result<Option<Inputs>, Invalid>;

fn inputs_at(mirror: &Mirror, commit: &CommitSha, directory: &str) -> anyhow::Result<Read> {
    let source = Source::open(mirror, mirror.tree(commit)?)?;
    Ok(render::inputs(&source, directory))
}

/// What the tip renders from, and the newest commit that changed it.
fn change_of(
    mirror: &Mirror,
    tip: &CommitSha,
    directory: &str,
    was: Option<CommitSha>,
    was_inputs: Option<String>,
) -> anyhow::Result<(Read, CommitSha)> {
    let inputs = inputs_at(mirror, tip, directory)?;
    let hash = hash_of(&inputs);
    if let Some(was) = was
        && was_inputs.as_deref() == Some(&hash)
        && mirror.has(&was)
        && mirror.is_ancestor(&was, tip)?
    {
        return Ok((inputs, was));
    }
    let mut at = tip.clone();
    for _ in 0..HISTORY {
        let Some(parent) = mirror.parent(&at)? else { break };
        if hash_of(&inputs_at(mirror, &parent, directory)?) != hash {
            break;
        }
        at = parent;
    }
    Ok((inputs, at))
}

type Leftovers = (BTreeMap<ResourceKey, (InventoryEntry, Value)>, Vec<(ResourceKey, String)>);

/// Of the objects that Git has no more: those to prune, and those that are left, each with the reason.
async fn leftovers(cluster: &Cluster, owner: &str, gone: Vec<InventoryEntry>) -> Result<Leftovers> {
    let keys: Vec<_> = gone.iter().map(|entry| (entry.key.clone(), entry.version.clone())).collect();
    let live = live::read(cluster, &keys).await?;
    let (mut prune, mut withheld) = (BTreeMap::new(), Vec::new());
    for (entry, live) in gone.into_iter().zip(live) {
        let Some(live) = live else { continue };
        let marked = live["metadata"]["labels"][OWNER_LABEL] == owner;
        let same = entry.uid.is_none() || entry.uid.as_deref() == live["metadata"]["uid"].as_str();
        // What is not marked as ours, or was made anew by somebody, is not ours any more.
        if !marked || !same {
            continue;
        }
        if sync::withheld_kind(&entry.key.kind) {
            withheld.push((entry.key, "with it would go what it holds; delete it by hand, or put it back into Git".into()));
        } else {
            prune.insert(entry.key.clone(), (entry, live));
        }
    }
    Ok((prune, withheld))
}

/// The health of what is live; pods are asked for only where something is not healthy yet.
async fn assess(cluster: &Cluster, desired: &[Desired], live: &[Option<Value>]) -> Result<health::Assessment> {
    let mut assessments = Vec::new();
    for (desired, live) in desired.iter().zip(live) {
        let Some(live) = live else {
            assessments.push((Health::Missing, format!("{} is missing", desired.manifest.key)));
            continue;
        };
        let first = health::assess(live, &[]);
        if first.0 == Health::Progressing && live["spec"]["selector"]["matchLabels"].is_object() {
            let pods = cluster.pods_of(live).await?;
            assessments.push(health::assess(live, &pods));
        } else {
            assessments.push(first);
        }
    }
    Ok(health::aggregate(assessments))
}

/// The configuration has this application no more: nothing is deleted, and that is said.
async fn retired(ctx: &Arc<Ctx>, key: &ApplicationKey, base: &Base, known: Option<Application>) -> Result<()> {
    // A configuration that cannot be read retires nothing.
    let (Some(object), Some(Ok(_))) = (known, &base.catalog) else { return Ok(()) };
    let mut status = object.status.clone().unwrap_or_default();
    status.sync = SyncState::Unknown;
    status.message = Some(format!("{} declares {} no more: its objects are left as they are", key.repo, key.title()));
    ctx.home.report_application(&object, status, ctx.now()).await?;
    Ok(())
}

async fn act(ctx: &Arc<Ctx>, key: &ApplicationKey, seen: Seen, step: Step) -> Result<Requeue> {
    let before = seen.object.status.clone().unwrap_or_default();
    let superseded = before.revision.clone().filter(|was| *was != seen.revision);
    if let Some(was) = &superseded {
        // Before the object forgets the older commit: cut off here, the next look tells it again.
        tell(ctx, &key.repo, &seen.base, was, Some((key, &seen.revision))).await?;
    }
    let mut status = ApplicationStatus {
        revision: Some(seen.revision.clone()),
        inputs: Some(seen.inputs.clone()),
        images: seen.images.clone(),
        sync: sync::state(&seen.facts.plan),
        health: seen.facts.health.0,
        blocked: false,
        message: None,
        inventory: inventory(&before.inventory, &seen),
        ..before
    };
    let requeue = match step {
        Step::Blocked { reason } => {
            status.sync = SyncState::OutOfSync;
            status.blocked = true;
            status.message = Some(reason);
            ctx.home.report_application(&seen.object, status, ctx.now()).await?;
            // What stands in the way may be in the cluster, where no event tells of its end.
            Requeue::After(Duration::from_secs(60))
        }
        Step::Apply => {
            status.message = Some(format!("applying {} of {} objects", sync::writes(&seen.facts.plan), seen.desired.len()));
            // Grown before the first write; whoever wrote in between wins.
            let object = ctx.home.report_application(&seen.object, status, ctx.now()).await?;
            tell(ctx, &key.repo, &seen.base, &seen.revision, None).await?;
            return apply(ctx, key, &seen, object).await;
        }
        Step::InSync { health, message } => {
            // How many pods are ready changes by the second; that it is waited for does not.
            let waiting = health == Health::Progressing;
            let message = if waiting { format!("waits for {}", message.split(": ").next().unwrap_or_default()) } else { message };
            status.message = (!message.is_empty()).then_some(message);
            ctx.home.report_application(&seen.object, status, ctx.now()).await?;
            remember(ctx, key, &seen).await?;
            match health {
                Health::Healthy | Health::Suspended => {
                    locked(&ctx.memory.settled).insert(key.clone(), seen.inputs.clone());
                    promote(ctx, &seen);
                    Requeue::Idle
                }
                Health::Progressing | Health::Missing => Requeue::After(Duration::from_secs(1)),
                Health::Degraded | Health::Unknown => Requeue::After(Duration::from_secs(10)),
            }
        }
    };
    tell(ctx, &key.repo, &seen.base, &seen.revision, None).await?;
    Ok(requeue)
}

/// What is owned: the objects that Git has, with the uids that are known, and those it has no more until they are gone.
fn inventory(before: &[InventoryEntry], seen: &Seen) -> Vec<InventoryEntry> {
    // While Git cannot be read nothing is known to be gone.
    if seen.facts.rendered.as_ref().map_or(true, |count| *count == 0) {
        return before.to_vec();
    }
    let uids: HashMap<_, _> = seen
        .live
        .iter()
        .filter_map(|live| {
            Some((
                (live["kind"].as_str()?, live["metadata"]["namespace"].as_str(), live["metadata"]["name"].as_str()?),
                live["metadata"]["uid"].as_str()?,
            ))
        })
        .collect();
    let mut entries: Vec<_> = seen
        .desired
        .iter()
        .map(|desired| {
            let key = desired.manifest.key.clone();
            let uid = uids.get(&(key.kind.as_str(), key.namespace.as_deref(), key.name.as_str())).map(|uid| uid.to_string());
            InventoryEntry { key, version: desired.manifest.version.clone(), uid }
        })
        .collect();
    entries.extend(seen.leftover.values().map(|(entry, _)| entry.clone()));
    entries.extend(before.iter().filter(|entry| seen.facts.withheld.iter().any(|(key, _)| *key == entry.key)).cloned());
    entries.sort();
    entries
}

/// Carries the plan out: stage by stage, then the prunes.
async fn apply(ctx: &Arc<Ctx>, key: &ApplicationKey, seen: &Seen, object: Application) -> Result<Requeue> {
    let cluster = ctx.cluster(&seen.target.destination.cluster)?;
    let manager = key.field_manager();
    let changed: BTreeSet<_> = seen.facts.plan.effective().map(|change| &change.key).collect();
    let mut stages: BTreeMap<ApplyStage, Vec<&Manifest>> = BTreeMap::new();
    for desired in seen.desired.iter().filter(|desired| changed.contains(&desired.manifest.key)) {
        stages.entry(apply_stage(&desired.manifest.key)).or_default().push(&desired.manifest);
    }
    let definitions_first = sync::waits_for_definitions(&seen.facts.plan);
    for (stage, manifests) in stages {
        let definitions = stage == ApplyStage::Definitions;
        if !definitions && definitions_first {
            // What the server could not be asked about is planned again once its namespace or kind is there.
            return Ok(Requeue::After(Duration::from_millis(300)));
        }
        let writes: Vec<_> = manifests.into_iter().map(|manifest| write(cluster, manifest, &manager)).collect();
        let answers: Vec<_> = futures::stream::iter(writes).buffered(8).collect::<Vec<_>>().await;
        ctx.metrics.applied(answers.len());
        let failed: Vec<_> = answers.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        if !failed.is_empty() {
            // Later stages do not go on what this one left out.
            let mut status = object.status.clone().unwrap_or_default();
            status.blocked = true;
            status.message = Some(failed.join("\n"));
            ctx.home.report_application(&object, status, ctx.now()).await?;
            tell(ctx, &key.repo, &seen.base, &seen.revision, None).await?;
            return Ok(Requeue::After(Duration::from_secs(10)));
        }
    }
    let pruned = seen.facts.plan.effective().filter(|change| change.action == Action::Prune);
    let mut prunes: Vec<_> = pruned.filter_map(|change| seen.leftover.get(&change.key)).collect();
    // In the reverse order of applying.
    prunes.sort_by_key(|(entry, _)| std::cmp::Reverse(apply_stage(&entry.key)));
    for (entry, live) in prunes {
        let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
        cluster.delete(&entry.key, &entry.version, uid).await?;
    }
    Ok(Requeue::After(Duration::ZERO))
}

/// Applies one object; why not, where the server refused.
async fn write(cluster: &Cluster, manifest: &Manifest, manager: &str) -> Result<Option<String>> {
    Ok(match cluster.apply(manifest, manager, false).await? {
        Applied::Object(_) => None,
        Applied::Refused(why) => Some(format!("{}: {why}", manifest.key)),
        Applied::NamespaceMissing | Applied::KindMissing => Some(format!("{}: its namespace or kind is gone", manifest.key)),
    })
}

/// Remembers how the objects were left, and watches their kinds.
async fn remember(ctx: &Arc<Ctx>, key: &ApplicationKey, seen: &Seen) -> Result<()> {
    let signals = seen.live.iter().filter_map(|live| Some((live["metadata"]["uid"].as_str()?.to_string(), signal_of(live)))).collect();
    locked(&ctx.memory.signals).insert(key.clone(), signals);
    let cluster = ctx.cluster(&seen.target.destination.cluster)?;
    let kinds: BTreeSet<_> = seen.desired.iter().map(|d| (&d.manifest.key.group, &d.manifest.version, &d.manifest.key.kind)).collect();
    for (group, version, kind) in kinds {
        if let Some((resource, _)) = cluster.kind(group, version, kind).await? {
            ctx.watches.ensure(cluster, &resource, &ctx.moved);
        }
    }
    Ok(())
}

/// A healthy stage may be what a later one waits for.
fn promote(ctx: &Ctx, seen: &Seen) {
    let Some(configured) = seen.base.configured() else { return };
    for target in configured.targets.iter().filter(|target| target.application == seen.target.application) {
        if target.stage.after.contains(&seen.target.stage.name) {
            ctx.promotions.put(target.key(&seen.base.repo.name));
        }
    }
}

// ---- what is told to GitHub

/// Posts the commit's aggregated status when it differs from the last one, and has its pull request's comment updated.
/// `superseded`: the application that is about to go on to a newer commit.
async fn tell(
    ctx: &Arc<Ctx>,
    repo: &RepoName,
    base: &Base,
    commit: &CommitSha,
    superseded: Option<(&ApplicationKey, &CommitSha)>,
) -> Result<()> {
    let mut progress = progress_of(ctx, repo, base, commit).await?;
    for one in progress.iter_mut().filter(|one| superseded.is_some_and(|(key, _)| one.key == *key)) {
        one.state = ProgressState::Superseded;
        one.message = superseded.map(|(_, by)| format!("by {}", by.short())).unwrap_or_default();
    }
    let (state, description) = aggregated(&progress);
    let key = (repo.clone(), commit.clone());
    let posted = locked(&ctx.memory.statuses).get(&key).cloned();
    let posted = match posted {
        Some(posted) => Some(posted),
        None => {
            let statuses = ctx.github.statuses(repo, commit).await?;
            statuses
                .into_iter()
                .find(|status| status.context == SYNC_CONTEXT)
                .map(|status| (status.state, status.description.unwrap_or_default()))
        }
    };
    // A commit that came to its good end stays told so: what came later is told on later commits.
    let ended =
        posted.as_ref().is_some_and(|(state, _)| state == "success") && progress.iter().any(|one| one.state == ProgressState::Superseded);
    if ended {
        return Ok(());
    }
    if posted.as_ref() != Some(&(state.to_string(), description.clone())) {
        ctx.github.set_status(repo, commit, SYNC_CONTEXT, state, &description).await?;
    }
    locked(&ctx.memory.statuses).insert(key.clone(), (state.into(), description));
    let known = locked(&ctx.memory.pulls_of).get(&key).cloned();
    let pulls = match known {
        Some(pulls) => pulls,
        None => {
            let found = ctx.github.pulls_with(repo, commit).await?;
            let numbers: Vec<_> = found.iter().filter(|pull| pull.merged_at.is_some()).map(|pull| pull.number).collect();
            locked(&ctx.memory.pulls_of).insert(key, numbers.clone());
            numbers
        }
    };
    for number in pulls {
        ctx.pulls.put(PullRequestKey { repo: repo.clone(), number });
    }
    Ok(())
}

/// Where each application that a commit changed stands with it.
pub async fn progress_of(ctx: &Arc<Ctx>, repo: &RepoName, base: &Base, commit: &CommitSha) -> Result<Vec<Progress>> {
    let targets: Vec<Target> = base.configured().map(|configured| configured.targets.clone()).unwrap_or_default();
    let at = commit.clone();
    let changed = ctx
        .mirror(repo, move |mirror| {
            let parent = mirror.parent(&at)?;
            let mut changed = Vec::new();
            for target in targets {
                let before = parent.as_ref().map(|parent| inputs_at(mirror, parent, &target.path)).transpose()?;
                let before = before.map_or("absent".to_string(), |inputs| hash_of(&inputs));
                if before != hash_of(&inputs_at(mirror, &at, &target.path)?) {
                    changed.push(target);
                }
            }
            Ok(changed)
        })
        .await?;
    let mut progress = Vec::new();
    for target in changed {
        let key = target.key(repo);
        let status = ctx.home.application(&key).await?.and_then(|object| object.status).unwrap_or_default();
        let position = position(ctx, repo, commit, status.revision.as_ref()).await?;
        let state = pull_request::progress(position, status.sync, status.health, status.blocked);
        let message = match state {
            ProgressState::Superseded => format!("by {}", status.revision.as_ref().map_or("", CommitSha::short)),
            ProgressState::Failed => status.message.unwrap_or_default(),
            // What passes by itself is not worth an edit.
            _ => String::new(),
        };
        progress.push(Progress { key, state, message });
    }
    Ok(progress)
}

async fn position(ctx: &Arc<Ctx>, repo: &RepoName, commit: &CommitSha, current: Option<&CommitSha>) -> Result<Position> {
    let Some(current) = current.cloned() else { return Ok(Position::Before) };
    if current == *commit {
        return Ok(Position::At);
    }
    let commit = commit.clone();
    let newer = ctx.mirror(repo, move |mirror| Ok(mirror.has(&current) && mirror.is_ancestor(&commit, &current)?)).await?;
    Ok(if newer { Position::After } else { Position::Before })
}

/// One status for a commit, over all its applications.
fn aggregated(progress: &[Progress]) -> (&'static str, String) {
    let count = |state| progress.iter().filter(|one| one.state == state).count();
    let failed: Vec<_> = progress.iter().filter(|one| one.state == ProgressState::Failed).collect();
    let total = progress.len();
    let (state, text) = if let Some(first) = failed.first() {
        ("failure", format!("{}: {}", first.key.title(), first.message.replace('\n', " ")))
    } else if total == 0 {
        ("success", "no application changes".into())
    } else if progress.iter().all(|one| one.state.is_final()) {
        match progress.iter().find(|one| one.state == ProgressState::Superseded) {
            Some(one) if count(ProgressState::Superseded) == total => ("success", format!("superseded {}", one.message)),
            _ => (
                "success",
                if total == 1 {
                    format!("{} is synced and healthy", progress[0].key.title())
                } else {
                    format!("{total} applications are synced and healthy")
                },
            ),
        }
    } else {
        let done = progress.iter().filter(|one| one.state.is_final()).count();
        // No more detail than changes rarely: GitHub takes 1000 statuses of a kind on one commit.
        ("pending", format!("{done} of {total} applications are synced and healthy"))
    };
    (state, shortened(&text, 140))
}
