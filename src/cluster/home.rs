//! Our own objects: `Application` and `Promotion`, in windlass's namespace of
//! the cluster that it runs in. Tenants cannot edit what we prune by.
//!
//! Every write is a compare-and-set on the resourceVersion that was read.

#![expect(
    clippy::duplicated_attributes,
    reason = "each printed column has a type, and most have the same"
)]

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, CustomResource, CustomResourceExt as _, Resource, ResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::{DEADLINE, Error, Moved, Result, call, refused};
use crate::domain::health::{Health, SyncState};
use crate::domain::image::{Candidate, ImageRef, same_image};
use crate::domain::manifest::ResourceKey;
use crate::domain::promotion::Decision;
use crate::domain::pull_request::{FailedSync, Stand};
use crate::domain::{ApplicationKey, CommitSha, Invalid, Name, RepoName};

/// An application in a stage, as windlass keeps it synced.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "windlass.dev",
    version = "v1alpha1",
    kind = "Application",
    namespaced,
    status = "ApplicationStatus",
    derive = "PartialEq",
    category = "windlass",
    printcolumn(
        name = "Synced",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Synced")].status"#
    ),
    printcolumn(name = "Health", type_ = "string", json_path = ".status.health"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.revision"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationSpec {
    /// The config repository, `owner/name`.
    pub repository: RepoName,
    /// Its number on GitHub, which survives renames: part of what marks our objects.
    #[serde(default)]
    pub repository_id: i64,
    pub application: Name,
    pub stage: Name,
    /// The directory in the config repository.
    pub path: String,
    /// The destination cluster, as the server's settings name it.
    pub cluster: String,
    /// The destination namespace.
    pub namespace: String,
}

/// What windlass has seen and done.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The newest commit of the tracked branch that changed this application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<CommitSha>,
    /// The newest revision that was synced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced_revision: Option<CommitSha>,
    /// Earlier revisions that were passed over or replaced by that one, newest last; the last few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<CommitSha>,
    /// Digest of all files that rendering that revision reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    pub sync: SyncState,
    pub health: Health,
    /// Why it is not synced or not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The same as a word that conditions have and alerts match: docs/reference.md lists them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Nothing is applied until somebody changes something: the message says what.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
    /// The last wish for a sync that was followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_request: Option<String>,
    /// Names the deletions that wait for a confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Those deletions; the first of many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_confirm: Vec<String>,
    /// Deletions that somebody confirmed, or approved with the change, and that are not all done yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirmed: Vec<String>,
    /// A pause that somebody asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// The uid of the namespace `kube-system` in the destination: another one behind the same address is another cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_uid: Option<String>,
    /// Hooks that came out well for the revision's inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookRun>,
    /// What the hooks of the first sync ran for, as long as nothing else was synced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sync: Option<LastSync>,
    /// Since when the revision's sync waits for something of the cluster, with what: what waits too long has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Revisions whose sync failed, each with the first reason; the last ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailedSync>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fight: Option<Fight>,
    /// Custom kinds for which no rule says when they are healthy, as `Widget.example.com`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unruled: Vec<String>,
    /// What the revision's chart was told of the cluster: it is told the same until a commit or a wish for a sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<Served>,
    /// Objects that were there before windlass and are changed once somebody adopts them; the first of many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adoption: Vec<String>,
    /// Digests of images of which running pods were seen to run just them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proven: Vec<String>,
    /// Why it is not proven that what runs is what was announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<String>,
    /// The images that the revision runs, of those that windlass may be told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageRef>,
    /// Every object that is owned: grown before the first write, shrunk after the object is seen gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inventory: Vec<InventoryEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl ApplicationStatus {
    /// Synced to what Git has, healthy, and proven to run it: what later stages wait for.
    pub fn stands(&self) -> bool {
        self.sync == SyncState::Synced && self.health == Health::Healthy && self.unproven.is_none()
    }
}

