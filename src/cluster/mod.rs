//! A destination cluster: live objects, server-side dry-runs, applies, prunes,
//! watches. Also the cluster that windlass itself runs in: [`home`] and [`lease`].
//!
//! One request = one function with a typed outcome. What the API server says
//! about a Secret never leaves here in its own words: it may quote values.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::USER_AGENT;
use http::{HeaderName, HeaderValue};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams, Preconditions, PropagationPolicy,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::discovery::{Discovery, Scope};
use kube::{Api, Client, Config, Resource as _};
use serde_json::Value;
use sha2::Digest as _;
use tokio::sync::{Notify, mpsc};

use crate::domain::fence::ServiceAccount;
use crate::domain::manifest::ResourceKey;
use crate::domain::ownership::{Conflict, Keeper};
use crate::domain::{ApplicationKey, OWNER_LABEL, plan};
use index::Index;
use pods::Pods;

pub mod home;
pub mod index;
pub mod lease;
pub mod pods;

pub use index::{Known, Seen};

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
pub enum Moved {
    /// An object with our label, by the label's value.
    Object(String),
    /// One of our own objects, changed by somebody else or by another of our loops.
    Application(ApplicationKey),
    Promotion(ApplicationKey),
}

/// The answer to a desired object that is applied or dry-run.
#[derive(Debug, Clone)]
pub enum Applied {
    /// The object as the server has it, or would have it.
    Object(Value),
    NamespaceMissing,
    /// No such kind is served.
    KindMissing,
    /// Others hold fields with other values.
    Conflicts(Vec<Conflict>),
    Refused(Refusal),
}

/// Why the API server would not have an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    /// In the server's words, less secrets.
    pub message: String,
    /// 422: the object is not valid as it is, or a field of it cannot be changed.
    pub invalid: bool,
    /// A webhook cannot be asked without effect: nothing is known of the object.
    pub no_dry_run: bool,
    /// Its namespace is not there.
    pub no_namespace: bool,
    /// 403 of the server's authorization: whoever asks lacks the right.
    pub no_right: bool,
}

/// How an object is applied.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    pub dry_run: bool,
    /// Takes fields from whoever holds them. With a resourceVersion in the payload only if nothing changed since.
    pub force: bool,
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
    pace: Arc<Pace>,
    /// Asked once for as long as the watches hold.
    uid: Identity,
}

/// How many requests are in flight at once: more while the server answers, half as many each time that it asks for
/// a pause.
struct Pace {
    limit: AtomicUsize,
    busy: AtomicUsize,
    freed: Notify,
}

const MOST_IN_FLIGHT: usize = 32;
const FIRST_IN_FLIGHT: usize = 16;

impl Pace {
    async fn turn(&self) -> Turn<'_> {
        loop {
            let freed = self.freed.notified();
            let busy = self.busy.load(Ordering::SeqCst);
            if busy < self.limit.load(Ordering::SeqCst)
                && self
                    .busy
                    .compare_exchange(busy, busy + 1, Ordering::SeqCst, Ordering::SeqCst)
                    .is_ok()
            {
                return Turn(self);
            }
            if busy >= self.limit.load(Ordering::SeqCst) {
                freed.await;
            }
        }
    }

    fn learn(&self, pressed: bool) {
        let change = |limit: usize| {
            Some(if pressed {
                (limit / 2).max(2)
            } else {
                (limit + 1).min(MOST_IN_FLIGHT)
            })
        };
        let _ = self
            .limit
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
    }
}

struct Turn<'a>(&'a Pace);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
        self.0.freed.notify_one();
    }
}

tokio::task_local! {
    /// What the API server warned of, while a request is made.
    static WARNINGS: Mutex<Vec<String>>;
}

/// Makes requests, and tells what the API server warned of meanwhile: deprecated versions, unknown or duplicate fields.
pub async fn with_warnings<T>(requests: impl Future<Output = T>) -> (T, Vec<String>) {
    WARNINGS
        .scope(Mutex::default(), async {
            let value = requests.await;
            let warnings = WARNINGS.with(|warnings| {
                std::mem::take(&mut *warnings.lock().unwrap_or_else(PoisonError::into_inner))
            });
            (value, warnings)
        })
        .await
}

