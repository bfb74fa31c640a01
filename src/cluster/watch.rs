//! Watches over managed objects: metadata only, filtered by our label.
//!
//! A watch tells that an object is not as we left it; what to do about it is
//! found out by looking. The signal is a hash over what people and controllers
//! change and a status update does not: see [`signal`].

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::core::ObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::mpsc;

use super::Cluster;
use crate::domain::OWNER_LABEL;

/// An object with our label moved.
#[derive(Debug, Clone)]
pub struct Moved {
    /// The label's value: whose it is.
    pub owner: String,
    pub uid: String,
    /// None: deleted.
    pub signal: Option<u64>,
}

/// The watches that run, by resource.
#[derive(Default)]
pub struct Watches {
    running: Mutex<HashMap<ApiResource, tokio::task::JoinHandle<()>>>,
}

impl Watches {
    /// Sees to it that a kind is watched. Events go to `moved`; when that is full the watch waits.
    pub fn ensure(&self, cluster: &Cluster, resource: &ApiResource, moved: &mpsc::Sender<Moved>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.get(resource).is_some_and(|task| !task.is_finished()) {
            return;
        }
        let task = tokio::spawn(run(cluster.clone(), resource.clone(), moved.clone()));
        running.insert(resource.clone(), task);
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for task in self.running.lock().unwrap_or_else(PoisonError::into_inner).values() {
            task.abort();
        }
    }
}

async fn run(cluster: Cluster, resource: ApiResource, moved: mpsc::Sender<Moved>) {
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(cluster.client.clone(), &resource);
    let config = watcher::Config::default().labels(OWNER_LABEL);
    let mut events = pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        let told = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => Some((Some(signal(&object.metadata)), object)),
            Ok(watcher::Event::Delete(object)) => Some((None, object)),
            Ok(watcher::Event::Init | watcher::Event::InitDone) => None,
            // The kind is gone, or not ours to watch: whoever needs it asks again.
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status))) if matches!(status.code, 403 | 404) => {
                tracing::warn!(
                    cluster = cluster.name,
                    kind = resource.kind,
                    message = status.message,
                    "cannot watch; drift of this kind is found at the next resync"
                );
                return;
            }
            Err(error) => {
                tracing::debug!(cluster = cluster.name, kind = resource.kind, %error, "a watch was interrupted");
                None
            }
        };
        if let Some((signal, object)) = told
            && let Some(owner) = object.labels().get(OWNER_LABEL)
        {
            let event = Moved { owner: owner.clone(), uid: object.uid().unwrap_or_default(), signal };
            if moved.send(event).await.is_err() {
                return;
            }
        }
    }
}

/// What changes when somebody changes an object, and not when its status does: uid, generation, labels, and who owns
/// which field (managedFields without the status entries and their times). A person who takes a field of ours moves
/// it from our entry to theirs, also in objects that have no generation.
pub fn signal(metadata: &ObjectMeta) -> u64 {
    let mut hash = DefaultHasher::new();
    metadata.uid.hash(&mut hash);
    metadata.generation.hash(&mut hash);
    metadata.labels.hash(&mut hash);
    for entry in metadata.managed_fields.iter().flatten().filter(|entry| entry.subresource.as_deref() != Some("status")) {
        entry.manager.hash(&mut hash);
        entry.operation.hash(&mut hash);
        entry.fields_v1.as_ref().map(|fields| crate::domain::canonical_json(&fields.0)).hash(&mut hash);
    }
    hash.finish()
}

/// The signal of an object as the API server answered it.
pub fn signal_of(object: &serde_json::Value) -> u64 {
    serde_json::from_value::<ObjectMeta>(object["metadata"].clone()).map_or(0, |metadata| signal(&metadata))
}