impl Default for ApplicationStatus {
    fn default() -> Self {
        Self {
            observed_generation: None,
            revision: None,
            synced_revision: None,
            superseded: Vec::new(),
            inputs: None,
            sync: SyncState::Unknown,
            health: Health::Unknown,
            message: None,
            reason: None,
            blocked: false,
            sync_request: None,
            confirm: None,
            to_confirm: Vec::new(),
            confirmed: Vec::new(),
            pause: None,
            cluster_uid: None,
            hooks: Vec::new(),
            first_run: None,
            waiting: None,
            fight: None,
            unruled: Vec::new(),
            served: None,
            failures: Vec::new(),
            adoption: Vec::new(),
            last_sync: None,
            proven: Vec::new(),
            unproven: None,
            images: Vec::new(),
            inventory: Vec::new(),
            conditions: Vec::new(),
        }
    }
}

/// No sync until a time.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The annotation's value that asked for it.
    pub asked: String,
    #[schemars(with = "String")]
    pub until: Timestamp,
}

/// An owned object. In the `Application` it is one line of text, `apps/v1 Deployment shop/web uid=… applied=… left=…`:
/// of thousands of objects the API server would otherwise check every field at each report.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(into = "String", try_from = "String")]
pub struct InventoryEntry {
    pub key: ResourceKey,
    /// The API version it was last applied by, without the group.
    pub version: String,
    /// None until it was applied.
    pub uid: Option<String>,
    /// A digest of the manifest that it was last applied from.
    pub applied: Option<String>,
    /// How the object was left: changes when somebody changes what we applied.
    pub left: Option<String>,
    /// It is run and not kept: it goes without anybody's word once Git has it no more.
    pub hook: bool,
}

impl From<InventoryEntry> for String {
    fn from(entry: InventoryEntry) -> Self {
        let InventoryEntry {
            key,
            version,
            uid,
            applied,
            left,
            hook,
        } = entry;
        let group = if key.group.is_empty() {
            String::new()
        } else {
            key.group + "/"
        };
        let namespace = key
            .namespace
            .map(|namespace| namespace + "/")
            .unwrap_or_default();
        // Names of roles may hold spaces, and none holds a `%` (apimachinery, IsValidPathSegmentName). What the server
        // refuses is listed as well.
        let word = |text: String| text.replace(char::is_whitespace, "%20");
        let mut line = format!(
            "{} {} {}",
            word(group + &version),
            word(key.kind),
            word(namespace + &key.name)
        );
        for (name, value) in [("uid", uid), ("applied", applied), ("left", left)] {
            line.extend(value.map(|value| format!(" {name}={value}")));
        }
        if hook { line + " hook" } else { line }
    }
}

impl TryFrom<String> for InventoryEntry {
    type Error = Invalid;

    fn try_from(line: String) -> std::result::Result<Self, Invalid> {
        let mut words = line.split(' ');
        let mut word = || words.next().map(|word| word.replace("%20", " "));
        let (Some(api_version), Some(kind), Some(name)) = (word(), word(), word()) else {
            return Err(Invalid(format!("`{line}` is no entry of an inventory")));
        };
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let (namespace, name) = name
            .split_once('/')
            .map_or((None, name.as_str()), |(namespace, name)| {
                (Some(namespace.to_string()), name)
            });
        let key = ResourceKey {
            group: group.into(),
            kind,
            namespace,
            name: name.into(),
        };
        let mut entry = Self {
            key,
            version: version.into(),
            uid: None,
            applied: None,
            left: None,
            hook: false,
        };
        for word in words {
            match word.split_once('=') {
                Some(("uid", value)) => entry.uid = Some(value.into()),
                Some(("applied", value)) => entry.applied = Some(value.into()),
                Some(("left", value)) => entry.left = Some(value.into()),
                None if word == "hook" => entry.hook = true,
                // Of a newer windlass.
                _ => {}
            }
        }
        Ok(entry)
    }
}

impl JsonSchema for InventoryEntry {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "InventoryEntry".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^\\S+ \\S+ \\S+( \\S+)*$"})
    }
}

