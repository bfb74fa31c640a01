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
//!
//! - [`objects`]: what is kept of an object
//! - [`events`]: the watch of one kind

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use kube::api::ApiResource;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{Client, Identity, WatchEvent};
use crate::domain::health::{self, HealthRule};
use crate::domain::manifest::ResourceKey;
use crate::domain::{OWNER_LABEL, RepoName};

mod events;
mod objects;

use events::Run;
pub use objects::IndexEntry;
use objects::{MOST_OBJECTS, Name, seen, upsert};

/// What an index says of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    Found(IndexEntry),
    /// Not there, or without our label.
    Absent,
    /// Its kind is not watched, or not yet: ask the server.
    Unknown,
}

/// How long a look waits for a kind's first list.
const PATIENCE: Duration = Duration::from_secs(20);

/// The objects of one cluster.
pub struct Index {
    cluster: String,
    client: Client,
    /// By group, version and kind: a version may cease to be served.
    kinds: Mutex<HashMap<(String, String, String), Arc<Kind>>>,
    moved: mpsc::Sender<WatchEvent>,
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
    objects: Mutex<HashMap<Name, IndexEntry>>,
    state: watch::Receiver<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Kind {
    fn drop(&mut self) {
        self.task.abort();
    }
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

impl Index {
    pub fn new(
        cluster: &str,
        client: Client,
        moved: mpsc::Sender<WatchEvent>,
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
            let _ = self.moved.send(WatchEvent::Object(owner)).await;
        }
    }

    /// What is known of an object; watches its kind from now on.
    pub async fn look(&self, resource: &ApiResource, key: &ResourceKey) -> Lookup {
        let kind = self.kind(resource);
        let mut state = kind.state.clone();
        let settled =
            tokio::time::timeout(PATIENCE, state.wait_for(|state| *state != State::Starting)).await;
        if !settled.is_ok_and(|state| state.is_ok_and(|state| *state == State::Ready)) {
            return Lookup::Unknown;
        }
        let objects = kind.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = if objects.len() >= MOST_OBJECTS {
            Lookup::Unknown
        } else {
            Lookup::Absent
        };
        objects
            .get(&(key.namespace.clone(), key.name.clone()))
            .map_or(unknown, |seen| Lookup::Found(seen.clone()))
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
            (key.namespace.clone(), key.name.clone()),
            seen,
            false,
        );
        for former in news.into_iter().filter(|told| *told != owner) {
            let _ = self.moved.send(WatchEvent::Object(former)).await;
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
        let kind = Arc::new_cyclic(|kind: &Weak<Kind>| {
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
