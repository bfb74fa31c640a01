//! One watch of one kind: from the API server's events to index entries, and to
//! the applications that have to be reconciled.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{PoisonError, Weak};
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::objects::{Name, index_entry, name_of, upsert};
use super::{Kind, Rules, State};
use crate::cluster::{Client, Identity, WatchEvent, live_of};
use crate::domain::Live;
use crate::domain::OWNER_LABEL;

/// After a watch has been interrupted for so long, its entries are no longer used.
const LOST_AFTER: Duration = Duration::from_secs(15);

/// Objects of a page. It is small: anybody may give an object our label and 256 KiB of annotations.
const PAGE: u32 = 50;

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

/// One watch.
pub(super) struct Run {
    pub(super) kind: Weak<Kind>,
    pub(super) state: watch::Sender<State>,
    pub(super) resource: ApiResource,
    pub(super) cluster: String,
    pub(super) moved: mpsc::Sender<WatchEvent>,
    pub(super) rules: Rules,
    pub(super) identity: Identity,
    /// While a list is read: the objects in it.
    pub(super) listed: Option<HashSet<Name>>,
    /// Since when the watch is interrupted.
    pub(super) broken: Option<Instant>,
}

impl Run {
    pub(super) async fn run(mut self, client: Client) {
        if WITHOUT_STATUS.contains(&self.resource.kind.as_str()) {
            let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client, &self.resource);
            let resource = self.resource.clone();
            self.follow(api, move |object| {
                let mut value = serde_json::json!({"metadata": object.metadata});
                value["apiVersion"] = resource.api_version.clone().into();
                value["kind"] = resource.kind.clone().into();
                Live::new(value)
            })
            .await;
        } else {
            let api: Api<DynamicObject> = Api::all_with(client, &self.resource);
            let resource = self.resource.clone();
            self.follow(api, move |object| live_of(object, &resource))
                .await;
        }
    }

    async fn follow<K>(&mut self, api: Api<K>, live: impl Fn(K) -> Live)
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
                    self.apply(&live(object)).await
                }
                Ok(watcher::Event::Delete(object)) => self.delete(&live(object)).await,
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
                    let _ = self.state.send(State::Refused);
                    return;
                }
                Err(watcher::Error::WatchStartFailed(kube::Error::Api(status)))
                    if status.code == 404 =>
                {
                    // The kind is no longer served. Callers read from the server, and find that out
                    // too.
                    let _ = self.state.send(State::Refused);
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

    /// True: the interruption lasts too long. The entries are no longer used, and the next lookup
    /// starts a new watch.
    async fn interrupted(&mut self) -> bool {
        // Another cluster may answer when it is back.
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let since = *self.broken.get_or_insert_with(Instant::now);
        if *self.state.borrow() == State::Starting {
            // There are no entries yet: callers read from the server meanwhile.
            let _ = self.state.send(State::Lost);
            return false;
        }
        let Some(kind) = self
            .kind
            .upgrade()
            .filter(|_| *self.state.borrow() == State::Ready && since.elapsed() >= LOST_AFTER)
        else {
            return false;
        };
        if self.state.send(State::Lost).is_err() {
            return true;
        }
        let owners: HashSet<_> = kind
            .objects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .map(|entry| entry.owner.clone())
            .collect();
        drop(kind);
        for owner in owners {
            self.wake(owner).await;
        }
        true
    }

    async fn apply(&mut self, object: &Live) {
        let Some(kind) = self.kind.upgrade() else {
            return;
        };
        let Some((key, entry)) = name_of(object).zip(index_entry(object, &self.rules)) else {
            return;
        };
        if let Some(listed) = &mut self.listed {
            listed.insert(key.clone());
        }
        // A list always counts: after a restore from a backup, a cluster's resourceVersions are
        // older.
        let listing = self.listed.is_some();
        let owners = upsert(
            &mut kind.objects.lock().unwrap_or_else(PoisonError::into_inner),
            key,
            entry,
            listing,
        );
        for owner in owners {
            self.wake(owner).await;
        }
    }

    async fn delete(&mut self, object: &Live) {
        let Some(kind) = self.kind.upgrade() else {
            return;
        };
        let (Some(key), uid) = (
            name_of(object),
            object["metadata"]["uid"].as_str().unwrap_or_default(),
        ) else {
            return;
        };
        let removed = {
            let mut objects = kind.objects.lock().unwrap_or_else(PoisonError::into_inner);
            // It may have been created again meanwhile, by a write of ours: that entry stays.
            let same = objects.get(&key).is_some_and(|known| known.uid == uid);
            if same { objects.remove(&key) } else { None }
        };
        if let Some(removed) = removed {
            self.wake(removed.owner).await;
        }
    }

    /// A list is complete: entries that were not in it are removed.
    async fn listed(&mut self) {
        let (Some(kind), Some(listed)) = (self.kind.upgrade(), self.listed.take()) else {
            return;
        };
        let first = *self.state.borrow() != State::Ready;
        let removed: Vec<_> = {
            let mut objects = kind.objects.lock().unwrap_or_else(PoisonError::into_inner);
            // At the first list, an entry that is not in it can only come from a write of ours: it
            // stays.
            let missing: Vec<_> = objects
                .keys()
                .filter(|key| !first && !listed.contains(*key))
                .cloned()
                .collect();
            missing
                .into_iter()
                .filter_map(|key| objects.remove(&key))
                .collect()
        };
        let _ = self.state.send(State::Ready);
        for entry in removed {
            self.wake(entry.owner).await;
        }
    }

    async fn wake(&self, owner: String) {
        let _ = self.moved.send(WatchEvent::Object(owner)).await;
    }
}
