//! A destination cluster: live objects, server-side dry-runs, applies, prunes,
//! watches. Also the cluster that windlass itself runs in: [`home`] and [`lease`].
//!
//! One request = one function with a typed outcome. What the API server says
//! about a Secret never leaves here in its own words: it may quote values.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use index::Index;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::core::Status;
use kube::discovery::Discovery;
use kube::{Api, Client};
use pods::Pods;
use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use crate::domain::ApplicationKey;
use crate::domain::fence::ServiceAccount;
use crate::domain::manifest::ResourceKey;

pub mod store;

pub mod index;

pub mod lease;

mod connect;
mod discovery;
mod limit;
mod objects;
pub mod pods;
mod writes;

use connect::DEADLINE;
pub use connect::{ANSWERS, connect, connect_as, with_warnings};
pub use index::{IndexEntry, Lookup};
use limit::{AdaptiveLimit, FIRST_IN_FLIGHT};
pub use objects::{Found, Keeps};
pub use writes::{Applied, Refusal, Writer};

/// Why a cluster could not be asked, or would not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: the cluster cannot be reached: {message}")]
    Unavailable { what: String, message: String },
    /// Somebody else wrote in between: look again.
    #[error("{what}: changed meanwhile")]
    Stale { what: String },
    #[error("{what}: windlass may not: {message}")]
    Forbidden { what: String, message: String },
    #[error("{what}: {message}")]
    Refused { what: String, message: String },
}

pub type Result<T> = std::result::Result<T, Error>;

/// Something that a watch saw.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// An object with our label, by the label's value.
    Object(String),
    /// One of our own objects, changed by somebody else or by another of our loops.
    Application(ApplicationKey),
    Promotion(ApplicationKey),
}

/// The uid of a cluster's namespace `kube-system`, while it is known.
type Identity = Arc<Mutex<Option<String>>>;

/// A cluster that windlass writes to.
#[derive(Clone)]
pub struct Cluster {
    pub name: String,
    /// Whose rights reads have, and whose writes and their dry-runs.
    client: Client,
    writer: Client,
    /// Clients that act as service accounts.
    accounts: Arc<HashMap<ServiceAccount, Client>>,
    kinds: Arc<Mutex<Option<Arc<Discovery>>>>,
    /// Kinds that were not served when they were last asked for.
    missed: Arc<Mutex<HashMap<GroupVersionKind, Instant>>>,
    pub index: Arc<Index>,
    pub pods: Arc<Pods>,
    pace: Arc<AdaptiveLimit>,
    /// Asked once for as long as the watches hold.
    uid: Identity,
}

/// None: cluster-scoped objects, or those of all namespaces.
fn api(client: Client, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, resource),
        None => Api::all_with(client, resource),
    }
}

/// Gives a call its deadline and its error a meaning.
async fn call<T>(
    what: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<std::result::Result<T, Box<Status>>> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(Ok(value)) => Ok(Ok(value)),
        // A plain 500 is an answer about the object: the field manager and webhooks give it, and it may quote values.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 429 | 502 | 503 | 504) => {
            Err(Error::Unavailable {
                what: what.into(),
                message: status.message.clone(),
            })
        }
        // Credentials that are not taken are no answer about anything.
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

/// An answer of no for which the caller has no use of its own.
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
    /// What the watches see is told to `moved`.
    pub fn new(name: &str, client: Client, moved: mpsc::Sender<WatchEvent>) -> Self {
        let pace = AdaptiveLimit {
            limit: FIRST_IN_FLIGHT.into(),
            busy: 0.into(),
            freed: Notify::new(),
        };
        let uid = Identity::default();
        let pods = Arc::new(Pods::new(name, client.clone(), moved.clone()));
        let index = Arc::new(Index::new(name, client.clone(), moved, uid.clone()));
        Self {
            name: name.into(),
            writer: client.clone(),
            client,
            accounts: Arc::default(),
            kinds: Arc::default(),
            missed: Arc::default(),
            index,
            pods,
            pace: Arc::new(pace),
            uid,
        }
    }

    /// The same, which knows clients for service accounts.
    pub fn with_accounts(self, accounts: HashMap<ServiceAccount, Client>) -> Self {
        Self {
            accounts: Arc::new(accounts),
            ..self
        }
    }

    /// The same, which writes, and asks what a write would come to, as a service account. None: as windlass.
    pub fn writing_as(&self, account: Option<&ServiceAccount>) -> Self {
        let writer = account
            .and_then(|account| self.accounts.get(account))
            .unwrap_or(&self.client);
        Self {
            writer: writer.clone(),
            ..self.clone()
        }
    }

    /// The same, which does everything as a service account.
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

    /// An ordinary request, in its turn.
    pub(super) async fn call<T>(
        &self,
        what: &str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<std::result::Result<T, Box<Status>>> {
        let _turn = self.pace.turn().await;
        let answer = call(what, request).await;
        self.pace
            .learn(matches!(answer, Err(Error::Unavailable { .. })));
        // Not the object is missing but its API: what is served has changed.
        if let Ok(Err(status)) = &answer
            && status.code == 404
            && status.reason != "NotFound"
        {
            self.forget_kinds();
            return Err(Error::Stale { what: what.into() });
        }
        answer
    }

    /// What tells this cluster from every other: the uid of its namespace `kube-system`. Asked again once a watch was
    /// interrupted: another cluster may have taken its address meanwhile.
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

    /// What the index knows of an object; None where its kind is not served.
    pub async fn look(&self, key: &ResourceKey, version: &str) -> Result<Option<Lookup>> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(None);
        };
        Ok(Some(self.index.look(&resource, key).await))
    }

    pub(super) fn api(&self, resource: &ApiResource, key: &ResourceKey) -> Api<DynamicObject> {
        self.api_in(resource, key.namespace.as_deref())
    }

    /// For writes, and for what a write would come to.
    pub(super) fn writes(&self, resource: &ApiResource, key: &ResourceKey) -> Api<DynamicObject> {
        api(self.writer.clone(), resource, key.namespace.as_deref())
    }

    /// None: cluster-scoped objects, or those of all namespaces.
    pub(super) fn api_in(
        &self,
        resource: &ApiResource,
        namespace: Option<&str>,
    ) -> Api<DynamicObject> {
        api(self.client.clone(), resource, namespace)
    }
}

/// The whole object; items of lists come without their types.
fn value_of(object: DynamicObject, resource: &ApiResource) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = resource.api_version.clone().into();
    value["kind"] = resource.kind.clone().into();
    value
}
