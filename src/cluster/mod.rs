//! A destination cluster: live objects, server-side dry-runs, applies, prunes,
//! watches. Also the cluster that windlass itself runs in: [`home`] and [`lease`].
//!
//! One request = one function with a typed outcome. What the API server says
//! about a Secret never leaves here in its own words: it may quote values.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::discovery::{Discovery, Scope};
use kube::{Api, Client, Config};
use serde_json::Value;

use crate::domain::manifest::{Manifest, ResourceKey};
use crate::domain::plan;

pub mod home;
pub mod lease;
pub mod watch;

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

type Result<T> = std::result::Result<T, Error>;

/// The answer to a desired object that is applied or dry-run.
#[derive(Debug, Clone)]
pub enum Applied {
    /// The object as the server has it, or would have it.
    Object(Value),
    NamespaceMissing,
    /// No such kind is served.
    KindMissing,
    /// In the server's words, less secrets.
    Refused(String),
}

/// A cluster that windlass writes to.
#[derive(Clone)]
pub struct Cluster {
    pub name: String,
    client: Client,
    kinds: Arc<Mutex<Option<Arc<Discovery>>>>,
}

/// An ordinary call is given this long; watches are not bound by it.
const DEADLINE: Duration = Duration::from_secs(30);

/// A client by kubeconfig (None: the service account of the pod that we run in).
pub async fn connect(kubeconfig: Option<(&Path, Option<&str>)>) -> anyhow::Result<Client> {
    let mut config = match kubeconfig {
        Some((path, context)) => {
            let kubeconfig = Kubeconfig::read_from(path)?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions { context: context.map(str::to_string), ..Default::default() })
                .await?
        }
        None => Config::incluster()?,
    };
    config.headers.push((USER_AGENT, HeaderValue::from_static(concat!("windlass/", env!("CARGO_PKG_VERSION")))));
    config.connect_timeout = Some(Duration::from_secs(10));
    // Retries of 429, 503 and 504 stay inside the deadline of a call.
    Ok(Client::try_from(config)?)
}

