//! Why pods cannot run, for the applications that wait for their workloads.
//!
//! While an application waits for a workload, the pods of its namespace are
//! watched; the watch ends when no application waits there any more. So a
//! failing pod is reported at once, and rollouts that succeed cost one request a
//! namespace, however many applications roll out. Only failing pods are kept.
//!
//! Known races: before a watch's first list is complete no failure is known. The
//! list then wakes the applications that wait.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Client, WatchEvent, live_of};
use crate::domain::health::{FailingPod, Workload};

/// The failing pods of one cluster, in namespaces where an application waits.
pub struct Pods {
    cluster: String,
    client: Client,
    moved: mpsc::Sender<WatchEvent>,
    namespaces: Mutex<HashMap<String, Namespace>>,
}

/// A namespace that is watched.
struct Namespace {
    /// The workloads that each application waits for, by the value of our label.
    waiting: HashMap<String, Vec<Arc<Workload>>>,
    failing: BTreeMap<String, FailingPod>,
    _watch: AbortOnDropHandle<()>,
}

impl Pods {
    pub fn new(cluster: &str, client: Client, moved: mpsc::Sender<WatchEvent>) -> Self {
        Self {
            cluster: cluster.into(),
            client,
            moved,
            namespaces: Mutex::default(),
        }
    }

    /// Replaces the workloads that an application waits for. Returns for each of them why a pod of
    /// it cannot run, as far as that is known. A later change wakes the application.
    pub fn wait(
        self: &Arc<Self>,
        owner: &str,
        workloads: Vec<Arc<Workload>>,
        now: Timestamp,
    ) -> Vec<Option<String>> {
        let mut namespaces = self.namespaces();
        for namespace in namespaces.values_mut() {
            namespace.waiting.remove(owner);
        }
        let mut found = Vec::new();
        for workload in workloads {
            let name = &workload.namespace;
            let namespace = namespaces
                .entry(name.clone())
                .or_insert_with(|| self.watch(name));
            found.push(
                namespace
                    .failing
                    .values()
                    .find(|pod| pod.from.is_none_or(|from| from <= now) && workload.has(pod))
                    .map(|pod| pod.why.clone()),
            );
            namespace
                .waiting
                .entry(owner.into())
                .or_default()
                .push(workload);
        }
        namespaces.retain(|_, namespace| !namespace.waiting.is_empty());
        found
    }

    fn namespaces(&self) -> MutexGuard<'_, HashMap<String, Namespace>> {
        self.namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(self: &Arc<Self>, namespace: &str) -> Namespace {
        let task = tokio::spawn(follow(
            Arc::downgrade(self),
            self.client.clone(),
            namespace.to_string(),
        ));
        Namespace {
            waiting: HashMap::new(),
            failing: BTreeMap::new(),
            _watch: AbortOnDropHandle::new(task),
        }
    }

    /// Updates the state of a pod and wakes the applications that wait for it, if the state
    /// changed.
    async fn note(
        &self,
        namespace: &str,
        pod: &str,
        update: impl FnOnce(Option<&FailingPod>) -> Option<FailingPod>,
    ) {
        let owners: Vec<_> = {
            let mut namespaces = self.namespaces();
            let Some(Namespace {
                waiting, failing, ..
            }) = namespaces.get_mut(namespace)
            else {
                return;
            };
            let known = failing.remove(pod);
            let now = update(known.as_ref());
            let changed = if known == now {
                None
            } else {
                now.clone().or(known)
            };
            failing.extend(now.map(|now| (pod.to_string(), now)));
            let waits = |workloads: &[Arc<Workload>]| {
                changed
                    .as_ref()
                    .is_some_and(|pod| workloads.iter().any(|workload| workload.has(pod)))
            };
            waiting
                .iter()
                .filter(|(_, workloads)| waits(workloads))
                .map(|(owner, _)| owner.clone())
                .collect()
        };
        for owner in owners {
            let _ = self.moved.send(WatchEvent::Object(owner)).await;
        }
    }

    fn known(&self, namespace: &str) -> Vec<String> {
        self.namespaces()
            .get(namespace)
            .map(|namespace| namespace.failing.keys().cloned().collect())
            .unwrap_or_default()
    }
}

async fn follow(pods: Weak<Pods>, client: Client, namespace: String) {
    let resource = ApiResource::erase::<Pod>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &resource);
    let mut events =
        pin!(watcher(api, watcher::Config::default().page_size(500)).default_backoff());
    let mut listed = HashSet::new();
    while let Some(event) = events.next().await {
        let Some(pods) = pods.upgrade() else { return };
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(event @ (watcher::Event::InitApply(_) | watcher::Event::Apply(_))) => {
                let first = matches!(event, watcher::Event::InitApply(_));
                let (watcher::Event::InitApply(pod) | watcher::Event::Apply(pod)) = event else {
                    continue;
                };
                let name = pod.name_any();
                let pod = live_of(pod, &resource);
                pods.note(&namespace, &name, |known| FailingPod::read(&pod, known))
                    .await;
                if first {
                    listed.insert(name);
                }
            }
            Ok(watcher::Event::Delete(pod)) => {
                pods.note(&namespace, &pod.name_any(), |_| None).await
            }
            Ok(watcher::Event::InitDone) => {
                for deleted in pods
                    .known(&namespace)
                    .iter()
                    .filter(|name| !listed.contains(*name))
                {
                    pods.note(&namespace, deleted, |_| None).await;
                }
            }
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status)))
                if status.is_forbidden() =>
            {
                let (cluster, message) = (&pods.cluster, &status.message);
                tracing::warn!(
                    cluster,
                    namespace,
                    message,
                    "cannot watch pods; why a pod fails is not reported"
                );
                return;
            }
            Err(error) => {
                tracing::debug!(cluster = pods.cluster, namespace, %error, "the watch of pods was interrupted")
            }
        }
    }
}
