//! What the cluster says about an application's manifests: the reading half
//! that previews and syncs share.
//!
//! [`predict`] asks the API server, by server-side dry-run under the
//! application's own field manager, what a sync would make of one object, and
//! what a sync has to send for that. An object is only asked about when its
//! manifest or its live state is not as it was left ([`is_as_left`]).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Result;
use super::others::{as_the_reconciler_applies, leave_replicas};
use super::recreate::{changes, recreated};
use crate::cluster::home::InventoryEntry;
use crate::cluster::{self, Applied, Cluster, How, Keeps, Refusal, with_warnings};
use crate::domain::catalog::{Reconciler, Target};
use crate::domain::fence::Fence;
use crate::domain::fieldset::{self, FieldPath};
use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::mask::Mask;
use crate::domain::ownership::{self, Conflict, Keeper, Writer};
use crate::domain::plan::{self, Comparison, Fields, Notes, Proof, Side};
use crate::domain::substitute::Transforms;
use crate::domain::{ApplicationKey, OWNER_LABEL, canonical_json, contracts, health, hook, schema};
use crate::render::Renderer;

/// Objects that are asked about at the same time; the cluster's own pace bounds the requests. What is to be asked about one
/// takes tens of kilobytes while it is asked: it is boxed when its turn comes, not when it is put into the line.
pub const AT_ONCE: usize = 64;
/// From so many objects of a kind on, one list is cheaper than a request for each.
const LIST_FROM: usize = 6;

/// What helps whoever reads that windlass lacks a right.
const NO_RIGHT: &str = "windlass needs a ClusterRole with the label windlass.dev/aggregate-to-windlass for this kind; `windlass rbac` prints what the settings need";

const IMMUTABLE_SECRET: &str = "a Secret of this name is there, is immutable, and was not made by this application: delete it, or give this one another name";
const SECRET_OF_OTHERS: &str = "a Secret of this name is there, was not made by this application, and does not become this one by an update: delete it, or give this one another name";

/// One application, asked about.
pub struct Asking<'a> {
    /// Acts with the rights that the application's project has, or as the identity of previews.
    pub cluster: Cluster,
    /// Acts with the rights that a sync has: for what those are.
    pub syncing: Cluster,
    pub key: &'a ApplicationKey,
    pub target: &'a Target,
    /// The value of our label on its objects.
    pub owner: &'a str,
    /// Where what a pull request brings is evaluated.
    pub renderer: &'a Renderer,
    /// What of a cluster it may have to do with.
    pub fence: Fence,
    /// The base has it: what is live of one that only a pull request has is not shown, or whoever writes the pull request
    /// could read what he names.
    pub in_base: bool,
    /// Somebody said that it may take over what is there.
    pub adopts: bool,
    /// What the stage's Kustomization of Flux does to what was rendered, once that was read.
    pub transforms: tokio::sync::OnceCell<Option<Transforms>>,
}

impl Asking<'_> {
    /// Under which name the application's objects are applied: the very one, so that a prediction is what will happen.
    pub fn manager(&self) -> String {
        match &self.target.stage.reconcile {
            Reconciler::Windlass => self.key.field_manager(),
            // Their controllers' own names: argo-cd common/common.go, and kustomize-controller's default.
            Reconciler::ArgoCd(_) => "argocd-controller".into(),
            Reconciler::Flux(_) => "kustomize-controller".into(),
        }
    }

    /// Whether windlass applies, or only looks.
    pub fn applies(&self) -> bool {
        self.target.stage.reconcile == Reconciler::Windlass
    }

    /// What Flux does to what was rendered; None where it is not Flux that applies, or its object is not there.
    pub async fn transforms(&self) -> Asked<Option<&Transforms>> {
        let Some((key, version)) = self
            .target
            .stage
            .reconcile
            .object()
            .filter(|_| matches!(self.target.stage.reconcile, Reconciler::Flux(_)))
        else {
            return Ok(None);
        };
        let read = async || {
            Ok::<_, cluster::Error>(
                self.cluster
                    .live(&key, version)
                    .await?
                    .map(|object| Transforms::of(&object)),
            )
        };
        Ok(self.transforms.get_or_try_init(read).await?.as_ref())
    }

    /// Whether it is just the stage's own reconciler that keeps an object.
    fn is_kept_by_its_own(&self, keeper: &Keeper) -> bool {
        match (&self.target.stage.reconcile, keeper) {
            (
                Reconciler::ArgoCd(own),
                Keeper::ArgoCd {
                    application,
                    namespace,
                },
            ) => {
                *application == own.name
                    && namespace
                        .as_ref()
                        .is_none_or(|namespace| *namespace == own.namespace)
            }
            (
                Reconciler::Flux(own),
                Keeper::Flux {
                    kind: "Kustomization",
                    name,
                    namespace,
                },
            ) => *name == own.name && *namespace == own.namespace,
            _ => false,
        }
    }
}

/// What a sync would make of one object.
#[derive(Debug, Clone)]
pub struct Predicted {
    pub manifest: Manifest,
    pub live: Option<Value>,
    pub after: Side,
    pub notes: Notes,
    pub write: Write,
}

/// What a sync sends.
#[derive(Debug, Clone, Default)]
pub struct Write {
    pub payload: Value,
    /// Takes fields from others; the payload then names the live object's resourceVersion.
    pub force: bool,
    /// Who owns which field, to be set first.
    pub managed_fields: Option<Value>,
    /// Deleted first.
    pub recreate: bool,
    /// Without its pods, which the new one takes over.
    pub alone: bool,
}

