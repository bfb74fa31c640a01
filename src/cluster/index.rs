//! What is live of the objects that we manage: kept by watches, so that
//! looking at an application that is as it should be costs no request.
//!
//! One watch per kind, filtered by our label; of each object only what a
//! decision needs is kept. Kinds whose health is in their status are watched
//! whole, the others by their metadata alone: no body of a Secret is ever held.
//!
//! Known races: an answer to our own write may be newer than the watch (it is
//! put in by [`Index::note`], and older events are passed over by
//! resourceVersion, which Kubernetes promises to be comparable since 1.35); an
//! object that lost our label looks deleted (whoever looks asks the server).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Client, Identity, Moved, value_of};
use crate::domain::health::{self, HealthRule};
use crate::domain::manifest::ResourceKey;
use crate::domain::{OWNER_LABEL, RepoName, ownership};

/// What is kept of a live object.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub uid: String,
    /// The value of our label: whose it is.
    pub owner: String,
    /// Changes when a person, or another that applies, changes what we applied: see [`ownership::signal`].
    pub signal: String,
    pub health: health::Assessment,
    /// Since when its controller says nothing: see [`health::silent_since`].
    pub silent_since: Option<jiff::Timestamp>,
    /// Whose pods could tell more than it does.
    pub workload: Option<Arc<health::Workload>>,
    resource_version: u64,
}

/// What an index says of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    Seen(Seen),
    /// Not there, or without our label.
    Absent,
    /// Its kind is not watched, or not yet: ask the server.
    Unknown,
}

/// The objects of one cluster.
pub struct Index {
    cluster: String,
    client: Client,
    /// By group, version and kind: a version may cease to be served.
    kinds: Mutex<HashMap<(String, String, String), Arc<Kind>>>,
    moved: mpsc::Sender<Moved>,
    /// When objects of custom kinds are healthy, by the config repository that says so.
    rules: Rules,
    identity: Identity,
}

/// By repository: its rules, and the marks of its applications' objects, which alone are judged by them.
type Rules = Arc<RwLock<BTreeMap<RepoName, (Vec<HealthRule>, HashSet<String>)>>>;

fn assess(rules: &Rules, live: &Value) -> health::Assessment {
    let rules = rules.read().unwrap_or_else(PoisonError::into_inner);
    let owner = live["metadata"]["labels"][OWNER_LABEL]
        .as_str()
        .unwrap_or_default();
    let own = rules
        .values()
        .find(|(_, owners)| owners.contains(owner))
        .map(|(rules, _)| rules.as_slice());
    health::assess_by(own.unwrap_or_default(), live)
}

struct Kind {
    objects: Mutex<HashMap<(Option<String>, String), Seen>>,
    state: watch::Receiver<State>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    /// We may not watch it, or it is served no more.
    Refused,
    /// The watch has been broken for a while: what was seen may be long past.
    Lost,
}

/// A watch that cannot be had for so long makes what it saw worth nothing.
const LOST_AFTER: Duration = Duration::from_secs(15);

/// Objects of a page: anybody may give an object of his our label, and as many annotations as it holds (256 KiB).
const PAGE: u32 = 50;

/// Objects of a kind that are kept; beyond that the server is asked.
const MOST_OBJECTS: usize = 100_000;

/// How long a look waits for a kind's first list.
const PATIENCE: Duration = Duration::from_secs(20);

/// Kinds that have no health of their own: their metadata says all that is needed.
const WITHOUT_STATUS: [&str; 22] = [
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "StorageClass",
    "PriorityClass",
    "IngressClass",
    "RuntimeClass",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicyBinding",
    "ControllerRevision",
    "Endpoints",
    "EndpointSlice",
    "PodTemplate",
];

impl Drop for Kind {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Index {
    pub fn new(
        cluster: &str,
        client: Client,
        moved: mpsc::Sender<Moved>,
        identity: Identity,
    ) -> Self {
        Self {
            cluster: cluster.into(),
            client,
            kinds: Mutex::default(),
            moved,
            rules: Rules::default(),
            identity,
        }
    }

    /// The health of an object of this cluster.
    pub fn assess(&self, live: &Value) -> health::Assessment {
        assess(&self.rules, live)
    }

