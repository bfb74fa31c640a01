//! Watches of the objects by which Argo CD and Flux reconcile stages.
//!
//! One watch for each kind in each namespace that has such an object; it tells that
//! an object changed, and not how: who is woken reads it. A watch that nobody asked
//! for in an hour ends.
//!
//! Known races: until a watch's first list is complete its objects have to be
//! polled; each object of a list counts as changed.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{Client, WatchEvent};
use crate::domain::manifest::ResourceKey;

const UNUSED: Duration = Duration::from_secs(3600);
/// Objects of a page of metadata.
const PAGE: u32 = 500;

/// All that is read of an object.
type Metadata = PartialObjectMeta<DynamicObject>;

/// The watches of one cluster.
pub struct Reconcilers {
    cluster: String,
    client: Client,
    moved: mpsc::Sender<WatchEvent>,
    /// By API group, kind and namespace.
    watches: Mutex<HashMap<(String, String, String), Watch>>,
}

struct Watch {
    /// Its list is complete, and it is not interrupted.
    reports: Arc<AtomicBool>,
    asked: Instant,
    _task: AbortOnDropHandle<()>,
}

impl Reconcilers {
    pub fn new(cluster: &str, client: Client, moved: mpsc::Sender<WatchEvent>) -> Self {
        Self {
            cluster: cluster.into(),
            client,
            moved,
            watches: Mutex::default(),
        }
    }

    /// Watches an object from now on. Whether its changes are reported already.
    pub fn watch(&self, key: &ResourceKey, resource: &ApiResource) -> bool {
        let namespace = key.namespace.clone().unwrap_or_default();
        let of = (key.group.clone(), key.kind.clone(), namespace.clone());
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|_, watch| watch.asked.elapsed() < UNUSED);
        let watch = watches.entry(of).or_insert_with(|| {
            let reports = Arc::new(AtomicBool::new(false));
            let follow = Follow {
                cluster: self.cluster.clone(),
                moved: self.moved.clone(),
                reports: reports.clone(),
                kind: (key.group.clone(), key.kind.clone()),
            };
            let api = Api::namespaced_with(self.client.clone(), &namespace, resource);
            Watch {
                reports,
                asked: Instant::now(),
                _task: AbortOnDropHandle::new(tokio::spawn(follow.run(api))),
            }
        });
        watch.asked = Instant::now();
        watch.reports.load(Ordering::SeqCst)
    }
}

/// One watch.
struct Follow {
    cluster: String,
    moved: mpsc::Sender<WatchEvent>,
    reports: Arc<AtomicBool>,
    kind: (String, String),
}

impl Follow {
    async fn run(self, api: Api<Metadata>) {
        let config = watcher::Config::default().page_size(PAGE);
        let mut events = pin!(watcher(api, config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => {}
                Ok(watcher::Event::InitDone) => self.reports.store(true, Ordering::SeqCst),
                Ok(
                    watcher::Event::InitApply(object)
                    | watcher::Event::Apply(object)
                    | watcher::Event::Delete(object),
                ) => {
                    let (group, kind) = self.kind.clone();
                    let object = ResourceKey {
                        group,
                        kind,
                        namespace: object.metadata.namespace,
                        name: object.metadata.name.unwrap_or_default(),
                    };
                    let cluster = self.cluster.clone();
                    let event = WatchEvent::Reconciler { cluster, object };
                    let _ = self.moved.send(event).await;
                }
                Err(error) => {
                    self.reports.store(false, Ordering::SeqCst);
                    let (cluster, kind) = (&self.cluster, &self.kind.1);
                    if is_refused(&error) {
                        tracing::warn!(
                            cluster,
                            kind,
                            %error,
                            "cannot watch; the objects are polled"
                        );
                        return;
                    }
                    tracing::debug!(cluster, kind, %error, "the watch was interrupted");
                }
            }
        }
    }
}

/// The account may not watch the kind, or it is not served.
fn is_refused(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))) = error
    else {
        return false;
    };
    matches!(status.code, 403..=405)
}