/// An application's manifests with their namespaces settled.
#[derive(Debug, Default)]
pub struct Settled {
    pub manifests: Vec<Manifest>,
    /// Those that are not the application's to have, each with the reason. Nothing is asked about them.
    pub outside: Vec<Outside>,
}

#[derive(Debug)]
pub struct Outside {
    pub manifest: Manifest,
    pub why: String,
}

/// What is outside, as a plan tells it.
pub fn refusals<'a>(outside: impl IntoIterator<Item = &'a Outside>) -> Vec<Comparison> {
    let refusal = |one: &Outside| {
        Comparison::new(
            one.manifest.key.clone(),
            Side::Absent,
            Side::Refused(one.why.clone()),
        )
    };
    outside.into_iter().map(refusal).collect()
}

/// Settles namespaces by discovery, keeps out what lies outside the fence, and marks the rest as the application's.
pub async fn settle(asking: &Asking<'_>, manifests: &[Manifest]) -> Result<Settled> {
    let mut settled = Settled::default();
    for manifest in manifests {
        let mut manifest = manifest.clone();
        let kind = asking
            .cluster
            .kind(&manifest.key.group, &manifest.version, &manifest.key.kind)
            .await?;
        let namespaced = kind.map_or_else(
            || scope_of(manifests, &manifest.key),
            |(_, namespaced)| namespaced,
        );
        manifest.normalise(namespaced, &asking.target.destination.namespace);
        if let Err(why) = asking.fence.judge(&manifest) {
            settled.outside.push(Outside {
                manifest,
                why: why.to_string(),
            });
            continue;
        }
        if asking.applies() {
            contracts::default_labels(&manifest.key, &mut manifest.value);
            manifest.label(asking.key, asking.owner);
        }
        if let Some(transforms) = asking.transforms().await? {
            transforms.fill(&mut manifest.value);
        }
        string_data(&mut manifest);
        contracts::leave(&manifest.key, &mut manifest.value);
        settled.manifests.push(manifest);
    }
    Ok(settled)
}

/// A digest of what would be applied.
pub fn fingerprint(manifest: &Manifest) -> String {
    let mut hash = Sha256::new();
    hash.update(&manifest.version);
    hash.update(canonical_json(&manifest.value));
    hex::encode(&hash.finalize()[..8])
}

/// Whether an object was applied from just this manifest and nobody has changed it since: then there is nothing to ask.
pub fn is_as_left(entry: Option<&InventoryEntry>, fingerprint: &str, seen: &cluster::Seen) -> bool {
    entry.is_some_and(|entry| entry.applied.as_deref() == Some(fingerprint))
        && is_untouched(entry, seen)
}

/// Whether nobody has changed an object since we left it, whatever became of its manifest.
pub fn is_untouched(entry: Option<&InventoryEntry>, seen: &cluster::Seen) -> bool {
    entry.is_some_and(|entry| {
        entry.left.as_deref() == Some(&seen.signal) && entry.uid.as_deref() == Some(&seen.uid)
    })
}

/// What the index knows of a live object of ours, in the place of the object.
pub fn stub(manifest: &Manifest, seen: &cluster::Seen) -> Value {
    let labels = serde_json::json!({OWNER_LABEL: seen.owner});
    serde_json::json!({"apiVersion": manifest.api_version(), "kind": manifest.key.kind, "metadata": {"uid": seen.uid, "labels": labels}})
}