/// Answers of API servers to this process: what an idle windlass must not have many of.
pub static ANSWERS: AtomicU64 = AtomicU64::new(0);

/// The texts of `Warning` headers: `299 - "text"`.
fn hear_warnings<B>(response: http::Response<B>) -> http::Response<B> {
    ANSWERS.fetch_add(1, Ordering::Relaxed);
    for header in response.headers().get_all(http::header::WARNING) {
        let text = header
            .to_str()
            .ok()
            .and_then(|text| text.split_once('"'))
            .map(|(_, text)| text.trim_end_matches('"').replace("\\\"", "\""));
        if let Some(text) = text {
            let _ = WARNINGS.try_with(|warnings| {
                let mut warnings = warnings.lock().unwrap_or_else(PoisonError::into_inner);
                if !warnings.contains(&text) {
                    warnings.push(text);
                }
            });
        }
    }
    response
}

/// None: cluster-scoped objects, or those of all namespaces.
fn api(client: Client, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, resource),
        None => Api::all_with(client, resource),
    }
}

/// A kind that is not served is not asked for again for so long, unless we made a definition meanwhile.
const MISSED_FOR: Duration = Duration::from_secs(1);

/// An ordinary call is given this long; watches are not bound by it.
const DEADLINE: Duration = Duration::from_secs(30);

/// A client by kubeconfig (None: the service account of the pod that we run in).
pub async fn connect(kubeconfig: Option<(&Path, Option<&str>)>) -> anyhow::Result<Client> {
    connect_as(kubeconfig, None).await
}

/// The same, which acts as a service account: Kubernetes gives it no more rights than that has.
pub async fn connect_as(
    kubeconfig: Option<(&Path, Option<&str>)>,
    account: Option<&ServiceAccount>,
) -> anyhow::Result<Client> {
    let mut config = match kubeconfig {
        Some((path, context)) => {
            let kubeconfig = Kubeconfig::read_from(path)?;
            Config::from_custom_kubeconfig(
                kubeconfig,
                &KubeConfigOptions {
                    context: context.map(str::to_string),
                    ..Default::default()
                },
            )
            .await?
        }
        None => Config::incluster()?,
    };
    config.headers.push((
        USER_AGENT,
        HeaderValue::from_static(concat!("windlass/", env!("CARGO_PKG_VERSION"))),
    ));
    if let Some(account) = account {
        // Kubernetes adds the groups of a service account by itself.
        config.headers.push((
            HeaderName::from_static("impersonate-user"),
            account.user().parse()?,
        ));
    }
    config.connect_timeout = Some(Duration::from_secs(10));
    // Retries of 429, 503 and 504 stay inside the deadline of a call.
    let builder = kube::client::ClientBuilder::try_from(config)?;
    Ok(builder
        .with_layer(&tower::util::MapResponseLayer::new(hear_warnings))
        .build())
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

/// What became of an object that we own.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Live(Value),
    Gone,
    /// It cannot be looked at just now, for this reason.
    Unknown(String),
}