    /// The custom kinds among objects for which neither windlass nor a config repository has a rule.
    pub fn unruled<'a>(
        &self,
        repo: &RepoName,
        objects: impl IntoIterator<Item = &'a Value>,
    ) -> Vec<String> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        health::unruled(
            rules
                .get(repo)
                .map(|(rules, _)| rules.as_slice())
                .unwrap_or_default(),
            objects,
        )
    }

    /// What a config repository says of when custom kinds are healthy, and whose objects that is about. Kinds of which it
    /// says something new are listed anew, and looked at.
    pub async fn set_rules(&self, repo: &RepoName, rules: &[HealthRule], owners: &HashSet<String>) {
        let dropped: Vec<_> = {
            let mut known = self.rules.write().unwrap_or_else(PoisonError::into_inner);
            let (before, _) = known
                .insert(repo.clone(), (rules.to_vec(), owners.clone()))
                .unwrap_or_default();
            if before == rules {
                return;
            }
            let changed: HashSet<_> = before
                .iter()
                .chain(rules)
                .map(|rule| (rule.group.clone(), rule.kind.clone()))
                .collect();
            let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
            let names: Vec<_> = kinds
                .keys()
                .filter(|(group, _, kind)| changed.contains(&(group.clone(), kind.clone())))
                .cloned()
                .collect();
            names.iter().filter_map(|name| kinds.remove(name)).collect()
        };
        let marks: HashSet<_> = dropped
            .iter()
            .flat_map(|kind| {
                kind.objects
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .values()
                    .map(|seen| seen.owner.clone())
                    .collect::<Vec<_>>()
            })
            .collect();
        for owner in marks {
            let _ = self.moved.send(Moved::Object(owner)).await;
        }
    }

    /// What is known of an object; watches its kind from now on.
    pub async fn look(&self, resource: &ApiResource, key: &ResourceKey) -> Known {
        let kind = self.kind(resource);
        let mut state = kind.state.clone();
        let settled =
            tokio::time::timeout(PATIENCE, state.wait_for(|state| *state != State::Starting)).await;
        if !settled.is_ok_and(|state| state.is_ok_and(|state| *state == State::Ready)) {
            return Known::Unknown;
        }
        let objects = kind.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = if objects.len() >= MOST_OBJECTS {
            Known::Unknown
        } else {
            Known::Absent
        };
        objects
            .get(&(key.namespace.clone(), key.name.clone()))
            .map_or(unknown, |seen| Known::Seen(seen.clone()))
    }

    /// Puts in what the server answered to a write of ours. Who wrote it knows; whose it was before is told.
    pub async fn note(&self, resource: &ApiResource, key: &ResourceKey, object: &Value) {
        let kind = self.kind(resource);
        let Some(seen) = seen(object, &self.rules) else {
            return;
        };
        let owner = seen.owner.clone();
        let news = upsert(
            &mut kind.objects.lock().unwrap_or_else(PoisonError::into_inner),
            key.namespace.clone(),
            key.name.clone(),
            seen,
            false,
        );
        for former in news.into_iter().filter(|told| *told != owner) {
            let _ = self.moved.send(Moved::Object(former)).await;
        }
    }

    fn kind(&self, resource: &ApiResource) -> Arc<Kind> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (
            resource.group.clone(),
            resource.version.clone(),
            resource.kind.clone(),
        );
        if let Some(kind) = kinds
            .get(&name)
            .filter(|kind| !kind.task.is_finished() || *kind.state.borrow() == State::Refused)
        {
            return kind.clone();
        }
        let (told, state) = watch::channel(State::Starting);
        let kind = Arc::new_cyclic(|kind: &std::sync::Weak<Kind>| {
            let run = Run {
                kind: kind.clone(),
                told,
                resource: resource.clone(),
                cluster: self.cluster.clone(),
                moved: self.moved.clone(),
                rules: self.rules.clone(),
                identity: self.identity.clone(),
                listed: None,
                broken: None,
            };
            Kind {
                objects: Mutex::default(),
                state,
                task: tokio::spawn(run.run(self.client.clone())),
            }
        });
        kinds.insert(name, kind.clone());
        kind
    }

    /// Kinds that could not be watched are tried again: a right may have been granted.
    pub fn retry_refused(&self) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.retain(|_, kind| *kind.state.borrow() != State::Refused);
    }
}

