//! One watch of one kind: from the API server's events to what is kept, and who
//! has to look again.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{PoisonError, Weak};
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::objects::{Name, name_of, seen, upsert};
use super::{Kind, Rules, State};
use crate::cluster::{Client, Identity, WatchEvent, value_of};
use crate::domain::OWNER_LABEL;

/// A watch that cannot be had for so long makes what it saw worth nothing.
const LOST_AFTER: Duration = Duration::from_secs(15);

/// Objects of a page: anybody may give an object of his our label, and as many annotations as it holds (256 KiB).
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
    pub(super) told: watch::Sender<State>,
    pub(super) resource: ApiResource,
    pub(super) cluster: String,
    pub(super) moved: mpsc::Sender<WatchEvent>,
    pub(super) rules: Rules,
    pub(super) identity: Identity,
    /// While a list is read: what was in it.
    pub(super) listed: Option<HashSet<Name>>,
    /// Since when the watch cannot be had.
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
            key,
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
        let _ = self.moved.send(WatchEvent::Object(owner)).await;
    }
}