/// The live objects of keys, by key: by one list where many are of one kind.
pub async fn read(
    asking: &Asking<'_>,
    keys: &[(ResourceKey, String)],
) -> Result<BTreeMap<ResourceKey, Value>> {
    if !asking.in_base {
        return Ok(BTreeMap::new());
    }
    let mut groups: BTreeMap<(&str, &str, &str, Option<&str>), Vec<&ResourceKey>> = BTreeMap::new();
    for (key, version) in keys {
        groups
            .entry((&key.group, version, &key.kind, key.namespace.as_deref()))
            .or_default()
            .push(key);
    }
    let reads = groups
        .into_iter()
        .map(async |((group, version, kind, namespace), keys)| {
            let mut found = BTreeMap::new();
            if keys.len() >= LIST_FROM {
                let listed = match asking
                    .cluster
                    .owned(group, version, kind, namespace, asking.owner)
                    .await
                {
                    Err(cluster::Error::Forbidden { .. }) => Vec::new(),
                    other => other?,
                };
                for object in listed {
                    let name = object["metadata"]["name"].as_str().unwrap_or_default();
                    if let Some(key) = keys.iter().find(|key| key.name == name) {
                        found.insert((*key).clone(), object);
                    }
                }
            }
            // What is not there with our label may be there without it.
            let missing: Vec<_> = keys
                .into_iter()
                .filter(|key| !found.contains_key(*key))
                .collect();
            let single = missing.into_iter().map(async |key| {
                match asking.cluster.live(key, version).await {
                    // Told by the dry-run of the same object.
                    Err(cluster::Error::Forbidden { .. }) => Ok((key.clone(), None)),
                    other => other.map(|live| (key.clone(), live)),
                }
            });
            let single: Vec<_> = futures::stream::iter(single.collect::<Vec<_>>())
                .buffered(AT_ONCE)
                .try_collect()
                .await?;
            found.extend(
                single
                    .into_iter()
                    .filter_map(|(key, live)| Some((key, live?))),
            );
            Ok::<_, cluster::Error>(found)
        });
    let found: Vec<_> = futures::stream::iter(reads.collect::<Vec<_>>())
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

/// What a sync would make of objects. `set`: all manifests of the application, since one may make another possible.
/// `applied`: each object as we applied it last, if we did. `again`: hooks that failed are to run once more.
pub async fn predict_all(
    asking: &Asking<'_>,
    wanted: Vec<(Manifest, Option<Value>)>,
    set: &[Manifest],
    applied: &BTreeMap<ResourceKey, Value>,
    again: bool,
) -> Result<Vec<Predicted>> {
    let asked = wanted.into_iter().map(|(manifest, live)| async move {
        // A hook that failed runs once more where somebody asks for a sync.
        let again = again
            && live
                .as_ref()
                .is_some_and(|live| health::assess(live).0 == health::Health::Degraded);
        predict_one(
            asking,
            &manifest,
            live,
            set,
            applied.get(&manifest.key),
            again,
        )
        .boxed()
        .await
    });
    Ok(futures::stream::iter(asked.collect::<Vec<_>>())
        .buffered(AT_ONCE)
        .try_collect()
        .await?)
}

/// What a sync would make of one object, with the server's warnings.
pub async fn predict_one(
    asking: &Asking<'_>,
    manifest: &Manifest,
    live: Option<Value>,
    set: &[Manifest],
    applied: Option<&Value>,
    again: bool,
) -> Asked<Predicted> {
    let (outcome, warnings) =
        with_warnings(predict(asking, manifest, live.clone(), set, applied, again)).await;
    let mut predicted = match outcome {
        // What windlass may not ask about is that object's trouble, not the others'.
        Err(cluster::Error::Forbidden { message, .. }) => {
            let why = format!("{message} ({NO_RIGHT})");
            Predicted {
                live,
                after: Side::Refused(why),
                notes: Notes::default(),
                write: Write::default(),
                manifest: manifest.clone(),
            }
        }
        other => other?,
    };
    predicted.notes.warnings.extend(warnings);
    Ok(predicted)
}

pub type Asked<T> = std::result::Result<T, cluster::Error>;

async fn predict(
    asking: &Asking<'_>,
    manifest: &Manifest,
    live: Option<Value>,
    set: &[Manifest],
    applied: Option<&Value>,
    again: bool,
) -> Asked<Predicted> {
    let mut predicted = Predicted {
        manifest: manifest.clone(),
        after: Side::Absent,
        notes: Notes::default(),
        write: Write {
            payload: manifest.value.clone(),
            ..Write::default()
        },
        live,
    };
    if !asking.in_base {
        predicted.after = as_if_new(asking, &mut predicted, set).await?;
        return Ok(predicted);
    }
    if let Some((why, to_adopt)) = refused_to_us(asking, manifest, predicted.live.as_ref()).await? {
        // Nor is it shown: whoever writes a pull request could read by it what belongs to others.
        predicted.notes.to_adopt = to_adopt;
        return Ok(Predicted {
            live: None,
            after: Side::Refused(why),
            ..predicted
        });
    }
    // On its way out: once it is gone it is created, which the index tells of.
    if let Some(live) = predicted
        .live
        .clone()
        .filter(|live| live["metadata"]["deletionTimestamp"].is_string())
    {
        return Ok(Predicted {
            after: Side::Object(live, Proof::Server),
            ..predicted
        });
    }
    if let Some(run) = hook::run(&manifest.value)
        && let Some(live) = &predicted.live
        && (hook::run(live) != Some(run) || again)
    {
        if !hook::may_replace(live, asking.owner) {
            return Ok(Predicted {
                live: None,
                after: Side::Refused(not_a_hook(&manifest.key)),
                ..predicted
            });
        }
        // It is to run once more: as a new object.
        predicted.write.recreate = true;
        predicted.notes.recreate = Some("a hook runs anew for each change".into());
        predicted.after = match asking
            .cluster
            .probe(&manifest.key, &manifest.version, &manifest.value)
            .await?
        {
            Err(refusal) => Side::Refused(Mask::scrub(&refusal.message, &manifest.value)),
            Ok(_) => Side::Object(manifest.value.clone(), Proof::Server),
        };
        return Ok(predicted);
    }
    ignore(asking, &mut predicted);
    leave_replicas(asking, &mut predicted, set, applied).await?;
    if !asking.applies() {
        as_the_reconciler_applies(asking, &mut predicted).await?;
    }
    let is_secret = manifest.key.is_core("Secret");
    let secret = is_secret && asking.applies();
    if is_secret {
        look_whole(asking, &mut predicted).await?;
        // Whether its data is just what Git has would be told by what the server says of it.
        let theirs = |live: &Value| {
            live["metadata"]["labels"][OWNER_LABEL] != asking.owner
                && !ownership::keeper(live).is_some_and(|keeper| asking.is_kept_by_its_own(&keeper))
        };
        if predicted
            .live
            .as_ref()
            .is_some_and(|live| theirs(live) && live["immutable"] == true)
        {
            return Ok(Predicted {
                live: None,
                after: Side::Refused(IMMUTABLE_SECRET.into()),
                ..predicted
            });
        }
    }
    let claims = match &predicted.live {
        Some(live) if secret => {
            ownership::claims_on_data(live, &predicted.write.payload, &asking.manager())
        }
        _ => Vec::new(),
    };
    // Other reconcilers take what they want.
    let how = How {
        dry_run: true,
        force: !asking.applies(),
    };
    let mut answer = match claims.is_empty() {
        true => ask(asking, manifest, &predicted.write.payload, how).await?,
        false => Applied::Conflicts(claims),
    };
    if let Applied::Conflicts(conflicts) = answer {
        look_whole(asking, &mut predicted).await?;
        let let_go = match &predicted.live {
            Some(live) => is_let_go(asking, live).await?,
            None => false,
        };
        answer = match decide(asking, &mut predicted, conflicts, applied, let_go) {
            Some(why) => Applied::Refused(Refusal {
                message: why,
                ..Refusal::default()
            }),
            None => {
                ask(
                    asking,
                    manifest,
                    &predicted.write.payload,
                    How {
                        dry_run: true,
                        force: predicted.write.force,
                    },
                )
                .await?
            }
        };
    }
    // The words are the API server's: apiextensions, converting a custom resource.
    if let Applied::Refused(refusal) = &answer
        && refusal.message.contains("to an invalid group/version")
        && let Some(after) = carried_over(asking, &mut predicted).await?
    {
        predicted.after = after;
        return Ok(predicted);
    }
    predicted.after = match answer {
        Applied::Object(object) => adopt(asking, &mut predicted, object).await?,
        Applied::NamespaceMissing => in_another_namespace(asking, &mut predicted, set).await?,
        Applied::KindMissing => by_its_definition(asking, &mut predicted, set).await?,
        Applied::Conflicts(conflicts) => Side::Refused(undecided(asking, &conflicts)),
        Applied::Refused(refusal) if refusal.no_dry_run => {
            without_dry_run(asking, &mut predicted, &refusal).await?
        }
        Applied::Refused(refusal) => refused(asking, &mut predicted, set, refusal).await?,
    };
    if let Side::Object(after, proof) = &mut predicted.after {
        match &predicted.live {
            None => plan::without_allocated(after, &manifest.value),
            Some(live) if plan::without_newly_allotted(after, &manifest.value, live) => {
                predicted.notes.allotted = true;
            }
            Some(_) => {}
        }
        if let Some(who) = contracts::applies_more(&manifest.key) {
            *proof = (*proof).max(Proof::Simulated);
            predicted.notes.unverified = Some(format!("what {who} makes of it is not known here"));
        }
    }
    if let Some(live) = &predicted.live
        && let Side::Object(after, _) = &predicted.after
    {
        if let Err(why) = asking
            .fence
            .judge_effect(&predicted.manifest.key, live, after)
        {
            return Ok(Predicted {
                after: Side::Refused(why.to_string()),
                ..predicted
            });
        }
        let mut others = ownership::changed_by_others(live, after);
        if !asking.applies() {
            others.remove(&asking.manager());
        }
        predicted.notes.reverted = fields(others, &predicted.manifest);
    }
    Ok(predicted)
}

/// An object of an application that only a pull request has: what the server would make of it if nothing of its name were
/// there. Whether something is, is not told.
async fn as_if_new(
    asking: &Asking<'_>,
    predicted: &mut Predicted,
    set: &[Manifest],
) -> Asked<Side> {
    let manifest = predicted.manifest.clone();
    if asking
        .cluster
        .kind(&manifest.key.group, &manifest.version, &manifest.key.kind)
        .await?
        .is_none()
    {
        return by_its_definition(asking, predicted, set).await;
    }
    let comes_with_it = |namespace: &String| {
        set.iter()
            .any(|other| other.key.kind == "Namespace" && other.key.name == *namespace)
    };
    if manifest.key.namespace.as_ref().is_some_and(comes_with_it) {
        return in_another_namespace(asking, predicted, set).await;
    }
    Ok(
        match asking
            .cluster
            .probe(&manifest.key, &manifest.version, &manifest.value)
            .await?
        {
            Ok(mut object) => {
                plan::without_allocated(&mut object, &manifest.value);
                Side::Object(object, Proof::Server)
            }
            Err(refusal) if refusal.invalid => {
                Side::Refused(Mask::scrub(&refusal.message, &manifest.value))
            }
            Err(refusal) if refusal.no_namespace => {
                in_another_namespace(asking, predicted, set).await?
            }
            Err(_) => {
                predicted.notes.unverified = Some(
                    "it is not known what the cluster makes of it until the application is merged"
                        .into(),
                );
                Side::Object(manifest.value.clone(), Proof::Static)
            }
        },
    )
}

/// Whose fields they are is in the whole object, not in what the index keeps of it.
pub async fn look_whole(asking: &Asking<'_>, predicted: &mut Predicted) -> Asked<()> {
    if predicted
        .live
        .as_ref()
        .is_some_and(|live| live["metadata"]["resourceVersion"].is_null())
    {
        predicted.live = asking
            .cluster
            .live(&predicted.manifest.key, &predicted.manifest.version)
            .await?;
    }
    Ok(())
}

/// A hook is created anew for each run: it must not take away what is none.
pub fn not_a_hook(key: &ResourceKey) -> String {
    format!("{key} exists already and is no hook of this application: give the hook another name")
}

pub async fn ask(
    asking: &Asking<'_>,
    manifest: &Manifest,
    payload: &Value,
    how: How,
) -> Asked<Applied> {
    let manager = asking.manager();
    let answer = asking
        .cluster
        .apply(&manifest.key, &manifest.version, payload, &manager, how)
        .await?;
    Ok(match answer {
        Applied::Refused(refusal) => Applied::Refused(Refusal {
            message: Mask::scrub(&refusal.message, &manifest.value),
            ..refusal
        }),
        other => other,
    })
}

/// Why an object is not the application's to touch, or to be shown; and whether somebody's word changes that.
async fn refused_to_us(
    asking: &Asking<'_>,
    manifest: &Manifest,
    live: Option<&Value>,
) -> Asked<Option<(String, bool)>> {
    let (key, own) = (&manifest.key, &asking.target.destination.namespace);
    let Some(live) = live else { return Ok(None) };
    let label = &live["metadata"]["labels"][OWNER_LABEL];
    let keeper = ownership::keeper(live);
    if label == asking.owner
        || keeper
            .as_ref()
            .is_some_and(|keeper| asking.is_kept_by_its_own(keeper))
    {
        return Ok(None);
    }
    let inside =
        key.namespace.as_ref() == Some(own) || (key.kind == "Namespace" && key.name == *own);
    if !inside && label.is_string() {
        let owner = asking.owner;
        return Ok(Some((
            format!(
                "{key} is an object of another application: label it `{OWNER_LABEL}={owner}` to hand it over"
            ),
            false,
        )));
    }
    let Some(keeper) = keeper else {
        return Ok(None);
    };
    Ok(match asking.cluster.keeps(&keeper).await? {
        Keeps::NoMore => None,
        Keeps::Unknown if asking.adopts => None,
        Keeps::Still => Some((
            format!(
                "{key} is kept by {keeper}: have that let go of it first, or the two would undo each other's work"
            ),
            false,
        )),
        Keeps::Unknown => {
            let title = asking.key.title();
            let why = "and whether that is still there cannot be seen from here";
            Some((
                format!(
                    "{key} is marked as kept by {keeper}, {why}: once it is gone, `windlass adopt {title}` takes over what it left"
                ),
                true,
            ))
        }
    })
}

/// Whether Helm, Argo CD or Flux made the object and does not come back to it.
async fn is_let_go(asking: &Asking<'_>, live: &Value) -> Asked<bool> {
    if !ownership::was_reconciled(live) {
        return Ok(false);
    }
    Ok(match ownership::keeper(live) {
        None => true,
        Some(keeper) => match asking.cluster.keeps(&keeper).await? {
            Keeps::NoMore => true,
            Keeps::Still => false,
            // What is ours by now, or is being taken over, somebody has decided.
            Keeps::Unknown => {
                asking.adopts || live["metadata"]["labels"][OWNER_LABEL] == asking.owner
            }
        },
    })
}

/// Leaves out what rules leave to others, once others hold it.
fn ignore(asking: &Asking<'_>, predicted: &mut Predicted) {
    let key = &predicted.manifest.key;
    let Some(live) = &predicted.live else { return };
    let ignored = asking.target.fields.ignored(&key.kind, &key.name);
    if ignored.is_empty() {
        return;
    }
    let entries = ownership::entries(live);
    for path in ignored {
        let held = entries
            .iter()
            .any(|entry| entry.writer() != Writer::Windlass && entry.fields.touches(&path));
        if held && fieldset::remove(&mut predicted.write.payload, &path) {
            predicted.notes.ignored.push(path.to_string());
        }
    }
}

/// Settles conflicts in what is to be sent; why that cannot be done.
fn decide(
    asking: &Asking<'_>,
    predicted: &mut Predicted,
    conflicts: Vec<Conflict>,
    applied: Option<&Value>,
    let_go: bool,
) -> Option<String> {
    let key = &predicted.manifest.key;
    let resolution = ownership::resolve(
        conflicts,
        &key.kind,
        &key.name,
        applied,
        &asking.target.fields,
        let_go,
    );
    if !resolution.undecided.is_empty() {
        predicted.notes.undecided = grouped(resolution.undecided.iter());
        return Some(undecided(asking, &resolution.undecided));
    }
    for conflict in &resolution.release {
        fieldset::remove(&mut predicted.write.payload, &conflict.field);
    }
    // A leftover is taken over as a whole, which is told as that.
    let told = |conflict: &&Conflict| {
        !matches!(
            conflict.writer(),
            Writer::Leftover | Writer::Windlass | Writer::Reconciler
        )
    };
    predicted.notes.taken = grouped(resolution.take.iter().filter(told));
    predicted
        .notes
        .released
        .extend(grouped(resolution.release.iter()));
    if !resolution.take.is_empty() {
        predicted.write.force = true;
        // Forced only upon what was looked at.
        if let Some(version) = predicted
            .live
            .as_ref()
            .map(|live| live["metadata"]["resourceVersion"].clone())
        {
            predicted.write.payload["metadata"]["resourceVersion"] = version;
        }
    }
    None
}

fn undecided(asking: &Asking<'_>, conflicts: &[Conflict]) -> String {
    let fields: Vec<_> = conflicts.iter().map(Conflict::to_string).collect();
    let rule = format!("{{ path: '{}' }}", conflicts[0].field);
    format!(
        "others hold fields that Git has another value for: {}. Decide it in windlass.yaml, at the application {}: `take: [{rule}]` (or `/take` here) sets them as Git has them, `ignore: [{rule}]` leaves them",
        fields.join(", "),
        asking.key.application
    )
}

fn grouped<'a>(conflicts: impl Iterator<Item = &'a Conflict>) -> Fields {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for conflict in conflicts {
        found
            .entry(conflict.manager.clone())
            .or_default()
            .push(conflict.field.to_string());
    }
    found.into_iter().collect()
}

