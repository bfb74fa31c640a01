//! A destination cluster: live objects, server-side dry-runs, applies, prunes,
//! watches. Also the cluster that windlass itself runs in: [`store`] and [`lease`].
//!
//! One request = one function with a typed outcome. The API server's messages
//! about a Secret never leave this module as they are: they may quote values.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use index::Index;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::core::Status;
use kube::discovery::Discovery;
use kube::{Api, Client};
use pods::Pods;
use reconcilers::Reconcilers;
use tokio::sync::{Notify, mpsc};
use tracing::Instrument as _;

use crate::domain::fence::ServiceAccount;
use crate::domain::manifest::ResourceKey;
use crate::domain::{Live, StageKey, TargetKey};
use crate::traces;

pub mod store;

pub mod index;

pub mod lease;

mod connect;
mod discovery;
mod limit;
mod notice;
mod objects;
pub mod pods;
mod reconcilers;
mod registered;
mod requests;
mod words;
mod writes;

use connect::DEADLINE;
pub use connect::{ANSWERS, Access, connect, connect_as, with_warnings};
pub use index::{IndexEntry, Lookup};
use limit::{AdaptiveLimit, FIRST_IN_FLIGHT};
pub use notice::Notice;
pub use objects::{Found, Keeps};
pub use registered::{AllRegistered, other_than, registered};
pub use words::words;
pub use writes::{Applied, Refusal, Writer};

/// Why a request to a cluster failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: the cluster cannot be reached: {message}")]
    Unavailable { what: String, message: String },
    /// Somebody else wrote in between: read again and retry.
    #[error("{what}: changed meanwhile")]
    Stale { what: String },
    #[error("{what}: windlass may not: {message}")]
    Forbidden { what: String, message: String },
    #[error("{what}: {message}")]
    Refused { what: String, message: String },
}

pub type Result<T> = std::result::Result<T, Error>;

/// A change that a watch reported.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// An object with our label, by the label's value.
    Object(String),
    /// One of our own objects, changed by a person or by another of our loops.
    Application(TargetKey),
    Promotion(StageKey),
    /// An object by which Argo CD or Flux may reconcile a stage.
    Reconciler {
        cluster: String,
        object: ResourceKey,
    },
    Freeze(Box<store::Freeze>),
}

/// The uid of a cluster's namespace `kube-system`, while it is known.
type Identity = Arc<Mutex<Option<String>>>;

/// A cluster that windlass writes to.
#[derive(Clone)]
pub struct Cluster {
    pub name: String,
    /// `client` reads; `writer` writes and dry-runs. Each has the rights of its own account.
    client: Client,
    writer: Client,
    /// Clients that act as service accounts.
    accounts: Arc<HashMap<ServiceAccount, Client>>,
    kinds: Arc<Mutex<Option<Arc<Discovery>>>>,
    /// Kinds that the cluster did not serve when discovery was last read.
    unserved: Arc<Mutex<HashMap<GroupVersionKind, Instant>>>,
    pub index: Arc<Index>,
    pub pods: Arc<Pods>,
    reconcilers: Arc<Reconcilers>,
    limit: Arc<AdaptiveLimit>,
    /// Read once, and again after a watch was interrupted.
    uid: Identity,
}

/// `namespace`: None for cluster-scoped objects, or for those of all namespaces.
fn api(client: Client, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, resource),
        None => Api::all_with(client, resource),
    }
}

/// Sends a request with a deadline, and sorts its errors.
async fn call<T>(
    what: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<std::result::Result<T, Box<Status>>> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(Ok(value)) => Ok(Ok(value)),
        // A plain 500 is an answer about the object: field managers and webhooks cause it. It may
        // quote values.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 429 | 502 | 503 | 504) => {
            Err(Error::Unavailable {
                what: what.into(),
                message: status.message.clone(),
            })
        }
        // Rejected credentials say nothing about the object.
        Ok(Err(kube::Error::Api(status))) if status.code == 401 => Err(Error::Unavailable {
            what: what.into(),
            message: format!(
                "it does not take windlass's credentials: {}",
                status.message
            ),
        }),
        Ok(Err(kube::Error::Api(status))) => Ok(Err(status)),
        Ok(Err(error)) => Err(Error::Unavailable {
            what: what.into(),
            message: error.to_string(),
        }),
        Err(_) => Err(Error::Unavailable {
            what: what.into(),
            message: format!("no answer within {} s", DEADLINE.as_secs()),
        }),
    }
}

/// The error for a status that the caller does not handle itself.
fn refused(what: &str, status: &Status) -> Error {
    let (what, message) = (what.to_string(), status.message.clone());
    if status.is_conflict() || status.is_already_exists() {
        Error::Stale { what }
    } else if status.is_forbidden() {
        Error::Forbidden { what, message }
    } else {
        Error::Refused { what, message }
    }
}