/// Whom it is news to, by the marks of the applications: whose the object is, and whose it was before.
/// `listing`: it is from a list, which counts whatever was known.
fn upsert(
    objects: &mut HashMap<(Option<String>, String), Seen>,
    namespace: Option<String>,
    name: String,
    seen: Seen,
    listing: bool,
) -> Vec<String> {
    let owner = seen.owner.clone();
    let full = objects.len() >= MOST_OBJECTS;
    match objects.entry((namespace, name)) {
        std::collections::hash_map::Entry::Occupied(mut known) => {
            if !listing && known.get().resource_version > seen.resource_version {
                return Vec::new();
            }
            let before = known.insert(seen.clone());
            if before.owner != owner {
                return vec![owner, before.owner];
            }
            let same = Seen {
                resource_version: 0,
                ..before
            } == Seen {
                resource_version: 0,
                ..seen
            };
            if same { Vec::new() } else { vec![owner] }
        }
        // Anybody may make objects with our label: of those that are nobody's not all are kept.
        std::collections::hash_map::Entry::Vacant(_) if full => Vec::new(),
        std::collections::hash_map::Entry::Vacant(place) => {
            place.insert(seen);
            vec![owner]
        }
    }
}

/// None: without our label, and so not ours to know.
fn seen(object: &Value, rules: &Rules) -> Option<Seen> {
    let metadata = &object["metadata"];
    Some(Seen {
        uid: metadata["uid"].as_str()?.into(),
        owner: metadata["labels"][OWNER_LABEL].as_str()?.into(),
        signal: ownership::signal(object),
        health: assess(rules, object),
        silent_since: health::silent_since(object),
        workload: health::Workload::of(object).map(Arc::new),
        resource_version: metadata["resourceVersion"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
    })
}

/// One watch.
struct Run {
    kind: std::sync::Weak<Kind>,
    told: watch::Sender<State>,
    resource: ApiResource,
    cluster: String,
    moved: mpsc::Sender<Moved>,
    rules: Rules,
    identity: Identity,
    /// While a list is read: what was in it.
    listed: Option<HashSet<(Option<String>, String)>>,
    /// Since when the watch cannot be had.
    broken: Option<Instant>,
}

impl Run {
    async fn run(mut self, client: Client) {
        if WITHOUT_STATUS.contains(&self.resource.kind.as_str()) {
            let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client, &self.resource);
            let resource = self.resource.clone();
            self.follow(api, move |object| {
                let mut value = serde_json::json!({"metadata": object.metadata});
                value["apiVersion"] = resource.api_version.clone().into();
                value["kind"] = resource.kind.clone().into();
                value
            })
            .await;
        } else {
            let api: Api<DynamicObject> = Api::all_with(client, &self.resource);
            let resource = self.resource.clone();
            self.follow(api, move |object| value_of(object, &resource))
                .await;
        }
    }

    async fn follow<K>(&mut self, api: Api<K>, value: impl Fn(K) -> Value)
    where
        K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
    {
        let config = watcher::Config::default()
            .labels(OWNER_LABEL)
            .page_size(PAGE);
        let mut events = pin!(watcher(api, config).default_backoff());
        while let Some(event) = events.next().await {
            if event.is_ok() {
                self.broken = None;
            }
            match event {
                Ok(watcher::Event::Init) => self.listed = Some(HashSet::new()),
                Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                    self.apply(&value(object)).await
                }
                Ok(watcher::Event::Delete(object)) => self.delete(&value(object)).await,
                Ok(watcher::Event::InitDone) => self.listed().await,
                Err(watcher::Error::InitialListFailed(kube::Error::Api(status)))
                    if matches!(status.code, 403..=405) =>
                {
                    tracing::warn!(
                        cluster = self.cluster,
                        kind = self.resource.kind,
                        message = status.message,
                        "cannot watch; drift of this kind is found at the next resync"
                    );
                    let _ = self.told.send(State::Refused);
                    return;
                }
                Err(watcher::Error::WatchStartFailed(kube::Error::Api(status)))
                    if status.code == 404 =>
                {
                    // Served no more: whoever looks asks the server, and finds that out too.
                    let _ = self.told.send(State::Refused);
                    return;
                }
                Err(error) => {
                    tracing::debug!(cluster = self.cluster, kind = self.resource.kind, %error, "a watch was interrupted");
                    if self.interrupted().await {
                        return;
                    }
                }
            }
            if self.kind.strong_count() == 0 {
                return;
            }
        }
    }

    /// True: it has been so for a while, nothing that was seen is believed any more, and whoever looks next begins anew.
    async fn interrupted(&mut self) -> bool {
        // Another cluster may answer when it is back.
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let since = *self.broken.get_or_insert_with(Instant::now);
        if *self.told.borrow() == State::Starting {
            // Nothing was seen yet: whoever looks asks the server meanwhile.
            let _ = self.told.send(State::Lost);
            return false;
        }
        let Some(kind) = self
            .kind
            .upgrade()
            .filter(|_| *self.told.borrow() == State::Ready && since.elapsed() >= LOST_AFTER)
        else {
            return false;
        };
        if self.told.send(State::Lost).is_err() {
            return true;
        }
        let owners: HashSet<_> = kind
            .objects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .map(|seen| seen.owner.clone())
            .collect();
        drop(kind);
        for owner in owners {
            self.tell(owner).await;
        }
        true
    }

    async fn apply(&mut self, object: &Value) {
        let Some(kind) = self.kind.upgrade() else {
            return;
        };
        let Some((key, seen)) = name_of(object).zip(seen(object, &self.rules)) else {
            return;
        };
        if let Some(listed) = &mut self.listed {
            listed.insert(key.clone());
        }
        // A list says how it is: also of a cluster that was restored, whose versions begin at an older one.
        let listing = self.listed.is_some();
        let news = upsert(
            &mut kind.objects.lock().unwrap_or_else(PoisonError::into_inner),
            key.0,
            key.1,
            seen,
            listing,
        );
        for owner in news {
            self.tell(owner).await;
        }
    }

    async fn delete(&mut self, object: &Value) {
        let Some(kind) = self.kind.upgrade() else {
            return;
        };
        let (Some(key), uid) = (
            name_of(object),
            object["metadata"]["uid"].as_str().unwrap_or_default(),
        ) else {
            return;
        };
        let gone = {
            let mut objects = kind.objects.lock().unwrap_or_else(PoisonError::into_inner);
            // Made anew meanwhile, as the answer to our own write told: that one stays.
            let same = objects.get(&key).is_some_and(|known| known.uid == uid);
            if same { objects.remove(&key) } else { None }
        };
        if let Some(gone) = gone {
            self.tell(gone.owner).await;
        }
    }

    /// A list is complete: what is known and was not in it is gone.
    async fn listed(&mut self) {
        let (Some(kind), Some(listed)) = (self.kind.upgrade(), self.listed.take()) else {
            return;
        };
        let first = *self.told.borrow() != State::Ready;
        let gone: Vec<_> = {
            let mut objects = kind.objects.lock().unwrap_or_else(PoisonError::into_inner);
            // Before the first list is complete only our own writes can have put something in that is not in it.
            let gone: Vec<_> = objects
                .keys()
                .filter(|key| !first && !listed.contains(*key))
                .cloned()
                .collect();
            gone.into_iter()
                .filter_map(|key| objects.remove(&key))
                .collect()
        };
        let _ = self.told.send(State::Ready);
        for seen in gone {
            self.tell(seen.owner).await;
        }
    }

    async fn tell(&self, owner: String) {
        let _ = self.moved.send(Moved::Object(owner)).await;
    }
}