/// Paths as text, less those of secret data and of our own marks.
pub fn fields(found: BTreeMap<String, Vec<FieldPath>>, manifest: &Manifest) -> Fields {
    let shown = |path: &FieldPath| {
        manifest.key.kind != "Secret"
            || !(path.starts_with(&["data"]) || path.starts_with(&["stringData"]))
    };
    let mut fields = Vec::new();
    for (manager, paths) in found {
        let hidden = paths.iter().any(|path| !shown(path));
        let mut texts: Vec<_> = paths
            .iter()
            .filter(|path| shown(path))
            .map(FieldPath::to_string)
            .collect();
        if hidden {
            texts.push(".data".into());
        }
        fields.push((manager, texts));
    }
    fields
}

/// Takes over what tools that do not come back left in the object, and what people added to our lists by hand: what
/// Git does not have of it goes.
async fn adopt(asking: &Asking<'_>, predicted: &mut Predicted, object: Value) -> Asked<Side> {
    let as_it_is = |object| Ok(Side::Object(object, Proof::Server));
    let Some(live) = predicted.live.clone() else {
        return as_it_is(object);
    };
    let (manager, live) = (asking.manager(), &live);
    let left = match asking.applies() {
        true => ownership::leftovers(live, &manager, is_let_go(asking, live).await?),
        false => ownership::updated_by(live, &manager),
    };
    let Some(left) = left else {
        return as_it_is(object);
    };
    let mut others = crate::domain::fieldset::FieldSet::default();
    for entry in ownership::entries(&object) {
        if !left.managers.contains(&entry.manager) || entry.manager == manager && entry.applies {
            others = others.union(&entry.fields.difference(&left.added));
        }
    }
    if asking.applies() {
        predicted.write.managed_fields = Some(ownership::adopted(live, &left, &manager));
        predicted.notes.adopted = left.managers.clone();
    }
    let gone = left.fields.union(&left.added).without_shared(&others);
    if gone.is_empty() {
        return Ok(Side::Object(object, Proof::Server));
    }
    let mut without = object;
    gone.remove_from(&mut without);
    // The server fills in what is left out by that, as it will.
    as_an_update(
        asking,
        predicted,
        live,
        &without,
        [Proof::Server, Proof::Simulated],
    )
    .await
}