/// Whether a tool still keeps what it made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    Still,
    NoMore,
    /// Its kind is not served here, or windlass may not read it.
    Unknown,
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
    pub fn new(name: &str, client: Client, moved: mpsc::Sender<Moved>) -> Self {
        let pace = Pace {
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
    async fn call<T>(
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

    /// What a chart may ask about the cluster: its version, and what it serves as `apps/v1` and `apps/v1/Deployment`.
    pub async fn capabilities(&self) -> Result<(String, Vec<String>)> {
        let what = "read the cluster's version";
        let version = self
            .call(what, self.client.apiserver_version())
            .await?
            .map_err(|status| refused(what, &status))?;
        let discovery = self.discovery(false).await?;
        let mut apis = std::collections::BTreeSet::new();
        for group in discovery.groups() {
            for version in group.versions() {
                for (resource, _) in group.versioned_resources(version) {
                    apis.insert(format!("{}/{}", resource.api_version, resource.kind));
                    apis.insert(resource.api_version);
                }
            }
        }
        Ok((version.git_version, apis.into_iter().collect()))
    }

    /// What the index knows of an object; None where its kind is not served.
    pub async fn look(&self, key: &ResourceKey, version: &str) -> Result<Option<Known>> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(None);
        };
        Ok(Some(self.index.look(&resource, key).await))
    }

    /// What is served may have changed: a definition was applied.
    pub fn forget_kinds(&self) {
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.missed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.index.retry_refused();
    }

    /// What the cluster serves, asked once and again when a kind is missing.
    async fn discovery(&self, anew: bool) -> Result<Arc<Discovery>> {
        if !anew
            && let Some(known) = self
                .kinds
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        {
            return Ok(known);
        }
        let what = "discover kinds";
        let mut found = call(what, Discovery::new(self.client.clone()).run_aggregated())
            .await?
            .map_err(|status| refused(what, &status))?;
        // A server without aggregated discovery answers with nothing at all.
        if !found.has_group("") {
            found = call(what, Discovery::new(self.client.clone()).run())
                .await?
                .map_err(|status| refused(what, &status))?;
        }
        let found = Arc::new(found);
        *self.kinds.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    /// The resource of a kind and whether it is namespaced; None: it is not served.
    pub async fn kind(
        &self,
        group: &str,
        version: &str,
        kind: &str,
    ) -> Result<Option<(ApiResource, bool)>> {
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let missed = |of: &GroupVersionKind| {
            self.missed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(of)
                .is_some_and(|at| at.elapsed() < MISSED_FOR)
        };
        for anew in [false, true] {
            // What is served is megabytes on a cluster with many definitions: not asked for again for each object.
            if anew && missed(&gvk) {
                return Ok(None);
            }
            if let Some((resource, capabilities)) = self.discovery(anew).await?.resolve_gvk(&gvk) {
                return Ok(Some((resource, capabilities.scope == Scope::Namespaced)));
            }
        }
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.retain(|_, at| at.elapsed() < MISSED_FOR);
        missed.insert(gvk, Instant::now());
        Ok(None)
    }

    /// Whether objects of a kind have a status that a controller writes.
    pub async fn has_status(&self, group: &str, version: &str, kind: &str) -> Result<bool> {
        let found = self
            .discovery(false)
            .await?
            .resolve_gvk(&GroupVersionKind::gvk(group, version, kind));
        Ok(found.is_some_and(|(_, capabilities)| {
            capabilities.subresources.iter().any(|(resource, _)| {
                resource.plural == "status" || resource.plural.ends_with("/status")
            })
        }))
    }

    /// Whether whoever writes here may apply objects of a resource: asked of the cluster.
    pub async fn may_apply(
        &self,
        group: &str,
        plural: &str,
        namespace: Option<&str>,
    ) -> Result<bool> {
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.writer.clone());
        for verb in ["patch", "create"] {
            let attributes = ResourceAttributes {
                group: Some(group.into()),
                resource: Some(plural.into()),
                namespace: namespace.map(str::to_string),
                verb: Some(verb.into()),
                ..ResourceAttributes::default()
            };
            let spec = SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..Default::default()
            };
            let review = SelfSubjectAccessReview {
                spec,
                ..Default::default()
            };
            let what = format!("ask whether it may {verb} {plural}.{group}");
            let answer = self
                .call(&what, reviews.create(&PostParams::default(), &review))
                .await?
                .map_err(|status| refused(&what, &status))?;
            if !answer.status.is_some_and(|status| status.allowed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the cluster serves a kind just now: asked anew.
    pub async fn serves(&self, group: &str, version: &str, kind: &str) -> Result<bool> {
        Ok(self
            .discovery(true)
            .await?
            .resolve_gvk(&GroupVersionKind::gvk(group, version, kind))
            .is_some())
    }

    fn api(&self, resource: &ApiResource, key: &ResourceKey) -> Api<DynamicObject> {
        self.api_in(resource, key.namespace.as_deref())
    }

    /// For writes, and for what a write would come to.
    fn writes(&self, resource: &ApiResource, key: &ResourceKey) -> Api<DynamicObject> {
        api(self.writer.clone(), resource, key.namespace.as_deref())
    }

    /// None: cluster-scoped objects, or those of all namespaces.
    fn api_in(&self, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
        api(self.client.clone(), resource, namespace)
    }

    /// A live object; None where it is not (also where its namespace or kind is not).
    pub async fn live(&self, key: &ResourceKey, version: &str) -> Result<Option<Value>> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(None);
        };
        let what = format!("read {key}");
        match self
            .call(&what, self.api(&resource, key).get(&key.name))
            .await?
        {
            Ok(object) => Ok(Some(value_of(object, &resource))),
            Err(status) if status.is_not_found() => Ok(None),
            Err(status) => Err(refused(&what, &status)),
        }
    }

    /// An object of the inventory, under the version that it was applied by or any other that is served; with that version.
    pub async fn find(&self, key: &ResourceKey, version: &str) -> Result<(String, Found)> {
        let served = match self.kind(&key.group, version, &key.kind).await? {
            Some(_) => Some(version.to_string()),
            None => {
                let discovery = self.discovery(false).await?;
                let group = discovery.get(&key.group);
                group
                    .and_then(|group| group.recommended_kind(&key.kind))
                    .map(|(resource, _)| resource.version)
            }
        };
        let Some(served) = served else {
            return Ok((version.into(), self.unserved(key).await?));
        };
        let found = match self.live(key, &served).await {
            Ok(Some(live)) => Found::Live(live),
            Ok(None) => Found::Gone,
            Err(Error::Forbidden { message, .. }) => Found::Unknown(message),
            Err(error) => return Err(error),
        };
        Ok((served, found))
    }

    /// The API version that a kind is served under here, when it is not the one that somebody wrote: of the same group, or
    /// of the group that the kind has moved to.
    pub async fn served_as(&self, group: &str, kind: &str) -> Result<Option<String>> {
        // kubernetes.io/docs/reference/using-api/deprecation-guide.
        let moved = match (group, kind) {
            ("extensions", "Ingress" | "NetworkPolicy") => "networking.k8s.io",
            ("extensions", "PodDisruptionBudget") => "policy",
            ("extensions", _) => "apps",
            (same, _) => same,
        };
        let discovery = self.discovery(false).await?;
        Ok(discovery
            .get(moved)
            .and_then(|group| group.recommended_kind(kind))
            .map(|(resource, _)| resource.api_version))
    }

    /// What a kind is that no version is served of: gone with its definition, or out of order for a while.
    async fn unserved(&self, key: &ResourceKey) -> Result<Found> {
        let unknown = |why: &str| Ok(Found::Unknown(why.to_string()));
        let definitions = match self
            .all(
                "apiextensions.k8s.io",
                "v1",
                "CustomResourceDefinition",
                None,
            )
            .await
        {
            Err(Error::Forbidden { message, .. }) => return Ok(Found::Unknown(message)),
            other => other?,
        };
        let defines = |one: &&Value| {
            one["spec"]["group"] == key.group.as_str()
                && one["spec"]["names"]["kind"] == key.kind.as_str()
        };
        if definitions.iter().any(|one| defines(&one)) {
            return unknown("the cluster serves no version of its kind just now");
        }
        let services = match self
            .all("apiregistration.k8s.io", "v1", "APIService", None)
            .await
        {
            Err(Error::Forbidden { .. }) => Vec::new(),
            other => other?,
        };
        if services.iter().any(|one| {
            one["spec"]["group"] == key.group.as_str() && one["spec"]["service"].is_object()
        }) {
            return unknown("the API server of its kind does not answer just now");
        }
        Ok(Found::Gone)
    }

    /// Live objects of one kind in one namespace that carry our label with this value, whole, in one request.
    pub async fn owned(
        &self,
        group: &str,
        version: &str,
        kind: &str,
        namespace: Option<&str>,
        owner: &str,
    ) -> Result<Vec<Value>> {
        let Some((resource, _)) = self.kind(group, version, kind).await? else {
            return Ok(Vec::new());
        };
        let api = self.api_in(&resource, namespace);
        let what = format!("list {kind}");
        let parameters = ListParams::default().labels(&format!("{OWNER_LABEL}={owner}"));
        let found = self
            .call(&what, api.list(&parameters))
            .await?
            .map_err(|status| refused(&what, &status))?;
        Ok(found
            .items
            .into_iter()
            .map(|object| value_of(object, &resource))
            .collect())
    }

    /// Live objects of one kind, whoever's they are, as many as one page holds.
    pub async fn all(
        &self,
        group: &str,
        version: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> Result<Vec<Value>> {
        let Some((resource, _)) = self.kind(group, version, kind).await? else {
            return Ok(Vec::new());
        };
        let api = self.api_in(&resource, namespace);
        let what = format!("list {kind}");
        let found = self
            .call(&what, api.list(&ListParams::default().limit(500)))
            .await?
            .map_err(|status| refused(&what, &status))?;
        Ok(found
            .items
            .into_iter()
            .map(|object| value_of(object, &resource))
            .collect())
    }

    /// Why the server would not delete an object; None: it would, or may not be asked.
    pub async fn would_refuse_deletion(
        &self,
        key: &ResourceKey,
        live: &Value,
    ) -> Result<Option<String>> {
        let version = live["apiVersion"]
            .as_str()
            .and_then(|text| text.rsplit('/').next())
            .unwrap_or_default();
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(None);
        };
        let parameters = DeleteParams {
            dry_run: true,
            preconditions: Some(Preconditions {
                uid: live["metadata"]["uid"].as_str().map(str::to_string),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let what = format!("dry-run the deletion of {key}");
        let answer = self
            .call(
                &what,
                self.writes(&resource, key).delete(&key.name, &parameters),
            )
            .await?;
        Ok(answer
            .err()
            .filter(|status| !status.is_not_found() && !status.is_conflict())
            .map(|status| refusal(key, &status).message))
    }

    /// Server-side apply of a payload, or its dry-run.
    pub async fn apply(
        &self,
        key: &ResourceKey,
        version: &str,
        payload: &Value,
        manager: &str,
        how: How,
    ) -> Result<Applied> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(Applied::KindMissing);
        };
        let mut parameters = PatchParams::apply(manager).validation_strict();
        parameters.force = how.force;
        parameters.dry_run = how.dry_run;
        let what = format!("{} {key}", if how.dry_run { "dry-run" } else { "apply" });
        // As plain JSON: an object is not taken apart and put together again on its way.
        let url = DynamicObject::url_path(&resource, key.namespace.as_deref());
        let request = async {
            let request =
                kube::core::Request::new(url).patch(&key.name, &parameters, &Patch::Apply(payload));
            self.writer
                .request::<Value>(request.map_err(kube::Error::BuildRequest)?)
                .await
        };
        match self.call(&what, request).await? {
            Ok(object) => {
                if !how.dry_run {
                    self.index.note(&resource, key, &object).await;
                }
                Ok(Applied::Object(object))
            }
            Err(status) if namespace_missing(&status, key) => Ok(Applied::NamespaceMissing),
            Err(status) if status.is_not_found() => Ok(Applied::KindMissing),
            Err(status) if status.is_conflict() => match conflicts(&status) {
                // Not a manager's field but the resourceVersion: somebody wrote in between.
                found if found.is_empty() => Err(Error::Stale { what }),
                found => Ok(Applied::Conflicts(found)),
            },
            Err(status) => Ok(Applied::Refused(refusal(key, &status))),
        }
    }

    /// What the server would make of an object, created under a name that nothing has: what is wrong with it then is wrong
    /// with itself, not with what is there already. The answer bears the object's own name.
    pub async fn probe(
        &self,
        key: &ResourceKey,
        version: &str,
        payload: &Value,
    ) -> Result<std::result::Result<Value, Refusal>> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(Ok(payload.clone()));
        };
        let mut payload = payload.clone();
        let name = format!(
            "windlass-probe-{}",
            &hex::encode(sha2::Sha256::digest(key.to_string()))[..12]
        );
        // A definition's name follows from what it defines.
        if key.kind != "CustomResourceDefinition" {
            payload["metadata"]["name"] = name.clone().into();
        }
        let object: DynamicObject = match serde_json::from_value(payload) {
            Ok(object) => object,
            Err(error) => {
                return Ok(Err(Refusal {
                    message: error.to_string(),
                    invalid: true,
                    ..Refusal::default()
                }));
            }
        };
        let parameters = PostParams {
            dry_run: true,
            field_manager: Some("windlass".into()),
        };
        let what = format!("dry-run the creation of {key}");
        let answer = self
            .call(
                &what,
                self.writes(&resource, key).create(&parameters, &object),
            )
            .await?;
        Ok(match answer {
            Ok(object) => {
                let mut object = value_of(object, &resource);
                renamed(&mut object, &name, &key.name);
                Ok(object)
            }
            Err(status) => {
                let refusal = refusal(key, &status);
                Err(Refusal {
                    message: refusal.message.replace(&name, &key.name),
                    ..refusal
                })
            }
        })
    }

    /// What the server would make of a merge patch (RFC 7386) of the live object.
    pub async fn dry_run_merge(
        &self,
        key: &ResourceKey,
        version: &str,
        patch: &Value,
        manager: &str,
    ) -> Result<Applied> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(Applied::KindMissing);
        };
        let what = format!("dry-run {key}");
        let mut parameters = PatchParams {
            field_manager: Some(manager.into()),
            ..PatchParams::default()
        };
        parameters.dry_run = true;
        match self
            .call(
                &what,
                self.writes(&resource, key)
                    .patch(&key.name, &parameters, &Patch::Merge(patch)),
            )
            .await?
        {
            Ok(object) => Ok(Applied::Object(value_of(object, &resource))),
            Err(status) if status.is_conflict() => Err(Error::Stale { what }),
            Err(status) => Ok(Applied::Refused(refusal(key, &status))),
        }
    }

    /// Replaces who owns which field of an object, if nobody wrote to it since; its resourceVersion afterwards.
    pub async fn set_managed_fields(
        &self,
        key: &ResourceKey,
        version: &str,
        resource_version: &str,
        fields: &Value,
    ) -> Result<String> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(String::new());
        };
        let what = format!("take over {key}");
        let patch = serde_json::json!({"metadata": {"resourceVersion": resource_version, "managedFields": fields}});
        let request = self.writes(&resource, key);
        match self
            .call(
                &what,
                request.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)),
            )
            .await?
        {
            Ok(object) => Ok(object.metadata.resource_version.unwrap_or_default()),
            Err(status) if status.is_conflict() => Err(Error::Stale { what }),
            Err(status) => Err(refused(&what, &status)),
        }
    }

    /// Whether what the marks on an object name is still there to keep it.
    pub async fn keeps(&self, keeper: &Keeper) -> Result<Keeps> {
        let (group, version, kind, name, namespace) = match keeper {
            Keeper::Flux {
                kind: "HelmRelease",
                name,
                namespace,
            } => (
                "helm.toolkit.fluxcd.io",
                "v2",
                "HelmRelease",
                name,
                Some(namespace),
            ),
            Keeper::Flux {
                kind,
                name,
                namespace,
            } => (
                "kustomize.toolkit.fluxcd.io",
                "v1",
                *kind,
                name,
                Some(namespace),
            ),
            Keeper::ArgoCd {
                application,
                namespace,
            } => (
                "argoproj.io",
                "v1alpha1",
                "Application",
                application,
                namespace.as_ref(),
            ),
            Keeper::Helm { release, namespace } => ("", "v1", "Secret", release, Some(namespace)),
        };
        // It may run in another cluster.
        let Some((resource, _)) = self.kind(group, version, kind).await? else {
            return Ok(Keeps::Unknown);
        };
        let api = self.api_in(&resource, namespace.map(String::as_str));
        let parameters = match keeper {
            // Helm keeps a Secret for each revision of a release.
            Keeper::Helm { .. } => ListParams::default()
                .labels(&format!("owner=helm,name={name}"))
                .limit(1),
            _ => ListParams::default()
                .fields(&format!("metadata.name={name}"))
                .limit(1),
        };
        let what = format!("look for {keeper}");
        Ok(
            match self.call(&what, api.list_metadata(&parameters)).await? {
                Ok(found) if found.items.is_empty() => Keeps::NoMore,
                Ok(_) => Keeps::Still,
                Err(status) if status.is_not_found() => Keeps::NoMore,
                Err(_) => Keeps::Unknown,
            },
        )
    }

    /// Deletes exactly the object that has this uid; true once it is gone.
    pub async fn delete(&self, key: &ResourceKey, version: &str, uid: &str) -> Result<bool> {
        self.delete_with(key, version, uid, PropagationPolicy::Background)
            .await
    }

    /// The same, and what it made stays: the pods of a StatefulSet.
    pub async fn delete_alone(&self, key: &ResourceKey, version: &str, uid: &str) -> Result<bool> {
        self.delete_with(key, version, uid, PropagationPolicy::Orphan)
            .await
    }

    async fn delete_with(
        &self,
        key: &ResourceKey,
        version: &str,
        uid: &str,
        policy: PropagationPolicy,
    ) -> Result<bool> {
        let Some((resource, _)) = self.kind(&key.group, version, &key.kind).await? else {
            return Ok(true);
        };
        let parameters = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(Preconditions {
                uid: Some(uid.into()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let what = format!("delete {key}");
        match self
            .call(
                &what,
                self.writes(&resource, key).delete(&key.name, &parameters),
            )
            .await?
        {
            Ok(outcome) => Ok(outcome.is_right()),
            Err(status) if status.is_not_found() => Ok(true),
            Err(status) => Err(refused(&what, &status)),
        }
    }

    /// The pods that a workload's selector matches.
    pub async fn pods_of(&self, workload: &Value) -> Result<Vec<Value>> {
        let labels = workload["spec"]["selector"]["matchLabels"].as_object();
        let (Some(labels), Some(namespace)) = (labels, workload["metadata"]["namespace"].as_str())
        else {
            return Ok(Vec::new());
        };
        let selector: BTreeMap<_, _> = labels
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_str()?)))
            .collect();
        let selector = selector
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(",");
        let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let what = "list pods";
        let found = self
            .call(what, api.list(&ListParams::default().labels(&selector)))
            .await?
            .map_err(|status| refused(what, &status))?;
        Ok(found
            .items
            .into_iter()
            .map(|pod| value_of(pod, &resource))
            .collect())
    }
}