/// A hook that came out well.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct HookRun {
    #[serde(flatten)]
    pub key: ResourceKey,
    /// What for: the beginning of the digest of the inputs.
    pub run: String,
}

/// What the last sync of a revision did.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LastSync {
    pub revision: CommitSha,
    /// Digest of the plan that it began with.
    pub plan: String,
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// When all of it was healthy first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub finished: Option<Timestamp>,
    /// What was done to each object, the first few hundred: `configure Deployment shop/web`.
    #[serde(default)]
    pub objects: Vec<String>,
}

/// The images that are proposed for an application in a stage.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "windlass.dev",
    version = "v1alpha1",
    kind = "Promotion",
    namespaced,
    status = "PromotionStatus",
    derive = "PartialEq",
    category = "windlass",
    printcolumn(name = "Tag", type_ = "string", json_path = ".spec.candidates[*].tag"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Pull request", type_ = "string", json_path = ".status.url"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct PromotionSpec {
    pub repository: RepoName,
    pub application: Name,
    pub stage: Name,
    /// The newest announced image of each name.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// Those before them, the newest last: from which commits what runs was built.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Candidate>,
}

/// Earlier candidates that are remembered.
const EARLIER: usize = 20;

/// How far a promotion has come.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PromotionStatus {
    /// Proposed, Merged, Rejected, Reverted, Dropped, or Failed with a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The pull request that proposes, or proposed, these digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The candidates' digests that this is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
    /// What became of each candidate, the newest last; the last few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided: Vec<Decision>,
}

/// The custom resource definitions, as YAML documents.
pub fn definitions() -> String {
    [Application::crd(), Promotion::crd()]
        .iter()
        .map(|crd| format!("---\n{}", serde_yaml::to_string(crd).unwrap_or_default()))
        .collect()
}

/// The annotation that asks for a sync; its value names the comment that asked.
pub const SYNC_REQUEST: &str = "windlass.dev/sync-requested";
/// The annotation that pauses: its value is a duration (`2h`), with anything after a comma to ask for the same again.
pub const PAUSE: &str = "windlass.dev/pause";
/// The annotation that confirms deletions: its value is the digest that names them.
pub const CONFIRM_PRUNE: &str = "windlass.dev/confirm-prune";
/// The annotation that lets a first sync change what was there before it.
pub const ADOPT: &str = "windlass.dev/adopt";
/// The annotation by which somebody has fields taken that others hold: `Deployment/api .spec.replicas`, one a line.
pub const TAKE: &str = "windlass.dev/take";
/// Commands that were carried out, the last ones: the comment and the word, `123-sync`.
pub const HANDLED: &str = "windlass.dev/handled-commands";
/// Who has given a command that needs more than one person's word, and which: `confirm-prune DIGEST mia bob`.
pub const SAID: &str = "windlass.dev/said";

/// A revision that is not done.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    pub revision: CommitSha,
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// Objects that others change again whenever they are set back: that is tried again after a while, ever more seldom.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Fight {
    /// What was synced: with another revision all is tried anew.
    pub revision: CommitSha,
    /// Nothing is set back before that.
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// How often it was given up.
    pub times: u32,
}

/// What a chart was told of the cluster that it goes to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Served {
    /// Digest of the files that were rendered: others are told what the cluster serves then.
    pub inputs: String,
    /// The API server's version, as `v1.37.2`.
    pub kubernetes: String,
    /// What it serves: `apps/v1`, `apps/v1/Deployment`.
    pub apis: Vec<String>,
}

/// Our objects in our namespace, kept by a watch: reading one costs no request. Our own writes are put in at once.
#[derive(Clone)]
pub struct Home {
    applications: Kept<Application>,
    promotions: Kept<Promotion>,
}

/// One kind of objects, as last seen.
#[derive(Clone)]
struct Kept<K> {
    api: Api<K>,
    objects: Arc<Mutex<HashMap<String, K>>>,
    ready: watch::Receiver<bool>,
}