/// Who owns what is recorded under an API version that is served no more: the API server takes no server-side apply until
/// that is mended, which the sync does first. What then comes out is worked out, and checked by the server as an update.
async fn carried_over(asking: &Asking<'_>, predicted: &mut Predicted) -> Asked<Option<Side>> {
    let manifest = &predicted.manifest;
    let Some(live) = asking
        .cluster
        .live(&manifest.key, &manifest.version)
        .await?
    else {
        return Ok(None);
    };
    let mut gone = BTreeSet::new();
    for recorded in ownership::recorded_versions(&live) {
        let version = recorded.rsplit('/').next().unwrap_or_default();
        if !asking
            .cluster
            .serves(&manifest.key.group, version, &manifest.key.kind)
            .await?
        {
            gone.insert(recorded);
        }
    }
    if gone.is_empty() || !asking.applies() {
        return Ok(None);
    }
    let manager = asking.manager();
    let mut object = ownership::without_dropped(&live, &predicted.write.payload, &manager);
    overlay(&mut object, &predicted.write.payload);
    let names: Vec<_> = gone.iter().map(String::as_str).collect();
    predicted.notes.unverified = Some(format!(
        "who owns what is recorded under {}, which is served no more: it is carried over first",
        names.join(", ")
    ));
    predicted.write.managed_fields = Some(ownership::carried_over(&live, &gone));
    let side = as_an_update(
        asking,
        predicted,
        &live,
        &object,
        [Proof::Simulated, Proof::Static],
    )
    .await?;
    predicted.live = Some(live);
    Ok(Some(side))
}