impl Cluster {
    /// The watches send their events to `moved`.
    pub fn new(name: &str, client: Client, moved: mpsc::Sender<WatchEvent>) -> Self {
        let limit = AdaptiveLimit {
            limit: FIRST_IN_FLIGHT.into(),
            in_flight: 0.into(),
            released: Notify::new(),
        };
        let uid = Identity::default();
        let pods = Arc::new(Pods::new(name, client.clone(), moved.clone()));
        let reconcilers = Reconcilers::new(name, client.clone(), moved.clone());
        let index = Arc::new(Index::new(name, client.clone(), moved, uid.clone()));
        Self {
            name: name.into(),
            writer: client.clone(),
            client,
            accounts: Arc::default(),
            kinds: Arc::default(),
            unserved: Arc::default(),
            index,
            pods,
            reconcilers: Arc::new(reconcilers),
            limit: Arc::new(limit),
            uid,
        }
    }

    /// Watches an object by which Argo CD or Flux reconciles a stage. Whether its changes are
    /// reported already: if not, it has to be polled.
    pub async fn watch_reconciler(&self, key: &ResourceKey, version: &str) -> Result<bool> {
        let kind = self.kind(&key.group, version, &key.kind).await?;
        Ok(kind.is_some_and(|(resource, _)| self.reconcilers.watch(key, &resource)))
    }

    /// The same cluster, with clients that impersonate service accounts.
    pub fn with_accounts(self, accounts: HashMap<ServiceAccount, Client>) -> Self {
        Self {
            accounts: Arc::new(accounts),
            ..self
        }
    }

    /// The same cluster, which writes and dry-runs as a service account. None: as windlass.
    pub fn writing_as(&self, account: Option<&ServiceAccount>) -> Self {
        let writer = account
            .and_then(|account| self.accounts.get(account))
            .unwrap_or(&self.client);
        Self {
            writer: writer.clone(),
            ..self.clone()
        }
    }

    /// The same cluster, which also reads as the service account.
    pub fn acting_as(&self, account: Option<&ServiceAccount>) -> Self {
        let client = account
            .and_then(|account| self.accounts.get(account))
            .unwrap_or(&self.client);
        Self {
            client: client.clone(),
            writer: client.clone(),
            ..self.clone()
        }
    }

    /// Sends a request, within the limit of requests in flight.
    pub(super) async fn call<T>(
        &self,
        what: &str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<std::result::Result<T, Box<Status>>> {
        let _in_flight = self.limit.acquire().await;
        let span = traces::cluster(&self.name, what);
        let answer = call(what, request).instrument(span.clone()).await;
        if answer.is_err() {
            traces::failed(&span);
        }
        self.limit
            .record(matches!(answer, Err(Error::Unavailable { .. })));
        // A 404 without the reason `NotFound` means that the API is missing, not the object:
        // discovery is outdated.
        if let Ok(Err(status)) = &answer
            && status.code == 404
            && status.reason != "NotFound"
        {
            self.forget_kinds();
            return Err(Error::Stale { what: what.into() });
        }
        answer
    }

    /// The identity of this cluster: the uid of its namespace `kube-system`. It is read again after
    /// a watch was interrupted: another cluster may have taken the address meanwhile.
    pub async fn uid(&self) -> Result<String> {
        if let Some(known) = self
            .uid
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
        {
            return Ok(known);
        }
        let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.client.clone());
        let what = "read the cluster's identity";
        let namespace = self
            .call(what, api.get("kube-system"))
            .await?
            .map_err(|status| refused(what, &status))?;
        let uid = namespace.metadata.uid.unwrap_or_default();
        *self.uid.lock().unwrap_or_else(PoisonError::into_inner) = Some(uid.clone());
        Ok(uid)
    }

    /// The index entry of an object; None if its kind is not served.
    pub async fn lookup(&self, key: &ResourceKey, version: &str) -> Result<Option<Lookup>> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(None);
        };
        Ok(Some(self.index.lookup(&resource, key).await))
    }

    pub(super) fn api(&self, resource: &ApiResource, key: &ResourceKey) -> Api<DynamicObject> {
        self.api_in(resource, key.namespace.as_deref())
    }

    /// For writes and dry-runs.
    pub(super) fn writes(&self, resource: &ApiResource, key: &ResourceKey) -> Api<DynamicObject> {
        api(self.writer.clone(), resource, key.namespace.as_deref())
    }

    /// `namespace`: None for cluster-scoped objects, or for those of all namespaces.
    pub(super) fn api_in(
        &self,
        resource: &ApiResource,
        namespace: Option<&str>,
    ) -> Api<DynamicObject> {
        api(self.client.clone(), resource, namespace)
    }
}

/// The object with its type: items of lists come without one.
fn live_of(object: DynamicObject, resource: &ApiResource) -> Live {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = resource.api_version.clone().into();
    value["kind"] = resource.kind.clone().into();
    Live::new(value)
}