/// Gives a call its deadline and its error a meaning.
async fn call<T>(what: &str, request: impl Future<Output = kube::Result<T>>) -> Result<std::result::Result<T, Box<Status>>> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(Ok(value)) => Ok(Ok(value)),
        // A plain 500 is an answer about the object: the field manager and webhooks give it, and it may quote values.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 429 | 502 | 503 | 504) => {
            Err(Error::Unavailable { what: what.into(), message: status.message.clone() })
        }
        Ok(Err(kube::Error::Api(status))) => Ok(Err(status)),
        Ok(Err(error)) => Err(Error::Unavailable { what: what.into(), message: error.to_string() }),
        Err(_) => Err(Error::Unavailable { what: what.into(), message: format!("no answer within {} s", DEADLINE.as_secs()) }),
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
    pub fn new(name: &str, client: Client) -> Self {
        Self { name: name.into(), client, kinds: Arc::default() }
    }

    /// What the cluster serves, asked once and again when a kind is missing.
    async fn discovery(&self, anew: bool) -> Result<Arc<Discovery>> {
        if !anew && let Some(known) = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(known);
        }
        let what = "discover kinds";
        let mut found = call(what, Discovery::new(self.client.clone()).run_aggregated()).await?.map_err(|status| refused(what, &status))?;
        // A server without aggregated discovery answers with nothing at all.
        if !found.has_group("") {
            found = call(what, Discovery::new(self.client.clone()).run()).await?.map_err(|status| refused(what, &status))?;
        }
        let found = Arc::new(found);
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    /// The resource of a kind and whether it is namespaced; None: it is not served.
    pub async fn kind(&self, group: &str, version: &str, kind: &str) -> Result<Option<(ApiResource, bool)>> {
        let gvk = GroupVersionKind::gvk(group, version, kind);
        for anew in [false, true] {
            if let Some((resource, capabilities)) = self.discovery(anew).await?.resolve_gvk(&gvk) {
                return Ok(Some((resource, capabilities.scope == Scope::Namespaced)));
            }
        }
        Ok(None)
    }

    fn api(&self, resource: &ApiResource, key: &ResourceKey) -> Api<DynamicObject> {
        match &key.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }

    /// A live object; None where it is not (also where its namespace or kind is not).
    pub async fn live(&self, key: &ResourceKey, version: &str) -> Result<Option<Value>> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else { return Ok(None) };
        let what = format!("read {key}");
        match call(&what, self.api(&resource, key).get(&key.name)).await? {
            Ok(object) => Ok(Some(value_of(object, &resource))),
            Err(status) if status.is_not_found() => Ok(None),
            Err(status) => Err(refused(&what, &status)),
        }
    }

    /// Server-side apply, or its dry-run. Fields that others hold are taken: Git is what counts.
    pub async fn apply(&self, manifest: &Manifest, manager: &str, dry_run: bool) -> Result<Applied> {
        let key = &manifest.key;
        let Some((resource, _)) = self.kind(&key.group, &manifest.version, &key.kind).await? else { return Ok(Applied::KindMissing) };
        let mut parameters = PatchParams::apply(manager).force().validation_strict();
        parameters.dry_run = dry_run;
        let what = format!("{} {key}", if dry_run { "dry-run" } else { "apply" });
        let patch = Patch::Apply(&manifest.value);
        let request = self.api(&resource, key);
        match call(&what, request.patch(&key.name, &parameters, &patch)).await? {
            Ok(object) => Ok(Applied::Object(value_of(object, &resource))),
            Err(status) if namespace_missing(&status, key) => Ok(Applied::NamespaceMissing),
            Err(status) if status.is_not_found() => Ok(Applied::KindMissing),
            Err(status) if status.is_conflict() && !dry_run => Err(Error::Stale { what }),
            Err(status) => {
                let fields: Vec<_> = status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.field.clone()).collect();
                Ok(Applied::Refused(plan::refusal(key, &status.reason, &status.message, &fields)))
            }
        }
    }

    /// Deletes exactly the object that has this uid; true once it is gone.
    pub async fn delete(&self, key: &ResourceKey, version: &str, uid: &str) -> Result<bool> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else { return Ok(true) };
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions { uid: Some(uid.into()), resource_version: None }),
            ..DeleteParams::default()
        };
        let what = format!("delete {key}");
        match call(&what, self.api(&resource, key).delete(&key.name, &parameters)).await? {
            Ok(outcome) => Ok(outcome.is_right()),
            Err(status) if status.is_not_found() => Ok(true),
            Err(status) => Err(refused(&what, &status)),
        }
    }

    /// The pods that a workload's selector matches.
    pub async fn pods_of(&self, workload: &Value) -> Result<Vec<Value>> {
        let labels = workload["spec"]["selector"]["matchLabels"].as_object();
        let (Some(labels), Some(namespace)) = (labels, workload["metadata"]["namespace"].as_str()) else { return Ok(Vec::new()) };
        let selector: BTreeMap<_, _> = labels.iter().filter_map(|(name, value)| Some((name, value.as_str()?))).collect();
        let selector = selector.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",");
        let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let what = "list pods";
        let found = call(what, api.list(&ListParams::default().labels(&selector))).await?.map_err(|status| refused(what, &status))?;
        Ok(found.items.into_iter().map(|pod| value_of(pod, &resource)).collect())
    }
}

fn namespace_missing(status: &Status, key: &ResourceKey) -> bool {
    let Some(namespace) = &key.namespace else { return false };
    status.is_not_found() && status.details.as_ref().is_some_and(|details| details.kind == "namespaces" && details.name == *namespace)
}

/// The whole object; items of lists come without their types.
fn value_of(object: DynamicObject, resource: &ApiResource) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = resource.api_version.clone().into();
    value["kind"] = resource.kind.clone().into();
    value
}
