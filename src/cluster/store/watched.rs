//! Our own objects of one kind, kept by a watch: reading one costs no request.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource, ResourceExt as _};
use tokio::sync::{mpsc, watch};

use crate::cluster::{DEADLINE, Error, Result, WatchEvent};

/// One kind of objects, as last seen.
#[derive(Clone)]
pub struct Watched<K> {
    pub(super) api: Api<K>,
    pub(super) objects: Arc<Mutex<HashMap<String, K>>>,
    pub(super) ready: watch::Receiver<bool>,
}

impl<K> Watched<K>
where
    K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    pub(super) fn new(
        api: Api<K>,
        moved: mpsc::Sender<WatchEvent>,
        event_for: impl Fn(&K) -> WatchEvent + Send + Sync + 'static,
    ) -> Self {
        let (set_ready, ready) = watch::channel(false);
        let watched = Self {
            api,
            objects: Arc::default(),
            ready,
        };
        tokio::spawn(watched.clone().follow(set_ready, moved, event_for));
        watched
    }

    /// Without a watch: there are none.
    pub(super) fn none(api: Api<K>) -> Self {
        Self {
            api,
            objects: Arc::default(),
            ready: watch::channel(true).1,
        }
    }

    pub(super) async fn follow(
        self,
        set_ready: watch::Sender<bool>,
        moved: mpsc::Sender<WatchEvent>,
        event_for: impl Fn(&K) -> WatchEvent,
    ) {
        let mut events =
            std::pin::pin!(watcher(self.api.clone(), watcher::Config::default()).default_backoff());
        let mut listed = HashSet::new();
        while let Some(event) = events.next().await {
            let changed = match event {
                Ok(watcher::Event::Init) => {
                    listed.clear();
                    None
                }
                Ok(watcher::Event::InitApply(object)) => {
                    listed.insert(object.name_any());
                    self.note(&object).then(|| event_for(&object))
                }
                Ok(watcher::Event::Apply(object)) => self.note(&object).then(|| event_for(&object)),
                Ok(watcher::Event::Delete(object)) => {
                    self.objects().remove(&object.name_any());
                    Some(event_for(&object))
                }
                Ok(watcher::Event::InitDone) => {
                    if *self.ready.borrow() {
                        self.objects().retain(|name, _| listed.contains(name));
                    }
                    let _ = set_ready.send(true);
                    None
                }
                Err(error) => {
                    tracing::warn!(%error, "the watch of our own objects was interrupted");
                    None
                }
            };
            if let Some(changed) = changed
                && moved.send(changed).await.is_err()
            {
                return;
            }
        }
    }

    pub(super) fn objects(&self) -> MutexGuard<'_, HashMap<String, K>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores an object, unless a newer version is stored already (resourceVersions are comparable
    /// since Kubernetes 1.35). True: it was stored.
    pub(super) fn note(&self, object: &K) -> bool {
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

    pub(super) async fn get(&self, name: &str) -> Result<Option<K>> {
        self.wait().await?;
        Ok(self.objects().get(name).cloned())
    }

    pub(super) async fn all(&self) -> Result<Vec<K>> {
        self.wait().await?;
        Ok(self.objects().values().cloned().collect())
    }

    pub(super) async fn wait(&self) -> Result<()> {
        let mut ready = self.ready.clone();
        let waited = tokio::time::timeout(DEADLINE, ready.wait_for(|ready| *ready)).await;
        let what = "read our own objects".to_string();
        waited.map(drop).map_err(|_| Error::Unavailable {
            what,
            message: "are deploy/crds.yaml and deploy/rbac.yaml applied?".into(),
        })
    }
}
