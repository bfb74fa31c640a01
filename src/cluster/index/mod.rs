//! The live state of the objects that we manage, kept by watches: reconciling an
//! application that is in sync costs no request.
//!
//! There is one watch per kind, filtered by our label; of each object only what
//! a decision needs is kept. Kinds whose status says how healthy they are get
//! whole objects, all others metadata only: no Secret's data is ever held.
//!
//! Known races: an answer to our own write may be newer than the watch
//! ([`Index::note`] stores it, and older events are dropped by resourceVersion,
//! which Kubernetes promises to be comparable since 1.35); an object that lost
//! our label looks deleted (callers read it from the server).
//!
//! - [`objects`]: what is kept of an object
//! - [`events`]: the watch of one kind

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use kube::api::ApiResource;
use tokio::sync::{mpsc, watch};

use serde_json::Value;

use super::{Client, Identity, WatchEvent};
use crate::domain::health::{self, HealthRule};
use crate::domain::manifest::ResourceKey;
use crate::domain::{Live, OWNER_LABEL, RepoName};

mod events;
mod objects;

use events::Run;
pub use objects::IndexEntry;
use objects::{MOST_OBJECTS, Name, index_entry, upsert};

/// What the index knows of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    Found(IndexEntry),
    /// It does not exist, or does not carry our label.
    Absent,
    /// Its kind is not watched, or not yet: read it from the server.
    Unknown,
}

/// How long a lookup waits for a kind's first list.
const PATIENCE: Duration = Duration::from_secs(20);

/// The objects of one cluster.
pub struct Index {
    cluster: String,
    client: Client,
    /// By group, version and kind: a version may stop being served.
    kinds: Mutex<HashMap<(String, String, String), Arc<Kind>>>,
    moved: mpsc::Sender<WatchEvent>,
    /// The health rules of each config repository.
    rules: Rules,
    identity: Identity,
}

/// By repository: its health rules, and the owner labels of its applications. The rules apply to
/// their objects only.
type Rules = Arc<RwLock<BTreeMap<RepoName, (Vec<HealthRule>, HashSet<String>)>>>;

fn assess(rules: &Rules, live: &Live) -> health::Assessment {
    let rules = rules.read().unwrap_or_else(PoisonError::into_inner);
    let owner = live.label(OWNER_LABEL).unwrap_or_default();
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
    /// We may not watch it, or it is no longer served.
    Refused,
    /// The watch has been interrupted for a while: its entries may be outdated.
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
    pub fn assess(&self, live: &Live) -> health::Assessment {
        assess(&self.rules, live)
    }

    /// The health of an object that another tool applies for a config repository: it has no label of
    /// ours.
    pub fn assess_of(&self, repo: &RepoName, live: &Live) -> health::Assessment {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let rules = rules.get(repo).map(|(rules, _)| rules.as_slice());
        health::assess_by(rules.unwrap_or_default(), live)
    }

    /// The custom kinds among the objects for which neither windlass nor the config repository has
    /// a health rule.
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

    /// Sets the health rules of a config repository, and the owner labels that they apply to. Kinds
    /// with a changed rule are listed again, and their applications reconciled.
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
        let affected: HashSet<_> = dropped
            .iter()
            .flat_map(|kind| {
                kind.objects
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .values()
                    .map(|entry| entry.owner.clone())
                    .collect::<Vec<_>>()
            })
            .collect();
        for owner in affected {
            let _ = self.moved.send(WatchEvent::Object(owner)).await;
        }
    }

    /// The entry of an object. Its kind is watched from now on.
    pub async fn lookup(&self, resource: &ApiResource, key: &ResourceKey) -> Lookup {
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
            .map_or(unknown, |entry| Lookup::Found(entry.clone()))
    }

    /// Stores the server's answer to a write of ours. If another application owned the object
    /// before, that one is woken.
    pub async fn note(&self, resource: &ApiResource, key: &ResourceKey, object: &Live) {
        let kind = self.kind(resource);
        let Some(entry) = index_entry(object, &self.rules) else {
            return;
        };
        let owner = entry.owner.clone();
        let owners = upsert(
            &mut kind.objects.lock().unwrap_or_else(PoisonError::into_inner),
            (key.namespace.clone(), key.name.clone()),
            entry,
            false,
        );
        for former in owners.into_iter().filter(|woken| *woken != owner) {
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
        let (sender, state) = watch::channel(State::Starting);
        let kind = Arc::new_cyclic(|kind: &Weak<Kind>| {
            let run = Run {
                kind: kind.clone(),
                state: sender,
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

    /// Retries kinds that could not be watched: the right may have been granted meanwhile.
    pub fn retry_refused(&self) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.retain(|_, kind| *kind.state.borrow() != State::Refused);
    }
}