/// The merge patch (RFC 7386) that makes one value the other.
fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let mut patch = serde_json::Map::new();
    for (key, value) in to {
        match from.get(key) {
            Some(before) if before == value => {}
            Some(before) => {
                patch.insert(key.clone(), merge_patch(before, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

/// The namespace does not exist yet: asked under another name where there is one, so that at least what is wrong with
/// the object itself is found.
async fn in_another_namespace(
    asking: &Asking<'_>,
    predicted: &mut Predicted,
    set: &[Manifest],
) -> Asked<Side> {
    let manifest = &predicted.manifest;
    let namespace = manifest.key.namespace.clone().unwrap_or_default();
    if !set
        .iter()
        .any(|other| other.key.kind == "Namespace" && other.key.name == namespace)
    {
        return Ok(Side::Refused(format!(
            "namespace `{namespace}` does not exist: create it, or add it to the application's manifests"
        )));
    }
    let mut elsewhere = manifest.clone();
    elsewhere.key.namespace = Some("default".into());
    elsewhere.value["metadata"]["namespace"] = "default".into();
    let after = match asking
        .cluster
        .probe(&elsewhere.key, &manifest.version, &elsewhere.value)
        .await?
    {
        Err(refusal) if refusal.invalid => {
            return Ok(Side::Refused(Mask::scrub(
                &refusal.message,
                &manifest.value,
            )));
        }
        Ok(mut object) => {
            object["metadata"]["namespace"] = namespace.clone().into();
            object
        }
        Err(_) => manifest.value.clone(),
    };
    predicted.notes.unverified = Some(format!(
        "its namespace `{namespace}` comes with this change: quotas, limits and security labels there are not known yet"
    ));
    Ok(Side::Object(after, Proof::Simulated))
}

/// The kind comes with the change: its own definition says what is valid.
async fn by_its_definition(
    asking: &Asking<'_>,
    predicted: &mut Predicted,
    set: &[Manifest],
) -> Asked<Side> {
    let manifest = &predicted.manifest;
    let Some(definition) = definition(set, &manifest.key) else {
        let (kind, version) = (&manifest.key.kind, manifest.api_version());
        return Ok(Side::Refused(
            match asking.cluster.served_as(&manifest.key.group, kind).await? {
                Some(served) => format!(
                    "the cluster does not serve {kind} as {version}: it is served as {served}"
                ),
                None => format!(
                    "the cluster serves no {kind} of {version}: install its CustomResourceDefinition first"
                ),
            },
        ));
    };
    // The server says nothing of the object yet: that it may not be applied either would be news of the sync.
    let plural = definition.value["spec"]["names"]["plural"]
        .as_str()
        .unwrap_or_default();
    if asking.applies()
        && !asking
            .syncing
            .may_apply(
                &manifest.key.group,
                plural,
                manifest.key.namespace.as_deref(),
            )
            .await?
    {
        let group = &manifest.key.group;
        return Ok(Side::Refused(format!(
            "windlass may not apply {plural}.{group} ({NO_RIGHT})"
        )));
    }
    Ok(match checked(asking, definition, manifest, None).await {
        Ok(value) => {
            predicted.notes.unverified = Some(
                "its kind comes with this change: checked against the definition there".into(),
            );
            Side::Object(value, Proof::Simulated)
        }
        Err(why) => Side::Refused(Mask::scrub(&why, &manifest.value)),
    })
}

/// By the definition's schema, and by its validation rules, which may be written to take for ever: a jailed child
/// evaluates them.
async fn checked(
    asking: &Asking<'_>,
    definition: &Manifest,
    manifest: &Manifest,
    live: Option<&Value>,
) -> std::result::Result<Value, String> {
    let value =
        schema::check(&definition.value, manifest).map_err(|problems| schema::listed(&problems))?;
    if let Some(schema) = schema::ruled(&definition.value, manifest) {
        asking.renderer.broken_rules(schema, &value, live).await?;
    }
    Ok(value)
}

/// A webhook has no way to be asked without effect: what Git says is laid over what is live.
async fn without_dry_run(
    asking: &Asking<'_>,
    predicted: &mut Predicted,
    refusal: &Refusal,
) -> Asked<Side> {
    look_whole(asking, predicted).await?;
    let mut object = match &predicted.live {
        Some(live) => ownership::without_dropped(live, &predicted.write.payload, &asking.manager()),
        None => Value::Null,
    };
    overlay(&mut object, &predicted.write.payload);
    predicted.notes.unverified = Some(format!(
        "a webhook does not support dry-run (give it `sideEffects: None`): {}",
        refusal.message
    ));
    Ok(Side::Object(object, Proof::Static))
}

/// Maps are merged; so are lists whose items are told apart by the fields that the API server knows them by. Other values
/// are replaced.
fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(base), Value::Array(over))
            if are_told_apart(base) && are_told_apart(over) =>
        {
            for item in over {
                match base
                    .iter_mut()
                    .find(|known| name_in_list(known) == name_in_list(item))
                {
                    Some(known) => overlay(known, item),
                    None => base.push(item.clone()),
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn are_told_apart(items: &[Value]) -> bool {
    let names: BTreeSet<_> = items.iter().map(name_in_list).collect();
    names.len() == items.len() && !names.contains(&None)
}

/// By what an item of a list is known, in the kinds that come with Kubernetes (`x-kubernetes-list-map-keys`).
fn name_in_list(item: &Value) -> Option<String> {
    let protocol = item["protocol"].as_str().unwrap_or("TCP");
    let number = |field: &str| {
        item[field]
            .as_i64()
            .map(|port| format!("{field} {port} {protocol}"))
    };
    let text = |field: &str| item[field].as_str().map(|text| format!("{field} {text}"));
    text("mountPath")
        .or_else(|| text("devicePath"))
        .or_else(|| number("containerPort"))
        .or_else(|| number("port"))
        .or_else(|| text("name"))
}

/// The server would not have the object: because of what it is, or because of what is there.
async fn refused(
    asking: &Asking<'_>,
    predicted: &mut Predicted,
    set: &[Manifest],
    refusal: Refusal,
) -> Asked<Side> {
    let manifest = predicted.manifest.clone();
    // The definition changes with the object: the new one counts. A field that the old one lacks is a fault of the request
    // to server-side apply (structured-merge-diff), not of the object.
    if (refusal.invalid || refusal.message.contains("not declared in schema"))
        && let Some(definition) = definition(set, &manifest.key)
        && !manifest.key.group.is_empty()
        && changes(asking, definition).await?
        && let Ok(value) = checked(asking, definition, &manifest, predicted.live.as_ref()).await
    {
        predicted.notes.unverified =
            Some("its definition changes with it: checked against the new one".into());
        return Ok(Side::Object(value, Proof::Simulated));
    }
    let message = refusal.message;
    // One text whatever was guessed of a Secret that this application has not made.
    let is_secret = manifest.key.is_core("Secret");
    if is_secret
        && predicted
            .live
            .as_ref()
            .is_some_and(|live| live["metadata"]["labels"][OWNER_LABEL] != asking.owner)
    {
        return Ok(Side::Refused(SECRET_OF_OTHERS.into()));
    }
    if refusal.no_right {
        return Ok(Side::Refused(format!("{message} ({NO_RIGHT})")));
    }
    if !refusal.invalid || predicted.live.is_none() {
        return Ok(Side::Refused(message));
    }
    // Only what could be created under another name is kept back by what is there.
    let Ok(mut after) = asking
        .cluster
        .probe(&manifest.key, &manifest.version, &manifest.value)
        .await?
    else {
        return Ok(Side::Refused(message));
    };
    if let Some(side) = without_outdated_defaults(asking, predicted, &after).await? {
        return Ok(side);
    }
    plan::without_allocated(&mut after, &manifest.value);
    recreated(asking, predicted, message, after).await
}

/// Defaults of the server stay where Git has chosen what rules them out (a Deployment's `rollingUpdate` beside `Recreate`:
/// kubernetes/kubernetes#24198), since an apply takes out only what its manager owns. The sync makes them ours first.
/// None: there are none, or without them the object is refused too. `fresh`: the object as it would be created.
async fn without_outdated_defaults(
    asking: &Asking<'_>,
    predicted: &mut Predicted,
    fresh: &Value,
) -> Asked<Option<Side>> {
    look_whole(asking, predicted).await?;
    let Some(live) = predicted.live.clone().filter(|_| asking.applies()) else {
        return Ok(None);
    };
    let manager = asking.manager();
    // What tools that do not come back left is taken over with it, as in any other apply.
    let mut taken_over =
        ownership::leftovers(&live, &manager, is_let_go(asking, &live).await?).unwrap_or_default();
    let outdated = ownership::outdated_defaults(&live, fresh, &taken_over.managers);
    if outdated.is_empty() {
        return Ok(None);
    }
    taken_over.fields = taken_over.fields.union(&outdated);
    let mut object = ownership::without_dropped(&live, &predicted.write.payload, &manager);
    taken_over
        .fields
        .union(&taken_over.added)
        .without_shared(&ownership::of_others(&live, &manager, &taken_over))
        .remove_from(&mut object);
    overlay(&mut object, &predicted.write.payload);
    let side = as_an_update(
        asking,
        predicted,
        &live,
        &object,
        [Proof::Simulated, Proof::Static],
    )
    .await?;
    if matches!(side, Side::Refused(_)) {
        return Ok(None);
    }
    let names: Vec<_> = outdated.leaves().iter().map(ToString::to_string).collect();
    predicted.notes.unverified = Some(format!(
        "the server's default of before is taken out first: {}",
        names.join(", ")
    ));
    predicted.notes.adopted = taken_over.managers.clone();
    predicted.write.managed_fields = Some(ownership::adopted(&live, &taken_over, &manager));
    Ok(Some(side))
}

/// What comes out was worked out here; the server checks it as an update. How well it is known then, and where the server
/// does not say.
async fn as_an_update(
    asking: &Asking<'_>,
    predicted: &Predicted,
    live: &Value,
    object: &Value,
    known: [Proof; 2],
) -> Asked<Side> {
    let bare = |value: &Value| {
        let mut value = value.clone();
        value["metadata"]
            .as_object_mut()
            .map(|metadata| metadata.remove("managedFields"));
        value
    };
    let (manifest, patch) = (&predicted.manifest, merge_patch(&bare(live), &bare(object)));
    Ok(
        match asking
            .cluster
            .dry_run_merge(&manifest.key, &manifest.version, &patch, &asking.manager())
            .await?
        {
            Applied::Object(object) => Side::Object(object, known[0]),
            Applied::Refused(refusal) => {
                Side::Refused(Mask::scrub(&refusal.message, &manifest.value))
            }
            _ => Side::Object(object.clone(), known[1]),
        },
    )
}

/// Whether one object is what another cannot be without: its namespace, or the definition of its kind.
pub fn makes_possible(one: &Manifest, other: &ResourceKey) -> bool {
    let namespace = one.key.is_core("Namespace") && other.namespace.as_ref() == Some(&one.key.name);
    namespace || definition(std::slice::from_ref(one), other).is_some()
}

/// The definition of a kind among the manifests.
fn definition<'a>(manifests: &'a [Manifest], key: &ResourceKey) -> Option<&'a Manifest> {
    manifests.iter().find(|manifest| {
        let spec = &manifest.value["spec"];
        manifest.key.kind == "CustomResourceDefinition"
            && spec["group"] == key.group.as_str()
            && spec["names"]["kind"] == key.kind.as_str()
    })
}

fn scope_of(manifests: &[Manifest], key: &ResourceKey) -> bool {
    definition(manifests, key)
        .is_none_or(|definition| definition.value["spec"]["scope"] != "Cluster")
}

pub fn side(live: Option<Value>) -> Side {
    live.map_or(Side::Absent, |value| Side::Object(value, Proof::Server))
}

/// A Secret's `stringData` as the server stores it: write-only text would hide what changes.
pub fn string_data(manifest: &mut Manifest) {
    if !manifest.key.is_core("Secret") {
        return;
    }
    let Some(Value::Object(text)) = manifest
        .value
        .as_object_mut()
        .and_then(|object| object.remove("stringData"))
    else {
        return;
    };
    if !manifest.value["data"].is_object() {
        manifest.value["data"] = Value::Object(Default::default());
    }
    for (key, value) in text {
        if let Some(value) = value.as_str() {
            manifest.value["data"][key] = base64::engine::general_purpose::STANDARD
                .encode(value)
                .into();
        }
    }
}