/// A name in whatever values the server put it into: labels of a Job's pods, say.
fn renamed(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) if text.contains(from) => *text = text.replace(from, to),
        Value::Object(map) => map.values_mut().for_each(|value| renamed(value, from, to)),
        Value::Array(items) => items.iter_mut().for_each(|item| renamed(item, from, to)),
        _ => {}
    }
}

/// The fields that a 409 of server-side apply names.
fn conflicts(status: &Status) -> Vec<Conflict> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .filter_map(|cause| Conflict::parse(&cause.message, &cause.field))
        .collect()
}

fn refusal(key: &ResourceKey, status: &Status) -> Refusal {
    let fields: Vec<_> = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| cause.field.clone())
        .collect();
    Refusal {
        message: plan::refusal(key, &status.reason, &status.message, &fields),
        invalid: status.code == 422,
        // The words are the API server's: apiserver pkg/endpoints/handlers/responsewriters, forbiddenMessage.
        no_right: status.code == 403
            && status.message.contains("User \"")
            && status.message.contains("\" cannot "),
        no_namespace: namespace_missing(status, key),
        // The words are the API server's: pkg/admission, "does not support dry run". A webhook that is declared to have
        // no side effects and refuses dry-runs all the same says so in words of its own.
        no_dry_run: status.code == 400 && status.message.contains("does not support dry run")
            || refuses_dry_run(&status.message),
    }
}

fn refuses_dry_run(message: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    lower.contains("admission webhook")
        && lower.contains("denied the request")
        && ["dry run", "dry-run", "dryrun"]
            .iter()
            .any(|word| lower.contains(word))
}

fn namespace_missing(status: &Status, key: &ResourceKey) -> bool {
    let Some(namespace) = &key.namespace else {
        return false;
    };
    status.is_not_found()
        && status
            .details
            .as_ref()
            .is_some_and(|details| details.kind == "namespaces" && details.name == *namespace)
}

/// The whole object; items of lists come without their types.
fn value_of(object: DynamicObject, resource: &ApiResource) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = resource.api_version.clone().into();
    value["kind"] = resource.kind.clone().into();
    value
}