fn name_of(object: &Value) -> Option<(Option<String>, String)> {
    let metadata = &object["metadata"];
    Some((
        metadata["namespace"].as_str().map(str::to_string),
        metadata["name"].as_str()?.to_string(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_another_takes_over_is_news_to_both() {
        let seen = |owner: &str, signal: &str, resource_version| Seen {
            uid: "1".into(),
            owner: owner.into(),
            signal: signal.into(),
            health: (health::Health::Healthy, String::new()),
            silent_since: None,
            workload: None,
            resource_version,
        };
        let mut objects = HashMap::new();
        let mut put = |seen, listing| {
            upsert(
                &mut objects,
                Some("shop".into()),
                "shop".into(),
                seen,
                listing,
            )
        };
        let table: [(&str, Seen, &[&str]); 6] = [
            ("new", seen("a", "x", 1), &["a"]),
            ("the same again", seen("a", "x", 2), &[]),
            ("older than what is known", seen("a", "y", 1), &[]),
            ("changed", seen("a", "y", 3), &["a"]),
            ("taken over", seen("b", "y", 4), &["b", "a"]),
            ("the same from the watch", seen("b", "y", 4), &[]),
        ];
        for (what, seen, told) in table {
            assert_eq!(put(seen, false), told, "{what}");
        }
        assert_eq!(
            put(seen("b", "x", 1), true),
            ["b"],
            "restored: older, and so it is"
        );
    }
}