impl<K> Kept<K>
where
    K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    fn new(
        api: Api<K>,
        moved: mpsc::Sender<Moved>,
        name: impl Fn(&K) -> Moved + Send + Sync + 'static,
    ) -> Self {
        let (told, ready) = watch::channel(false);
        let kept = Self {
            api,
            objects: Arc::default(),
            ready,
        };
        tokio::spawn(kept.clone().follow(told, moved, name));
        kept
    }

    async fn follow(
        self,
        told: watch::Sender<bool>,
        moved: mpsc::Sender<Moved>,
        name: impl Fn(&K) -> Moved,
    ) {
        let mut events =
            std::pin::pin!(watcher(self.api.clone(), watcher::Config::default()).default_backoff());
        let mut listed = HashSet::new();
        while let Some(event) = events.next().await {
            let stirred = match event {
                Ok(watcher::Event::Init) => {
                    listed.clear();
                    None
                }
                Ok(watcher::Event::InitApply(object)) => {
                    listed.insert(object.name_any());
                    self.note(&object).then(|| name(&object))
                }
                Ok(watcher::Event::Apply(object)) => self.note(&object).then(|| name(&object)),
                Ok(watcher::Event::Delete(object)) => {
                    self.objects().remove(&object.name_any());
                    Some(name(&object))
                }
                Ok(watcher::Event::InitDone) => {
                    if *self.ready.borrow() {
                        self.objects().retain(|name, _| listed.contains(name));
                    }
                    let _ = told.send(true);
                    None
                }
                Err(error) => {
                    tracing::warn!(%error, "the watch of our own objects was interrupted");
                    None
                }
            };
            if let Some(stirred) = stirred
                && moved.send(stirred).await.is_err()
            {
                return;
            }
        }
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<String, K>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an object unless a newer one is kept already (resourceVersions are comparable since Kubernetes 1.35).
    /// True: it is news.
    fn note(&self, object: &K) -> bool {
        let version = |object: &K| {
            object
                .resource_version()
                .and_then(|text| text.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let mut objects = self.objects();
        let known = objects.get(&object.name_any());
        if known
            .is_some_and(|known| known.uid() == object.uid() && version(known) >= version(object))
        {
            return false;
        }
        objects.insert(object.name_any(), object.clone());
        true
    }

    async fn get(&self, name: &str) -> Result<Option<K>> {
        self.wait().await?;
        Ok(self.objects().get(name).cloned())
    }

    async fn all(&self) -> Result<Vec<K>> {
        self.wait().await?;
        Ok(self.objects().values().cloned().collect())
    }

    async fn wait(&self) -> Result<()> {
        let mut ready = self.ready.clone();
        let waited = tokio::time::timeout(DEADLINE, ready.wait_for(|ready| *ready)).await;
        let what = "read our own objects".to_string();
        waited.map(drop).map_err(|_| Error::Unavailable {
            what,
            message: "are deploy/crds.yaml and deploy/rbac.yaml applied?".into(),
        })
    }
}

impl Home {
    /// What others change in our objects is told to `moved`.
    pub fn new(client: Client, namespace: &str, moved: &mpsc::Sender<Moved>) -> Self {
        let application = |object: &Application| {
            let spec = object.spec.clone();
            Moved::Application(ApplicationKey {
                repo: spec.repository,
                application: spec.application,
                stage: spec.stage,
            })
        };
        let promotion = |object: &Promotion| {
            let spec = object.spec.clone();
            Moved::Promotion(ApplicationKey {
                repo: spec.repository,
                application: spec.application,
                stage: spec.stage,
            })
        };
        Self {
            applications: Kept::new(
                Api::namespaced(client.clone(), namespace),
                moved.clone(),
                application,
            ),
            promotions: Kept::new(Api::namespaced(client, namespace), moved.clone(), promotion),
        }
    }

    /// None: not made yet. An object of that name that is another repository's is an error.
    pub async fn application(&self, key: &ApplicationKey) -> Result<Option<Application>> {
        match self.applications.get(&key.object_name()).await? {
            Some(object) if object.spec.repository != key.repo => {
                let what = format!("read Application {}", key.object_name());
                let message = format!(
                    "{} declares the same application in the same stage: give one of them another name",
                    object.spec.repository
                );
                Err(Error::Refused { what, message })
            }
            other => Ok(other),
        }
    }

    /// How an application stands, without its inventory: a commit of two hundred applications asks this of each at each
    /// look.
    pub async fn stand(&self, key: &ApplicationKey) -> Result<Stand> {
        self.applications.wait().await?;
        let objects = self.applications.objects();
        let status = objects
            .get(&key.object_name())
            .filter(|object| object.spec.repository == key.repo)
            .and_then(|object| object.status.as_ref());
        Ok(status.map_or_else(Stand::default, |status| Stand {
            revision: status.revision.clone(),
            inputs: status.inputs.clone(),
            sync: status.sync,
            health: status.health,
            blocked: status.blocked,
            message: status.message.clone(),
            reason: status.reason.clone(),
            confirm: status.confirm.is_some(),
            unproven: status.unproven.clone(),
            images: status.images.clone(),
            failures: status.failures.clone(),
        }))
    }

    pub async fn applications(&self) -> Result<Vec<Application>> {
        self.applications.all().await
    }

    /// Makes the object, or brings its spec up to date.
    pub async fn declare_application(
        &self,
        key: &ApplicationKey,
        spec: ApplicationSpec,
        seen: Option<Application>,
    ) -> Result<Application> {
        let what = format!("declare Application {}", key.object_name());
        let request = match seen {
            Some(seen) if seen.spec == spec => return Ok(seen),
            Some(seen) => {
                call(
                    &what,
                    self.applications.api.replace(
                        &key.object_name(),
                        &parameters(),
                        &Application { spec, ..seen },
                    ),
                )
                .await?
            }
            None => {
                call(
                    &what,
                    self.applications
                        .api
                        .create(&parameters(), &Application::new(&key.object_name(), spec)),
                )
                .await?
            }
        };
        let object = request.map_err(|status| refused(&what, &status))?;
        self.applications.note(&object);
        Ok(object)
    }

    /// Writes the status if it says something new; the object as it is afterwards.
    pub async fn report_application(
        &self,
        seen: &Application,
        mut status: ApplicationStatus,
        now: Timestamp,
    ) -> Result<Application> {
        let before = seen.status.clone().unwrap_or_default();
        status.observed_generation = seen.metadata.generation;
        status.inventory.sort();
        status.conditions = conditions(&before.conditions, &status, seen.metadata.generation, now);
        if before == status {
            return Ok(seen.clone());
        }
        let what = format!("report on Application {}", seen.name_any());
        let object = Application {
            status: Some(status),
            ..seen.clone()
        };
        let (name, parameters) = (seen.name_any(), parameters());
        let request = self
            .applications
            .api
            .replace_status(&name, &parameters, &object);
        let object = call(&what, request)
            .await?
            .map_err(|status| refused(&what, &status))?;
        self.applications.note(&object);
        Ok(object)
    }

    /// Leaves a wish in an annotation; None takes it back. False: there is no such object.
    pub async fn annotate(
        &self,
        key: &ApplicationKey,
        annotation: &str,
        value: Option<&str>,
    ) -> Result<bool> {
        self.annotate_all(key, &[(annotation, value)]).await
    }

    /// The same for several, at once.
    pub async fn annotate_all(
        &self,
        key: &ApplicationKey,
        annotations: &[(&str, Option<&str>)],
    ) -> Result<bool> {
        let what = format!("annotate Application {}", key.object_name());
        let annotations: std::collections::BTreeMap<_, _> = annotations.iter().copied().collect();
        let patch = serde_json::json!({"metadata": {"annotations": annotations}});
        match call(
            &what,
            self.applications.api.patch(
                &key.object_name(),
                &PatchParams::default(),
                &Patch::Merge(&patch),
            ),
        )
        .await?
        {
            Ok(object) => {
                self.applications.note(&object);
                Ok(true)
            }
            Err(status) if status.is_not_found() => Ok(false),
            Err(status) => Err(refused(&what, &status)),
        }
    }

    pub async fn promotion(&self, key: &ApplicationKey) -> Result<Option<Promotion>> {
        match self.promotions.get(&key.object_name()).await? {
            Some(object) if object.spec.repository != key.repo => {
                let what = format!("read Promotion {}", key.object_name());
                Err(Error::Refused {
                    what,
                    message: format!("it belongs to {}", object.spec.repository),
                })
            }
            other => Ok(other),
        }
    }

    pub async fn promotions(&self) -> Result<Vec<Promotion>> {
        self.promotions.all().await
    }

    /// Keeps candidates: the newest of each image name.
    pub async fn propose(
        &self,
        key: &ApplicationKey,
        candidates: &[Candidate],
    ) -> Result<Promotion> {
        let what = format!("keep the candidate of {}", key.title());
        let seen = self.promotion(key).await?;
        let mut wanted = seen
            .as_ref()
            .map(|seen| seen.spec.candidates.clone())
            .unwrap_or_default();
        let mut earlier = seen
            .as_ref()
            .map(|seen| seen.spec.earlier.clone())
            .unwrap_or_default();
        for candidate in candidates {
            let is_replaced = |known: &&Candidate| {
                same_image(&known.image, &candidate.image) && known.digest != candidate.digest
            };
            earlier.extend(wanted.iter().filter(is_replaced).cloned());
            wanted.retain(|known| !same_image(&known.image, &candidate.image));
            wanted.push(candidate.clone());
        }
        wanted.sort_by(|a, b| a.image.cmp(&b.image));
        earlier.drain(..earlier.len().saturating_sub(EARLIER));
        let request = match seen {
            Some(seen) if seen.spec.candidates == wanted => return Ok(seen),
            Some(mut seen) => {
                seen.spec.candidates = wanted;
                seen.spec.earlier = earlier;
                call(
                    &what,
                    self.promotions
                        .api
                        .replace(&key.object_name(), &parameters(), &seen),
                )
                .await?
            }
            None => {
                let spec = PromotionSpec {
                    repository: key.repo.clone(),
                    application: key.application.clone(),
                    stage: key.stage.clone(),
                    candidates: wanted,
                    earlier,
                };
                call(
                    &what,
                    self.promotions
                        .api
                        .create(&parameters(), &Promotion::new(&key.object_name(), spec)),
                )
                .await?
            }
        };
        let object = request.map_err(|status| refused(&what, &status))?;
        self.promotions.note(&object);
        Ok(object)
    }

    /// Keeps some candidates no more, but as images that were announced once.
    pub async fn drop_candidates(&self, seen: &Promotion, dropped: &[Candidate]) -> Result<()> {
        let name = seen.name_any();
        let what = format!("drop candidates of Promotion {name}");
        let mut object = seen.clone();
        object
            .spec
            .candidates
            .retain(|candidate| !dropped.contains(candidate));
        object.spec.earlier.extend(dropped.iter().cloned());
        object
            .spec
            .earlier
            .drain(..object.spec.earlier.len().saturating_sub(EARLIER));
        let request = call(
            &what,
            self.promotions.api.replace(&name, &parameters(), &object),
        )
        .await?;
        self.promotions
            .note(&request.map_err(|status| refused(&what, &status))?);
        Ok(())
    }

    /// Forgets an application that Git has no more and of which nothing is left.
    pub async fn forget_application(&self, seen: &Application) -> Result<()> {
        let name = seen.name_any();
        let what = format!("delete Application {name}");
        let preconditions = kube::api::Preconditions {
            uid: seen.uid(),
            resource_version: seen.resource_version(),
        };
        let parameters = kube::api::DeleteParams {
            preconditions: Some(preconditions),
            ..Default::default()
        };
        match call(&what, self.applications.api.delete(&name, &parameters)).await? {
            Ok(_) => {}
            Err(status) if status.is_not_found() => {}
            Err(status) => return Err(refused(&what, &status)),
        }
        self.applications.objects().remove(&name);
        Ok(())
    }

    /// Writes the status if it says something new; the object as it is afterwards.
    pub async fn report_promotion(
        &self,
        seen: &Promotion,
        status: PromotionStatus,
    ) -> Result<Promotion> {
        if seen.status.as_ref() == Some(&status) {
            return Ok(seen.clone());
        }
        let what = format!("report on Promotion {}", seen.name_any());
        let object = Promotion {
            status: Some(status),
            ..seen.clone()
        };
        let (name, parameters) = (seen.name_any(), parameters());
        let request = self
            .promotions
            .api
            .replace_status(&name, &parameters, &object);
        let object = call(&what, request)
            .await?
            .map_err(|status| refused(&what, &status))?;
        self.promotions.note(&object);
        Ok(object)
    }
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some("windlass".into()),
        dry_run: false,
    }
}

/// `Synced` and `Healthy`; their times move only when their status does.
fn conditions(
    before: &[Condition],
    status: &ApplicationStatus,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let word =
        |truth: Option<bool>| truth.map_or("Unknown", |truth| if truth { "True" } else { "False" });
    let synced = match status.sync {
        SyncState::Synced => Some(true),
        SyncState::OutOfSync => Some(false),
        SyncState::Unknown => None,
    };
    let healthy = match status.health {
        Health::Healthy => Some(true),
        Health::Unknown => None,
        _ => Some(false),
    };
    let (sync, health) = (format!("{:?}", status.sync), format!("{:?}", status.health));
    let own = status.reason.clone();
    // What keeps it from being synced is the reason of that condition; once it is synced, of the other.
    let sync = own.clone().filter(|_| synced != Some(true)).unwrap_or(sync);
    let ill = synced == Some(true) && healthy != Some(true);
    let health = own.filter(|_| ill).unwrap_or(health);
    [("Synced", synced, sync), ("Healthy", healthy, health)]
    .into_iter()
    .map(|(kind, truth, reason)| {
        let kept = before
            .iter()
            .find(|condition| condition.type_ == kind && condition.status == word(truth));
        Condition {
            type_: kind.into(),
            status: word(truth).into(),
            reason,
            message: match &status.message {
                Some(message) => message.clone(),
                None if kind == "Healthy" && !status.unruled.is_empty() => {
                    format!(
                        "no rule says when {} is healthy: what its status says of itself counted",
                        status.unruled.join(", ")
                    )
                }
                None => String::new(),
            },
            observed_generation: generation,
            last_transition_time: kept.map_or_else(
                || Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
                |condition| condition.last_transition_time.clone(),
            ),
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_entry_is_a_line_and_back() {
        let key = |group: &str, namespace: Option<&str>, name: &str| ResourceKey {
            group: group.into(),
            kind: "Kind".into(),
            namespace: namespace.map(str::to_string),
            name: name.into(),
        };
        let text = |text: &str| Some(text.to_string());
        let table = [
            (
                key("apps", Some("shop"), "web"),
                text("u"),
                text("a"),
                text("l"),
                false,
                "apps/v1 Kind shop/web uid=u applied=a left=l",
            ),
            (
                key("", None, "system:a b"),
                None,
                None,
                None,
                true,
                "v1 Kind system:a%20b hook",
            ),
            (
                key("a b", Some("c d"), "e"),
                None,
                text("a"),
                None,
                false,
                "a%20b/v1 Kind c%20d/e applied=a",
            ),
        ];
        for (key, uid, applied, left, hook, line) in table {
            let entry = InventoryEntry {
                key,
                version: "v1".into(),
                uid,
                applied,
                left,
                hook,
            };
            assert_eq!(String::from(entry.clone()), line);
            assert_eq!(InventoryEntry::try_from(line.to_string()).unwrap(), entry);
        }
        for wrong in ["", "v1 Kind"] {
            assert!(
                InventoryEntry::try_from(wrong.to_string()).is_err(),
                "{wrong}"
            );
        }
    }
}
